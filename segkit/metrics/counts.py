"""Pixel counts of every image and class: all that Dice, IoU and F-beta need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segkit.masks import as_masks
from segkit.metrics.pairs import MasksLike, pairs


@dataclass(frozen=True, eq=False)
class Counts:
    """Pixels of each image and class, full size, ignored ones left out.

    Attributes:
        tp: Pixels that are predicted and true, int64, shape (..., images, classes).
        predicted: Pixels that are predicted, same dtype and shape.
        target: Pixels that are true, same dtype and shape.

    Example:
        >>> a = Counts([[3]], [[4]], [[5]])
        >>> (a + a).tp.tolist(), a.subset([0, 0]).pooled().target.tolist()
        ([[6]], [[10]])
    """

    tp: np.ndarray
    predicted: np.ndarray
    target: np.ndarray

    def __post_init__(self) -> None:
        """Convert to int64 of one shape, and check that the numbers are possible."""
        arrays = [np.asarray(a) for a in (self.tp, self.predicted, self.target)]
        if any(a.size and not np.issubdtype(a.dtype, np.integer) for a in arrays):
            raise ValueError(f"expected integer counts, got {', '.join(str(a.dtype) for a in arrays)}")
        shapes = [a.shape for a in arrays]
        if len(set(shapes)) != 1 or len(shapes[0]) < 2:
            raise ValueError(f"expected three arrays of one shape (..., images, classes), got {shapes}")
        tp, predicted, target = (a.astype(np.int64, copy=False) for a in arrays)
        if (tp < 0).any() or (tp > predicted).any() or (tp > target).any():
            raise ValueError("expected 0 <= tp <= predicted and tp <= target for every image and class")
        for name, array in (("tp", tp), ("predicted", predicted), ("target", target)):
            object.__setattr__(self, name, array)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (..., images, classes) of the three arrays."""
        return self.tp.shape

    @property
    def never_predicted(self) -> np.ndarray:
        """Whether a class is true in some image and predicted in none, bool, shape (..., classes).

        Dice with empty="one" of a rare class is often highest so: say it loudly.
        """
        return np.asarray((self.target > 0).any(axis=-2) & ~(self.predicted > 0).any(axis=-2))

    def __add__(self, other: Counts) -> Counts:
        """Add the counts of two parts of the same images, such as tiles."""
        return Counts(self.tp + other.tp, self.predicted + other.predicted, self.target + other.target)

    def subset(self, rows: Sequence[int] | np.ndarray) -> Counts:
        """Take the counts of some images.

        Args:
            rows: Places of the images, or a bool array, shape (images,).

        Returns:
            Counts of shape (..., len(rows), classes).
        """
        return Counts(*(a[..., rows, :] for a in (self.tp, self.predicted, self.target)))

    def pooled(self) -> Counts:
        """Add over all images, as if they were one: shape (..., 1, classes)."""
        return Counts(*(a.sum(axis=-2, keepdims=True) for a in (self.tp, self.predicted, self.target)))


def count(pred: MasksLike, truth: MasksLike) -> Counts:
    """Count pixels of predictions against truth, in run space: no full-size array is made.

    Args:
        pred: Predicted masks: a MaskSet, or any {image: {class: Runs or mask}}.
        truth: True masks; its images and classes, in its order, are those that count. Pixels of `truth.ignore(id)`
            count nowhere.

    Returns:
        Counts of shape (images, classes).

    Raises:
        ValueError: If the prediction lacks an image or class, or a mask has another size.

    Example:
        >>> count({"a": {"x": np.array([[1, 1, 0]])}}, {"a": {"x": np.array([[0, 1, 1]])}}).tp.tolist()
        [[1]]
    """
    truth = as_masks(truth)
    rows = [(p.pred.intersection(p.truth), p.pred.area, p.truth.area) for p in pairs(pred, truth)]
    table = np.array(rows, np.int64).reshape(len(truth.ids), len(truth.classes), 3)
    return Counts(table[..., 0], table[..., 1], table[..., 2])
