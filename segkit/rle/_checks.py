"""What is taken for a mask and a shape, and the errors where something else comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def as_mask(mask: np.ndarray) -> np.ndarray:
    """A (H, W) mask as bool; ValueError for another shape and for floats."""
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"expected a mask of shape (height, width), got shape {mask.shape}")
    if mask.dtype == bool:
        return mask
    if not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f"expected a bool or integer mask, got {mask.dtype}; threshold it first, e.g. probs > 0.5")
    return mask != 0


def as_shape(shape: Sequence[int]) -> tuple[int, int]:
    """A shape as (height, width) of Python integers."""
    try:
        height, width = map(int, shape)
        if height >= 0 <= width and (height, width) == tuple(shape):
            return height, width
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"expected a shape (height, width) of integers, got {shape!r}")


def known_shape(shape: tuple[int, int] | None, what: str) -> tuple[int, int]:
    """The shape; ValueError where there is none but `what` needs it."""
    if shape is None:
        raise ValueError(f"these runs have no shape, {what} needs it: pass runs.with_shape((height, width))")
    return shape


def same_shape(shapes: Iterable[tuple[int, int] | None]) -> tuple[int, int] | None:
    """The one shape among them, None where none is known."""
    known = {shape for shape in shapes if shape is not None}
    if len(known) > 1:
        raise ValueError(f"masks of different shapes cannot be combined: {sorted(known)}")
    return known.pop() if known else None
