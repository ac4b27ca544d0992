"""Training: fit(), its result, and where its numbers go."""

from segkit.train.api import FitResult, fit
from segkit.train.log import TensorBoard

__all__ = ["FitResult", "TensorBoard", "fit"]
