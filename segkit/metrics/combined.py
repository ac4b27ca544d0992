"""A weighted sum of metrics, as some competitions score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from segkit.metrics.base import Metric
from segkit.metrics.counts import Counts
from segkit.metrics.pairs import MasksLike
from segkit.metrics.scores import Parts, Scores

Finish = Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclass(frozen=True, init=False)
class Combined(Metric):
    """A weighted sum of metrics, class by class, such as .4 Dice + .6 Hausdorff (UW-Madison GI tract).

    Its spec is a sum: "0.4 * dice + 0.6 * hausdorff(normalized=True)". It has counts, and is separable, where all of
    its metrics are.

    Args:
        weights: {metric: weight}, weights above 0. Of all metrics higher must be better.

    Example:
        >>> from segkit.metrics import Dice, IoU
        >>> both = Combined({Dice(): 0.4, IoU(average="pooled"): 0.6})
        >>> str(both), both.separable
        ("0.4 * dice + 0.6 * iou(average='pooled')", True)
    """

    terms: tuple[tuple[Metric, float], ...] = field(default=())

    name: ClassVar[str] = "combined"

    def __init__(self, weights: Mapping[Metric, float]) -> None:
        """Check the weights."""
        terms = tuple((metric, float(weight)) for metric, weight in dict(weights).items())
        if not terms or not all(np.isfinite(weight) and weight > 0 for _, weight in terms):
            raise ValueError(f"combined: expected one metric or more with weights above 0, got {weights}")
        if sums := [str(metric) for metric, _ in terms if isinstance(metric, Combined)]:
            raise ValueError(f"combined: expected single metrics, got the sum {sums[0]}")
        if lower := [str(metric) for metric, _ in terms if not metric.higher_is_better]:
            raise ValueError(
                f"combined: expected metrics of which higher is better, got {', '.join(lower)}; "
                "of a distance take hausdorff(normalized=True)"
            )
        metrics = [metric for metric, _ in terms]
        settings = {
            "terms": terms,
            "has_counts": all(metric.has_counts for metric in metrics),
            "separable": all(metric.separable for metric in metrics),
            "average": "image" if all(metric.average == "image" for metric in metrics) else "pooled",
        }
        for key, value in settings.items():
            object.__setattr__(self, key, value)

    def scores(self, pred: MasksLike, truth: MasksLike) -> Scores:
        """See `Metric.scores`.

        Args:
            pred: Predicted masks.
            truth: True masks.

        Returns:
            The scores.
        """
        found = [metric.scores(pred, truth) for metric, _ in self.terms]
        finishers = [(scores.finish, len(scores.parts)) for scores in found]
        return Scores(
            found[0].ids,
            found[0].classes,
            tuple(part for scores in found for part in scores.parts),
            lambda parts: self._sum(_finish(finishers, parts)),
            self._sum([scores.cells for scores in found]),
            next((scores.target for scores in found if scores.target is not None), None),
        )

    def values(self, tp: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See `Metric.values`.

        Args:
            tp: Pixels predicted and true.
            predicted: Pixels predicted.
            target: Pixels true.

        Returns:
            Scores, same shape; NaN counts nothing.
        """
        return self._sum([metric.values(tp, predicted, target) for metric, _ in self.terms])

    def parts(self, counts: Counts) -> Parts:
        """See `Metric.parts`.

        Args:
            counts: Pixel counts, shape (..., images, classes).

        Returns:
            Arrays of that shape.
        """
        return tuple(part for metric, _ in self.terms for part in metric.parts(counts))

    def finish(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """See `Metric.finish`.

        Args:
            parts: What `parts` adds up to, each of shape (..., classes).

        Returns:
            Scores, shape (..., classes).
        """
        finishers = [(metric.finish, 3 if metric.average == "pooled" else 2) for metric, _ in self.terms]
        return self._sum(_finish(finishers, parts))

    def _sum(self, values: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(sum(weight * value for (_, weight), value in zip(self.terms, values)))

    def __str__(self) -> str:
        """The spec, a sum of specs."""
        return " + ".join(f"{weight!r} * {metric}" for metric, weight in self.terms)


def _finish(finishers: Sequence[tuple[Finish, int]], parts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores of classes of each metric; each takes as many of the parts as it has."""
    out, start = [], 0
    for finish, size in finishers:
        out.append(finish(parts[start : start + size]))
        start += size
    return out
