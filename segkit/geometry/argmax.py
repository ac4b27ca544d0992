"""The class of every pixel at full resolution, from class maps at network resolution.

Exact: the same, bit for bit, as upsampling every class with `resize.upsample` and taking `np.argmax`. A bilinear value
is a mean of the four low-resolution pixels around it. So where one class is highest at all four, it is highest
everywhere between them, and nothing is upsampled. What is left are the strips along borders between classes, and there
only the classes that can win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from segkit.geometry import resize
from segkit.geometry.resize import Region
from segkit.rle import Runs

STRIP = 2**23
"""Pixels of the label map that are in memory at a time."""
BATCH = 2**16
"""Values that are upsampled at a time."""
MARGIN = np.float32(2.0**-18)
"""Share of the largest value by which a class must win, so that rounding cannot change the winner.

Six roundings of at most 2**-24 of twice that value, for each of two classes, are below 2**-19 of it.
"""


def label_map(
    logits: np.ndarray,
    size: tuple[int, int],
    *,
    offsets: Sequence[float] | np.ndarray | None = None,
    region: Region | None = None,
) -> np.ndarray:
    """The highest class of every pixel at full resolution.

    Args:
        logits: Class maps, float, shape (C, h, w).
        size: (H, W) of the image that the maps are stretched over.
        offsets: What is added to the logits of each class before they are compared, shape (C,); None for 0.
        region: (top, left, bottom, right) in full-resolution pixels; None for the whole image.

    Returns:
        Channel numbers, uint8 (uint16 above 256 classes), shape (H, W) or the region's: equal, bit for bit, to that
        part of `np.argmax` over the classes of `resize.upsample(logits[c] + offsets[c], size)`. Ties go to the lowest
        channel.

    Raises:
        ValueError: If the maps are not (C, h, w) and finite, the offsets are not C finite numbers, or the region lies
            outside the image.

    Example:
        >>> label_map(np.array([[[1.0, 0.0]], [[0.0, 1.0]]]), (1, 4))
        array([[0, 0, 1, 1]], dtype=uint8)
    """
    maps = _as_maps(logits, offsets)
    return _Cells(maps).labels(size, resize.as_region(region, size))


def argmax_runs(
    class_maps: Mapping[str, np.ndarray], size: tuple[int, int], *, offsets: Mapping[str, float] | None = None
) -> dict[str, Runs]:
    """The masks of exclusive classes at full resolution: each pixel belongs to its highest class.

    The label map is made in strips of rows, so that memory does not grow with the image.

    Args:
        class_maps: {class: logits}, float, each of shape (h, w).
        size: (H, W) of the image.
        offsets: {class: what is added to its logits}; classes without one get 0.

    Returns:
        {class: Runs}, in the order of `class_maps`; every pixel is in exactly one of them.

    Raises:
        ValueError: If maps differ in shape, values are not finite, or an offset names no class.

    Example:
        >>> masks = argmax_runs({"a": np.array([[1.0, 0.0]]), "b": np.array([[0.0, 0.5]])}, (1, 4))
        >>> masks["a"].array.tolist(), masks["b"].array.tolist()
        ([[0, 2]], [[2, 4]])
    """
    classes, offsets = tuple(class_maps), offsets or {}
    if unknown := [cls for cls in offsets if cls not in class_maps]:
        raise ValueError(f"expected offsets of {', '.join(classes)}, got one of {', '.join(unknown)}")
    shapes = {cls: np.shape(plane) for cls, plane in class_maps.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"expected class maps of one shape (h, w), got {shapes}")
    shift = [offsets.get(cls, 0.0) for cls in classes] if any(offsets.values()) else None
    maps = _as_maps(np.stack(list(class_maps.values())), shift)
    height, width = int(size[0]), int(size[1])
    cells, step = _Cells(maps), max(1, STRIP // max(1, width))
    parts: list[list[np.ndarray]] = [[] for _ in classes]
    for top in range(0, height, step):
        strip = cells.labels(size, (top, 0, min(top + step, height), width))
        for part, runs in zip(parts, runs_of_labels(strip, len(classes))):
            part.append(runs + top * width)
    return {cls: Runs(np.concatenate(part), (height, width)) for cls, part in zip(classes, parts)}


def runs_of_labels(labels: np.ndarray, count: int) -> list[np.ndarray]:
    """The runs of each number of a label map, row-major.

    Args:
        labels: Channel numbers, unsigned integer, shape (H, W).
        count: How many numbers are looked for: 0 to count - 1; others are in no run.

    Returns:
        `count` arrays of half-open runs, int64, each of shape (n, 2): what `Runs(array, shape)` takes.

    Example:
        >>> [runs.tolist() for runs in runs_of_labels(np.array([[0, 1], [1, 0]], np.uint8), 2)]
        [[[0, 1], [3, 4]], [[1, 3]]]
    """
    flat = labels.ravel()
    if not flat.size:
        return [np.zeros((0, 2), np.int64) for _ in range(count)]
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    numbers = flat[edges[:-1]]
    order = np.argsort(numbers, kind="stable")
    pairs = np.stack([edges[:-1], edges[1:]], axis=1)[order]
    ends = np.searchsorted(numbers[order], np.arange(count + 1))
    return [pairs[first:last] for first, last in pairwise(ends)]


class _Cells:
    """The squares between low-resolution pixels (i, j), (i, j + 1), (i + 1, j) and (i + 1, j + 1)."""

    def __init__(self, maps: np.ndarray) -> None:
        self.maps = maps
        count, self.height, self.width = maps.shape
        self.dtype = np.uint8 if count <= 256 else np.uint16
        highest = maps.max(axis=0)
        ends = highest.max(), maps.min()
        if not np.isfinite(ends).all():
            raise ValueError("expected finite class maps, got NaN or infinity")
        self.margin = MARGIN * np.abs(ends).max()
        self.first = np.zeros(highest.shape, self.dtype)
        found, several = (np.zeros(highest.shape, bool) for _ in range(2))
        enough = highest - self.margin
        for number, class_map in enumerate(maps):
            near = class_map >= enough
            np.maximum(self.first, near * self.dtype(number), out=self.first)
            several |= found & near
            found |= near
        below, right = self._next(self.height), self._next(self.width)
        same = ~(several | several[below]) & (self.first == self.first[below])
        self.certain = same & same[:, right] & (self.first == self.first[:, right])

    @staticmethod
    def _next(n: int) -> np.ndarray:
        return np.minimum(np.arange(1, n + 1), n - 1)

    def labels(self, size: tuple[int, int], region: Region) -> np.ndarray:
        """The label map of a region."""
        top, left, bottom, right = region
        rows = _Blocks(*resize.axis(self.height, size[0], top, bottom), size[0], self.height)
        columns = _Blocks(*resize.axis(self.width, size[1], left, right), size[1], self.width)
        if not rows.pixels or not columns.pixels:
            return np.zeros((rows.pixels, columns.pixels), self.dtype)
        coarse = self.first[rows.low][:, columns.low]
        labels = coarse[:, columns.block][rows.block]
        down, across = np.nonzero(~self.certain[rows.low][:, columns.low])
        per_batch = max(1, BATCH // (rows.most * columns.most))
        for begin in range(0, len(down), per_batch):
            part = slice(begin, begin + per_batch)
            self._fill(labels, rows, columns, down[part], across[part])
        return labels

    def _fill(self, labels: np.ndarray, rows: _Blocks, columns: _Blocks, down: np.ndarray, across: np.ndarray) -> None:
        """Upsample the classes that can win in these blocks, and write the winners; blocks are the last axis."""
        y0, y1, x0, x1 = rows.low[down], rows.high[down], columns.low[across], columns.high[across]
        corners = np.stack([y * self.width + x for y in (y0, y1) for x in (x0, x1)])
        flat = self.maps.reshape(len(self.maps), -1)
        values = np.stack([flat.take(corner, axis=1, mode="clip") for corner in corners])  # (4, C, n)
        able = self._able(values, self.first.ravel()[corners])
        counts = able.sum(axis=0, dtype=self.dtype)
        for many in np.flatnonzero(np.bincount(counts)):
            which = np.flatnonzero(counts == many)
            chosen = (np.flatnonzero(able.T[which]) % len(able)).reshape(-1, many).T  # classes, ascending
            y, x = rows.at[:, down[which]], columns.at[:, across[which]]
            down_weight, right_weight = rows.weight[y][:, None], columns.weight[x]
            best = winner = None
            for number in chosen:
                v = values.reshape(4, -1).take(number * len(down) + which, axis=1)
                value = _lerp(_lerp(v[0], v[1], right_weight), _lerp(v[2], v[3], right_weight), down_weight)
                if best is None or winner is None:
                    best, winner = value, np.broadcast_to(number.astype(self.dtype), value.shape)
                else:
                    winner = np.where(value > best, number.astype(self.dtype), winner)
                    np.maximum(best, value, out=best)
            labels.ravel()[(y * labels.shape[1])[:, None] + x] = winner

    def _able(self, values: np.ndarray, winners: np.ndarray) -> np.ndarray:
        """(C, n) bool: the classes that can win; values: (4, C, n); winners: (4, n) highest class of each corner.

        A class that another one beats at all four corners cannot. Two of the corners' winners are asked, which are
        nearly always all there are.
        """
        able, blocks = np.ones(values.shape[1:], bool), np.arange(values.shape[2])
        other = winners[3]
        for corner in (2, 1):
            other = np.where(winners[corner] != winners[0], winners[corner], other)
        for winner in (winners[0], other):
            place, beaten = winner.astype(np.intp) * len(blocks) + blocks, np.ones_like(able)
            for corner in values:
                beaten &= corner < corner.take(place) - self.margin
            able &= ~beaten
        return able


class _Blocks:
    """The pixels of one axis in blocks: those of a block lie between the same two low-resolution pixels.

    low, high: those two, (blocks,); block: of each pixel; at: (most, blocks) its pixels, the last one repeated.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, weight: np.ndarray, full: int, n: int) -> None:
        self.weight, self.pixels = weight, len(low)
        if not self.pixels:
            return
        most = -(-full // n)
        number = np.arange(self.pixels)
        starts = np.flatnonzero(np.concatenate([[True], low[1:] != low[:-1]]))
        since = number - np.repeat(starts, np.diff(starts, append=self.pixels))
        starts = np.flatnonzero(since % most == 0)  # the half low-resolution pixel at either end is a block of its own
        ends = np.append(starts[1:], self.pixels)
        self.low, self.high = low[starts], high[starts]
        self.block = np.repeat(np.arange(len(starts)), ends - starts)
        self.most = int((ends - starts).max())
        self.at = np.minimum(starts + np.arange(self.most)[:, None], ends - 1)


def _lerp(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Linear interpolation, rounded as `resize.upsample` rounds it."""
    step = (b - a) * weight
    step += a
    return step


def _as_maps(logits: np.ndarray, offsets: Sequence[float] | np.ndarray | None) -> np.ndarray:
    """float32 (C, h, w), contiguous, with the offsets added."""
    maps = np.ascontiguousarray(logits, dtype=np.float32)
    if maps.ndim != 3 or not maps.size or len(maps) > 2**16:
        raise ValueError(f"expected class maps of shape (C, h, w), got {maps.shape}")
    if offsets is not None:
        shift = np.asarray(offsets, dtype=np.float32)
        if shift.shape != (len(maps),) or not np.isfinite(shift).all():
            raise ValueError(f"expected {len(maps)} finite offsets, one per class, got {offsets}")
        maps = maps + shift[:, None, None]
    return maps
