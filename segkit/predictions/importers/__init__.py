"""Importers of others' predictions into a PredictionStore, so that the last mile serves anybody.

Whatever comes is turned into logits, clipped where a store saturates, and averaged over the store's low-resolution
pixels (bilinear where those are finer): tried on synthetic shapes at thresholds .3 to .7, the average of logits keeps
the outline better than that of probabilities, but for hard masks at .5. One image is in memory at a time. A store that
is there already goes on where it stopped, where it was begun with the same settings and its files did not change.
"""

from segkit.predictions.importers.arrays import import_arrays, import_nnunet
from segkit.predictions.importers.class_maps import import_class_maps
from segkit.predictions.importers.kinds import KINDS, kind_of

__all__ = ["KINDS", "import_arrays", "import_class_maps", "import_nnunet", "kind_of"]
