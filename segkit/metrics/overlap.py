"""Dice, IoU, F-beta and mean IoU: scores of how far two masks overlap, from pixel counts."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segkit.metrics.base import Average, Empty, check_choice
from segkit.metrics.kinds import CountMetric
from segkit.rle import EPSILON

Quotient = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Overlap(CountMetric):
    """A quotient of counts with EPSILON in both parts, and a rule for classes that the truth lacks."""

    empty: Empty = "one"
    average: Average = "image"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_choice(self, "empty", ("one", "zero", "skip"))
        check_choice(self, "average", ("image", "pooled"))

    @abstractmethod
    def _quotient(self, tp: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> Quotient:
        """Numerator and denominator without EPSILON."""

    def values(self, tp: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Metric.values`.

        Args:
            tp: Pixels predicted and true.
            predicted: Pixels predicted.
            target: Pixels true.

        Returns:
            Scores, same shape; NaN counts nothing.
        """
        above, below = self._quotient(tp, predicted, target)
        found = (above + EPSILON) / (below + EPSILON)
        if self.empty == "one":
            return found
        return np.where(np.asarray(target) == 0, np.nan if self.empty == "skip" else 0.0, found)


@dataclass(frozen=True)
class Dice(_Overlap):
    """Dice: (2 tp + 1e-4) / (predicted + target + 1e-4).

    Args:
        empty: What counts where the truth is empty. "one": the formula, so an empty prediction scores 1 and any other
            nearly 0. "zero": 0. "skip": nothing ("over the images that have the class").
        average: "image": the mean over images, then over classes. "pooled": one Dice of the pixels of all images for
            each class, then the mean over classes.

    Example:
        >>> guess, truth = {"a": {"x": np.array([[1, 1, 0]])}}, {"a": {"x": np.array([[0, 1, 1]])}}
        >>> round(Dice()(guess, truth), 4)
        0.5
        >>> str(Dice(average="pooled"))
        "dice(average='pooled')"
    """

    name: ClassVar[str] = "dice"

    def _quotient(self, tp: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> Quotient:
        return 2 * tp, predicted + target


@dataclass(frozen=True)
class IoU(_Overlap):
    """Intersection over union (Jaccard): (tp + 1e-4) / (predicted + target - tp + 1e-4).

    Args:
        empty: As for Dice.
        average: As for Dice.

    Example:
        >>> round(IoU()({"a": {"x": np.array([[1, 1, 0]])}}, {"a": {"x": np.array([[0, 1, 1]])}}), 4)
        0.3334
    """

    name: ClassVar[str] = "iou"

    def _quotient(self, tp: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> Quotient:
        return tp, predicted + target - tp


@dataclass(frozen=True)
class FBeta(_Overlap):
    """F-beta: ((1 + b²) tp + 1e-4) / (predicted + b² target + 1e-4).

    Args:
        empty: As for Dice.
        average: As for Dice.
        beta: Weight of recall against precision: .5 favours precision, 2 recall; 1 is Dice.

    Example:
        >>> guess, truth = {"a": {"x": np.array([[1, 0, 0]])}}, {"a": {"x": np.array([[1, 1, 1]])}}
        >>> [round(FBeta(beta=beta)(guess, truth), 3) for beta in (0.5, 1, 2)]
        [0.714, 0.5, 0.385]
    """

    beta: float = 1.0

    name: ClassVar[str] = "fbeta"

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if isinstance(self.beta, bool) or not isinstance(self.beta, int | float) or not 0 < self.beta < math.inf:
            raise ValueError(f"fbeta: expected beta to be a number above 0, got {self.beta!r}")

    def _quotient(self, tp: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> Quotient:
        square = self.beta**2
        return (1 + square) * tp, predicted + square * target


@dataclass(frozen=True)
class MeanIoU(CountMetric):
    """Mean IoU of classes that exclude each other, as street and land-cover scenes are scored.

    The pixels of all images are pooled; a class that is neither true nor predicted anywhere is left out of the mean,
    one that is predicted but never true scores 0. Pixels of `truth.ignore(id)` count nowhere.

    Not separable: where each pixel has one class, what one class gains another loses, so thresholds cannot be chosen
    class by class. For classes that may overlap use IoU(empty="skip", average="pooled").

    Args:
        average: "pooled", or "image": a mean IoU of each class over the images in which it occurs.

    Example:
        >>> guess = {"a": {"road": np.array([[1, 1, 0, 0]]), "sky": np.array([[0, 0, 1, 1]])}}
        >>> truth = {"a": {"road": np.array([[1, 0, 0, 0]]), "sky": np.array([[0, 1, 1, 1]])}}
        >>> round(MeanIoU()(guess, truth), 4)  # (1 / 2 + 2 / 3) / 2
        0.5833
    """

    average: Average = "pooled"

    name: ClassVar[str] = "mean_iou"
    separable = False

    def __post_init__(self) -> None:
        """Check the settings."""
        check_choice(self, "average", ("image", "pooled"))

    def values(self, tp: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Metric.values`.

        Args:
            tp: Pixels predicted and true.
            predicted: Pixels predicted.
            target: Pixels true.

        Returns:
            Scores, same shape; NaN counts nothing.
        """
        union = np.asarray(predicted + target - tp, np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(union > 0, tp / union, np.nan)
