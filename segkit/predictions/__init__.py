"""Predictions on disk: the PredictionStore, and importers of what other tools wrote."""

from segkit.predictions.header import LEVELS
from segkit.predictions.importers import KINDS, import_arrays, import_class_maps, import_nnunet, kind_of
from segkit.predictions.store import PredictionStore

__all__ = [
    "KINDS",
    "LEVELS",
    "PredictionStore",
    "import_arrays",
    "import_class_maps",
    "import_nnunet",
    "kind_of",
]  # fmt: skip
