"""Stage ensemble: several run folders -> one blend, tuned and submitted as any run is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segkit import metrics
from segkit.ensemble import BlendSpace, blend, nested
from segkit.ensemble.search import ClassWeights
from segkit.files import read_json, write_json
from segkit.predictions import PredictionStore
from segkit.recipe import audit, report, submit, tune
from segkit.recipe.config import replace
from segkit.recipe.line import Line
from segkit.selection import Selection

FOLDS = 5
"""Of persons, where weights are weighed."""


def run(line: Line) -> None:
    """Blend --members into oof.zarr and test.zarr, write ensemble.json, then tune, submit and report.

    Weights are equal unless greedy ones surely gain on persons who had no part in choosing them. Where they do, each
    held-out image is blended under the weights that other persons chose, as it is predicted by the network that did
    not see it: all that tuning says of the blend holds for new persons. The test images get the weights of everybody.
    """
    members = _members(line)
    _same_data(line, members)
    oof, test = ([PredictionStore.open(member / name) for member in members] for name in ("oof.zarr", "test.zarr"))
    ids = _held_out(line, oof)
    key = {
        "members": line.config.members,
        "stores": [store.stamp(ids) for store in oof],
        "data": line.audited["train"],
        "fixes": [str(fix) for fix in line.fixes],
    }
    outputs = [line.folder / name for name in ("oof.zarr", "ensemble.json")]
    ran = line.folder.run("predict.oof", key, outputs, lambda: _choose(line, members, oof, ids))
    found = read_json(line.folder / "ensemble.json")
    key = {"weights": found["weights"], "stores": [store.stamp(test[0].ids) for store in test]}
    line.folder.run("predict.test", key, [line.folder / "test.zarr"], lambda: _blend(line, test, found["weights"]))
    _show(line, found, "" if ran else " (as before)")
    for stage in (tune, submit, report):
        stage.run(line)


def _members(line: Line) -> list[Path]:
    """The run folders, checked."""
    members = [Path(member) for member in line.config.members]
    if len({member.resolve() for member in members}) < max(2, len(members)):
        raise ValueError(
            f"--members {' '.join(line.config.members) or '(none)'}: two or more different run folders are wanted"
        )
    here = line.folder.path.resolve()
    if here in {member.resolve() for member in members} or (line.folder / "fold0").exists():
        raise ValueError(f"{line.folder.path} holds a run of its own: name another --out for the blend")
    for member in members:
        for name in ("oof.zarr", "test.zarr"):
            if not (member / name).is_dir():
                raise ValueError(f"{member} has no {name}: run the stage predict there first")
    return members


def _same_data(line: Line, members: Sequence[Path]) -> None:
    """The data that the members saw, where no --data names it; ValueError where they saw different ones."""
    runs = [member for member in members if (member / "config.json").is_file() and (member / "audit.json").is_file()]
    if runs and line.config.data is None:
        settings = read_json(runs[0] / "config.json")["settings"]
        adopted = {name: settings.get(name) for name in ("data", "limit", "label_fixes")}
        line.config = replace(line.config, adopted, str(runs[0] / "config.json"))
        line.write_config()
        if line.config.data is None and not (line.folder / "audit.json").is_file():
            write_json(line.folder / "audit.json", read_json(runs[0] / "audit.json"))
    audit.run(line)
    for member in runs:
        if read_json(member / "audit.json")["train"] != line.audited["train"]:
            raise ValueError(
                f"{member} saw other training images, annotations or classes than {line.data} holds: "
                "runs on the same data are blended"
            )


def _held_out(line: Line, oof: Sequence[PredictionStore]) -> list[str]:
    """Images that every member predicted while they were held out, and that have truth."""
    done = [store.done for store in oof]
    ids = [image for image in oof[0].ids if all(image in there for there in done) and image in line.truth]
    if not ids:
        raise ValueError(
            f"no image is held out by all of {', '.join(str(store.path.parent) for store in oof)}: train the same "
            "folds of the same persons (--folds, --n-folds, --seed, --stratify)"
        )
    return ids


def _choose(line: Line, members: Sequence[Path], oof: Sequence[PredictionStore], ids: list[str]) -> None:
    """Choose weights, blend the held-out images, and write what was found."""
    space = BlendSpace(oof, line.truth, ids=ids, cache=line.cache / "band")
    found = nested(space, line.persons, k=FOLDS)
    weights = next(iter(found.setting.values()))
    shutil.rmtree(line.folder / "oof.zarr", ignore_errors=True)
    if found.kept == "nothing":
        blend(oof, weights, out=line.folder / "oof.zarr", ids=ids)
    else:
        _by_other_persons(line, found, oof, ids)
    write_json(line.folder / "ensemble.json", _said(line, members, space, found, weights))


def _blend(line: Line, test: Sequence[PredictionStore], weights: Sequence[float]) -> None:
    shutil.rmtree(line.folder / "test.zarr", ignore_errors=True)
    blend(test, weights, out=line.folder / "test.zarr")


def _by_other_persons(
    line: Line, found: Selection[ClassWeights], oof: Sequence[PredictionStore], ids: list[str]
) -> None:
    """oof.zarr: each image under the weights that folds of other groups chose, as nested() scored it."""
    parts = []
    for number, (held, weights) in enumerate(found.folds):
        place = line.cache / f"blend{number}.zarr"
        shutil.rmtree(place, ignore_errors=True)
        parts.append(blend(oof, weights, out=place, ids=held))
    first = parts[0]
    whole = PredictionStore.create(
        line.folder / "oof.zarr", ids=ids, classes=first.classes, sizes={i: oof[0].sizes[i] for i in ids},
        grid=first.grid, scale=first.scale,
    )  # fmt: skip
    for part in parts:
        for image in part.ids:
            whole[image] = part[image]
        shutil.rmtree(part.path)


def _said(
    line: Line, members: Sequence[Path], space: BlendSpace, found: Selection[ClassWeights], weights: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """What ensemble.json holds: each member, the blend and what its weights are worth, at .5 and without steps."""

    def table(share: np.ndarray | None) -> pd.DataFrame:
        return pd.DataFrame(space.dice(share), index=list(space.ids), columns=list(space.classes))

    alone = [table(np.eye(len(members))[number]) for number in range(len(members))]
    scores = [metrics.score(one) for one in alone]
    best = int(np.argmax(scores))
    judged = found.rows[0] if found.rows else None
    kept = found.kept != "nothing"
    return {
        "members": [str(member) for member in members],
        "dice": scores,
        "weights": weights.tolist(),
        "kept": "weights" if kept else "equal weights",
        "images": len(space.ids),
        "persons": len({line.persons[image] for image in space.ids}),
        "equal": metrics.score(table(None)),
        "tuned": found.tuned,
        "held_out": judged.held_out if judged else None,
        "gain": judged.gain._asdict() if judged else None,
        "best_member": str(members[best]),
        "over_best_member": metrics.compare(alone[best], found.scores, line.persons)._asdict(),
    }


def _show(line: Line, found: dict[str, Any], note: str) -> None:
    line.say(f"  {len(found['members'])} members, {found['images']} images held out by all of them{note}")
    for member, dice, weight in zip(found["members"], found["dice"], found["weights"], strict=True):
        line.say(f"  {member}: Dice {dice:.4f} at .5, weight {weight:.3f}")
    line.say(f"  equal weights: {found['equal']:.4f}")
    if found["gain"] is None:
        line.say(f"  {found['persons']} persons: weights cannot be checked, so they are equal")
    else:
        line.say(f"  chosen weights: tuned {found['tuned']:.4f}, on other persons {found['held_out']:.4f}")
        line.say(f"  their gain over equal ones: {gain_words(found['gain'])}")
    line.say(f"  kept: {found['kept']}; over {found['best_member']} alone: {gain_words(found['over_best_member'])}")


def gain_words(gain: dict[str, Any]) -> str:
    """A Comparison that a JSON file gave back, in words."""
    if gain["low"] is None:
        return f"{gain['gain']:+.4f} (no interval of so few persons)"
    return f"{gain['gain']:+.4f} (95 % interval {gain['low']:+.4f} to {gain['high']:+.4f}, {gain['groups']} persons)"


def tables(found: dict[str, Any]) -> list[tuple[str, str, pd.DataFrame]]:
    """What report.html shows of ensemble.json."""
    rows = {"member": found["members"], "Dice at .5": found["dice"], "weight": found["weights"]}
    said = [f"At .5 and without steps, on {found['images']} images held out by all: equal weights {found['equal']:.4f}"]
    if found["gain"] is not None:
        said.append(f"chosen weights {found['tuned']:.4f} where they were chosen, {found['held_out']:.4f} on others")
        said.append(f"a gain of {gain_words(found['gain'])}")
    said.append(f"kept: {found['kept']}, {gain_words(found['over_best_member'])} over the best member alone")
    return [("The blend", "; ".join(said) + ".", pd.DataFrame(rows))]
