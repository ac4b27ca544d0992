"""Rings of an annotation -> masks, straight to the size asked for."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segkit.geometry import resize

FARTHEST = 2**20
"""Coordinates beyond this are a broken file, not an annotation that leaves its image."""


def rasterize(
    rings: Sequence[np.ndarray],
    shape: tuple[int, int],
    *,
    size: tuple[int, int] | None = None,
    soft: bool = False,
) -> np.ndarray:
    """The mask that the rings of one class stand for, at any size.

    rings: (n, 2) arrays of (x, y) in pixels of the full image, OR-ed (never assigned, never even-odd); points may
    lie outside the image. shape: (H, W) of the full image; size: (h, w) wanted, default `shape`.
    -> hard: uint8 (h, w) of 0 and 1; soft: float32 (h, w) in [0, 1], the share of each cell that is covered.
    At full size a ring covers what cv2.fillPoly fills, its outline included: that is how the competition draws its
    truth. At another size the mask is averaged over each cell; hard keeps cells strictly above one half.
    Only the box around the rings is ever drawn at full size. ValueError for a ring that is not (n, 2) finite numbers.

    >>> square = np.array([[1, 1], [4, 1], [4, 4], [1, 4]])
    >>> rasterize([square], (6, 6)).sum()
    np.uint64(16)
    >>> rasterize([square], (6, 6), size=(2, 2), soft=True)
    array([[0.44444445, 0.44444445],
           [0.44444445, 0.44444445]], dtype=float32)
    """
    rings = [_as_ring(ring) for ring in rings]
    height, width = int(shape[0]), int(shape[1])
    if size is None or tuple(size) == (height, width):
        mask = np.zeros((height, width), np.uint8)
        _fill(mask, rings, 0, 0)
        return mask.astype(np.float32) if soft else mask
    size = int(size[0]), int(size[1])
    (top, left, bottom, right), share = _covered(rings, (height, width), size)
    out = np.zeros(size, np.float32 if soft else np.uint8)
    out[top:bottom, left:right] = share if soft else share > 0.5
    return out


def draw_soft(out: np.ndarray, rings: Sequence[np.ndarray], shape: tuple[int, int]) -> None:
    """rasterize(rings, shape, size=out.shape, soft=True) in 1/255, into `out`, a uint8 (h, w) of zeros.

    What a dataset does for each class: no float plane of the whole grid is made.

    >>> plane = np.zeros((2, 2), np.uint8)
    >>> draw_soft(plane, [np.array([[0, 0], [1, 0], [1, 1], [0, 1]])], (4, 4))
    >>> plane
    array([[255,   0],
           [  0,   0]], dtype=uint8)
    """
    (top, left, bottom, right), share = _covered([_as_ring(ring) for ring in rings], shape, out.shape)
    out[top:bottom, left:right] = np.rint(share * 255)


def _covered(
    rings: Sequence[np.ndarray], shape: tuple[int, int], size: tuple[int, int]
) -> tuple[resize.Region, np.ndarray]:
    """The cells that rings reach into, and how much of each they cover, float32; no cell where they reach none."""
    box = _box(rings, shape)
    if box is None:
        return (0, 0, 0, 0), np.zeros((0, 0), np.float32)
    cells = resize.cells_touched(box, shape, size)
    top, left, bottom, right = resize.pixels_under(cells, shape, size)
    drawn = np.zeros((bottom - top, right - left), np.uint8)
    _fill(drawn, rings, top, left)
    return cells, resize.coverage_of_box(drawn.view(bool), top, left, shape, size, cells)


def _fill(mask: np.ndarray, rings: Sequence[np.ndarray], top: int, left: int) -> None:
    for ring in rings:  # each by itself: fillPoly of several rings at once is even-odd and cuts their overlap out
        cv2.fillPoly(mask, [ring - np.array([left, top], np.int32)], 1)


def _box(rings: Sequence[np.ndarray], shape: tuple[int, int]) -> resize.Region | None:
    """The pixels (top, left, bottom, right) that the rings reach inside the image; None if none."""
    if not rings:
        return None
    points = np.concatenate(rings)
    left, top = np.maximum(points.min(axis=0), 0)
    right, bottom = np.minimum(points.max(axis=0) + 1, (shape[1], shape[0]))
    return (int(top), int(left), int(bottom), int(right)) if top < bottom and left < right else None


def _as_ring(ring: np.ndarray) -> np.ndarray:
    ring = np.asarray(ring)
    if ring.ndim != 2 or ring.shape[1] != 2 or not len(ring) or not np.issubdtype(ring.dtype, np.number):
        raise ValueError(f"a ring of numbers of shape (points, 2) is wanted, got {ring.dtype} {ring.shape}")
    if not np.isfinite(ring).all() or np.abs(ring).max() > FARTHEST:
        raise ValueError(f"a ring has a point outside +-{FARTHEST} pixels or not finite")
    return np.rint(ring).astype(np.int32)
