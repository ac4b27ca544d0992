"""COCO polygons as COCO's own tools draw them, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.rle import Runs, at_least
from segkit.samples.source import Size

SCALE = 5
"""An outline is followed in fifths of a pixel."""


def draw_coco(outlines: Sequence[np.ndarray], size: Size) -> Runs:
    """The union of outlines whose coordinates are places in the picture: pixel k reaches from k to k + 1.

    Equals pycocotools (`frPyObjects` and `merge`): a pixel is set where its centre lies inside, so that cv2.fillPoly,
    which sets every pixel that the outline touches, would make each object half a pixel wider on every side.

    Args:
        outlines: Arrays (n, 2) of (x, y).
        size: (height, width) of the image.

    Returns:
        The mask.
    """
    height, width = size
    drawn = []
    for outline in outlines:
        edges = np.sort(_crossings(outline, height, width))
        edges = edges if len(edges) % 2 == 0 else np.append(edges, height * width)
        edges, times = np.unique(edges, return_counts=True)  # two crossings of one place cancel out
        columns = edges[times % 2 == 1].reshape(-1, 2)
        drawn.append(Runs(columns, (width, height)).transpose())
    return at_least(drawn, 1) if drawn else Runs(np.zeros((0, 2), np.int64), size)


def _crossings(outline: np.ndarray, height: int, width: int) -> np.ndarray:
    """Where, column by column, the outline goes in or out: pixels counted down the columns."""
    corner = np.trunc(SCALE * outline + 0.5).astype(np.int64)
    start, step = corner, np.roll(corner, -1, axis=0) - corner
    long = np.abs(step).max(axis=1)
    edge = np.repeat(np.arange(len(long)), long + 1)
    at = np.arange(len(edge)) - np.repeat(np.cumsum(long + 1) - (long + 1), long + 1)
    wide = np.abs(step[:, 0]) >= np.abs(step[:, 1])
    along = np.where(wide, 0, 1)
    back = step[np.arange(len(step)), along] < 0  # an edge is followed from its smaller end, as COCO does
    first = np.where(back[:, None], start + step, start)
    ahead = np.where(back[:, None], -step, step)
    slope = ahead[np.arange(len(step)), 1 - along] / np.maximum(long, 1)
    place = np.where(back[edge], long[edge] - at, at)
    main = first[edge, along[edge]] + place
    other = np.trunc(first[edge, 1 - along[edge]] + slope[edge] * place + 0.5).astype(np.int64)
    x, y = np.where(wide[edge], main, other), np.where(wide[edge], other, main)
    turned = np.flatnonzero(x[1:] != x[:-1]) + 1
    column = (np.minimum(x[turned], x[turned - 1]) + 0.5) / SCALE - 0.5
    row = np.ceil(np.clip((np.minimum(y[turned], y[turned - 1]) + 0.5) / SCALE - 0.5, 0, height))
    inside = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    return (column[inside] * height + row[inside]).astype(np.int64)
