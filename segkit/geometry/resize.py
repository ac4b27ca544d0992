"""Geometry has one home: how the network's grid lies over the full-resolution image.

Half-pixel convention everywhere: cell i of n covers [i, i + 1) * N / n of the N full-resolution pixels, edges are
clamped. Axis weights are made in float64, values are float32, and every operation is elementwise, so that a region
equals the same region of the whole plane bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from segkit.rle import Runs

Region = tuple[int, int, int, int]
"""(top, left, bottom, right), half-open, in full-resolution pixels."""


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), float64, without overflow.

    >>> float(sigmoid(0.0))
    0.5
    """
    x = np.asarray(x, dtype=np.float64)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def logit(p: float) -> float:
    """log(p / (1 - p)); 0 and 1 give -inf and inf. ValueError outside [0, 1].

    >>> logit(0.5)
    0.0
    """
    p = float(p)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"a probability in [0, 1] is wanted, got {p}")
    if p in (0.0, 1.0):
        return math.inf if p else -math.inf
    return math.log(p / (1.0 - p))


def cut(threshold: float) -> np.floating:
    """The float32 logit that a probability threshold stands for; pixels strictly above it are kept."""
    return np.float32(logit(threshold))


def upsample(plane: np.ndarray, size: tuple[int, int], *, region: Region | None = None) -> np.ndarray:
    """Bilinear upsampling of one low-resolution plane: the reference for every "exact" in segkit.

    plane: (h, w) numbers; size: (H, W) of the image that the plane is stretched over; region: the part wanted.
    -> float32 (H, W), or of the region's size, equal to that part of the whole bit for bit.
    ValueError for a plane that is not 2-D or a region outside the image.
    The convention is that of torch's interpolate(align_corners=False) and cv2.INTER_LINEAR.

    >>> upsample(np.array([[0.0, 1.0]]), (1, 4))
    array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    plane = _as_plane(plane)
    top, left, bottom, right = _as_region(region, size)
    rows, columns = _axis(plane.shape[0], size[0], top, bottom), _axis(plane.shape[1], size[1], left, right)
    if not rows[0].size or not columns[0].size:
        return np.zeros((rows[0].size, columns[0].size), np.float32)
    first = rows[0].min()
    used = plane[first : rows[1].max() + 1]
    wide = _lerp(used[:, columns[0]], used[:, columns[1]], columns[2])
    return _lerp(wide[rows[0] - first], wide[rows[1] - first], rows[2][:, None])


def runs_above(plane: np.ndarray, size: tuple[int, int], threshold: float) -> Runs:
    """Runs of the full-resolution pixels whose probability is strictly above `threshold`.

    plane: (h, w) logits; size: (H, W); threshold: probability. The same, bit for bit, as
    Runs.from_mask(upsample(plane, size) > cut(threshold)), but only the box that can hold such pixels is upsampled.
    """
    plane = _as_plane(plane)
    level = cut(threshold)
    box = active_region(plane, size, level)
    if box is None:
        return Runs(np.zeros((0, 2), np.int64), size)
    return Runs.from_region(upsample(plane, size, region=box) > level, box[0], box[1], size)


def active_region(plane: np.ndarray, size: tuple[int, int], level: float | np.floating) -> Region | None:
    """The smallest box of full-resolution pixels outside which upsample(plane, size) <= level; None if nowhere above.

    A pixel never exceeds the cells that it is made of, rounding included: a + (b - a) * w with w = 0, or w at most
    1 - 1 / (2 H), which stays below what float32 could round up to b for any side below 2**20 pixels.
    """
    active = plane > level
    spans = []
    for axis in (1, 0):
        cells = np.flatnonzero(active.any(axis=axis))
        if not cells.size:
            return None
        low, high, _ = _axis(active.shape[1 - axis], size[1 - axis], 0, size[1 - axis])
        pixels = np.flatnonzero((high >= cells[0]) & (low <= cells[-1]))
        if not pixels.size:
            return None
        spans.append((int(pixels[0]), int(pixels[-1]) + 1))
    (top, bottom), (left, right) = spans
    return top, left, bottom, right


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image brought to the grid: along each axis area average where it shrinks, bilinear where it grows.

    image: uint8 (H, W) or (H, W, channels); size: (h, w) -> uint8 (h, w[, channels]), a new array.
    """
    height, width = int(size[0]), int(size[1])
    least = min(width, image.shape[1]), min(height, image.shape[0])
    small = cv2.resize(image, least, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, *image.shape[2:])


