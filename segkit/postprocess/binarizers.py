"""Steps from probabilities to a mask: they stand in a Pipeline where the threshold stands otherwise.

Each asks only which pixels lie above a threshold. So one rule serves a full-resolution array of probabilities and a
low-resolution class map of logits, which is read region by region (geometry.resize.runs_above).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from segkit.postprocess.steps import shape_of
from segkit.rle import Runs, joined

Above = Callable[[float], Runs]
"""above(threshold): the runs, with a shape, of the pixels whose probability is strictly above it."""


def hysteresis(prob: np.ndarray, *, low: float, high: float, min_area: float = 1) -> np.ndarray:
    """Keep a component above `low` only where its confident core is large enough.

    Helps when many images lack the class, or small components are unsure.

    Args:
        prob: Probabilities, float, shape (H, W).
        low: Probability that outlines a component; pixels strictly above it count.
        high: Probability of its core; must be at least `low`.
        min_area: Smallest core of an 8-connected component, in pixels at full resolution, at least 1.

    Returns:
        Mask, bool, shape (H, W).

    Raises:
        ValueError: If low is above high, min_area is below 1, or prob is anything but probabilities.

    References:
        Canny (1986) introduced the two thresholds, with a core of one pixel.

    Example:
        >>> hysteresis(np.array([[0.9, 0.4, 0.1, 0.4]]), low=0.3, high=0.7)
        array([[ True,  True, False, False]])
    """
    return _hysteresis(_above(prob), low=low, high=high, min_area=min_area).mask()


def triplet(prob: np.ndarray, *, top: float, area: float, bottom: float) -> np.ndarray:
    """The mask above `bottom` if at least `area` pixels of the image lie above `top`, else an empty one.

    Helps when many images lack the class: `top` and `area` decide whether it is there, `bottom` how far it goes.

    Args:
        prob: Probabilities, float, shape (H, W).
        top: Probability that decides whether the class is there; pixels strictly above it count.
        area: Number of such pixels that the image must have, at full resolution, 0 or more.
        bottom: Probability that outlines the mask; at most `top`.

    Returns:
        Mask, bool, shape (H, W).

    Raises:
        ValueError: If bottom is above top, area is below 0, or prob is anything but probabilities.

    References:
        The first place of SIIM-ACR Pneumothorax Segmentation (2019).

    Example:
        >>> triplet(np.array([[0.9, 0.4, 0.1, 0.4]]), top=0.7, area=1, bottom=0.3)
        array([[ True,  True, False,  True]])
    """
    return _triplet(_above(prob), top=top, area=area, bottom=bottom).mask()


def _hysteresis(above: Above, *, low: float, high: float, min_area: float = 1) -> Runs:
    """hysteresis() on whatever knows its pixels above a threshold."""
    if low > high:
        raise ValueError(f"low={low} is above high={high}: the core must lie inside the component; swap them")
    if not min_area >= 1:
        raise ValueError(f"min_area={min_area}: expected a core of 1 pixel or more")
    core, wide = above(high), above(low)
    kept = [part for part in wide.components() if part.intersection(core) >= min_area]
    return joined(kept, shape_of(wide))


def _triplet(above: Above, *, top: float, area: float, bottom: float) -> Runs:
    """triplet() on whatever knows its pixels above a threshold."""
    if bottom > top:
        raise ValueError(f"bottom={bottom} is above top={top}: the sure pixels must lie inside the mask; swap them")
    if not area >= 0:
        raise ValueError(f"area={area}: expected a number of pixels, 0 or more")
    sure = above(top)
    return above(bottom) if sure.area >= area else Runs(np.zeros((0, 2), np.int64), shape_of(sure))


BINARIZERS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., Runs]]] = {
    "hysteresis": (hysteresis, _hysteresis),
    "triplet": (triplet, _triplet),
}
"""{name: (on an array of probabilities, on whatever knows its pixels above a threshold)}."""


def _above(prob: np.ndarray) -> Above:
    """The pixels of an array of probabilities above any threshold. ValueError for what is none."""
    prob = np.asarray(prob)
    if prob.ndim != 2 or not np.issubdtype(prob.dtype, np.floating):
        raise ValueError(f"expected float probabilities of shape (height, width), got {prob.dtype} {prob.shape}")
    if prob.size and not (prob.min() >= 0 and prob.max() <= 1):
        raise ValueError(
            f"expected probabilities in [0, 1], got {prob.min():.4g} to {prob.max():.4g}; "
            "of logits pass geometry.resize.sigmoid(logits)"
        )

    def above(threshold: float) -> Runs:
        if not 0 <= threshold <= 1:
            raise ValueError(f"expected a probability in [0, 1] as threshold, got {threshold}")
        return Runs.from_mask(prob > float(threshold))

    return above
