"""The one pixel convention: how class maps at network resolution lie over the full-resolution image.

Half-pixel centres everywhere: low-resolution pixel i of n covers [i, i + 1) * N / n of the N full-resolution pixels,
and edges are clamped. Axis weights are made in float64, values are float32, and every operation is elementwise, so that
a region equals the same region of the whole map bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from segkit.geometry.logits import logit, sigmoid, threshold_logit
from segkit.rle import Runs

__all__ = [
    "Region", "active_region", "as_region", "axis", "coverage", "coverage_of_box", "full_region", "logit", "low_region",
    "resize_image", "runs_above", "sigmoid", "threshold_logit", "upsample",
]  # fmt: skip

Region = tuple[int, int, int, int]
"""(top, left, bottom, right), half-open, in full-resolution pixels."""


def upsample(class_map: np.ndarray, size: tuple[int, int], *, region: Region | None = None) -> np.ndarray:
    """Bilinear upsampling of one class map: the reference for every "exact" in segkit.

    The convention is that of torch's `interpolate(align_corners=False)` and `cv2.INTER_LINEAR`.

    Args:
        class_map: Numbers, shape (h, w).
        size: (H, W) of the image that the map is stretched over.
        region: (top, left, bottom, right) in full-resolution pixels; None for the whole image.

    Returns:
        float32 of shape (H, W), or of the region's, equal to that part of the whole bit for bit.

    Raises:
        ValueError: If the map is not 2-D or the region lies outside the image.

    Example:
        >>> upsample(np.array([[0.0, 1.0]]), (1, 4))
        array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    class_map = _as_class_map(class_map)
    top, left, bottom, right = as_region(region, size)
    rows, columns = axis(class_map.shape[0], size[0], top, bottom), axis(class_map.shape[1], size[1], left, right)
    if not rows[0].size or not columns[0].size:
        return np.zeros((rows[0].size, columns[0].size), np.float32)
    first = rows[0].min()
    used = class_map[first : rows[1].max() + 1]
    wide = _lerp(used[:, columns[0]], used[:, columns[1]], columns[2])
    return _lerp(wide[rows[0] - first], wide[rows[1] - first], rows[2][:, None])


def runs_above(class_map: np.ndarray, size: tuple[int, int], threshold: float) -> Runs:
    """The mask of the full-resolution pixels whose probability is strictly above a threshold.

    Only the box that can hold such pixels is upsampled.

    Args:
        class_map: Logits, float, shape (h, w).
        size: (H, W) of the image.
        threshold: Probability in [0, 1].

    Returns:
        Runs, equal to `Runs.from_mask(upsample(class_map, size) > threshold_logit(threshold))`.

    Raises:
        ValueError: If the map is not 2-D or the threshold lies outside [0, 1].
    """
    class_map = _as_class_map(class_map)
    level = threshold_logit(threshold)
    box = active_region(class_map, size, level)
    if box is None:
        return Runs(np.zeros((0, 2), np.int64), size)
    return Runs.from_region(upsample(class_map, size, region=box) > level, box[0], box[1], size)


def active_region(class_map: np.ndarray, size: tuple[int, int], level: float | np.floating) -> Region | None:
    """The smallest box of full-resolution pixels outside which `upsample(class_map, size)` <= level.

    A pixel never exceeds the low-resolution pixels that it is made of, rounding included: a + (b - a) * w with w = 0,
    or w at most 1 - 1 / (2 H), which stays below what float32 could round up to b for any side below 2**20 pixels.

    Args:
        class_map: Logits, float, shape (h, w).
        size: (H, W) of the image.
        level: Logit.

    Returns:
        (top, left, bottom, right), half-open, in full-resolution pixels; None if the map is nowhere above `level`.
    """
    active = class_map > level
    spans = []
    for along in (1, 0):
        found = np.flatnonzero(active.any(axis=along))
        if not found.size:
            return None
        low, high, _ = axis(active.shape[1 - along], size[1 - along], 0, size[1 - along])
        pixels = np.flatnonzero((high >= found[0]) & (low <= found[-1]))
        if not pixels.size:
            return None
        spans.append((int(pixels[0]), int(pixels[-1]) + 1))
    (top, bottom), (left, right) = spans
    return top, left, bottom, right


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image: along each axis area average where it shrinks, bilinear where it grows.

    Args:
        image: uint8 or float32, shape (H, W) or (H, W, channels).
        size: (h, w) to resize to.

    Returns:
        A new array of the image's dtype, shape (h, w) or (h, w, channels).
    """
    height, width = int(size[0]), int(size[1])
    if image.ndim == 3 and image.shape[2] > 4:  # more than OpenCV averages at a time
        return np.stack([resize_image(image[..., channel], size) for channel in range(image.shape[2])], axis=2)
    least = min(width, image.shape[1]), min(height, image.shape[0])
    small = cv2.resize(image, least, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, *image.shape[2:])


def coverage(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The share of each low-resolution pixel that a mask covers: the soft target that a nearest resize throws away.

    Args:
        mask: bool or integer, shape (H, W); set where not zero.
        size: (h, w) of the target.

    Returns:
        float32 of shape (h, w) in [0, 1], exact also where H / h is no integer.

    Example:
        >>> coverage(np.array([[1, 1, 0], [0, 0, 0]]), (1, 2))
        array([[0.5       , 0.16666667]], dtype=float32)
    """
    mask = np.asarray(mask)
    return coverage_of_box(mask != 0, 0, 0, mask.shape, size, (0, 0, int(size[0]), int(size[1])))


