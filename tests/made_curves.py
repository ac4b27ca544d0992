"""Score curves with given Dice, to eight digits."""

import numpy as np

from segkit.metrics import Dice
from segkit.thresholds import ScoreCurves

AREA = 10**8


def curves_of(ids, classes, thresholds, dice, metric=None):
    """Curves whose Dice is `dice`, shape (images, classes, thresholds)."""
    tp = np.rint(np.clip(dice, 0, 1) * AREA).astype(np.int64)
    target = np.full(tp.shape[:2], AREA)
    pixels = np.full(len(tp), 4 * AREA)
    return ScoreCurves(ids, classes, thresholds, tp, np.full(tp.shape, AREA), target, pixels, metric or Dice())
