"""What submissions score that look at no image: the floor that a score must be seen beside."""

from __future__ import annotations

from segkit.masks import MaskSet, as_masks
from segkit.metrics.base import Metric
from segkit.metrics.pairs import MasksLike
from segkit.rle import Runs


def empty_score(metric: Metric, truth: MasksLike) -> float:
    """Score a submission that predicts nothing. Where most images lack the classes it may be hard to beat.

    Args:
        metric: The metric.
        truth: True masks.

    Returns:
        The score.

    Example:
        >>> import numpy as np
        >>> from segkit.metrics import Dice
        >>> empty_score(Dice(), {name: {"x": np.zeros((2, 2), bool)} for name in "ab"})
        1.0
    """
    truth = as_masks(truth)
    return metric(MaskSet(truth.ids, truth.classes, lambda image, cls: Runs([])), truth)


def full_score(metric: Metric, truth: MasksLike) -> float:
    """Score a submission that predicts every pixel.

    Args:
        metric: The metric.
        truth: True masks.

    Returns:
        The score; NaN where the truth does not know the size of an image.
    """
    truth = as_masks(truth)
    sizes = {image: truth.sizes.get(image) for image in truth.ids}
    if None in sizes.values():
        return float("nan")

    def full(image: str, cls: str) -> Runs:
        height, width = sizes[image]  # type: ignore[misc]  # none is None
        return Runs([[0, height * width]], (height, width))

    return metric(MaskSet(truth.ids, truth.classes, full), truth)
