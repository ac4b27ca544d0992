"""What of thresholds and steps is used: a study proposes, a gate keeps, and persons who had no part in it judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from segkit.metrics import Comparison, compare
from segkit.postprocess import STEPS, GateResult, Pipeline, gate
from segkit.studies.objectives import NO_STEP, postprocess_objective
from segkit.thresholds import PerClass, ScoreCurves, choose_shrink, nested, person_folds

FEWEST_PERSONS = 3
"""With fewer no choice can be checked on persons who had no part in it; nothing is kept below metrics.MIN_GROUPS."""


class Choice(NamedTuple):
    """A Pipeline chosen on some persons, and what the choosing is worth on others."""

    pipeline: Pipeline
    kept: str
    """Which of `held_out` it is."""
    table: pd.DataFrame
    """Dice image x class, each image scored by what the other persons chose."""
    tuned: float
    """Mean Dice of `pipeline` on the very images it was chosen on."""
    held_out: dict[str, float]
    """Mean held-out Dice of each choice; "nothing" is .5 and no step, which needs no choosing."""
    gains: dict[str, Comparison]
    """Of each choice over what was kept before it, paired and clustered by person."""
    shrink: float
    gated: GateResult | None
    """The steps of all persons together: None where there are too few to ask."""


def choose(
    curves: ScoreCurves,
    objective: postprocess_objective,
    groups: Mapping[str, str],
    candidates: Sequence[Mapping[str, Any]],
    *,
    k: int = 5,
) -> Choice:
    """Choose thresholds and steps, with the nested, person-grouped score of the choosing beside it.

    candidates: params of a study's trials. Thresholds are the exact ones with their shrink (thresholds.nested). Of the
    candidates' steps each class is offered those that score best for it, and a gate keeps them where their gain is sure
    and no class falls. For each fold of persons all that is done on the others alone: that is `table`. Thresholds, then
    steps, are used only where the 95 % interval of what choosing them so gains on the persons held out, paired and
    clustered by person, is above 0; no class keeps a step that falls there. With fewer than 6 persons nothing is used,
    with fewer than 3 nothing is scored on others either.
    groups: {id: person}.
    """
    ids, classes = curves.ids, curves.classes
    plain = objective.table(Pipeline(), ids)
    persons = len({groups[i] for i in ids})
    if persons < FEWEST_PERSONS:
        nothing, score = Pipeline(classes=classes), float(plain.mean())
        return Choice(nothing, "nothing", _frame(plain, curves), score, {"nothing": score}, {}, 1.0, None)
    thresholded = nested(curves, groups, k=k)
    gains = {"thresholds": _gain(curves.scores(0.5).cells, thresholded.table, curves, groups)}
    tuned = gains["thresholds"].is_significant()
    name = "thresholds and steps" if tuned else "steps"
    before, after = np.empty_like(plain), np.empty_like(plain)
    for held, kept in person_folds(ids, groups, k):
        inner, there = curves.subset([ids[i] for i in kept]), [ids[i] for i in held]
        thresholds: PerClass = inner.best(choose_shrink(inner, groups, k=k)) if tuned else 0.5
        gated = _steps(objective.on(inner.ids, thresholds), groups, candidates, k)
        before[held] = objective.table(Pipeline(thresholds=gated.pipeline.thresholds), there)
        after[held] = objective.table(gated.pipeline, there)
    gains[name] = _gain(before, after, curves, groups)
    gated = _steps(objective.on(ids, curves.best(thresholded.shrink) if tuned else 0.5), groups, candidates, k)
    falls = [cls for cls, fell in zip(classes, after.mean(axis=0) < before.mean(axis=0)) if fell]
    stepped = _without(gated.pipeline, falls)
    options = {
        "nothing": (plain, Pipeline(classes=classes)),
        "thresholds": (
            before if tuned else thresholded.table,
            Pipeline(thresholds=gated.pipeline.thresholds, classes=classes),
        ),
        name: (after, stepped),
    }
    best = name if gains[name].is_significant() and stepped.steps else "thresholds" if tuned else "nothing"
    table, pipeline = options[best]
    held_out = {option: float(scores.mean(dtype=np.float64)) for option, (scores, _) in options.items()}
    score = float(objective.table(pipeline, ids).mean())
    return Choice(pipeline, best, _frame(table, curves), score, held_out, gains, thresholded.shrink, gated)


def _steps(
    objective: postprocess_objective, groups: Mapping[str, str], candidates: Sequence[Mapping[str, Any]], k: int
) -> GateResult:
    """The steps that a gate keeps of those that score best for each class, at the objective's thresholds."""
    offered: list[Pipeline] = [objective.pipeline(params) for params in _distinct(candidates)]
    scores = np.stack([objective.table(pipeline).mean(axis=0) for pipeline in offered])
    best = {cls: offered[k] for cls, k in zip(objective.classes, scores.argmax(axis=0))}
    candidate = _merged(best, offered[0].thresholds)
    base = Pipeline(thresholds=offered[0].thresholds)
    return gate(
        candidate, base, store=objective.store, truth=objective.truth, groups=groups, k=k, ids=objective.ids,
        dice=objective.table,
    )  # fmt: skip


def _distinct(candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Their steps at the objective's own thresholds, each once, "no step" first: of equals it is taken."""
    out: list[dict[str, Any]] = [{"threshold_weight": 1.0, **NO_STEP}]
    for params in candidates:
        steps = {"threshold_weight": 1.0, **{k: v for k, v in params.items() if not k.startswith("threshold")}}
        if steps not in out:
            out.append(steps)
    return out


def _merged(best: Mapping[str, Pipeline], thresholds: PerClass) -> Pipeline:
    """One Pipeline that does to each class what its own does."""
    steps: list[tuple[str, dict[str, Any]]] = []
    for name in STEPS:
        merged: dict[str, dict[str, Any]] = {}
        active = []
        for cls, pipeline in best.items():
            for place, (step, settings) in enumerate(pipeline.steps):
                if step == name and pipeline.active(place, cls):
                    active.append(cls)
                    for key, value in settings.items():
                        if key not in ("skip", "only"):
                            own = value.get(cls, value.get("*")) if isinstance(value, Mapping) else value
                            merged.setdefault(key, {})[cls] = own
        if active:
            steps.append((name, {**merged, "only": active}))
    return Pipeline(steps, thresholds=thresholds)


def _without(pipeline: Pipeline, classes: Sequence[str]) -> Pipeline:
    """A gated Pipeline whose steps leave these classes alone."""
    steps = []
    for name, settings in pipeline.steps:
        only = [cls for cls in settings["only"] if cls not in classes]
        if only:
            steps.append((name, {**settings, "only": only}))
    return Pipeline(steps, thresholds=pipeline.thresholds, classes=pipeline.classes)


def _gain(before: np.ndarray, after: np.ndarray, curves: ScoreCurves, groups: Mapping[str, str]) -> Comparison:
    return compare(_frame(before, curves), _frame(after, curves), groups)


def _frame(scores: np.ndarray, curves: ScoreCurves) -> pd.DataFrame:
    return pd.DataFrame(scores, index=pd.Index(curves.ids, name="image_name"), columns=list(curves.classes))
