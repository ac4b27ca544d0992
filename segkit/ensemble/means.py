"""The blend of a pixel, bit for bit.

Weights are normalised in float64 and rounded to float32; the low-resolution maps of the stores (float32) are upsampled
to full resolution by geometry.resize.upsample; 0 + w1 * v1 + w2 * v2 + ... is added up in float32 in the order of the
stores; the pixel is kept where that is strictly above the level of the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.ensemble.weights import Domain
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.rle import Runs


def class_map(store: PredictionStore, levels: np.ndarray, domain: Domain) -> np.ndarray:
    """What is averaged of one class: a whole image at once is much to convert.

    Args:
        store: Where the levels come from.
        levels: One class of store.levels(image), shape (h, w).
        domain: "logits" or "probs".

    Returns:
        float32 (h, w).
    """
    logits = levels.astype(np.float32) * np.float32(store.scale)
    return logits if domain == "logits" else resize.sigmoid(logits).astype(np.float32)


def weighted_sum(values: Sequence[np.ndarray] | np.ndarray, weights: np.ndarray) -> np.ndarray:
    """0 + w1 * v1 + w2 * v2 + ..., all float32, in this order.

    Args:
        values: Arrays of one shape, one a store.
        weights: float32 (K,); a value whose weight is 0 is not looked at.

    Returns:
        float32 array of that shape.
    """
    total = np.zeros(values[0].shape, np.float32)
    part = np.empty_like(total)
    for value, weight in zip(values, weights):
        if weight:
            total += np.multiply(value, weight, out=part)
    return total


def level_of(threshold: float, domain: Domain) -> np.floating:
    """The float32 value that a blend must exceed at a threshold.

    Args:
        threshold: Probability in [0, 1].
        domain: What is averaged.

    Returns:
        The level, in logits or as a probability.

    Raises:
        ValueError: For a threshold outside [0, 1] or another domain.
    """
    if domain not in ("logits", "probs"):
        raise ValueError(f"domain={domain!r}: expected logits or probs")
    in_logits = resize.threshold_logit(threshold)
    return in_logits if domain == "logits" else np.float32(threshold)


def margin(stores: Sequence[PredictionStore], domain: Domain) -> float:
    """How far rounding can carry a blend out of the range of its values, four times over.

    K products, K sums and K weights, each rounded by at most 2**-24 of the largest value.

    Args:
        stores: All stores of the blend.
        domain: What is averaged.

    Returns:
        The margin in units of what is averaged.
    """
    largest = max(store.saturation for store in stores) if domain == "logits" else 1.0
    return (len(stores) + 4) * 2**-22 * largest


def active_region(maps: Sequence[np.ndarray], size: tuple[int, int], level: np.floating) -> resize.Region | None:
    """The box outside which no upsampled map is above a level.

    Args:
        maps: float32 (h, w) of each store; resolutions may differ.
        size: (H, W) of the image.
        level: In units of what is averaged.

    Returns:
        (top, left, bottom, right) in full-resolution pixels, half-open; None where nothing is above the level.
    """
    boxes = [box for one in maps if (box := resize.active_region(one, size, level)) is not None]
    if not boxes:
        return None
    top, left, bottom, right = zip(*boxes)
    return min(top), min(left), max(bottom), max(right)


def runs_above(
    maps: Sequence[np.ndarray], size: tuple[int, int], level: np.floating, share: np.ndarray, slack: float
) -> Runs:
    """The full-resolution pixels whose blend is strictly above a level.

    Args:
        maps: float32 (h, w) of each store, one class.
        size: (H, W) of the image.
        level: See level_of().
        share: float32 (K,) normalised weights.
        slack: See margin().

    Returns:
        Runs with the image's shape.
    """
    box = active_region(maps, size, np.float32(level - slack))
    if box is None:
        return Runs(np.zeros((0, 2), np.int64), size)
    total = weighted_sum([resize.upsample(one, size, region=box) for one in maps], share)
    return Runs.from_region(total > level, box[0], box[1], size)
