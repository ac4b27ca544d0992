"""Where masks lie and how they overlap, answered on runs: no full-resolution array is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from segkit.rle import Runs


class Moments(NamedTuple):
    """Area (px), centroid (px, pixel centres at whole numbers) and covariance (px^2) of one mask."""

    area: int
    x: float
    y: float
    xx: float
    xy: float
    yy: float


def moments(runs: Runs, width: int) -> Moments:
    """Exact moments of a mask in an image `width` pixels wide; the place of an empty mask is NaN.

    A run is a difference of two prefixes of the image, and the sums over a prefix have a closed form.

    Args:
        runs: The mask.
        width: Of the image, px.

    Returns:
        The moments.

    Raises:
        ValueError: For a width below 1.

    Example:
        >>> moments(Runs([[1, 4]]), width=10)
        Moments(area=3, x=2.0, y=0.0, xx=0.66..., xy=0.0, yy=0.0)
    """
    if width < 1:
        raise ValueError(f"width={width}: expected the image's width in pixels, at least 1")
    area = runs.area
    if not area:
        return Moments(0, *[float("nan")] * 5)
    before = [_prefix_sums(edges, width) for edges in (runs.array[:, 0], runs.array[:, 1])]
    x, y, xx, xy, yy = (int((b - a).sum()) / area for a, b in zip(*before))
    return Moments(area, x, y, xx - x * x, xy - x * y, yy - y * y)


def _prefix_sums(n: np.ndarray, width: int) -> tuple[np.ndarray, ...]:
    """Sums of x, y, x^2, xy and y^2 over the first n pixels in row-major order, int64."""
    rows, rest = np.divmod(n, width)
    line, part = width * (width - 1) // 2, rest * (rest - 1) // 2
    rows_sum, rows_squared = rows * (rows - 1) // 2, (rows - 1) * rows * (2 * rows - 1) // 6
    return (
        rows * line + part,
        rows_sum * width + rows * rest,
        rows * ((width - 1) * width * (2 * width - 1) // 6) + (rest - 1) * rest * (2 * rest - 1) // 6,
        rows_sum * line + rows * part,
        rows_squared * width + rows * rows * rest,
    )


def intersections(masks: Mapping[str, Runs], classes: Sequence[str]) -> tuple[np.ndarray, int, int]:
    """Count the common pixels of every two classes of one image, by one sweep over all edges.

    Args:
        masks: {class: Runs} of one image.
        classes: Class names, C of them.

    Returns:
        Common pixels, int64 (C, C), areas on the diagonal; pixels with at least one label; pixels with two or more.

    Example:
        >>> a, b = Runs([[0, 4]]), Runs([[3, 6]])
        >>> common, labelled, shared = intersections({"a": a, "b": b}, ["a", "b"])
        >>> common.tolist(), labelled, shared
        ([[4, 1], [1, 3]], 6, 1)
    """
    arrays = [masks[cls].array for cls in classes]
    edges = np.concatenate([np.zeros(0, np.int64), *[a.ravel() for a in arrays]])
    owner = np.repeat(np.arange(len(classes)), [2 * len(a) for a in arrays])
    steps = np.zeros((len(edges), len(classes)), np.int8)
    steps[np.arange(len(edges)), owner] = np.concatenate([[], *[np.tile([1, -1], len(a)) for a in arrays]])
    order = np.argsort(edges, kind="stable")
    lengths = np.diff(edges[order], append=edges.max(initial=0))
    inside = np.cumsum(steps[order], axis=0, dtype=np.int8)
    used = lengths > 0  # between equal edges a run may end before its touching neighbour begins
    inside, lengths = inside[used].astype(np.float64), lengths[used]
    common = (inside * lengths[:, None]).T @ inside  # exact: whole numbers far below 2^53
    labels = inside.sum(axis=1)
    return common.astype(np.int64), int(lengths[labels >= 1].sum()), int(lengths[labels >= 2].sum())
