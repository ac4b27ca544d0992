"""Optuna studies over stored predictions: storages, objectives, and what a tuned setting is worth on other persons."""

from segkit.ensemble.objective import blend_objective
from segkit.studies.blends import BlendChoice, choose_blend
from segkit.studies.choosing import FEWEST_PERSONS, Choice, choose
from segkit.studies.loss_weights import loss_weight_objective
from segkit.studies.objectives import blend_curves, postprocess_objective, threshold_objective
from segkit.studies.sampler import CurveSampler
from segkit.studies.storage import open_study
from segkit.studies.workers import optimise, run_workers

__all__ = [
    "FEWEST_PERSONS", "BlendChoice", "Choice", "CurveSampler", "blend_curves", "blend_objective", "choose",
    "choose_blend", "loss_weight_objective", "open_study", "optimise", "postprocess_objective", "run_workers",
    "threshold_objective",
]  # fmt: skip
