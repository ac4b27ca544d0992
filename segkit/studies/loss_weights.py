"""What each loss of a sum should weigh: short runs, the hopeless ones stopped early."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import TrialState

Report = Callable[[int, float], None]
FitFn = Callable[[Mapping[str, float], Report], float]


class LossWeightObjective:
    """objective(trial) over the shares of a sum of losses: trial.suggest_float("dice/bce", low, 1 / low, log=True).

    Only shares are searched: Adam and its relatives divide by the gradient's size, so that a factor before the whole
    sum changes nothing (but how often a clipped gradient is clipped). Each loss but the first has a ratio to the first,
    in logarithms, between `low` and 1 / low; weights add up to the number of losses, so that equal ones are 1 each.
    A run goes on where its score is among the best 1 / reduction at epochs first, first * reduction, ...: asynchronous
    successive halving, whatever pruner the study has. All runs should start from the same weights: what differs is then
    the loss, and a few epochs show it.

    Args:
        fit_fn: fit_fn(weights, report) -> score: trains a short run with {loss: weight} and scores it on groups that it
            did not see, higher is better; it calls report(epoch, score) along the way, epochs counted from 1, and lets
            the exception pass that report raises where the run is hopeless.
        losses: Texts of segkit.losses.build, or any names that fit_fn knows.
        low: Smallest ratio to the first loss, between 0 and 1.
        reduction: One in so many runs goes on.
        first: Epoch of the first comparison.

    Raises:
        ValueError: For fewer than two losses, or one twice, and for numbers out of range.

    References:
        Li et al., "A system for massively parallel hyperparameter tuning" (2020).

    Example:
        >>> study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
        >>> objective = LossWeightObjective(lambda weights, report: -abs(weights["dice"] - 1.2))
        >>> objective.enqueue(study)
        >>> study.optimize(objective, n_trials=3)
        >>> study.trials[0].params, objective.weights(study.trials[0].params)
        ({'dice/bce': 1.0}, {'bce': 1.0, 'dice': 1.0})
        >>> objective.text({"bce": 0.5, "dice": 1.5})
        '0.5*bce + 1.5*dice'
    """

    def __init__(
        self,
        fit_fn: FitFn,
        losses: Sequence[str] = ("bce", "dice"),
        *,
        low: float = 0.05,
        reduction: int = 3,
        first: int = 1,
    ) -> None:
        if isinstance(losses, str) or len(losses) < 2 or len(set(losses)) < len(losses):
            raise ValueError(f"losses={losses!r}: expected two or more different ones, such as ('bce', 'dice')")
        if not 0 < low < 1:
            raise ValueError(f"low={low}: expected the smallest ratio to {losses[0]}, between 0 and 1")
        if reduction < 2 or first < 1:
            raise ValueError(f"reduction={reduction}, first={first}: expected at least 2, and at least epoch 1")
        self.fit_fn, self.losses, self.low = fit_fn, tuple(losses), low
        self.pruner = SuccessiveHalvingPruner(min_resource=first, reduction_factor=reduction)

    def __call__(self, trial: optuna.Trial) -> float:
        """Train a short run with the trial's weights; its score."""
        study = trial.study
        if study.direction != optuna.study.StudyDirection.MAXIMIZE:
            raise ValueError(f"study {study.study_name} minimises; scores are maximised: direction='maximize'")

        def report(epoch: int, score: float) -> None:
            trial.report(score, epoch)
            if self.pruner.prune(study, study.get_trials(deepcopy=False)[trial.number]):
                raise optuna.TrialPruned(f"{score:.4f} after epoch {epoch} is not among the best")

        params = {name: trial.suggest_float(name, self.low, 1 / self.low, log=True) for name in self._names()}
        return float(self.fit_fn(self.weights(params), report))

    def enqueue(self, study: optuna.Study) -> None:
        """Make equal weights the first trial; it is never stopped.

        Args:
            study: Where it is queued.
        """
        study.enqueue_trial(dict.fromkeys(self._names(), 1.0), skip_if_exists=True)

    def weights(self, params: Mapping[str, float]) -> dict[str, float]:
        """What a trial's params stand for.

        Args:
            params: Of a trial.

        Returns:
            {loss: weight}; they add up to the number of losses.
        """
        ratios = [1.0, *(float(params[name]) for name in self._names())]
        scale = len(ratios) / sum(ratios)
        return {loss: round(ratio * scale, 4) for loss, ratio in zip(self.losses, ratios)}

    @staticmethod
    def text(weights: Mapping[str, float]) -> str:
        """Weights as segkit.losses.build and a recipe's --loss read them.

        Args:
            weights: {loss: weight}.

        Returns:
            Such as "0.5*bce + 1.5*dice".
        """
        return " + ".join(f"{weight:g}*{loss}" for loss, weight in weights.items())

    def finalists(self, study: optuna.Study, count: int = 2) -> list[dict[str, float]]:
        """The weights of the best runs that were not stopped.

        Args:
            study: Whose trials are done.
            count: Most runs.

        Returns:
            {loss: weight} of each, the best first, each once.
        """
        done = sorted(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)), key=lambda t: -(t.value or 0.0))
        found: list[dict[str, float]] = []
        for trial in done:
            weights = self.weights(trial.params)
            if weights not in found:
                found.append(weights)
        return found[:count]

    def _names(self) -> list[str]:
        return [f"{loss}/{self.losses[0]}" for loss in self.losses[1:]]
