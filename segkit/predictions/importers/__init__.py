"""Doors for others' predictions: into a PredictionStore, or a submission, so that the last mile serves anybody.

Whatever comes is turned into logits, clipped where a store saturates, and averaged over the cells of the store's grid
(bilinear where the grid is finer): tried on synthetic shapes at thresholds .3 to .7, the average of logits keeps the
outline better than that of probabilities, but for hard masks at .5. One image is in memory at a time. A store that is
there already goes on where it stopped, where it was begun with the same settings and the files it holds did not change.
"""

from segkit.predictions.importers.arrays import import_arrays, import_nnunet
from segkit.predictions.importers.class_maps import import_planes
from segkit.predictions.importers.kinds import KINDS, kind_of
from segkit.predictions.importers.tables import import_csv

__all__ = ["KINDS", "import_arrays", "import_csv", "import_nnunet", "import_planes", "kind_of"]
