"""The Optuna objective over a BlendSpace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna

from segkit.ensemble.space import BlendSpace


class blend_objective:
    """objective(trial) over the weights of a blend and its thresholds: trial.suggest_float("weight/STORE", 0, 1).

    Mean Dice at full resolution. weights_by_class: "weight/STORE/CLASS" instead, one for each class.
    thresholds_by_class: "threshold/CLASS" instead of one "threshold". Weights are normalised; a trial whose weights
    are all 0 is pruned.
    enqueue(study) puts equal weights at .5 first. More settings overfit more: ensemble.held_out says by how much.
    """

    def __init__(self, space: BlendSpace, *, weights_by_class: bool = False, thresholds_by_class: bool = False) -> None:
        self.space = space
        self.weights_by_class, self.thresholds_by_class = weights_by_class, thresholds_by_class

    def __call__(self, trial: optuna.Trial) -> float:
        for name in self._weight_names():
            trial.suggest_float(name, 0.0, 1.0)
        for name in self._threshold_names():
            trial.suggest_float(name, self.space.low, self.space.high)
        weights, thresholds = self.settings(trial.params)
        if not all(np.any(w) for w in weights.values()):
            raise optuna.TrialPruned("all weights are 0")
        return float(self.space.dice(weights, thresholds).mean())

    def enqueue(self, study: optuna.Study) -> None:
        """Make equal weights at .5 (or the end of the range that is nearest to it) the first trial."""
        middle = min(max(0.5, self.space.low), self.space.high)
        params = {**dict.fromkeys(self._weight_names(), 1.0), **dict.fromkeys(self._threshold_names(), middle)}
        study.enqueue_trial(params, skip_if_exists=True)

    def settings(self, params: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """The ({class: (K,) weights}, {class: threshold}) that a trial's params stand for."""
        stores = self.space.names
        weights, thresholds = {}, {}
        for cls in self.space.classes:
            end = f"/{cls}" if self.weights_by_class else ""
            weights[cls] = np.array([params[f"weight/{name}{end}"] for name in stores], np.float64)
            thresholds[cls] = float(params[f"threshold/{cls}" if self.thresholds_by_class else "threshold"])
        return weights, thresholds

    def _weight_names(self) -> list[str]:
        ends = [f"/{cls}" for cls in self.space.classes] if self.weights_by_class else [""]
        return [f"weight/{name}{end}" for name in self.space.names for end in ends]

    def _threshold_names(self) -> list[str]:
        return [f"threshold/{cls}" for cls in self.space.classes] if self.thresholds_by_class else ["threshold"]
