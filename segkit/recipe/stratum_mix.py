"""The held-out score at the test images' mix of each stratum: validation may hold few of what they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from segkit import metrics
from segkit.recipe.run import Run
from segkit.recipe.stage import require
from segkit.recipe.stages import submit

SAME = 0.01
"""Shares that differ by less are one mix."""


def at_test_mix(run: Run, held_out: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Score the held-out images at the test images' mix of each of the strata.

    Strata whose shares are those of the held-out images already are left out: they would repeat their score.

    Args:
        run: The run as the stage report sees it.
        held_out: Scores, image x class.

    Returns:
        {"pose": {"score", "score_low", "score_high", "mix", "groups", "images", "source", "lacking"}}. mix: {stratum:
        share of the test images}; source: "test truth" or, where there is none, "submission"; groups: held-out ones of
        each stratum; lacking: strata of test images that no held-out image is of: score is then None.
    """
    source, shown = _of_test(run)
    out: dict[str, dict[str, Any]] = {}
    for name, values in shown.items():
        strata = run.inputs.strata.get(name, {})
        known = {i: strata[i] for i in held_out.index if i in strata}
        if not known or not values:
            continue
        mix, here = _shares(values), _shares(known)
        if all(abs(mix.get(stratum, 0.0) - here.get(stratum, 0.0)) < SAME for stratum in {*mix, *here}):
            continue
        out[name] = {"mix": mix, "source": source, "lacking": sorted(set(mix) - set(known.values()))}
        found = None
        if not out[name]["lacking"]:
            shares = dict.fromkeys(known.values(), 0.0) | mix
            found = metrics.bootstrap(held_out.loc[list(known)], run.inputs.groups, strata=known, mix=shares)
        out[name] |= {
            "score": found and found.mean,
            "score_low": found and found.low,
            "score_high": found and found.high,
            "groups": found and dict(found.strata),
            "images": len(known),
        }
    return out


def words(name: str, found: Mapping[str, Any]) -> str:
    """Describe one entry of at_test_mix() in a line."""
    mix = ", ".join(f"{stratum} {share:.0%}" for stratum, share in found["mix"].items())
    if found["lacking"]:
        return f"{name} of the test images: {mix}; no held-out image is {' or '.join(found['lacking'])}"
    low, high = found["score_low"], found["score_high"]
    groups = ", ".join(f"{stratum} {count}" for stratum, count in found["groups"].items())
    interval = f"95 % interval {low:.4f} to {high:.4f}" if low == low else "no interval"
    return f"held-out score at the test images' {name} ({mix}): {found['score']:.4f} ({interval}; groups: {groups})"


def _shares(values: Mapping[str, str]) -> dict[str, float]:
    counts = pd.Series(values).value_counts(normalize=True).sort_index()
    return {str(stratum): float(share) for stratum, share in counts.items()}


def _of_test(run: Run) -> tuple[str, dict[str, dict[str, str]]]:
    """(source, {stratum name: {test image: value}})."""
    test = run.inputs.test
    if test.labelled:
        masks, source = test.truth, "test truth"
    else:
        file = require(submit.stage(run), run) / submit.submission_name(run)
        masks, source = submit.read_submission(run, file), "submission"
    strata = run.recipe.strata(masks)
    return source, {name: {i: v for i, v in values.items() if i in test} for name, values in strata.items()}
