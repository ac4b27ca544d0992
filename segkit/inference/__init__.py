"""Networks over images: predictions into a store, sliding windows, validation at full resolution."""

from segkit.inference.forward import with_sliding_window, with_tta
from segkit.inference.predict import predict
from segkit.inference.sliding import Sliding
from segkit.inference.validator import Validator

__all__ = ["Sliding", "Validator", "predict", "with_sliding_window", "with_tta"]
