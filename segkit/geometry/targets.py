"""Soft training targets from polygons or from runs, with or without a warp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.geometry.placement import intersection
from segkit.geometry.polygons import Polygon, as_polygons, covered, parts, trace
from segkit.geometry.resize import Region, coverage_of_box, full_region, low_region
from segkit.geometry.warp import Warp
from segkit.rle import Runs

Size = tuple[int, int]


def draw_soft(
    out: np.ndarray,
    region: Runs | Sequence[Polygon],
    shape: Size,
    *,
    warp: Warp | None = None,
    box: Region | None = None,
) -> None:
    """Draw the soft target of one class: the share of each low-resolution pixel that its region covers, times 255.

    Without a warp the target is exact for polygons and for runs: the full-resolution mask, averaged. Under a warp
    outlines are moved as points and drawn at full resolution, rounded to whole pixels; runs are traced first. Holes
    stay holes. Only the box around the region is ever drawn at full resolution.

    Args:
        out: uint8 (h, w) of zeros at network resolution; written in place. A channel of a target (C, h, w) will do.
        region: `Runs`, or polygons as `segkit.geometry.polygons.rasterize` takes them, in pixels of the full image.
        shape: (H, W) of the full image.
        warp: What moves the sample, drawn for the size (h, w); None leaves it in place.
        box: (top, left, bottom, right) of `out` over which the full image is stretched; default all of `out`. What of
            `out` lies outside is padding; where the box reaches beyond `out`, `out` is a window of the target.

    Raises:
        ValueError: If polygons are not (n, 2) finite numbers, or if runs, warp or box do not fit shape and `out`.

    Example:
        >>> out = np.zeros((2, 2), np.uint8)
        >>> draw_soft(out, [np.array([[0, 0], [1, 0], [1, 1], [0, 1]])], (4, 4))
        >>> out
        array([[255,   0],
               [  0,   0]], dtype=uint8)
        >>> draw_soft(out, Runs([[14, 16]]), (4, 4))
        >>> out
        array([[255,   0],
               [  0, 128]], dtype=uint8)
    """
    size, shape = (out.shape[0], out.shape[1]), (int(shape[0]), int(shape[1]))
    if isinstance(region, Runs):
        region = region.with_shape(shape)
    if box is not None and tuple(box) == (0, 0, *size):
        box = None
    if warp is not None:
        if warp.size != size:
            raise ValueError(f"expected a warp of size {size}, as the target has, got one of {warp.size}")
        polygons: Sequence[Polygon] = trace(region) if isinstance(region, Runs) else region
        if box is not None:
            polygons, shape = _placed(polygons, shape, _checked(box, size), size)
            box = None
        region = warp.polygons(polygons, shape)
    top, left, bottom, right = (0, 0, *size) if box is None else _checked(box, size)
    shown = -top, -left, size[0] - top, size[1] - left
    inside, share = _coverage(region, shape, (bottom - top, right - left), shown)
    out[inside[0] + top : inside[2] + top, inside[1] + left : inside[3] + left] = np.rint(share * 255)


def _coverage(region: Runs | Sequence[Polygon], shape: Size, size: Size, within: Region) -> tuple[Region, np.ndarray]:
    """The box of low-resolution pixels that a region reaches into, and the covered share of each."""
    if not isinstance(region, Runs):
        return covered(as_polygons(region), shape, size, within)
    box = region.box()
    pixels = None if box is None else intersection(low_region(box, shape, size), within)
    if pixels is None:
        return (0, 0, 0, 0), np.zeros((0, 0), np.float32)
    under = full_region(pixels, shape, size)
    return pixels, coverage_of_box(region.crop(*under), under[0], under[1], shape, size, pixels)


def _placed(
    polygons: Sequence[Polygon], shape: Size, box: Region, size: Size
) -> tuple[list[tuple[np.ndarray, ...]], Size]:
    """Polygons on a canvas of about full resolution that holds the padding too, and the canvas's (H, W)."""
    top, left, bottom, right = box
    inner = np.array([right - left, bottom - top])
    canvas = np.maximum(np.rint(np.array(shape[::-1]) * size[::-1] / inner), 1).astype(int)
    moved = [
        tuple(((part + 0.5) * inner / shape[::-1] + [left, top]) * canvas / size[::-1] - 0.5 for part in parts(polygon))
        for polygon in polygons
    ]
    return moved, (int(canvas[1]), int(canvas[0]))


def _checked(box: Region, size: Size) -> Region:
    """The box as integers, not empty, and somewhere on the target."""
    top, left, bottom, right = (int(v) for v in box)
    if not (top < bottom and left < right and top < size[0] and left < size[1] and bottom > 0 and right > 0):
        raise ValueError(f"box (top, left, bottom, right) {tuple(box)} holds nothing of a target {size}")
    return top, left, bottom, right
