"""Stage ensemble: several run folders -> one blend, which is tuned and submitted as any run is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segkit import metrics
from segkit.ensemble import blend, nested
from segkit.ensemble.greedy import WeightScorer
from segkit.ensemble.search import ClassWeights
from segkit.files import read_json, write_json
from segkit.postprocess import blend_scorer
from segkit.predictions import PredictionStore
from segkit.recipe.inputs import data_of_members
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute
from segkit.recipe.stages import audit
from segkit.recipe.stamps import Stamps
from segkit.selection import Selection, signed

FOLDS = 5
"""Of groups, where weights are compared."""


def run_stage(run: Run) -> Mapping[str, Any]:
    """Blend --members into oof.zarr and test.zarr, and write ensemble.json.

    Weights are equal unless greedy ones gain significantly on groups that had no part in choosing them. Where they do,
    each held-out image is blended under the weights that other groups chose, as it is predicted by the network that did
    not see it: all that tuning says of the blend holds for new groups. The test images get the weights of everybody.

    Args:
        run: The blend's own run, in a folder of its own.

    Returns:
        The settings that it takes over from its members.
    """
    members = _members(run)
    adopted = data_of_members(run.config)
    run = run.with_settings(adopted)
    audit.run_stage(run)
    _check_same_data(run, members)
    ran = execute(OOF, run)
    execute(TEST, run)
    _show(run, read_json(run.folder / "ensemble.json"), "" if ran else " (as before)")
    return adopted


def _members(run: Run) -> list[Path]:
    """The run folders, checked."""
    members = [Path(member) for member in run.config.run.members]
    if len({member.resolve() for member in members}) < max(2, len(members)):
        named = " ".join(map(str, members)) or "(none)"
        raise ValueError(f"--members {named}: expected two or more different run folders")
    if run.folder.resolve() in {member.resolve() for member in members} or (run.folder / "fold0").exists():
        raise ValueError(f"{run.folder} holds a run of its own: name another --out for the blend")
    for member in members:
        for name in ("oof.zarr", "test.zarr"):
            if not (member / name).is_dir():
                raise ValueError(f"{member} has no {name}: run the stage predict there first")
    return members


def _check_same_data(run: Run, members: Sequence[Path]) -> None:
    """ValueError where a member was trained on other images or labels."""
    now = run.inputs.train.fingerprint()
    for member in members:
        drawn = Stamps(member).begun("folds")
        if drawn is not None and drawn["reads"]["training labels or pixels"] != now:
            raise ValueError(
                f"{member} saw other training images, labels or classes than {run.inputs.data} holds: expected runs on "
                "the same data"
            )


def _stores(run: Run, name: str) -> list[PredictionStore]:
    return [PredictionStore.open(Path(member) / name) for member in run.config.run.members]


def _held_out(run: Run, oof: Sequence[PredictionStore]) -> list[str]:
    """Images that every member predicted while they were held out, and that have truth."""
    done, truth = [store.done for store in oof], run.inputs.train.truth
    ids = [image for image in oof[0].ids if all(image in there for there in done) and image in truth]
    if not ids:
        raise ValueError(
            f"no image is held out by all of {', '.join(str(store.path.parent) for store in oof)}: train the same "
            "folds of the same groups (--folds, --n-folds, --split-seed, --stratify)"
        )
    return ids


def _read_oof(run: Run) -> dict[str, Any]:
    oof = _stores(run, "oof.zarr")
    ids = _held_out(run, oof)
    return {"members": list(run.config.run.members), "predictions of members": [store.stamp(ids) for store in oof]}


def _read_test(run: Run) -> dict[str, Any]:
    return {"predictions of members": [store.stamp(store.ids) for store in _stores(run, "test.zarr")]}


def _blend_oof(run: Run) -> None:
    """Choose weights, blend the held-out images, and write what was found."""
    oof = _stores(run, "oof.zarr")
    ids, samples = _held_out(run, oof), run.inputs.train
    scorer = blend_scorer(oof, samples.truth, metric=run.recipe.metric, ids=ids, cache=run.cache / "band")
    found = nested(scorer, samples.groups, k=FOLDS)
    weights = next(iter(found.setting.values()))
    shutil.rmtree(run.folder / "oof.zarr", ignore_errors=True)
    if found.kept == "nothing":
        blend(oof, weights, out=run.folder / "oof.zarr", ids=ids)
    else:
        _by_other_groups(run, found, oof, ids)
    write_json(run.folder / "ensemble.json", _summary(run, scorer, found, weights))


def _blend_test(run: Run) -> None:
    weights = read_json(run.file("ensemble.json"))["weights"]
    shutil.rmtree(run.folder / "test.zarr", ignore_errors=True)
    blend(_stores(run, "test.zarr"), weights, out=run.folder / "test.zarr")


OOF = Stage(
    "ensemble.oof",
    _blend_oof,
    makes=("oof.zarr", "ensemble.json"),
    facts=("metric", "exclusive"),
    inputs=("train",),
    after=(audit.AUDIT,),
    reads=_read_oof,
    title="ensemble",
)
TEST = Stage(
    "ensemble.test",
    _blend_test,
    makes=("test.zarr",),
    inputs=("test_images",),
    needs=lambda run: (OOF,),
    reads=_read_test,
    title="ensemble",
)


def _by_other_groups(run: Run, found: Selection[ClassWeights], oof: Sequence[PredictionStore], ids: list[str]) -> None:
    """oof.zarr: each image under the weights that folds of other groups chose, as nested() scored it."""
    parts = []
    for number, (held, weights) in enumerate(found.folds):
        place = run.cache / f"blend{number}.zarr"
        shutil.rmtree(place, ignore_errors=True)
        parts.append(blend(oof, weights, out=place, ids=held))
    first = parts[0]
    whole = PredictionStore.create(
        run.folder / "oof.zarr", ids=ids, classes=first.classes, sizes={i: oof[0].sizes[i] for i in ids},
        grid=first.grid, scale=first.scale, exclusive=first.exclusive,
    )  # fmt: skip
    for part in parts:
        for image in part.ids:
            whole[image] = part[image]
        shutil.rmtree(part.path)


def _summary(run: Run, scorer: WeightScorer, found: Selection[ClassWeights], weights: np.ndarray) -> dict[str, Any]:
    """What ensemble.json holds: each member, the blend and what its weights are worth, at .5 and without steps."""
    members, groups = run.config.run.members, run.inputs.train.groups
    alone = [scorer(row) for row in np.eye(len(members))]
    best = int(np.argmax([signed(one) for one in alone]))
    judged = found.rows[0] if found.rows else None
    return {
        "members": list(members),
        "scores": [one.score() for one in alone],
        "weights": weights.tolist(),
        "kept": "equal weights" if found.kept == "nothing" else "weights",
        "images": len(scorer.ids),
        "groups": len({groups[image] for image in scorer.ids}),
        "equal": scorer(None).score(),
        "tuned": found.tuned,
        "held_out": judged.held_out if judged else None,
        "gain": judged.gain._asdict() if judged else None,
        "best_member": members[best],
        "over_best_member": metrics.compare(alone[best], found.scores, groups)._asdict(),
    }


def _show(run: Run, found: dict[str, Any], note: str) -> None:
    run.say(f"  {len(found['members'])} members, {found['images']} images held out by all of them{note}")
    for member, score, weight in zip(found["members"], found["scores"], found["weights"], strict=True):
        run.say(f"  {member}: {score:.4f} at .5, weight {weight:.3f}", markup=False)
    run.say(f"  equal weights: {found['equal']:.4f}")
    if found["gain"] is None:
        run.say(f"  {found['groups']} groups: weights cannot be checked, so they are equal")
    else:
        run.say(f"  chosen weights: tuned {found['tuned']:.4f}, on other groups {found['held_out']:.4f}")
        run.say(f"  their gain over equal ones: {gain_words(found['gain'])}")
    over = gain_words(found["over_best_member"])
    run.say(f"  kept: {found['kept']}; over {found['best_member']} alone: {over}", markup=False)


def gain_words(gain: Mapping[str, Any]) -> str:
    """Describe a Comparison that a JSON file gave back."""
    if gain["low"] is None:
        return f"{gain['gain']:+.4f} (no interval of so few groups)"
    return f"{gain['gain']:+.4f} (95 % interval {gain['low']:+.4f} to {gain['high']:+.4f}, {gain['groups']} groups)"


def tables(found: Mapping[str, Any]) -> list[tuple[str, str, pd.DataFrame]]:
    """Return (title, words, table) of ensemble.json for the report."""
    rows = {"member": found["members"], "score at .5": found["scores"], "weight": found["weights"]}
    of = f"on {found['images']} images held out by all"
    words = [f"At .5 and without steps, {of}: equal weights {found['equal']:.4f}"]
    if found["gain"] is not None:
        words.append(f"chosen weights {found['tuned']:.4f} where they were chosen, {found['held_out']:.4f} on others")
        words.append(f"a gain of {gain_words(found['gain'])}")
    words.append(f"kept: {found['kept']}, {gain_words(found['over_best_member'])} over the best member alone")
    return [("The blend", "; ".join(words) + ".", pd.DataFrame(rows))]
