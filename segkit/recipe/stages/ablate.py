"""Stage ablate: what a trick gains here, on and off under the same seeds and folds, in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segkit import metrics
from segkit.files import plain, replacing, write_atomic, write_json
from segkit.recipe import variant
from segkit.recipe.ablations import ABLATIONS, Variant, variants
from segkit.recipe.run import Run
from segkit.recipe.stages import audit, folds
from segkit.recipe.variant import VariantScore

HEAD = ("score", "gain, 95 % interval", "each seed", "where present", "detectable", "verdict", "train, s",
        "predict, s", "memory, MB")  # fmt: skip


def run_stage(run: Run) -> None:
    """Write ablate/NAME.md, .csv and .json for each name of --ablations; ablate/HASH holds a training each."""
    settings = run.config.ablate
    if not settings.ablations:
        raise ValueError(f"name what to switch on and off, such as `ablate losses tta`; known: {', '.join(ABLATIONS)}")
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds):
        raise ValueError(f"--seeds {' '.join(map(str, settings.seeds))}: expected one or several different seeds")
    wanted = {name: variants(name, run.config) for name in settings.ablations}  # a misspelt one fails before training
    audit.run_stage(run)
    folds.run_stage(run)
    for name, tried in wanted.items():
        found = {one.name: [_score(run, name, one, seed) for seed in settings.seeds] for one in tried}
        show(run, name, rows(run, found))


def _score(run: Run, name: str, one: Variant, seed: int) -> VariantScore:
    changes = variant.with_final_validation(run, {**one.changes, "seed": seed})
    run.say(f"  {name}: {one.name}, seed {seed}", markup=False)
    return variant.score_variant(run.derive(changes, variant.run_dir(run, "ablate", changes)), one.how)


def rows(run: Run, found: dict[str, list[VariantScore]]) -> list[dict[str, Any]]:
    """Compare each variant with the first.

    Tables are averaged over seeds, and the interval of the difference is clustered by group; the gain of each seed
    stands beside it. "gain" or "loss" is said where the difference is significant and all seeds agree.

    Args:
        run: The run that is varied.
        found: {variant: one score a seed}.

    Returns:
        A record a variant: score, gain over the first variant, cost.
    """
    tables = {name: [one.table for one in scores] for name, scores in found.items()}
    mean = {name: sum(parts[1:], parts[0]) / len(parts) for name, parts in tables.items()}
    base, groups = next(iter(found)), run.inputs.train.groups
    out = []
    for name, scores in found.items():
        there = _present(run, mean[name])
        record: dict[str, Any] = {
            "variant": name,
            "score": metrics.score(mean[name]),
            "score_present": metrics.score(mean[name].where(there)),
            "train_seconds": float(np.mean([one.train_seconds for one in scores])),
            "predict_seconds": float(np.mean([one.predict_seconds for one in scores])),
            "memory_mb": max(one.memory_mb for one in scores),
            "verdict": "base",
        }
        if name != base:
            whole = metrics.compare(mean[base], mean[name], groups)
            where = metrics.compare(mean[base].where(there), mean[name].where(there), groups)
            gains = [metrics.score(b) - metrics.score(a) for a, b in zip(tables[base], tables[name])]
            record |= {key: getattr(whole, key) for key in ("gain", "low", "high", "p", "min_detectable_effect")}
            record |= {f"{key}_present": getattr(where, key) for key in ("gain", "low", "high")}
            record |= {"seed_gains": gains, "groups": whole.groups, "images": whole.images}
            record["verdict"] = _verdict(whole, metrics.compare(mean[name], mean[base], groups), gains)
        out.append(record)
    return out


def _verdict(over_base: metrics.Comparison, under_base: metrics.Comparison, gains: list[float]) -> str:
    if over_base.is_significant() and min(gains) > 0:
        return "gain"
    return "loss" if under_base.is_significant() and max(gains) < 0 else "unclear"


def _present(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Whether truth has the class, image x class."""
    truth = run.inputs.train.truth
    there = [[bool(truth[image][cls]) for cls in table.columns] for image in table.index]
    return pd.DataFrame(there, index=table.index, columns=table.columns)


def show(run: Run, name: str, records: list[dict[str, Any]]) -> None:
    """Write the three files and print the table."""
    place = run.folder / "ablate" / name
    write_json(Path(f"{place}.json"), {"ablation": name, "settings": plain(run.settings), "rows": records})
    flat = [{**r, "seed_gains": " ".join(f"{g:.6f}" for g in r.get("seed_gains", ()))} for r in records]
    with replacing(f"{place}.csv") as part:
        pd.DataFrame(flat).to_csv(part, index=False, float_format="%.6g")
    text = markdown(name, records)
    write_atomic(f"{place}.md", text)
    run.say(text.rstrip("\n"), markup=False)
    run.say(f"  {place}.md, .csv, .json", markup=False)


def markdown(name: str, records: list[dict[str, Any]]) -> str:
    """Return the table as docs/measured.md has them; the first variant is the base."""
    lines = [f"| {name} | {' | '.join(HEAD)} |", "|---" * (len(HEAD) + 1) + "|"]
    for r in records:
        gain = [""] * 4
        if "gain" in r:
            gain = [_gain(r, ""), " ".join(f"{g:+z.4f}" for g in r["seed_gains"]), _gain(r, "_present"),
                    _number(r["min_detectable_effect"])]  # fmt: skip
        score = f"{r['score']:.4f}"
        cost = [f"{r['train_seconds']:.0f}", f"{r['predict_seconds']:.1f}", f"{r['memory_mb']:.0f}"]
        lines.append(f"| {' | '.join([r['variant'], score, *gain, r['verdict'], *cost])} |")
    return "\n".join(lines) + "\n"


def _gain(r: dict[str, Any], end: str) -> str:
    gain, low, high = (r[f"{name}{end}"] for name in ("gain", "low", "high"))
    interval = f"{low:+z.4f} to {high:+z.4f}" if low == low else "no interval"
    return f"{gain:+z.4f} ({interval})"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == value else "unknown"
