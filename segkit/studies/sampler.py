"""Thresholds from exact score curves, everything else by Optuna's TPE, in one study."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from segkit.geometry import resize
from segkit.metrics.scores import mean_of_known
from segkit.thresholds import SHRINKS, ScoreCurves

Curves = ScoreCurves | Callable[[Mapping[str, Any]], ScoreCurves]
"""What thresholds are drawn from: curves, or a function of the params that a trial has drawn already."""
MOVED = 0.25
"""Chance of each threshold to move, in a trial that moves some."""


class _Means(NamedTuple):
    """What the curves say on all images.

    levels: (thresholds,) probabilities; logits: the same in logits; score: {param: (thresholds,) score}.
    """

    levels: np.ndarray
    logits: np.ndarray
    score: dict[str, np.ndarray]

    def within(self, name: str, wanted: FloatDistribution) -> tuple[np.ndarray, int]:
        """(thresholds,) score, -inf outside the range, and the place of the best; of equals the nearest to .5."""
        if name not in self.score:
            known = ", ".join(key.partition("/")[2] for key in self.score if "/" in key)
            raise ValueError(f"{name}: the curves have no such class; there are {known}")
        mean = np.where((self.levels >= wanted.low) & (self.levels <= wanted.high), self.score[name], -np.inf)
        nearest_first = np.argsort(np.abs(self.logits), kind="stable")
        return mean, int(nearest_first[mean[nearest_first].argmax()])

    def exact(self, name: str, wanted: FloatDistribution) -> float:
        """The best threshold of a range."""
        return _fitted(self.levels[self.within(name, wanted)[1]], wanted)


class _Draw(NamedTuple):
    """What one trial does with its thresholds; base: where it starts, the exact optimum where this says nothing."""

    means: _Means
    base: Mapping[str, float]
    moves: bool = False
    shrink: float = 0.0


class CurveSampler(BaseSampler):
    """Draws "threshold/CLASS", and "threshold" for all classes, from score curves; everything else by TPE.

    The first trial has the exact optimum within the range that is asked for. Later ones start from that or from the
    thresholds of the best trial so far, by the toss of a coin. With chance 1 - explore a trial stays there, so that TPE
    compares everything else at good thresholds. Otherwise it moves: a quarter of the thresholds, drawn with chance
    exp(-loss / tolerance), where loss is what the curve says the threshold costs: a flat curve is searched widely, a
    steep one hardly. Every fourth of these trials takes the exact optimum shrunk towards .5 instead. A trial that would
    repeat an earlier one moves, too, where thresholds are suggested last.

    Args:
        curves: Of the predictions, or a function of the params that the trial has drawn already which returns them (for
            settings that the best thresholds depend on: then suggest those first).
        explore: Chance in [0, 1]; default: .5, and 0 where curves is a function, whose optimum is exact each time.
        tolerance: In the score of one class, above 0.
        seed: Of TPE and of the moves.

    Raises:
        ValueError: For settings out of range; in a trial for a threshold of a class that the curves lack, and for a
            study that minimises.

    Example:
        >>> tp, predicted = np.array([[[4, 4, 4, 4, 1]]]), np.array([[[9, 7, 5, 4, 1]]])
        >>> flat = ScoreCurves(["a"], ["x"], resize.sigmoid(np.arange(-2, 3)), tp, predicted, [[4]])
        >>> study = optuna.create_study(direction="maximize", sampler=CurveSampler(flat))
        >>> round(study.ask().suggest_float("threshold/x", 0.1, 0.9), 3)
        0.731
    """

    def __init__(
        self, curves: Curves, *, explore: float | None = None, tolerance: float = 0.001, seed: int | None = None
    ) -> None:
        fixed = isinstance(curves, ScoreCurves)
        explore = (0.5 if fixed else 0.0) if explore is None else explore
        if not 0 <= explore <= 1 or not tolerance > 0:
            raise ValueError(f"explore={explore}, tolerance={tolerance}: expected a chance and a tolerance above 0")
        self.explore, self.tolerance = explore, tolerance
        self._curves = curves
        if isinstance(curves, ScoreCurves):
            self._means = _means(curves)
        self._tpe, self._random = TPESampler(seed=seed), np.random.default_rng(seed)
        self._draws: dict[int, _Draw] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """TPE's search space, without the thresholds.

        Args:
            study: The study.
            trial: The trial.

        Returns:
            {param: distribution}.
        """
        space = self._tpe.infer_relative_search_space(study, trial)
        return {name: wanted for name, wanted in space.items() if not _is_threshold(name)}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """TPE's draw.

        Args:
            study: The study.
            trial: The trial.
            search_space: What is drawn together.

        Returns:
            {param: value}.
        """
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> object:
        """A threshold from the curves, anything else from TPE.

        Args:
            study: The study.
            trial: The trial.
            param_name: What is drawn.
            param_distribution: From where.

        Returns:
            The value.
        """
        if not _is_threshold(param_name) or not isinstance(param_distribution, FloatDistribution):
            return self._tpe.sample_independent(study, trial, param_name, param_distribution)
        draw = self._draws.get(trial.number)
        if draw is None:
            draw = self._draws[trial.number] = self._start(study, trial)
        return _fitted(self._threshold(draw, param_name, param_distribution), param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Forget the trial's draw.

        Args:
            study: The study.
            trial: The trial.
            state: How it ended.
            values: Its scores.
        """
        self._draws.pop(trial.number, None)
        self._tpe.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """For Optuna's threads."""
        self._tpe.reseed_rng()
        self._random = np.random.default_rng()

    def _start(self, study: optuna.Study, trial: FrozenTrial) -> _Draw:
        if study.direction != optuna.study.StudyDirection.MAXIMIZE:
            raise ValueError(f"study {study.study_name} minimises; scores are maximised: direction='maximize'")
        if not isinstance(self._curves, ScoreCurves):
            return _Draw(_means(self._curves(trial.params)), {}, self._random.random() < self.explore, 0.0)
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        tried = [(t, base) for t in done if (base := {k: v for k, v in t.params.items() if _is_threshold(k)})]
        if not tried:
            return _Draw(self._means, {})
        ranges = tried[-1][0].distributions
        exact = {name: self._means.exact(name, ranges[name]) for name in tried[-1][1]}  # type: ignore[arg-type]
        if all(base != exact for _, base in tried):
            return _Draw(self._means, {})
        best = max(tried, key=lambda pair: pair[0].value or 0.0)[1]
        base = exact if self._random.random() < 0.5 else best
        moves = self._random.random() < self.explore
        shrink = float(self._random.choice(SHRINKS[1:])) if moves and self._random.random() < 0.25 else 0.0
        repeats = any(t.params == {**trial.params, **base} for t, _ in tried)
        return _Draw(self._means, base, moves or repeats, shrink)

    def _threshold(self, draw: _Draw, name: str, wanted: FloatDistribution) -> float:
        mean, top = draw.means.within(name, wanted)
        levels, logits = draw.means.levels, draw.means.logits
        if draw.shrink:
            return float(levels[np.abs(logits - logits[top] * (1 - draw.shrink)).argmin()])
        if draw.moves and self._random.random() < MOVED and np.isfinite(mean[top]):
            chance = np.exp((mean - mean[top]) / self.tolerance)
            return float(self._random.choice(levels, p=chance / chance.sum()))
        return draw.base.get(name, float(levels[top]))


def _is_threshold(name: str) -> bool:
    return name == "threshold" or name.startswith("threshold/")


def _fitted(value: float, wanted: FloatDistribution) -> float:
    """The nearest value that the distribution has."""
    value = min(max(float(value), wanted.low), wanted.high)
    if wanted.step:
        value = min(wanted.low + round((value - wanted.low) / wanted.step) * wanted.step, wanted.high)
    return value


def _means(curves: ScoreCurves) -> _Means:
    sign = 1 if curves.metric.higher_is_better else -1
    means = sign * curves.means
    score = {f"threshold/{cls}": curve for cls, curve in zip(curves.classes, means)}
    logits = np.array([resize.logit(t) for t in curves.thresholds])
    return _Means(curves.thresholds, logits, {**score, "threshold": mean_of_known(means.T)})
