"""Networks over images: predictions into a store, sliding windows, validation at full resolution."""

from segkit.inference.predict import DiceValidator, predict
from segkit.inference.sliding import Sliding

__all__ = ["DiceValidator", "Sliding", "predict"]
