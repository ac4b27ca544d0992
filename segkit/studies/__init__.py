"""Optuna studies over stored predictions: storages, objectives, and what a tuned setting is worth on other persons."""

from segkit.ensemble.objective import blend_objective
from segkit.studies.choosing import FEWEST_PERSONS, Choice, choose
from segkit.studies.objectives import postprocess_objective, threshold_objective
from segkit.studies.storage import open_study
from segkit.studies.workers import optimise

__all__ = [
    "FEWEST_PERSONS", "Choice", "blend_objective", "choose", "open_study", "optimise", "postprocess_objective",
    "threshold_objective",
]  # fmt: skip
