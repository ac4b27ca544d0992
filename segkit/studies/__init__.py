"""Optuna studies over stored predictions: storages, objectives, and what a tuned setting is worth on other groups."""

from segkit.studies.blends import choose_blend
from segkit.studies.cautions import cautions
from segkit.studies.choosing import choose
from segkit.studies.loss_weights import LossWeightObjective
from segkit.studies.objectives import BlendObjective, ThresholdObjective, blend_curves
from segkit.studies.offsets import OffsetsObjective
from segkit.studies.sampler import CurveSampler
from segkit.studies.steps import PostprocessObjective
from segkit.studies.storage import open_study
from segkit.studies.workers import optimise, run_workers

__all__ = [
    "BlendObjective", "CurveSampler", "LossWeightObjective", "OffsetsObjective", "PostprocessObjective",
    "ThresholdObjective", "blend_curves", "cautions", "choose", "choose_blend", "open_study", "optimise", "run_workers",
]  # fmt: skip
