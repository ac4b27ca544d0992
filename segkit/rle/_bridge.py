"""The one place that knows rlemasklib: (n, 2) arrays of runs to its masks and back.

rlemasklib stores masks column by column; a row-major mask is to it the transposed image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rlemasklib import RLEMask

from segkit.rle._arrays import between, from_counts


def encoded(mask: np.ndarray) -> np.ndarray:
    """The runs of a bool mask (H, W)."""
    return from_counts(RLEMask.from_array(np.ascontiguousarray(mask).view(np.uint8).T).counts_view)


def decoded(runs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The bool mask (H, W) of runs."""
    return _rlemask(runs, shape).to_array().T.view(bool)


def transposed(runs: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The runs of the transposed image."""
    return from_counts(_rlemask(runs, shape).T.counts_view)


def components(
    runs: np.ndarray,
    shape: tuple[int, int],
    connectivity: int,
    keep: Callable[[np.ndarray], np.ndarray] | None,
) -> list[np.ndarray]:
    """The runs of each connected part whose area `keep` accepts, in the order of their first pixels."""
    accept = None if keep is None else lambda areas, boxes, centroids: keep(areas)
    return _parts(_rlemask(runs, shape), connectivity, accept)


def holes(runs: np.ndarray, shape: tuple[int, int], max_area: float | None) -> list[np.ndarray]:
    """The runs of each 4-connected part of the background that does not touch the image's edge."""
    height, width = shape

    def accept(areas: np.ndarray, boxes: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        top, left, high, wide = boxes.T  # x is the row here: the mask is the transposed image's
        found = (top > 0) & (left > 0) & (top + high < height) & (left + wide < width)
        return found if max_area is None else found & (areas <= max_area)

    return _parts(_rlemask(runs, shape).complement(inplace=True), 4, accept)


def _rlemask(runs: np.ndarray, shape: tuple[int, int]) -> RLEMask:
    """The transposed image's mask."""
    height, width = shape
    edges = between(runs, height * width)
    counts = (edges[1:] - edges[:-1]).astype(np.uint32)
    return RLEMask.from_counts(counts, shape=(width, height), validate_sum=False)


def _parts(mask: RLEMask, connectivity: int, accept: Callable[..., np.ndarray] | None) -> list[np.ndarray]:
    """The parts that `accept` takes by (areas, boxes, centroids), in the order of their first pixels."""
    found = mask.connected_components(connectivity=connectivity, filter_fn=accept)
    parts = [from_counts(part.counts_view) for part in found]
    return sorted(parts, key=lambda part: int(part[0, 0])) if len(parts) > 1 else parts
