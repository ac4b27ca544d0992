"""Count every image, class and threshold in one streamed pass at full resolution, exactly."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from segkit.geometry import resize
from segkit.masks import MaskSet, as_masks, true_runs
from segkit.metrics import Metric
from segkit.predictions import LEVELS, PredictionStore
from segkit.rle import Runs
from segkit.thresholds.score_curves import ScoreCurves
from segkit.thresholds.settings import check_separable

CODES = 2 * LEVELS + 2
"""A pixel's code is how many of the 255 thresholds it lies above."""


def curves(
    store: PredictionStore, truth: MaskSet, metric: Metric | None = None, *, workers: int | None = None
) -> ScoreCurves:
    """Count the pixels of every image, class and threshold, at full resolution.

    Exact: each count is that of upsample(logits) > threshold. One class of one image is in memory for each worker.

    Args:
        store: Predictions of classes that may overlap.
        truth: True masks. Images of the store that it lacks are left out; pixels of `truth.ignore(id)` count nowhere.
        metric: A metric that has counts and separates by class; default Dice().
        workers: Threads; default one a core.

    Returns:
        The curves, at the 255 levels of the store.

    Raises:
        ValueError: If truth has none of the images or lacks a class, or if the metric does not separate by class.
    """
    if metric is not None:
        check_separable(metric)
    if store.exclusive:
        raise ValueError(f"{store.path}: its classes exclude each other, so the largest logit decides, no threshold")
    truth = as_masks(truth)
    ids = images_of_both(store, truth)
    if lacking := [c for c in store.classes if c not in truth.classes]:
        raise ValueError(f"the truth has no class {', '.join(lacking)}")

    def one(image: str) -> tuple[np.ndarray, np.ndarray, list[int], int]:
        levels, size = store.levels(image), store.sizes[image]
        ignore = truth.ignore(image) or None
        targets = [true_runs(truth, image, cls, size, of=store.path) for cls in store.classes]
        if ignore is not None:
            ignore = ignore.with_shape(size)
            targets = [target - ignore for target in targets]
        counts = np.stack([_count(levels[k], size, target, ignore) for k, target in enumerate(targets)], axis=1)
        pixels = size[0] * size[1] - (ignore.area if ignore else 0)
        return counts[0], counts[1], [target.area for target in targets], pixels

    with ThreadPoolExecutor(workers) as pool:
        tp, predicted, target, pixels = zip(*pool.map(one, ids))
    thresholds = resize.sigmoid(np.arange(-LEVELS, LEVELS + 1) * store.scale)
    found = ScoreCurves(ids, store.classes, thresholds, np.stack(tp), np.stack(predicted), target, pixels, metric)
    if edge := found.at_edge():
        warnings.warn(
            f"{store.path}: the best threshold of {', '.join(edge)} lies at the edge of what the store holds "
            f"({thresholds[0]:.3g} to {thresholds[-1]:.3g}); a better one may lie beyond, where logits were clipped",
            stacklevel=2,
        )
    return found


def images_of_both(store: PredictionStore, truth: MaskSet) -> list[str]:
    """Find the images of `store`, in its order, that `truth` has.

    Args:
        store: Predictions.
        truth: True masks.

    Returns:
        Image ids.

    Raises:
        ValueError: If there is none; it shows names of both.
    """
    ids = [i for i in store.ids if i in truth]
    if not ids:
        raise ValueError(
            f"{store.path}: none of its {len(store)} images ({store.ids[0]}, ...) is in the truth "
            f"({next(iter(truth), 'which is empty')}, ...); names must be equal, endings too"
        )
    return ids


def _count(levels: np.ndarray, size: tuple[int, int], target: Runs, ignore: Runs | None) -> np.ndarray:
    """(2, 255) int32 tp and predicted of one class at each level. The scale is a power of two, so the bits agree."""
    found = np.zeros((2, CODES))  # code 0, above no threshold, is never asked for
    box = resize.active_region(levels.astype(np.float32), size, np.float32(-LEVELS))
    if box is not None:
        value = resize.upsample(levels, size, region=box)
        # code k: strictly above the first k levels -127, -126, ... of 255
        codes = (np.ceil(value, out=value) + np.float32(LEVELS)).astype(np.uint8)
        inside = target.crop(*box).view(np.uint8)
        counted = None if ignore is None else (~ignore.crop(*box)).view(np.uint8)
        found[:] = _histogram(codes, inside), _histogram(codes, counted)
    return np.cumsum(found[:, ::-1], axis=1)[:, ::-1][:, 1:].astype(np.int32)


def _histogram(codes: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """(256,) pixels of each code; in strips, as OpenCV counts in float32, which is exact up to 2**24."""
    rows = max(1, 2**24 // codes.shape[1])
    total = np.zeros(CODES)
    for top in range(0, len(codes), rows):
        part = slice(top, top + rows)
        inside = None if mask is None else np.ascontiguousarray(mask[part])
        total += cv2.calcHist([codes[part]], [0], inside, [CODES], [0, CODES]).ravel()
    return total
