"""Surface Dice and Hausdorff distance: scores of how far two outlines lie apart, in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from segkit.metrics.base import Empty, check_choice
from segkit.metrics.kinds import MaskMetric
from segkit.metrics.pairs import Pair

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


@dataclass(frozen=True)
class SurfaceDice(MaskMetric):
    """Share of both outlines that lies within a tolerance of the other (normalised surface Dice).

    An outline is the pixels of a mask with a 4-neighbour outside it; beyond the image's edge is outside. Nikolov and
    others (2018); values equal MONAI's compute_surface_dice. Each image and class on its own, in two dimensions.

    Args:
        empty: What counts where the truth is empty, see `MaskMetric`.
        tolerance: Largest distance that counts as agreement, in pixels at full resolution, 0 or more.

    Example:
        >>> truth, guess = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
        >>> truth[2:6, 2:6], guess[2:6, 3:7] = True, True
        >>> [round(SurfaceDice(tolerance=t)({"a": {"x": guess}}, {"a": {"x": truth}}), 3) for t in (0, 1)]
        [0.5, 1.0]
    """

    empty: Empty = "one"
    tolerance: float = 1.0

    name: ClassVar[str] = "surface_dice"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_choice(self, "empty", ("one", "zero", "skip"))
        _check_number(self.name, "tolerance", self.tolerance, math.inf)

    def value(self, pair: Pair) -> float:
        """See `MaskMetric.value`.

        Args:
            pair: A predicted and a true mask, neither empty.

        Returns:
            The value.
        """
        both = surface_distances(pair)
        return sum(int((each <= self.tolerance).sum()) for each in both) / sum(len(each) for each in both)


@dataclass(frozen=True)
class Hausdorff(MaskMetric):
    """Hausdorff distance of the outlines, in pixels at full resolution: lower is better.

    Of the distances of each outline's pixels to the other outline the percentile, then the larger of both. Outlines as
    for SurfaceDice; values equal MONAI's compute_hausdorff_distance. Where one mask is empty the distance is the
    image's diagonal, where both are it is 0. Each image and class on its own, in two dimensions: of a competition that
    scores volumes (UW-Madison) it is an approximation.

    Args:
        empty: What counts where the truth is empty, see `MaskMetric`.
        percentile: 100 is the largest distance, 95 the usual choice that forgives a few pixels.
        normalized: Give 1 - distance / diagonal instead, in [0, 1], of which higher is better, for `Combined`.

    Example:
        >>> truth, guess = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
        >>> truth[2:6, 2:6], guess[2:6, 4:8] = True, True
        >>> Hausdorff()({"a": {"x": guess}}, {"a": {"x": truth}})
        2.0
    """

    empty: Empty = "one"
    percentile: float = 100.0
    normalized: bool = False

    name: ClassVar[str] = "hausdorff"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_choice(self, "empty", ("one", "zero", "skip"))
        _check_number(self.name, "percentile", self.percentile, 100)
        if not isinstance(self.normalized, bool):
            raise ValueError(f"hausdorff: expected normalized to be True or False, got {self.normalized!r}")
        object.__setattr__(self, "higher_is_better", self.normalized)

    def value(self, pair: Pair) -> float:
        """See `MaskMetric.value`.

        Args:
            pair: A predicted and a true mask, neither empty.

        Returns:
            The value.
        """
        distance = max(float(np.percentile(each, self.percentile)) for each in surface_distances(pair))
        return self._scored(distance, pair)

    def best(self, pair: Pair) -> float:
        """See `MaskMetric.best`.

        Args:
            pair: The masks of an image and class.

        Returns:
            The value.
        """
        return 1.0 if self.normalized else 0.0

    def worst(self, pair: Pair) -> float:
        """See `MaskMetric.worst`.

        Args:
            pair: The masks of an image and class.

        Returns:
            The value.
        """
        return self._scored(math.hypot(*pair.shape), pair)

    def _scored(self, distance: float, pair: Pair) -> float:
        return 1 - distance / math.hypot(*pair.shape) if self.normalized else distance


def surface_distances(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Measure how far two outlines lie apart.

    Args:
        pair: A predicted and a true mask, neither empty.

    Returns:
        Distance of each pixel of the predicted outline to the true one, and the other way round, float32, in pixels.
    """
    masks = [mask.with_shape(pair.shape) for mask in (pair.pred, pair.truth)]
    boxes = np.array([mask.box() for mask in masks])
    (top, left), (bottom, right) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    pred, truth = (_outline(mask.crop(top, left, bottom, right)) for mask in masks)
    return _distances(pred, truth), _distances(truth, pred)


def _outline(mask: np.ndarray) -> np.ndarray:
    inside = cv2.erode(mask.view(np.uint8), CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (inside == 0)


def _distances(outline: np.ndarray, other: np.ndarray) -> np.ndarray:
    return cv2.distanceTransform((~other).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[outline]


def _check_number(name: str, setting: str, value: object, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"{name}: expected {setting} to be a number from 0 to {most:g}, got {value!r}")
