"""Training: fit(), its result, and where its numbers go."""

from segkit.training.api import FitResult, fit
from segkit.training.log import TensorBoard

__all__ = ["FitResult", "TensorBoard", "fit"]
