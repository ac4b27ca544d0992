"""What of one store's thresholds and steps is used: the curves and a study propose, other groups judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from segkit.metrics import Scores
from segkit.postprocess import STEPS, Pipeline
from segkit.postprocess.gate import StepChooser
from segkit.selection import Candidate, Selection, select, signed
from segkit.studies.steps import NO_STEP, PostprocessObjective
from segkit.thresholds import ScoreCurves, choose_shrink


def choose(
    curves: ScoreCurves | None,
    objective: PostprocessObjective,
    groups: Mapping[str, str],
    candidates: Sequence[Mapping[str, Any]],
    *,
    k: int = 5,
    level: float = 0.95,
) -> Selection[Pipeline]:
    """Choose thresholds, then steps, each only where it gains on groups that had no part in the choice.

    Thresholds are the exact ones with their shrink (thresholds.choose_shrink). Of the candidates' steps each class is
    offered those that score best for it, and takes one after another where the interval of its gain lies above 0; a
    metric that is no mean over classes takes the best candidate for all of them. For each fold of groups all that is
    done on the others alone. No class keeps a step with which its held-out score falls. With fewer than 6 groups
    nothing is used.

    Args:
        curves: Counts at every threshold; None leaves thresholds at .5, for a metric that needs the masks.
        objective: Scores Pipelines, by the same metric.
        groups: {image id: group}.
        candidates: Params of a study's trials; thresholds in them are not used.
        k: Most folds of groups.
        level: Of interval and test.

    Returns:
        The selection; `.setting` is the Pipeline to use.

    Raises:
        ValueError: If an image has no group, or curves and objective score by different metrics.
    """
    if curves is not None and curves.metric != objective.metric:
        raise ValueError(f"the curves score by {curves.metric}, the objective by {objective.metric}: use one metric")
    ids, start = objective.ids if curves is None else curves.ids, Pipeline(classes=objective.classes)
    offered, known = _distinct(candidates), dict[tuple[Pipeline, Sequence[str]], Scores]()

    def score(pipeline: Pipeline, part: Sequence[str]) -> Scores:
        if curves is not None and not pipeline.steps:
            return curves.scores(pipeline.thresholds).subset(part)
        images = ids if pipeline.thresholds == start.thresholds else tuple(part)  # untuned: the same in every fold
        if (pipeline, images) not in known:
            known[pipeline, images] = objective.scores(pipeline, images)
        return known[pipeline, images].subset(part)

    def fit_thresholds(part: Sequence[str], now: Pipeline) -> Pipeline:
        assert curves is not None
        inner = curves.subset(part)
        return replace(now, thresholds=inner.best(choose_shrink(inner, groups, k=k)))

    def fit_steps(part: Sequence[str], now: Pipeline) -> Pipeline:
        there = objective.on(part, now.thresholds)
        pipelines = [replace(there.pipeline(params), thresholds=now.thresholds) for params in offered]
        scored = [score(pipeline, part) for pipeline in pipelines]
        if not objective.metric.separable:
            return pipelines[int(np.argmax([round(signed(one), 9) for one in scored]))]
        sign = 1 if scored[0].higher_is_better else -1
        best = np.nan_to_num(np.stack([sign * one.per_class() for one in scored]), nan=-np.inf).argmax(axis=0)
        merged = _merged({cls: pipelines[at] for cls, at in zip(objective.classes, best)}, now)
        chooser = StepChooser(merged, now, score, objective.classes, part)
        return chooser.pipeline(chooser.choose(part, groups, level)[0])

    thresholds = [] if curves is None else [Candidate("thresholds", fit_thresholds)]
    steps = Candidate("steps", fit_steps, _without if objective.metric.separable else None)
    return select(start, [*thresholds, steps], score, ids, groups, k=k, level=level)


def _distinct(candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The candidates' steps, each once, "no step" first: of equals it is taken."""
    out: list[dict[str, Any]] = [dict(NO_STEP)]
    for params in candidates:
        steps = {key: params[key] for key in NO_STEP}
        if steps not in out:
            out.append(steps)
    return out


def _merged(best: Mapping[str, Pipeline], now: Pipeline) -> Pipeline:
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
    return replace(now, steps=steps)


def _without(pipeline: Pipeline, classes: Sequence[str]) -> Pipeline:
    """A Pipeline whose steps leave these classes alone."""
    steps = []
    for name, settings in pipeline.steps:
        only = [cls for cls in settings["only"] if cls not in classes]
        if only:
            steps.append((name, {**settings, "only": only}))
    return replace(pipeline, steps=steps)
