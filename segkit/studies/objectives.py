"""What a trial of a study over stored predictions scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from segkit.ensemble import BlendSpace
from segkit.ensemble.weights import Weights
from segkit.geometry import resize
from segkit.masks import MaskSet, as_masks, true_runs
from segkit.postprocess import MaskCache, Pipeline, render
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.thresholds import PerClass, ScoreCurves, images_of_both, per_class

NO_STEP: dict[str, Any] = {"min_area": 0.0, "keep_largest": False, "fill_holes": False}
"""The params of a trial that changes no mask."""
KEPT_LEVELS = 8
"""Masks of each image and class that are remembered: those of the thresholds asked for last."""


class threshold_objective:
    """objective(trial) over one threshold a class: trial.suggest_float("threshold/Ulna", low, high).

    Mean Dice at the suggested thresholds, in microseconds. enqueue(study) puts .5 and the exact optimum first: what
    is left to a sampler is what does not separate by class.
    """

    def __init__(self, dice_curves: ScoreCurves, *, low: float = 0.1, high: float = 0.9) -> None:
        if not 0 < low < high < 1:
            raise ValueError(f"low={low}, high={high}: 0 < low < high < 1 is wanted")
        self.curves, self.low, self.high = dice_curves, low, high

    def __call__(self, trial: optuna.Trial) -> float:
        thresholds = {c: trial.suggest_float(f"threshold/{c}", self.low, self.high) for c in self.curves.classes}
        return self.curves.score(thresholds)

    def enqueue(self, study: optuna.Study) -> None:
        """Make .5 and the exact optimum (clipped to the range) the first trials."""
        for thresholds in (dict.fromkeys(self.curves.classes, 0.5), self.curves.best()):
            clipped = {c: min(max(t, self.low), self.high) for c, t in thresholds.items()}
            study.enqueue_trial(_named(clipped), skip_if_exists=True)


class postprocess_objective:
    """objective(trial) over post-processing steps, scored at full resolution by the Pipeline that submission runs.

    The trial chooses `min_area` as a share of each class's median true area, `keep_largest` and `fill_holes`, and the
    thresholds. thresholds: a value or one for each class, of which the trial takes a share (`threshold_weight`: 0 is
    .5, 1 is all); or ScoreCurves, and each class has a threshold of its own ("threshold/CLASS", for a CurveSampler).
    multipart: classes of several parts, which neither keep_largest nor remove_small may touch. ids: the images scored,
    default all that truth has. MaskSet of the thresholds asked for last are kept as runs, so that a trial at such
    thresholds costs milliseconds an image.
    """

    def __init__(
        self,
        store: PredictionStore,
        truth: MaskSet,
        *,
        thresholds: PerClass | ScoreCurves = 0.5,
        multipart: Sequence[str] = (),
        ids: Sequence[str] | None = None,
    ) -> None:
        self.store, self.truth = store, as_masks(truth)
        self.ids = tuple(images_of_both(store, self.truth) if ids is None else ids)
        self.classes = store.classes
        self.curves = thresholds if isinstance(thresholds, ScoreCurves) else None
        best = thresholds.best() if isinstance(thresholds, ScoreCurves) else thresholds
        self.best: dict[str, float] = per_class(best, self.classes)
        self.multipart = tuple(multipart)
        unknown = [c for c in self.multipart if c not in self.classes]
        if unknown:
            raise ValueError(f"multipart names {unknown}: no such class; there are {', '.join(self.classes)}")
        self._targets: dict[tuple[str, str], Runs] = {}
        self._median = {c: self._median_area(c) for c in self.classes}
        self._cache = MaskCache(store, keep=KEPT_LEVELS)

    def __call__(self, trial: optuna.Trial) -> float:
        params: dict[str, Any] = {}
        if self.curves is None:
            params["threshold_weight"] = trial.suggest_float("threshold_weight", 0.0, 1.0, step=0.25)
        params["min_area"] = trial.suggest_float("min_area", 0.0, 0.5, step=0.05)
        params["keep_largest"] = trial.suggest_categorical("keep_largest", [False, True])
        params["fill_holes"] = trial.suggest_categorical("fill_holes", [False, True])
        if self.curves is not None:  # last, so that a CurveSampler knows the steps
            low, high = (float(t) for t in self.curves.thresholds[[0, -1]])
            params |= {f"threshold/{c}": trial.suggest_float(f"threshold/{c}", low, high) for c in self.classes}
        return float(self.table(self.pipeline(params)).mean())

    def enqueue(self, study: optuna.Study) -> None:
        """Make "change nothing" and "the exact thresholds alone" the first trials."""
        for weight, levels in ((0.0, dict.fromkeys(self.classes, 0.5)), (1.0, self.best)):
            thresholds = {"threshold_weight": weight} if self.curves is None else _named(levels)
            study.enqueue_trial({**NO_STEP, **thresholds}, skip_if_exists=True)

    def on(self, ids: Sequence[str], thresholds: PerClass | ScoreCurves) -> postprocess_objective:
        """The same objective for some of the images and other thresholds; masks that are drawn are shared."""
        other = postprocess_objective(self.store, self.truth, thresholds=thresholds, multipart=self.multipart, ids=ids)
        other._cache = self._cache
        return other

    def pipeline(self, params: Mapping[str, Any]) -> Pipeline:
        """The Pipeline that a trial's params stand for."""
        if "threshold_weight" in params:
            thresholds = self._mixed(params["threshold_weight"])
        else:
            thresholds = {c: float(params[f"threshold/{c}"]) for c in self.classes}
        steps: list[tuple[str, dict[str, Any]]] = []
        if params["keep_largest"]:
            steps.append(("keep_largest", {"k": 1, "skip": list(self.multipart)}))
        if params["min_area"] > 0:
            areas: dict[str, float] = {c: round(params["min_area"] * a) for c, a in self._median.items()}
            steps.append(("remove_small", {"min_area": areas, "skip": list(self.multipart)}))
        if params["fill_holes"]:
            steps.append(("fill_holes", {}))
        return Pipeline(steps, thresholds=thresholds)

    def table(self, pipeline: Pipeline, ids: Sequence[str] | None = None) -> np.ndarray:
        """(images, classes) Dice of a pipeline at full resolution."""
        ids = self.ids if ids is None else ids
        values, masks = np.empty((len(ids), len(self.classes))), render(self._cache, pipeline, ids=ids, workers=1)
        for row, image in enumerate(ids):
            for column, cls in enumerate(self.classes):
                values[row, column] = masks[image][cls].dice(self._true(image, cls))
        return values

    def _true(self, image: str, cls: str) -> Runs:
        if (image, cls) not in self._targets:
            self._targets[image, cls] = true_runs(self.truth, image, cls, self.store.sizes[image], of=self.store.path)
        return self._targets[image, cls]

    def _mixed(self, weight: float) -> dict[str, float]:
        """The best thresholds, moved towards .5: 1 leaves them, 0 is .5."""
        return {c: float(resize.sigmoid(resize.logit(t) * weight)) for c, t in self.best.items()}

    def _median_area(self, cls: str) -> float:
        areas = [a for a in (self._true(i, cls).area for i in self.ids) if a]
        return float(np.median(areas)) if areas else 0.0


def blend_curves(space: BlendSpace, weights: Weights = None, *, cuts: int = 33) -> ScoreCurves:
    """The score curves of one blend, for a CurveSampler: exact, at `cuts` thresholds of the space's range.

    The thresholds are evenly spaced in logits; one pass (space.sweep). weights: as for it, default equal ones.
    ValueError for fewer than 2 cuts.
    """
    if cuts < 2:
        raise ValueError(f"cuts={cuts}: at least 2 are wanted, the ends of the range")
    logits = np.linspace(resize.logit(space.low), resize.logit(space.high), cuts)
    thresholds = np.clip(resize.sigmoid(logits), space.low, space.high)
    tp, predicted = space.sweep(weights, thresholds=thresholds.tolist())
    return ScoreCurves(space.ids, space.classes, thresholds, tp, predicted, space.target)


def _named(thresholds: Mapping[str, float]) -> dict[str, Any]:
    return {f"threshold/{cls}": threshold for cls, threshold in thresholds.items()}
