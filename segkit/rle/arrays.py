"""The (n, 2) arrays behind Runs: half-open, sorted and apart, int64. Joined, counted, weighed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def join_touching(runs: np.ndarray) -> np.ndarray:
    """Sorted runs that do not overlap, those that touch made one."""
    touching = runs[1:, 0] == runs[:-1, 1]
    if not touching.any():
        return runs
    return np.stack([runs[np.r_[True, ~touching], 0], runs[np.r_[~touching, True], 1]], axis=1)


def from_counts(counts: np.ndarray) -> np.ndarray:
    """The runs of alternating counts that begin with the zeros."""
    edges = np.cumsum(counts, dtype=np.int64)
    return edges[: len(edges) // 2 * 2].reshape(-1, 2)


def common(a: np.ndarray, b: np.ndarray) -> int:
    """Pixels that both cover, without building the common runs."""
    few, many = sorted((a, b), key=len)
    if not len(few):
        return 0
    lengths = many[:, 1] - many[:, 0]
    before = np.r_[0, np.cumsum(lengths)]
    at = np.searchsorted(many[:, 0], few, side="right")  # runs of `many` that start at or before the edge
    last = np.maximum(at - 1, 0)
    covered = before[last] + np.clip(few - many[last, 0], 0, lengths[last])
    return int((covered[:, 1] - covered[:, 0]).sum())


def weighed(arrays: Sequence[np.ndarray], weights: Sequence[float], need: float) -> np.ndarray:
    """The runs of the pixels where the weights of the covering runs add up to at least `need`."""
    edges = np.concatenate([a.ravel() for a in arrays])
    steps = np.concatenate([np.tile([w, -w], len(a)) for a, w in zip(arrays, weights)])
    order = np.argsort(edges, kind="stable")
    edges, total = edges[order], np.cumsum(steps[order])
    last = np.r_[edges[1:] != edges[:-1], True] if edges.size else np.zeros(0, bool)
    edges, inside = edges[last], total[last] >= need * (1 - 1e-9)  # sums of .1 fall short of 1
    change = np.flatnonzero(np.diff(np.r_[False, inside].astype(np.int8)))
    return np.ascontiguousarray(edges[change].reshape(-1, 2))
