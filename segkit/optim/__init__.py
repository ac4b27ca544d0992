"""Optimizers, parameter groups and learning-rate schedules."""

from segkit.optim import schedules
from segkit.optim.optimizers import create, encoder_of, names, parameter_groups

__all__ = ["create", "encoder_of", "names", "parameter_groups", "schedules"]
