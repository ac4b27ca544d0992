"""Polygons of an annotation -> masks, straight to the size asked for; masks -> polygons.

A polygon is an outline, an (n, 2) array of (x, y), or a tuple of arrays, the outline and its holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import cv2
import numpy as np

from segkit.geometry.placement import intersection
from segkit.geometry.resize import Region, coverage_of_box, full_region, low_region
from segkit.rle import Runs

FARTHEST = 2**20
"""Coordinates beyond this are a broken file, not an annotation that leaves its image."""

Polygon = np.ndarray | Sequence[np.ndarray]
"""An outline (n, 2) of (x, y), or an outline and its holes."""


def rasterize(
    polygons: Sequence[Polygon],
    shape: tuple[int, int],
    *,
    size: tuple[int, int] | None = None,
    soft: bool = False,
) -> np.ndarray:
    """Draw the mask of the polygons of one class, at any size.

    At full size a polygon covers what cv2.fillPoly fills, its outline and the outlines of its holes included. Several
    polygons are OR-ed. At another size the full mask is averaged over each low-resolution pixel; a hard mask keeps
    pixels that are covered by more than one half. Only the box around the polygons is drawn at full size.

    Args:
        polygons: Outlines, (n, 2) arrays of (x, y) in pixels of the full image, (0, 0) is the centre of the first
            pixel; or tuples of an outline and its holes, which are filled even-odd. Points may lie outside the image.
        shape: (H, W) of the full image.
        size: (h, w) of the result; default `shape`.
        soft: Return the covered share of each pixel instead of a hard mask.

    Returns:
        uint8 (h, w) of 0 and 1; with `soft` float32 (h, w) in [0, 1].

    Raises:
        ValueError: If an outline is not (n, 2) finite numbers.

    Example:
        >>> square = np.array([[1, 1], [4, 1], [4, 4], [1, 4]])
        >>> rasterize([square], (6, 6)).sum()
        np.uint64(16)
        >>> rasterize([square], (6, 6), size=(2, 2), soft=True)
        array([[0.44444445, 0.44444445],
               [0.44444445, 0.44444445]], dtype=float32)
    """
    drawn = as_polygons(polygons)
    height, width = int(shape[0]), int(shape[1])
    if size is None or tuple(size) == (height, width):
        mask = np.zeros((height, width), np.uint8)
        _fill(mask, drawn, 0, 0)
        return mask.astype(np.float32) if soft else mask
    size = int(size[0]), int(size[1])
    (top, left, bottom, right), share = covered(drawn, (height, width), size)
    out = np.zeros(size, np.float32 if soft else np.uint8)
    out[top:bottom, left:right] = share if soft else share > 0.5
    return out


def trace(runs: Runs) -> list[tuple[np.ndarray, ...]]:
    """Trace the outlines and holes of a mask: `rasterize` of them gives the same mask, pixel by pixel.

    Args:
        runs: A mask that knows its shape.

    Returns:
        One polygon for each 8-connected component: its outline, then its holes, int32 (n, 2) of (x, y) of pixel
        centres.

    Raises:
        ValueError: If the runs have no shape.

    Example:
        >>> mask = Runs.from_mask(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]]))
        >>> [len(part) for part in trace(mask)[0]]
        [4, 4]
    """
    box = runs.box()
    if box is None:
        return []
    crop = np.ascontiguousarray(runs.crop(*box)).view(np.uint8)
    outlines, tree = cv2.findContours(crop, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(box[1], box[0]))
    if tree is None:
        return []
    polygons = []
    for outline, (_, _, hole, parent) in zip(outlines, tree[0], strict=True):
        if parent >= 0:
            continue
        polygon = [outline[:, 0]]
        while hole >= 0:
            polygon.append(outlines[hole][:, 0])
            hole = tree[0][hole][0]
        polygons.append(tuple(polygon))
    return polygons


def as_polygons(polygons: Sequence[Polygon]) -> list[list[np.ndarray]]:
    """Check polygons and round them to pixels.

    Args:
        polygons: Outlines, or outlines with holes, as `rasterize` takes them.

    Returns:
        For each polygon its outline and its holes, int32 (n, 2).

    Raises:
        ValueError: If an outline is not (n, 2) finite numbers within +-FARTHEST.
    """
    return [[_as_outline(part) for part in parts(polygon)] for polygon in polygons]


def parts(polygon: Polygon) -> Sequence[np.ndarray]:
    """Return the outline and the holes of a polygon.

    Args:
        polygon: An outline (n, 2), or a sequence of an outline and its holes.

    Returns:
        The outline, then the holes.
    """
    if isinstance(polygon, np.ndarray) or not all(isinstance(part, np.ndarray) for part in polygon):
        return [np.asarray(polygon)]
    return polygon


def covered(
    polygons: Sequence[Sequence[np.ndarray]],
    shape: tuple[int, int],
    size: tuple[int, int],
    within: Region | None = None,
) -> tuple[Region, np.ndarray]:
    """Measure how much of each low-resolution pixel polygons cover, only where they reach.

    Args:
        polygons: Polygons from `as_polygons`.
        shape: (H, W) of the full image.
        size: (h, w) of the low resolution.
        within: (top, left, bottom, right) of low-resolution pixels, the only ones that are asked for; None for all.

    Returns:
        The box (top, left, bottom, right) of low-resolution pixels, and float32 shares of that box; an empty box where
        nothing lies inside the image.
    """
    if within is not None:  # each is drawn whole: what OpenCV clips it draws a little differently
        polygons = [one for one in polygons if _reaches(one, shape, size, within)]
    box = _box(polygons, shape)
    if box is None:
        return (0, 0, 0, 0), np.zeros((0, 0), np.float32)
    pixels = low_region(box, shape, size)
    top, left, bottom, right = full_region(pixels, shape, size)
    pixels = intersection(pixels, within) or (0, 0, 0, 0)
    drawn = np.zeros((bottom - top, right - left), np.uint8)
    _fill(drawn, polygons, top, left)
    return pixels, coverage_of_box(drawn.view(bool), top, left, shape, size, pixels)


def _reaches(polygon: Sequence[np.ndarray], shape: tuple[int, int], size: tuple[int, int], within: Region) -> bool:
    """Whether a polygon may cover anything of some low-resolution pixels."""
    box = _box([polygon], shape)
    return box is not None and intersection(low_region(box, shape, size), within) is not None


def _fill(mask: np.ndarray, polygons: Sequence[Sequence[np.ndarray]], top: int, left: int) -> None:
    """Draw polygons, one after the other: fillPoly of several at once would cut their overlap out."""
    corner = np.array([left, top], np.int32)
    for polygon in polygons:
        cv2.fillPoly(mask, [part - corner for part in polygon], 1)


def _box(polygons: Sequence[Sequence[np.ndarray]], shape: tuple[int, int]) -> Region | None:
    """The pixels (top, left, bottom, right) that polygons reach inside the image; None if none."""
    if not polygons:
        return None
    points = np.concatenate([part for polygon in polygons for part in polygon])
    left, top = np.maximum(points.min(axis=0), 0)
    right, bottom = np.minimum(points.max(axis=0) + 1, (shape[1], shape[0]))
    return (int(top), int(left), int(bottom), int(right)) if top < bottom and left < right else None


def _as_outline(points: np.ndarray) -> np.ndarray:
    """Points rounded to pixels."""
    return np.rint(_checked(points)).astype(np.int32)


def _checked(points: np.ndarray) -> np.ndarray:
    """A read-only view of finite points."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.issubdtype(points.dtype, np.number):
        raise ValueError(f"expected a polygon of numbers of shape (points, 2), got {points.dtype} {points.shape}")
    if not np.isfinite(points).all() or np.abs(points).max() > FARTHEST:
        raise ValueError(f"a polygon has a point outside +-{FARTHEST} pixels or not finite")
    if len(points) > 2000 and (rows := _row_crossings(points)) > 1.5 * np.prod(np.ptp(points, axis=0) + 1) + 1e5:
        raise ValueError(
            f"a polygon of {len(points)} points crosses {rows:.0f} rows, more than its box has pixels: the file is "
            "broken, and to draw it would take minutes"
        )
    points = points.view()
    points.setflags(write=False)
    return points


