"""Dice as the competition counts it, and how sure one can be of it.

Everything derives from the table image x class: its mean over images, then classes, is the score.
"""

from segkit.metrics.gains import FEWEST_TO_KEEP, Comparison, Interval, bootstrap, compare, score
from segkit.metrics.table import Empty, MasksLike, dice_table

__all__ = [
    "FEWEST_TO_KEEP", "Comparison", "Empty", "Interval", "MasksLike", "bootstrap", "compare", "dice_table", "score",
]  # fmt: skip
