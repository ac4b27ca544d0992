"""The two kinds of metrics: those that follow from pixel counts, and those of the masks themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from segkit.masks import as_masks
from segkit.metrics.base import Empty, Metric
from segkit.metrics.counts import Counts, count
from segkit.metrics.pairs import MasksLike, Pair, pairs
from segkit.metrics.scores import Parts, Scores, mean_finish, mean_parts


class CountMetric(Metric):
    """A metric that follows from the pixel counts of each image and class: `values` is all that it adds."""

    has_counts = True
    separable = True

    def scores(self, pred: MasksLike, truth: MasksLike) -> Scores:
        """See `Metric.scores`.

        Args:
            pred: Predicted masks.
            truth: True masks.

        Returns:
            The scores.
        """
        truth = as_masks(truth)
        return Scores.from_counts(count(pred, truth), self, truth.ids, truth.classes)

    def parts(self, counts: Counts) -> Parts:
        """See `Metric.parts`.

        Args:
            counts: Pixel counts, shape (..., images, classes).

        Returns:
            Arrays of that shape.
        """
        if self.average == "pooled":
            return counts.tp, counts.predicted, counts.target
        return mean_parts(self.values(counts.tp, counts.predicted, counts.target))

    def finish(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """See `Metric.finish`.

        Args:
            parts: What `parts` adds up to, each of shape (..., classes).

        Returns:
            Scores, shape (..., classes).
        """
        return self.values(*parts) if self.average == "pooled" else mean_finish(parts)


class MaskMetric(Metric):
    """A metric of the masks themselves, image by image: `value` of two masks that are not empty is all that it adds.

    What counts where the truth is empty says `empty`. "one": the best value for an empty prediction, the worst for any
    other. "zero": the worst. "skip": nothing.
    """

    empty: Empty = "one"

    @abstractmethod
    def value(self, pair: Pair) -> float:
        """Score one image and class.

        Args:
            pair: A predicted and a true mask, neither empty.

        Returns:
            The score.
        """

    def best(self, pair: Pair) -> float:
        """Give the best value that an image can have.

        Args:
            pair: The masks of an image and class.

        Returns:
            The value.
        """
        return 1.0

    def worst(self, pair: Pair) -> float:
        """Give the worst value that an image can have.

        Args:
            pair: The masks of an image and class.

        Returns:
            The value.
        """
        return 0.0

    def scores(self, pred: MasksLike, truth: MasksLike) -> Scores:
        """See `Metric.scores`.

        Args:
            pred: Predicted masks.
            truth: True masks.

        Returns:
            The scores.
        """
        pred, truth = as_masks(pred), as_masks(truth)
        cells = np.array([self._cell(pair) for pair in pairs(pred, truth)])
        cells = cells.reshape(len(truth.ids), len(truth.classes))
        return Scores.from_cells(cells, truth.ids, truth.classes, higher_is_better=self.higher_is_better)

    def _cell(self, pair: Pair) -> float:
        if pair.truth:
            return self.value(pair) if pair.pred else self.worst(pair)
        if self.empty == "skip":
            return np.nan
        return self.best(pair) if self.empty == "one" and not pair.pred else self.worst(pair)