def _row_crossings(points: np.ndarray) -> float:
    """How many rows the edges cross, each edge for itself; of an outline that does not overlap itself about its box."""
    return float(np.abs(np.diff(points[:, 1].astype(np.float64))).sum())


class Polygons(Sequence[tuple[np.ndarray, ...]]):
    """The polygons of one class in one image, a value: a sequence of tuples, each an outline and its holes.

    Args:
        outlines: Outlines or tuples of an outline and its holes, integer or float, as `rasterize` takes them.
        holes: For each outline its holes, where `outlines` has none.

    Raises:
        ValueError: If an outline or hole is not (n, 2) finite numbers, or `holes` has another length.

    Example:
        >>> square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
        >>> Polygons([square], [[square // 2 + 1]]).runs((5, 5)).area
        24
    """

    __slots__ = ("_polygons",)

    def __init__(self, outlines: Sequence[Polygon] = (), holes: Sequence[Sequence[np.ndarray]] | None = None) -> None:
        given = [parts(polygon) for polygon in outlines]
        if holes is not None:
            if len(holes) != len(given):
                raise ValueError(f"expected the holes of {len(given)} outlines, got those of {len(holes)}")
            given = [[*polygon, *more] for polygon, more in zip(given, holes)]
        self._polygons = tuple(tuple(_checked(part) for part in polygon) for polygon in given)

    @classmethod
    def from_runs(cls, runs: Runs) -> Polygons:
        """The polygons that `trace` finds, which stand for a mask exactly.

        Args:
            runs: A mask with a shape.

        Returns:
            The polygons.
        """
        return cls(trace(runs))

    @property
    def outlines(self) -> tuple[np.ndarray, ...]:
        """The outlines, read-only arrays."""
        return tuple(polygon[0] for polygon in self._polygons)

    @property
    def holes(self) -> tuple[tuple[np.ndarray, ...], ...]:
        """For each outline the tuple of its holes."""
        return tuple(polygon[1:] for polygon in self._polygons)

    def runs(self, shape: tuple[int, int]) -> Runs:
        """The mask at full size, as `rasterize` draws it.

        Args:
            shape: (height, width) of the image.

        Returns:
            Runs of that shape.
        """
        drawn = as_polygons(self._polygons)
        box = _box(drawn, shape)
        if box is None:
            return Runs(np.zeros((0, 2), np.int64), shape)
        mask = np.zeros((box[2] - box[0], box[3] - box[1]), np.uint8)
        _fill(mask, drawn, box[0], box[1])
        return Runs.from_region(mask.view(bool), box[0], box[1], shape)

    @overload
    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[tuple[np.ndarray, ...], ...]: ...
    def __getitem__(self, index: int | slice) -> tuple[np.ndarray, ...] | tuple[tuple[np.ndarray, ...], ...]:
        return self._polygons[index]

    def __len__(self) -> int:
        return len(self._polygons)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Polygons) or [*map(len, self)] != [*map(len, other)]:
            return False
        return all(np.array_equal(a, b) for mine, theirs in zip(self, other) for a, b in zip(mine, theirs))

    def __hash__(self) -> int:
        return hash(tuple(part.astype(np.float64).tobytes() for polygon in self for part in polygon))
