"""The (n, 2) arrays behind Runs: half-open, sorted and apart, int64. Checked, joined, counted, weighed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def checked(array: ArrayLike, shape: tuple[int, int] | None) -> np.ndarray:
    """Any integers of shape (n, 2) as runs; ValueError where they are unsorted, overlap, are empty or end outside."""
    given = np.asarray(array)
    if given.size and (given.ndim != 2 or given.shape[1] != 2 or not np.issubdtype(given.dtype, np.integer)):
        raise ValueError(f"expected integer runs of shape (n, 2), got {given.dtype} {given.shape}")
    runs = np.array(given, dtype=np.int64).reshape(-1, 2)
    if not runs.size:
        return runs
    bad = np.flatnonzero(runs[:, 1] <= runs[:, 0])
    if bad.size:
        raise ValueError(f"run {bad[0]} is {runs[bad[0]].tolist()}: a run needs start < end")
    if runs[0, 0] < 0:
        raise ValueError(f"the first run starts at {runs[0, 0]}: runs start at 0 or later")
    bad = np.flatnonzero(runs[1:, 0] < runs[:-1, 1])
    if bad.size:
        a, b = runs[bad[0]].tolist(), runs[bad[0] + 1].tolist()
        kind = "unsorted" if b[0] < a[0] else "overlapping"
        raise ValueError(f"runs {bad[0]} and {bad[0] + 1} are {kind}: {a} then {b}")
    if shape is not None and runs[-1, 1] > shape[0] * shape[1]:
        raise ValueError(f"the last run ends at {runs[-1, 1]}, past the {shape[0] * shape[1]} pixels of {shape}")
    return join_touching(runs)


def join_touching(runs: np.ndarray) -> np.ndarray:
    """Sorted runs that do not overlap, those that touch made one."""
    apart = np.ones(len(runs) + 1, bool)
    np.not_equal(runs[1:, 0], runs[:-1, 1], out=apart[1:-1])
    if apart.all():
        return runs
    return np.stack([runs[apart[:-1], 0], runs[apart[1:], 1]], axis=1)


def from_counts(counts: np.ndarray) -> np.ndarray:
    """The runs of alternating counts that begin with the zeros."""
    edges = counts.cumsum(dtype=np.int64)
    return edges[: len(edges) // 2 * 2].reshape(-1, 2)


def between(runs: np.ndarray, end: int) -> np.ndarray:
    """Every edge with the image's own: 0, start, end, start, end, ..., end of the image."""
    edges = np.empty(runs.size + 2, np.int64)
    edges[0], edges[1:-1], edges[-1] = 0, runs.ravel(), end
    return edges


def together(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """All runs of arrays that do not overlap one another: every edge but those where one ends as another begins."""
    edges = np.sort(np.concatenate(arrays, axis=None))
    alone = np.ones(len(edges) + 1, bool)
    np.not_equal(edges[1:], edges[:-1], out=alone[1:-1])
    return edges[alone[1:] & alone[:-1]].reshape(-1, 2)


def common(a: np.ndarray, b: np.ndarray) -> int:
    """Pixels that both cover, without building the common runs."""
    few, many = (a, b) if len(a) <= len(b) else (b, a)
    if not len(few):
        return 0
    lengths = many[:, 1] - many[:, 0]
    before = np.cumsum(lengths) - lengths
    at = np.searchsorted(many[:, 0], few, side="right")  # runs of `many` that start at or before the edge
    last = np.maximum(at - 1, 0)
    covered = before[last] + np.clip(few - many[last, 0], 0, lengths[last])
    return int((covered[:, 1] - covered[:, 0]).sum())


def weighed(arrays: Sequence[np.ndarray], weights: Sequence[float], need: float) -> np.ndarray:
    """The runs of the pixels where the weights of the covering runs add up to at least `need`."""
    edges = np.concatenate(arrays).ravel()
    steps = np.repeat(np.asarray(weights, np.float64), [a.size for a in arrays])
    steps[1::2] *= -1
    order = np.argsort(edges, kind="stable")
    edges, total = edges[order], np.cumsum(steps[order])
    last = np.ones(len(edges), bool)
    np.not_equal(edges[1:], edges[:-1], out=last[:-1])
    edges, inside = edges[last], total[last] >= need * (1 - 1e-9)  # sums of .1 fall short of 1
    change = inside.copy()
    np.not_equal(inside[1:], inside[:-1], out=change[1:])
    return edges[change].reshape(-1, 2)


def placed(runs: np.ndarray, inside: tuple[int, int], top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
    """Runs of a region of shape `inside`, no run longer than its row, as runs of an image of `shape`."""
    rows, columns = np.divmod(runs, inside[1])
    return (rows + top) * shape[1] + columns + left


def between_rows(runs: np.ndarray, top: int, bottom: int, width: int) -> np.ndarray:
    """The part of runs that lies in rows top to bottom, counted from the first pixel of row top."""
    low, high = top * width, bottom * width
    first, last = np.searchsorted(runs[:, 1], low, side="right"), np.searchsorted(runs[:, 0], high)
    return np.clip(runs[first:last], low, high) - low


def bounds(runs: np.ndarray, width: int) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of the smallest box that holds every pixel of runs that are not empty."""
    rows, columns = np.divmod(runs - [0, 1], width)
    top, bottom = int(rows[0, 0]), int(rows[-1, 1]) + 1
    if (rows[:, 0] != rows[:, 1]).any():  # a run that goes on in the next row reaches both edges
        return top, 0, bottom, width
    return top, int(columns[:, 0].min()), bottom, int(columns[:, 1].max()) + 1
