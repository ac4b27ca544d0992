"""Thresholds and steps kept only where persons who had no part in the choice gain from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from segkit.metrics import Comparison, compare
from segkit.postprocess import Pipeline
from segkit.studies.objectives import NO_STEP, postprocess_objective
from segkit.thresholds import DiceCurves, choose_shrink, nested, person_folds

FEWEST_PERSONS = 3
"""With fewer no choice can be checked on persons who had no part in it."""


ROUNDING = 1e-6
"""Curves are float32: a gain below this is none."""


class Choice(NamedTuple):
    """A Pipeline chosen on some persons, and what the choosing is worth on others."""

    pipeline: Pipeline
    kept: str
    """Which of `held_out` it is: "nothing", "thresholds" or "thresholds and steps"."""
    table: np.ndarray
    """(images, classes) Dice, each image scored by what the other persons chose."""
    tuned: float
    """Mean Dice of `pipeline` on the very images it was chosen on."""
    held_out: dict[str, float]
    """Mean held-out Dice of each choice; "nothing" is .5 and no step, which needs no choosing."""
    gains: dict[str, Comparison]
    """Of each choice over what was kept before it, paired and clustered by person."""
    shrink: float
    params: dict[str, Any]


def choose(
    dice_curves: DiceCurves,
    objective: postprocess_objective,
    groups: Mapping[str, str],
    candidates: Sequence[Mapping[str, Any]],
    *,
    k: int = 5,
) -> Choice:
    """Choose thresholds and steps, with the nested, person-grouped score of the choosing beside it.

    candidates: params of trials. For each fold of persons everything is chosen on the others alone: thresholds with
    their shrink by folds among them (thresholds.choose_shrink), then the candidate whose steps score best. What
    does not gain on persons held out is not used: the lower end of the gain's 95 % interval, paired and clustered by
    person, must be above 0. No gain, no change; with fewer than 3 persons nothing can be checked, and nothing is used.
    groups: {id: person}.
    """
    ids, steps = dice_curves.ids, _distinct_steps(candidates)
    plain = objective.table(Pipeline(), ids)
    if len({groups[i] for i in ids}) < FEWEST_PERSONS:
        score = float(plain.mean())
        return Choice(Pipeline(), "nothing", plain, score, {"nothing": score}, {}, 1.0, {})
    thresholded = nested(dice_curves, groups, k=k)
    table = np.empty_like(thresholded.table)
    for held, kept in person_folds(ids, groups, k):
        inner = dice_curves.subset([ids[i] for i in kept])
        chosen = inner.best(choose_shrink(inner, groups, k=k))
        there = objective.on(inner.ids, chosen)
        params = max(steps, key=lambda p, there=there: float(there.table(there.pipeline(p)).mean()))  # type: ignore[misc]
        table[held] = there.table(there.pipeline(params), [ids[i] for i in held])
    here = objective.on(ids, dice_curves.best(thresholded.shrink))
    params = max(steps, key=lambda p: float(here.table(here.pipeline(p)).mean()))
    options = {
        "nothing": (plain, Pipeline()),
        "thresholds": (thresholded.table, Pipeline(thresholds=here.best)),
        "thresholds and steps": (table, here.pipeline(params)),
    }
    held_out = {name: float(scores.mean(dtype=np.float64)) for name, (scores, _) in options.items()}
    best, gains = "nothing", {}
    for name in list(options)[1:]:
        before, after = (_table(options[option][0], dice_curves) for option in (best, name))
        gains[name] = compare(before, after, groups)
        if gains[name].low > ROUNDING:
            best = name
    scores, pipeline = options[best]
    tuned = float(objective.table(pipeline, ids).mean())
    return Choice(pipeline, best, scores, tuned, held_out, gains, thresholded.shrink, dict(params))


def _table(scores: np.ndarray, dice_curves: DiceCurves) -> pd.DataFrame:
    return pd.DataFrame(scores, index=list(dice_curves.ids), columns=list(dice_curves.classes))


def _distinct_steps(candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The candidates' steps with the full weight of the thresholds, each once, "no step" first."""
    out: list[dict[str, Any]] = [{"threshold_weight": 1.0, **NO_STEP}]
    for params in candidates:
        step = {"threshold_weight": 1.0, **{name: params[name] for name in NO_STEP}}
        if step not in out:
            out.append(step)
    return out
