"""Test-time augmentation: one prediction out of several views of an image, segkit's or ttach's."""

from segkit.tta._steps import SYMMETRIES
from segkit.tta.swaps import Swaps
from segkit.tta.views import View, as_views
from segkit.tta.wrappers import TTA, OneView

__all__ = ["SYMMETRIES", "TTA", "OneView", "Swaps", "View", "as_views"]