def low_region(box: Region, shape: tuple[int, int], size: tuple[int, int]) -> Region:
    """The low-resolution pixels that a box of full-resolution pixels reaches into.

    Args:
        box: (top, left, bottom, right), half-open, in full-resolution pixels.
        shape: (H, W) of the image.
        size: (h, w) of the low resolution.

    Returns:
        (top, left, bottom, right), half-open, in low-resolution pixels.
    """
    (height, width), (h, w) = shape, size
    return (
        box[0] * h // height,
        box[1] * w // width,
        -(-box[2] * h // height),
        -(-box[3] * w // width),
    )


def full_region(low: Region, shape: tuple[int, int], size: tuple[int, int]) -> Region:
    """The full-resolution pixels that a box of low-resolution pixels reaches into.

    Args:
        low: (top, left, bottom, right), half-open, in low-resolution pixels.
        shape: (H, W) of the image.
        size: (h, w) of the low resolution.

    Returns:
        (top, left, bottom, right), half-open, in full-resolution pixels.
    """
    return low_region(low, size, shape)


def coverage_of_box(
    box: np.ndarray, top: int, left: int, shape: tuple[int, int], size: tuple[int, int], low: Region
) -> np.ndarray:
    """`coverage` of some low-resolution pixels alone, for a mask that is known in a box.

    Args:
        box: The mask inside the box, bool or integer; it must hold every pixel of `full_region(low, shape, size)`.
        top: Row of the box's first pixel in the image.
        left: Column of the box's first pixel in the image.
        shape: (H, W) of the image.
        size: (h, w) of the low resolution.
        low: (top, left, bottom, right), half-open, in low-resolution pixels.

    Returns:
        float32 in [0, 1], of the shape of `low`.
    """
    most = -(-shape[0] // size[0]) * -(-shape[1] // size[1])  # full-resolution pixels of one, where they are whole
    values = box.view(np.uint8) if box.dtype == bool else box
    tall = _sums(values, top, shape[0], size[0], low[0], low[2], most)
    sums = _sums(tall.T, left, shape[1], size[1], low[1], low[3], most).T
    return (sums * (size[0] / shape[0] * (size[1] / shape[1]))).astype(np.float32)


def _sums(values: np.ndarray, start: int, full: int, n: int, first: int, last: int, most: int) -> np.ndarray:
    """Sums of `values` (pixels start, start + 1, ... of `full` on axis 0) over low-resolution pixels first..last of n.

    most: no sum is larger where the ratio is whole: those are added up as integers.
    """
    if full % n == 0:
        ratio, count = full // n, last - first
        rows = values[first * ratio - start :]
        total = rows[: count * ratio : ratio].astype(np.promote_types(values.dtype, np.min_scalar_type(most)))
        for offset in range(1, ratio):
            total += rows[offset : count * ratio : ratio]
        return total
    edges = np.arange(first, last + 1) * full  # in n-ths of a pixel: exact integers
    whole, part = np.divmod(edges, n)
    at = np.minimum(whole - start, len(values) - 1)
    kind = np.int32 if values.dtype == np.uint8 else np.float64
    sums = np.concatenate([np.zeros((1, values.shape[1]), kind), np.cumsum(values, axis=0, dtype=kind)])
    integral = sums[whole - start] + values[at] * (part / n)[:, None]
    return np.diff(integral, axis=0)


def axis(n: int, full: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between which low-resolution pixels the pixels of one axis lie.

    Args:
        n: Low-resolution pixels along the axis.
        full: Full-resolution pixels along it.
        first: First full-resolution pixel that is asked for.
        last: The one after the last.

    Returns:
        The low-resolution pixel before, the one after, and the float32 weight of the one after: three read-only arrays
        of shape (last - first,).
    """
    low, high, weight = _whole_axis(n, full)
    return low[first:last], high[first:last], weight[first:last]


@lru_cache(maxsize=32)
def _whole_axis(n: int, full: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`axis` of all pixels, made once for images of one size; read-only."""
    twice = 2 * full  # places in halves of a full-resolution pixel are whole numbers: no rounding moves them
    place = np.clip((2 * np.arange(full, dtype=np.int64) + 1) * n - full, 0, twice * (n - 1))
    low, part = np.divmod(place, twice)
    found = low, np.minimum(low + 1, n - 1), (part / twice).astype(np.float32)
    for array in found:
        array.setflags(write=False)
    return found


def _lerp(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Interpolate as a + (b - a) * weight, in place of fresh arrays: a constant stays that constant, bit for bit."""
    b -= a
    b *= weight
    b += a
    return b


def _as_class_map(class_map: np.ndarray) -> np.ndarray:
    class_map = np.asarray(class_map, dtype=np.float32)
    if class_map.ndim != 2 or not class_map.size:
        raise ValueError(f"expected one class map of shape (h, w), got shape {class_map.shape}")
    return class_map


def as_region(region: Sequence[int] | None, size: tuple[int, int]) -> Region:
    """A region, checked.

    Args:
        region: (top, left, bottom, right) in full-resolution pixels, or None for the whole image.
        size: (H, W) of the image.

    Returns:
        (top, left, bottom, right), half-open.

    Raises:
        ValueError: If the region lies outside the image.
    """
    if region is None:
        return 0, 0, int(size[0]), int(size[1])
    top, left, bottom, right = (int(v) for v in region)
    if not (0 <= top <= bottom <= size[0] and 0 <= left <= right <= size[1]):
        raise ValueError(f"region (top, left, bottom, right) {tuple(region)} does not lie inside an image {size}")
    return top, left, bottom, right
