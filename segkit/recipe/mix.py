"""What the held-out score would be on the test images' mix of each group: validation may hold few of what they are."""

from __future__ import annotations

from typing import Any

import pandas as pd

from segkit import metrics, submission
from segkit.masks import MaskSet
from segkit.predictions import PredictionStore
from segkit.recipe.line import Line

SAME = 0.01
"""Shares that differ by less are one mix."""


def at_test_mix(line: Line, held_out: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """{"pose": {"dice", "dice_low", "dice_high", "mix", "persons", "images", "source", "lacking"}} of each group that
    the recipe knows and some test images show.

    mix: {stratum: share of the test images}; source: what says so, "test truth" or, where there is none, "submission".
    A group whose shares are those of the held-out images already is left out: it would repeat their score.
    persons: held-out ones of each stratum. lacking: strata of test images that no held-out image is of; dice is then
    None, as nothing says how well they are done.
    """
    source, shown = _of_test(line)
    out: dict[str, dict[str, Any]] = {}
    for name, values in shown.items():
        known = {i: line.strata[name][i] for i in held_out.index if i in line.strata.get(name, {})}
        if not known or not values:
            continue
        mix, here = _shares(values), _shares(known)
        if all(abs(mix.get(stratum, 0.0) - here.get(stratum, 0.0)) < SAME for stratum in {*mix, *here}):
            continue
        out[name] = {"mix": mix, "source": source, "lacking": sorted(set(mix) - set(known.values()))}
        found = None
        if not out[name]["lacking"]:
            shares = dict.fromkeys(known.values(), 0.0) | mix
            found = metrics.bootstrap(held_out.loc[list(known)], line.persons, strata=known, mix=shares)
        out[name] |= {
            "dice": found and found.mean,
            "dice_low": found and found.low,
            "dice_high": found and found.high,
            "persons": found and dict(found.strata),
            "images": len(known),
        }
    return out


def words(name: str, found: dict[str, Any]) -> str:
    """One line about one group."""
    mix = ", ".join(f"{stratum} {share:.0%}" for stratum, share in found["mix"].items())
    if found["lacking"]:
        return f"{name} of the test images: {mix}; no held-out image is {' or '.join(found['lacking'])}"
    low, high = found["dice_low"], found["dice_high"]
    persons = ", ".join(f"{stratum} {count}" for stratum, count in found["persons"].items())
    interval = f"95 % interval {low:.4f} to {high:.4f}" if low == low else "no interval"
    return f"held-out Dice at the test images' {name} ({mix}): {found['dice']:.4f} ({interval}; persons: {persons})"


def _shares(values: dict[str, str]) -> dict[str, float]:
    counts = pd.Series(values).value_counts(normalize=True).sort_index()
    return {str(stratum): float(share) for stratum, share in counts.items()}


def _of_test(line: Line) -> tuple[str, dict[str, dict[str, str]]]:
    """(what says so, {group: {test image: stratum}})."""
    wanted = {item.id for item in line.test_items}
    masks: MaskSet
    if line.test_truth is not None:
        masks, source = line.test_truth, "test truth"
    else:
        sizes = PredictionStore.open(line.folder / "test.zarr").sizes
        masks, source = submission.read(line.folder / "submission.csv", sizes=sizes), "submission"
    strata = line.recipe.strata(masks)
    return source, {name: {i: v for i, v in values.items() if i in wanted} for name, values in strata.items()}
