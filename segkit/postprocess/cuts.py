"""Steps from probabilities to a mask: they stand in a Pipeline where the threshold stands otherwise.

Each asks only which pixels lie above a threshold. So one rule serves a full-resolution array of probabilities, cut by
itself, and a low-resolution plane of logits, cut region by region (grid.runs_above).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from segkit.postprocess.steps import _shape
from segkit.rle import Runs, joined

Above = Callable[[float], Runs]
"""above(threshold): the runs, with a shape, of the pixels whose probability is strictly above it."""


def hysteresis(prob: np.ndarray, *, low: float, high: float, min_area: float = 1) -> np.ndarray:
    """Keep a `low` component only where its confident core is big enough.

    prob: (H, W) float in [0, 1]; low, high: probabilities, pixels strictly above are meant; min_area: pixels of an
    8-connected `low` component that must lie above `high`, at full resolution -> bool (H, W).
    ValueError where low > high, min_area < 1, or prob is something else. Helps when many images lack the class, or
    specks are unsure. After Canny (1986), who asked for a core of one pixel.

    >>> hysteresis(np.array([[0.9, 0.4, 0.1, 0.4]]), low=0.3, high=0.7)
    array([[ True,  True, False, False]])
    """
    return _hysteresis(_above(prob), low=low, high=high, min_area=min_area).mask()


def triplet(prob: np.ndarray, *, top: float, area: float, bottom: float) -> np.ndarray:
    """The mask above `bottom` if at least `area` pixels of the image lie above `top`, else nothing.

    prob: (H, W) float in [0, 1]; top, bottom: probabilities, pixels strictly above are meant; area: pixels at full
    resolution -> bool (H, W). ValueError where bottom > top, area < 0, or prob is something else. Helps when many
    images lack the class: `top` and `area` decide whether it is there, `bottom` how far it goes. From the first place
    of SIIM-ACR Pneumothorax Segmentation (2019).

    >>> triplet(np.array([[0.9, 0.4, 0.1, 0.4]]), top=0.7, area=1, bottom=0.3)
    array([[ True,  True, False,  True]])
    """
    return _triplet(_above(prob), top=top, area=area, bottom=bottom).mask()


def _hysteresis(above: Above, *, low: float, high: float, min_area: float = 1) -> Runs:
    if low > high:
        raise ValueError(f"low={low} is above high={high}: the core must lie inside the component; swap them")
    if not min_area >= 1:
        raise ValueError(f"min_area={min_area}: a core of 1 pixel or more is wanted")
    core, wide = above(high), above(low)
    kept = [part for part in wide.components() if part.intersection(core) >= min_area]
    return joined(kept, _shape(wide))


def _triplet(above: Above, *, top: float, area: float, bottom: float) -> Runs:
    if bottom > top:
        raise ValueError(f"bottom={bottom} is above top={top}: what decides must lie inside the mask; swap them")
    if not area >= 0:
        raise ValueError(f"area={area}: pixels, 0 or more, are wanted")
    seen = above(top)
    return above(bottom) if seen.area >= area else Runs(np.zeros((0, 2), np.int64), _shape(seen))


CUTS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., Runs]]] = {
    "hysteresis": (hysteresis, _hysteresis),
    "triplet": (triplet, _triplet),
}
"""name -> (on an array of probabilities, on whatever knows its pixels above a threshold)."""


def _above(prob: Any) -> Above:
    prob = np.asarray(prob)
    if prob.ndim != 2 or not np.issubdtype(prob.dtype, np.floating):
        raise ValueError(f"float probabilities of shape (height, width) are wanted, got {prob.dtype} {prob.shape}")
    if prob.size and not (prob.min() >= 0 and prob.max() <= 1):
        raise ValueError(
            f"probabilities in [0, 1] are wanted, got {prob.min():.4g} to {prob.max():.4g}; "
            "of logits pass grid.sigmoid(logits)"
        )
    return lambda threshold: Runs.from_mask(prob > _probability(threshold))


def _probability(threshold: float) -> float:
    if not 0 <= threshold <= 1:
        raise ValueError(f"a probability in [0, 1] is wanted as threshold, got {threshold}")
    return float(threshold)