def coverage(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The share of each grid cell that a mask covers: the soft target that a nearest resize throws away.

    mask: (H, W) bool or integer; size: (h, w) -> float32 (h, w) in [0, 1], exact also where H / h is no integer.

    >>> coverage(np.array([[1, 1, 0], [0, 0, 0]]), (1, 2))
    array([[0.5       , 0.16666667]], dtype=float32)
    """
    mask = np.asarray(mask)
    return coverage_of_box(mask != 0, 0, 0, mask.shape, size, (0, 0, int(size[0]), int(size[1])))


def cells_touched(box: Region, shape: tuple[int, int], size: tuple[int, int]) -> Region:
    """The grid cells (top, left, bottom, right) that a box of full-resolution pixels reaches into."""
    (height, width), (h, w) = shape, size
    return (
        box[0] * h // height,
        box[1] * w // width,
        -(-box[2] * h // height),
        -(-box[3] * w // width),
    )


def pixels_under(cells: Region, shape: tuple[int, int], size: tuple[int, int]) -> Region:
    """The full-resolution pixels that grid cells reach into."""
    return cells_touched(cells, size, shape)


def coverage_of_box(
    box: np.ndarray, top: int, left: int, shape: tuple[int, int], size: tuple[int, int], cells: Region
) -> np.ndarray:
    """coverage() of the given cells alone, for a mask that is `box` at (top, left) of an image of `shape`.

    The box must hold every pixel under the cells (pixels_under). -> float32 (cells high, cells wide).
    """
    most = -(-shape[0] // size[0]) * -(-shape[1] // size[1])  # pixels of a cell, where each is whole
    values = box.view(np.uint8) if box.dtype == bool else box
    tall = _sums(values, top, shape[0], size[0], cells[0], cells[2], most)
    sums = _sums(tall.T, left, shape[1], size[1], cells[1], cells[3], most).T
    return (sums * (size[0] / shape[0] * (size[1] / shape[1]))).astype(np.float32)


def _sums(values: np.ndarray, start: int, full: int, n: int, first: int, last: int, most: int) -> np.ndarray:
    """Sums of `values` (pixels start, start + 1, ... of `full` along axis 0) over cells first..last of n.

    most: no sum that comes of this is larger, where cells are whole pixels: those are added up as integers.
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


def _axis(n: int, full: int, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For pixels first..last of `full`: the cell below, the cell above, and the weight of the cell above."""
    low, high, weight = _whole_axis(n, full)
    return low[first:last], high[first:last], weight[first:last]


@lru_cache(maxsize=32)
def _whole_axis(n: int, full: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """_axis of all pixels, made once for planes of one size; read-only."""
    twice = 2 * full  # places in halves of a full-resolution pixel are whole numbers: no rounding moves a cell
    place = np.clip((2 * np.arange(full, dtype=np.int64) + 1) * n - full, 0, twice * (n - 1))
    low, part = np.divmod(place, twice)
    found = low, np.minimum(low + 1, n - 1), (part / twice).astype(np.float32)
    for array in found:
        array.setflags(write=False)
    return found


def _lerp(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """a + (b - a) * weight in place of fresh arrays a and b: a constant stays that constant, bit for bit."""
    b -= a
    b *= weight
    b += a
    return b


def _as_plane(plane: np.ndarray) -> np.ndarray:
    plane = np.asarray(plane, dtype=np.float32)
    if plane.ndim != 2 or not plane.size:
        raise ValueError(f"one plane of shape (height, width) is wanted, got shape {plane.shape}")
    return plane


def _as_region(region: Sequence[int] | None, size: tuple[int, int]) -> Region:
    if region is None:
        return 0, 0, int(size[0]), int(size[1])
    top, left, bottom, right = (int(v) for v in region)
    if not (0 <= top <= bottom <= size[0] and 0 <= left <= right <= size[1]):
        raise ValueError(f"region (top, left, bottom, right) {tuple(region)} does not lie inside an image {size}")
    return top, left, bottom, right
