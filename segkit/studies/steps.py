"""What a trial over post-processing steps scores."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import optuna

from segkit.masks import MaskSet
from segkit.metrics import Dice, MasksLike, Metric, Scores
from segkit.postprocess import MaskCache, Pipeline, render
from segkit.postprocess.truth import truth_of
from segkit.predictions import PredictionStore
from segkit.selection import signed
from segkit.studies.objectives import threshold_params
from segkit.thresholds import PerClass, ScoreCurves, per_class

NO_STEP: dict[str, Any] = {"min_area": 0.0, "keep_largest": False, "fill_holes": False}
"""The params of a trial that changes no mask."""
KEPT_LEVELS = 8
"""Masks of each image and class that are remembered: those of the thresholds asked for last."""
MAX_AREA, AREA_STEP = 0.5, 0.05
"""min_area is searched from 0 to this share of a class's median true area, in such steps."""


class PostprocessObjective:
    """objective(trial) over post-processing steps, scored at full resolution by the Pipeline that submission runs.

    A trial chooses `min_area` as a share of each class's median true area, `keep_largest` and `fill_holes`. With
    ScoreCurves it chooses a threshold for each class as well ("threshold/CLASS", for a CurveSampler); else thresholds
    are fixed, and there are only `combinations` trials: enqueue() queues them all, so that nothing is drawn twice.
    Masks of the thresholds asked for last are kept as runs: a trial then costs milliseconds an image.

    Args:
        store: Logits.
        truth: True masks.
        metric: What is scored; default: Dice().
        thresholds: A value, or one for each class; or ScoreCurves.
        multipart: Classes of several components, which neither keep_largest nor remove_small may touch.
        ids: Images; default: all of the store that the truth has.

    Attributes:
        store: Logits.
        truth: The truth of `ids`.
        metric: What is scored.
        ids: Images.
        classes: Classes, in channel order.
        combinations: Number of different trials; None where thresholds are chosen as well.

    Raises:
        ValueError: If the truth does not fit, or multipart names no class.
    """

    def __init__(
        self,
        store: PredictionStore,
        truth: MasksLike,
        *,
        metric: Metric | None = None,
        thresholds: PerClass | ScoreCurves = 0.5,
        multipart: Sequence[str] = (),
        ids: Sequence[str] | None = None,
    ) -> None:
        self.store, self.truth = store, truth_of(store, truth, ids)
        self.metric: Metric = Dice() if metric is None else metric
        self.ids, self.classes = self.truth.ids, store.classes
        self.multipart = tuple(multipart)
        if unknown := [c for c in self.multipart if c not in self.classes]:
            raise ValueError(f"multipart names {unknown}: no such class; there are {', '.join(self.classes)}")
        self._cache = MaskCache(store, keep=KEPT_LEVELS)
        self._set(thresholds)

    def _set(self, thresholds: PerClass | ScoreCurves) -> None:
        """Take thresholds, and the areas of the objective's images."""
        self.curves = thresholds if isinstance(thresholds, ScoreCurves) else None
        best = thresholds.best() if isinstance(thresholds, ScoreCurves) else thresholds
        self.best: dict[str, float] = per_class(best, self.classes)
        self._median = {cls: _median_area(self.truth, cls, self.ids) for cls in self.classes}
        self.combinations = None if self.curves is not None else len(list(_combinations()))

    def __call__(self, trial: optuna.Trial) -> float:
        """The score of the trial's steps (and thresholds), higher is better."""
        params: dict[str, Any] = {
            "min_area": trial.suggest_float("min_area", 0.0, MAX_AREA, step=AREA_STEP),
            "keep_largest": trial.suggest_categorical("keep_largest", [False, True]),
            "fill_holes": trial.suggest_categorical("fill_holes", [False, True]),
        }
        if self.curves is not None:  # last, so that a CurveSampler knows the steps
            low, high = (float(t) for t in self.curves.thresholds[[0, -1]])
            params |= {f"threshold/{c}": trial.suggest_float(f"threshold/{c}", low, high) for c in self.classes}
        return signed(self.scores(self.pipeline(params)))

    def enqueue(self, study: optuna.Study) -> None:
        """Queue every combination of steps, "no step" first; with ScoreCurves .5 and the exact thresholds alone.

        Args:
            study: Where they are queued.
        """
        if self.curves is None:
            queued = [*_combinations()]
        else:
            queued = [{**NO_STEP, **threshold_params(t)} for t in (dict.fromkeys(self.classes, 0.5), self.best)]
        for params in queued:
            study.enqueue_trial(params, skip_if_exists=True)

    def on(self, ids: Sequence[str], thresholds: PerClass | ScoreCurves) -> PostprocessObjective:
        """The same objective for some of the images and other thresholds; masks that are known are shared.

        Args:
            ids: Images.
            thresholds: As for the class.

        Returns:
            A new objective.
        """
        other = copy.copy(self)
        other.ids = tuple(ids)
        other._set(thresholds)
        return other

    def pipeline(self, params: Mapping[str, Any]) -> Pipeline:
        """The Pipeline that a trial's params stand for.

        Args:
            params: Of a trial.

        Returns:
            Its steps, at its thresholds or the objective's.
        """
        thresholds = {cls: float(params.get(f"threshold/{cls}", self.best[cls])) for cls in self.classes}
        steps: list[tuple[str, dict[str, Any]]] = []
        if params["keep_largest"]:
            steps.append(("keep_largest", {"k": 1, "skip": list(self.multipart)}))
        if params["min_area"] > 0:
            areas: dict[str, float] = {c: round(params["min_area"] * a) for c, a in self._median.items()}
            steps.append(("remove_small", {"min_area": areas, "skip": list(self.multipart)}))
        if params["fill_holes"]:
            steps.append(("fill_holes", {}))
        return Pipeline(steps, thresholds=thresholds, classes=self.classes)

    def scores(self, pipeline: Pipeline, ids: Sequence[str] | None = None) -> Scores:
        """The scores of a Pipeline at full resolution.

        Args:
            pipeline: Any Pipeline of the store's classes.
            ids: Images; default: the objective's.

        Returns:
            The scores of the objective's metric.
        """
        images = self.ids if ids is None else tuple(ids)
        return self.metric.scores(render(self._cache, pipeline, ids=images, workers=1), self.truth.subset(images))


def _combinations() -> Iterator[dict[str, Any]]:
    """The params of every trial at fixed thresholds, "no step" first."""
    areas = [round(AREA_STEP * n, 10) for n in range(round(MAX_AREA / AREA_STEP) + 1)]
    for area, largest, holes in product(areas, (False, True), (False, True)):
        yield {"min_area": area, "keep_largest": largest, "fill_holes": holes}


def _median_area(truth: MaskSet, cls: str, ids: Sequence[str]) -> float:
    """The median area of a class over the images that have it; 0 where none has."""
    areas = [area for image in ids if (area := truth[image][cls].area)]
    return float(np.median(areas)) if areas else 0.0
