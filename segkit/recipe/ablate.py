"""Stage ablate: what a trick gains here, on and off under the same seeds and folds, in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segkit import metrics
from segkit.files import replacing, write_atomic, write_json
from segkit.recipe import variant
from segkit.recipe.ablations import ABLATIONS, Variant, variants
from segkit.recipe.line import Line
from segkit.recipe.predict import looks
from segkit.recipe.train import deciding
from segkit.recipe.variant import Scored

HEAD = ("Dice", "gain, 95 % interval", "each seed", "where present", "detectable", "verdict", "train, s",
        "predict, s", "memory, MB")  # fmt: skip
SURE = 0.05
"""The largest p of what is called a gain or a loss."""


def run(line: Line) -> None:
    """Write ablate/NAME.md, .csv and .json for each name of --ablations; ablate/HASH holds a training each."""
    config = line.config
    if not config.ablations:
        raise ValueError(f"name what to switch on and off, such as `ablate losses tta`; known: {', '.join(ABLATIONS)}")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"--seeds {' '.join(map(str, config.seeds))}: one or several different seeds are wanted")
    wanted = {name: variants(name, config) for name in config.ablations}  # a misspelt one is known before any training
    variant.begin(line)
    for name, tried in wanted.items():
        found = {one.name: [_scored(line, name, one, seed) for seed in config.seeds] for one in tried}
        show(line, name, rows(line, found))


def _scored(line: Line, name: str, one: Variant, seed: int) -> Scored:
    changes = variant.settled(line, {**one.changes, "seed": seed})
    line.say(f"  {name}: {one.name}, seed {seed}")
    folder = line.folder / "ablate" / variant.home(line, changes)
    return variant.scored(variant.branch(line, changes, folder), one.how)


def rows(line: Line, found: dict[str, list[Scored]]) -> list[dict[str, Any]]:
    """A record a variant: Dice, the gain over the first variant and its cost; found: {variant: one Scored a seed}.

    Tables are averaged over seeds, and the interval of the difference is clustered by person; the gain of each seed
    stands beside it. "gain" or "loss" is said where the interval leaves 0 out, p is at most .05 and all seeds agree.
    """
    tables = {name: [one.table for one in scores] for name, scores in found.items()}
    mean = {name: sum(parts[1:], parts[0]) / len(parts) for name, parts in tables.items()}
    base = next(iter(found))
    out = []
    for name, scores in found.items():
        there = _present(line, mean[name])
        record: dict[str, Any] = {
            "variant": name,
            "dice": metrics.score(mean[name]),
            "dice_present": metrics.score(mean[name].where(there)),
            "train_seconds": float(np.mean([one.train_seconds for one in scores])),
            "predict_seconds": float(np.mean([one.predict_seconds for one in scores])),
            "memory_mb": max(one.memory_mb for one in scores),
            "verdict": "base",
        }
        if name != base:
            whole = metrics.compare(mean[base], mean[name], line.persons)
            where = metrics.compare(mean[base].where(there), mean[name].where(there), line.persons)
            gains = [metrics.score(b) - metrics.score(a) for a, b in zip(tables[base], tables[name])]
            gained = min(gains) > 0 and whole.is_significant()
            lost = max(gains) < 0 and whole.reversed().is_significant()
            verdict = "gain" if gained else "loss" if lost else "unclear"
            record |= {key: getattr(whole, key) for key in ("gain", "low", "high", "p", "min_detectable_effect")}
            record |= {f"{key}_present": getattr(where, key) for key in ("gain", "low", "high")}
            record |= {"seed_gains": gains, "persons": whole.groups, "images": whole.images, "verdict": verdict}
        out.append(record)
    return out


def _present(line: Line, table: pd.DataFrame) -> pd.DataFrame:
    """image x class: whether truth has the class."""
    there = [[bool(line.truth[image][cls]) for cls in table.columns] for image in table.index]
    return pd.DataFrame(there, index=table.index, columns=table.columns)


def show(line: Line, name: str, records: list[dict[str, Any]]) -> None:
    """Write the three files and print the table."""
    config, place = line.config, line.folder / "ablate" / name
    settings = {**deciding(config), "views": looks(config), "seeds": config.seeds, "folds": config.folds}
    write_json(Path(f"{place}.json"), {"ablation": name, "settings": settings, "rows": records})
    flat = [{**r, "seed_gains": " ".join(f"{g:.6f}" for g in r.get("seed_gains", ()))} for r in records]
    with replacing(f"{place}.csv") as part:
        pd.DataFrame(flat).to_csv(part, index=False, float_format="%.6g")
    text = markdown(name, records)
    write_atomic(f"{place}.md", text)
    line.console.print(text, markup=False, end="")
    line.say(f"  {place}.md, .csv, .json")


def markdown(name: str, records: list[dict[str, Any]]) -> str:
    """The table as docs/measured.md has them; the first variant is the base."""
    lines = [f"| {name} | {' | '.join(HEAD)} |", "|---" * (len(HEAD) + 1) + "|"]
    for r in records:
        gain = [""] * 4
        if "gain" in r:
            gain = [_gain(r, ""), " ".join(f"{g:+z.4f}" for g in r["seed_gains"]), _gain(r, "_present"),
                    _number(r["min_detectable_effect"])]  # fmt: skip
        dice = f"{r['dice']:.4f}"
        cost = [f"{r['train_seconds']:.0f}", f"{r['predict_seconds']:.1f}", f"{r['memory_mb']:.0f}"]
        lines.append(f"| {' | '.join([r['variant'], dice, *gain, r['verdict'], *cost])} |")
    return "\n".join(lines) + "\n"


def _gain(r: dict[str, Any], end: str) -> str:
    gain, low, high = (r[f"{name}{end}"] for name in ("gain", "low", "high"))
    interval = f"{low:+z.4f} to {high:+z.4f}" if low == low else "no interval"
    return f"{gain:+z.4f} ({interval})"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == value else "unknown"
