"""The best thresholds, read off exact score curves instead of searched.

A score that is a mean over classes separates: one histogram of all pixels and one of the true ones for each image and
class, and the optimum of 255 thresholds is read off. (Sampling 29 thresholds recovers 0 to 29 % of the gain.)
"""

from segkit.thresholds.counting import curves, images_of_both
from segkit.thresholds.nested import SHRINKS, Nested, choose_shrink, nested
from segkit.thresholds.score_curves import ScoreCurves
from segkit.thresholds.settings import PerClass, per_class, probabilities

__all__ = [
    "SHRINKS", "Nested", "PerClass", "ScoreCurves", "choose_shrink", "curves", "images_of_both", "nested", "per_class",
    "probabilities",
]  # fmt: skip
