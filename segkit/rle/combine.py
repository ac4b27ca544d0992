"""Several masks into one: parts that lie apart, and votes."""

from __future__ import annotations

from collections.abc import Sequence

from segkit.rle._arrays import together, weighed
from segkit.rle._checks import same_shape
from segkit.rle._text import NO_RUNS
from segkit.rle.runs import Runs


def joined(parts: Sequence[Runs], shape: tuple[int, int] | None = None) -> Runs:
    """The pixels of masks that do not overlap one another, such as components and holes.

    Args:
        parts: The masks; of none, the result is empty.
        shape: (height, width) of the result where the parts know none.

    Returns:
        Their union.

    Example:
        >>> joined([Runs([[4, 5]]), Runs([[0, 2]])]).array.tolist()
        [[0, 2], [4, 5]]
    """
    if len(parts) == 1:
        return parts[0]
    shape = same_shape(part.shape for part in parts) or shape
    return Runs._trusted(together([part.array for part in parts]) if parts else NO_RUNS.copy(), shape)


def at_least(masks: Sequence[Runs], need: float, weights: Sequence[float] | None = None) -> Runs:
    """Pixels where the masks that are set weigh `need` or more: a vote.

    Args:
        masks: One at least.
        need: The weight a pixel needs, above 0.
        weights: One a mask, 0 or more; default 1 each.

    Returns:
        The pixels that pass.

    Raises:
        ValueError: For no masks, other weights, a need of 0, or masks of different shapes.

    Example:
        >>> at_least([Runs([[0, 4]]), Runs([[2, 6]]), Runs([[3, 9]])], 2).array.tolist()
        [[2, 6]]
    """
    if not masks:
        raise ValueError("a vote needs at least one mask")
    weights = [1.0] * len(masks) if weights is None else list(weights)
    if len(weights) != len(masks) or not all(w >= 0 for w in weights):
        raise ValueError(f"expected {len(masks)} weights of 0 or more, one a mask, got {weights}")
    if not need > 0:
        raise ValueError(f"expected need above 0, or every pixel would pass, got need={need}")
    shape = same_shape(mask.shape for mask in masks)
    return Runs._trusted(weighed([mask.array for mask in masks], weights, need), shape)
