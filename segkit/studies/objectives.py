"""What a trial over thresholds, or over the weights of a blend, scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna

from segkit.ensemble import Blend, BlendSpace
from segkit.ensemble.weights import Weights
from segkit.geometry import resize
from segkit.postprocess import Pipeline
from segkit.selection import signed
from segkit.thresholds import ScoreCurves


class ThresholdObjective:
    """objective(trial) over one threshold a class: trial.suggest_float("threshold/Ulna", low, high).

    A trial takes microseconds. Where the score separates by class the exact optimum needs no search
    (ScoreCurves.best): what is left to a sampler is what does not separate.

    Args:
        curves: Counts at every threshold, with their metric.
        low: Lowest threshold.
        high: Highest threshold.

    Raises:
        ValueError: If low and high are no range within (0, 1).
    """

    def __init__(self, curves: ScoreCurves, *, low: float = 0.1, high: float = 0.9) -> None:
        if not 0 < low < high < 1:
            raise ValueError(f"low={low}, high={high}: expected 0 < low < high < 1")
        self.curves, self.low, self.high = curves, low, high

    def __call__(self, trial: optuna.Trial) -> float:
        """The score at the trial's thresholds."""
        thresholds = {c: trial.suggest_float(f"threshold/{c}", self.low, self.high) for c in self.curves.classes}
        return self.curves.score(thresholds)

    def enqueue(self, study: optuna.Study) -> None:
        """Make .5 and the exact optimum (clipped to the range) the first trials.

        Args:
            study: Where it is queued.
        """
        for thresholds in (dict.fromkeys(self.curves.classes, 0.5), self.curves.best()):
            clipped = {c: min(max(t, self.low), self.high) for c, t in thresholds.items()}
            study.enqueue_trial(threshold_params(clipped), skip_if_exists=True)


class BlendObjective:
    """objective(trial) over the weights of a blend and its thresholds: trial.suggest_float("weight/STORE", 0, 1).

    The value is the space's metric at full resolution. Weights are normalised; a trial whose weights are all 0 is
    pruned. More settings overfit more: choose_blend says by how much.

    Args:
        space: Of the stores, with its metric.
        weights_by_class: "weight/STORE/CLASS" instead, one for each class.
        thresholds_by_class: "threshold/CLASS" instead of one "threshold".
    """

    def __init__(self, space: BlendSpace, *, weights_by_class: bool = False, thresholds_by_class: bool = False) -> None:
        self.space = space
        self.weights_by_class, self.thresholds_by_class = weights_by_class, thresholds_by_class

    def __call__(self, trial: optuna.Trial) -> float:
        """The score of the trial's weights and thresholds, higher is better."""
        for name in self._weight_names():
            trial.suggest_float(name, 0.0, 1.0)
        for name in self._threshold_names():
            trial.suggest_float(name, self.space.low, self.space.high)
        weights, thresholds = self.settings(trial.params)
        if not all(np.any(w) for w in weights.values()):
            raise optuna.TrialPruned("all weights are 0")
        return signed(self.space.scores(weights, thresholds))

    def enqueue(self, study: optuna.Study) -> None:
        """Make equal weights at .5 (or the end of the range that is nearest to it) the first trial.

        Args:
            study: Where it is queued.
        """
        middle = min(max(0.5, self.space.low), self.space.high)
        params = {**dict.fromkeys(self._weight_names(), 1.0), **dict.fromkeys(self._threshold_names(), middle)}
        study.enqueue_trial(params, skip_if_exists=True)

    def settings(self, params: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """What a trial's params stand for.

        Args:
            params: Of a trial.

        Returns:
            ({class: (K,) weights}, {class: threshold}), for BlendSpace.scores.
        """
        stores = self.space.names
        weights, thresholds = {}, {}
        for cls in self.space.classes:
            end = f"/{cls}" if self.weights_by_class else ""
            weights[cls] = np.array([params[f"weight/{name}{end}"] for name in stores], np.float64)
            thresholds[cls] = float(params[f"threshold/{cls}" if self.thresholds_by_class else "threshold"])
        return weights, thresholds

    def pipeline(self, params: Mapping[str, Any]) -> Pipeline:
        """The Pipeline that a trial's params stand for: render(stores, pipeline) makes the masks that were scored.

        Args:
            params: Of a trial.

        Returns:
            Its thresholds and its blend.
        """
        weights, thresholds = self.settings(params)
        blend = Blend(weights, domain=self.space.domain, stores=self.space.names)
        return Pipeline(thresholds=thresholds, classes=self.space.classes, blend=blend)

    def _weight_names(self) -> list[str]:
        ends = [f"/{cls}" for cls in self.space.classes] if self.weights_by_class else [""]
        return [f"weight/{name}{end}" for name in self.space.names for end in ends]

    def _threshold_names(self) -> list[str]:
        return [f"threshold/{cls}" for cls in self.space.classes] if self.thresholds_by_class else ["threshold"]


def blend_curves(space: BlendSpace, weights: Weights = None, *, steps: int = 33) -> ScoreCurves:
    """The score curves of one blend, for a CurveSampler: exact, in one pass (BlendSpace.sweep).

    Args:
        space: Of the stores, with its metric.
        weights: As for BlendSpace.scores; None for equal ones.
        steps: Number of thresholds over the space's range, evenly spaced in logits, at least 2.

    Returns:
        The curves.

    Raises:
        ValueError: For fewer than 2 steps.
    """
    if steps < 2:
        raise ValueError(f"steps={steps}: expected at least 2, the ends of the range")
    logits = np.linspace(resize.logit(space.low), resize.logit(space.high), steps)
    thresholds = np.clip(resize.sigmoid(logits), space.low, space.high)
    tp, predicted = space.sweep(weights, thresholds=thresholds.tolist())
    return ScoreCurves(
        space.ids, space.classes, thresholds, tp, predicted, space.target, metric=space.metric
    )  # fmt: skip


def threshold_params(thresholds: Mapping[str, float]) -> dict[str, float]:
    """Thresholds as the params of a trial.

    Args:
        thresholds: {class: threshold}.

    Returns:
        {"threshold/CLASS": threshold}.
    """
    return {f"threshold/{cls}": threshold for cls, threshold in thresholds.items()}
