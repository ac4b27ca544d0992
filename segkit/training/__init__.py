"""Training: fit(), its settings and its result, and where its numbers go."""

from segkit.training.api import FitResult, fit
from segkit.training.config import TrainConfig
from segkit.training.log import TensorBoard

__all__ = ["FitResult", "TensorBoard", "TrainConfig", "fit"]
