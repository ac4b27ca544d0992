"""What must be said beside a tuned score: what predicting nothing scores, and which classes are predicted nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segkit.metrics import Counts, Metric


def cautions(counts: Counts, classes: Sequence[str], metric: Metric, *, full_score: float = np.nan) -> list[str]:
    """Lines to print beside a tuned setting's score.

    Where most images lack a class, a metric that gives 1 to an empty prediction of an empty truth is highest where
    nothing is predicted: a setting may then be kept that has given up a class.

    Args:
        counts: Pixel counts of the setting, shape (images, classes).
        classes: Class names.
        metric: What was tuned.
        full_score: What predicting every pixel scores, where that is known.

    Returns:
        One line with the score of an empty (and of a full) submission, and one for each class that is there and
        predicted in no image.

    Example:
        >>> from segkit.metrics import Dice
        >>> for line in cautions(Counts([[0], [0]], [[0], [0]], [[0], [9]]), ["crack"], Dice()):
        ...     print(line)
        an empty submission scores 0.5000
        WARNING: crack is predicted in no image; it is in 1 of 2
    """
    lines = []
    if metric.has_counts:
        nothing = np.zeros_like(counts.target)
        empty = f"an empty submission scores {metric.from_counts(Counts(nothing, nothing, counts.target)):.4f}"
        lines.append(empty if full_score != full_score else f"{empty}, a full one {full_score:.4f}")
    for cls, predicted, target in zip(classes, counts.predicted.T, counts.target.T):
        if not predicted.any() and target.any():
            there = np.count_nonzero(target)
            lines.append(f"WARNING: {cls} is predicted in no image; it is in {there} of {len(target)}")
    return lines
