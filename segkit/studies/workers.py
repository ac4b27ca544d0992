"""Running a study."""

from __future__ import annotations

from typing import Any

import optuna


def optimise(study: optuna.Study, objective: Any, *, trials: int) -> None:
    """Run the study up to `trials` finished trials in all: a resumed study runs only what is left."""
    done = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    left = trials - len(study.get_trials(deepcopy=False, states=done))
    if left > 0:
        study.optimize(objective, n_trials=left)
