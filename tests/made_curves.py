"""Score curves with given Dice, to eight digits; a small store and its truth."""

import numpy as np

from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.metrics import Dice
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.thresholds import ScoreCurves

AREA = 10**8
CLASSES = ("x", "y", "z")
SIZES = {"a": (37, 41), "b": (64, 48), "c": (5, 9), "d": (30, 30)}


def curves_of(ids, classes, thresholds, dice, metric=None):
    """Curves whose Dice is `dice`, shape (images, classes, thresholds)."""
    tp = np.rint(np.clip(dice, 0, 1) * AREA).astype(np.int64)
    target = np.full(tp.shape[:2], AREA)
    pixels = np.full(len(tp), 4 * AREA)
    return ScoreCurves(ids, classes, thresholds, tp, np.full(tp.shape, AREA), target, pixels, metric or Dice())


def small_world(folder, scale=1 / 32, seed=0):
    """A store of four images of several sizes, and a truth of random blobs, one class of it absent in two images."""
    rng = np.random.default_rng(seed)
    store = PredictionStore.create(folder, ids=tuple(SIZES), classes=CLASSES, sizes=SIZES, grid=(7, 6), scale=scale)
    rows = {}
    for image, size in SIZES.items():
        store[image] = rng.normal(0, 80 * scale, (3, 7, 6))
        rows[image] = {c: Runs.from_mask(resize.upsample(rng.normal(-0.3, 1, (5, 5)), size) > 0) for c in CLASSES}
    rows["b"]["z"] = rows["c"]["z"] = Runs([])
    return store, MaskSet(SIZES, CLASSES, lambda i, c: rows[i][c])
