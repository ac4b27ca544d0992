"""Points of annotation files: checked, and brought to pixels."""

from __future__ import annotations

import numpy as np

from segkit.geometry.polygons import FARTHEST
from segkit.samples.source import Size


def as_points(points: object, where: str) -> np.ndarray:
    """Points of an annotation file, checked.

    Args:
        points: [[x, y], ...].
        where: What errors call them.

    Returns:
        float64 (n, 2).

    Raises:
        ValueError: If they are no finite points; names `where`.
    """
    try:
        outline = np.array(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        outline = np.zeros(0)
    if outline.ndim != 2 or outline.shape[1] != 2 or not len(outline):
        raise ValueError(f"{where}: expected points [[x, y], ...]")
    if not np.isfinite(outline).all() or np.abs(outline).max() > FARTHEST:
        raise ValueError(f"{where}: a point is not finite or beyond +-{FARTHEST} pixels")
    return outline


def containing_pixels(points: object, where: str, size: Size | None = None) -> np.ndarray:
    """The pixels that points lie in: places in the picture, where pixel k reaches from k to k + 1.

    Args:
        points: [[x, y], ...].
        where: What errors call them.
        size: (height, width) of the picture: a point on its far edge lies in the last pixel.

    Returns:
        int32 (n, 2).

    Example:
        >>> containing_pixels([[0.5, 1.99], [3, 4], [5.2, 0]], "x", (4, 6)).tolist()
        [[0, 1], [3, 3], [5, 0]]
    """
    places = as_points(points, where) + 1e-6  # 3 / 640 * 640 falls short of 3
    pixels = np.floor(places).astype(np.int32)
    if size is not None:
        edge = np.array(size[::-1])
        pixels -= (pixels == edge) & (places < edge + 1e-3)
    return pixels
