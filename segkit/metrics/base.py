"""What every metric can do, and those that follow from pixel counts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from segkit.metrics.counts import Counts, count
from segkit.metrics.pairs import MasksLike
from segkit.metrics.scores import Parts, Scores, mean_of_known

if TYPE_CHECKING:
    import pandas as pd

Empty = Literal["one", "zero", "skip"]
Average = Literal["image", "pooled"]


class Metric(ABC):
    """A metric: `metric(pred, truth)` is the score, the rest is what it is made of.

    A metric is a frozen dataclass whose fields are its settings; `str(metric)` is a spec that `parse` reads.

    Attributes:
        name: Name in specs, such as "dice".
        higher_is_better: Whether a higher score is a better one.
        separable: Whether the score is a mean over classes of scores that depend on one class each, so that the best
            threshold of each class can be read off its curve.
        has_counts: Whether the score follows from pixel counts.
        average: "image": the mean over images of a score each; "pooled": one score of the pixels of all images.
    """

    name: ClassVar[str]
    higher_is_better: bool = True
    separable: bool = False
    has_counts: bool = False
    average: Average = "image"

    def __call__(self, pred: MasksLike, truth: MasksLike) -> float:
        """Score predictions.

        Args:
            pred: Predicted masks: a MaskSet, or any {image: {class: Runs or mask}}.
            truth: True masks. Its images and classes are those that count; pixels of `truth.ignore(id)` count nowhere.

        Returns:
            The score: mean over classes, each averaged over images or pooled. Classes of NaN are left out.

        Raises:
            ValueError: If the prediction lacks an image or class, or a mask has another size.
        """
        return float(self.scores(pred, truth).score())

    def table(self, pred: MasksLike, truth: MasksLike) -> pd.DataFrame:
        """Score each image and class on its own.

        Args:
            pred: Predicted masks.
            truth: True masks.

        Returns:
            DataFrame, images down, classes across, in the truth's order. Where `average` is "image" the score is its
            mean over images, then over classes; NaN counts nothing.
        """
        return self.scores(pred, truth).table

    @abstractmethod
    def scores(self, pred: MasksLike, truth: MasksLike) -> Scores:
        """Score predictions in a form that can be resampled by group, see `Scores`.

        Args:
            pred: Predicted masks.
            truth: True masks.

        Returns:
            The scores, for `bootstrap`, `compare` and the choice of settings.
        """

    def counts(self, pred: MasksLike, truth: MasksLike) -> Counts:
        """Count the pixels that the score follows from.

        Args:
            pred: Predicted masks.
            truth: True masks.

        Returns:
            Counts of shape (images, classes).

        Raises:
            ValueError: If the metric needs the masks themselves.
        """
        self._need_counts()
        return count(pred, truth)

    def from_counts(self, counts: Counts) -> float | np.ndarray:
        """Compute the score from pixel counts.

        Args:
            counts: Pixel counts, shape (..., images, classes).

        Returns:
            A float, or scores of shape (...).

        Raises:
            ValueError: If the metric needs the masks themselves.
        """
        found = mean_of_known(self.per_class(counts))
        return float(found) if np.ndim(found) == 0 else found

    def per_class(self, counts: Counts) -> np.ndarray:
        """Compute the score of each class from pixel counts.

        Args:
            counts: Pixel counts, shape (..., images, classes).

        Returns:
            Scores, float, shape (..., classes); NaN for a class that nothing is known of.

        Raises:
            ValueError: If the metric needs the masks themselves.
        """
        return self.finish([part.sum(axis=-2) for part in self.parts(counts)])

    def values(self, tp: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Compute scores from pixel counts, cell by cell.

        Args:
            tp: Pixels predicted and true, any numeric dtype and shape.
            predicted: Pixels predicted, same shape.
            target: Pixels true, same shape.

        Returns:
            Scores, float64, same shape; NaN counts nothing.

        Raises:
            ValueError: If the metric needs the masks themselves.
        """
        self._need_counts()
        raise NotImplementedError

    def parts(self, counts: Counts) -> Parts:
        """Make the arrays that are added over images, see `Scores`.

        Args:
            counts: Pixel counts, shape (..., images, classes).

        Returns:
            Arrays of that shape.
        """
        self._need_counts()
        raise NotImplementedError

    def finish(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """Compute scores of classes from what `parts` adds up to.

        Args:
            parts: The sums, each of shape (..., classes).

        Returns:
            Scores, shape (..., classes).
        """
        self._need_counts()
        raise NotImplementedError

    def _need_counts(self) -> None:
        if not self.has_counts:
            raise ValueError(f"{self} needs the masks themselves: it does not follow from pixel counts")

    def __str__(self) -> str:
        """The spec: the name with the settings that are not the default."""
        settings = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)  # type: ignore[arg-type]  # every metric is a dataclass
            if getattr(self, field.name) != field.default
        ]
        return f"{self.name}({', '.join(settings)})" if settings else self.name


def check_choice(metric: Metric, setting: str, choices: Sequence[str]) -> None:
    """Check a setting of a metric.

    Args:
        metric: The metric.
        setting: Name of the setting.
        choices: What it may be.

    Raises:
        ValueError: If it is none of these.
    """
    value = getattr(metric, setting)
    if value not in choices:
        raise ValueError(f"{metric.name}: expected {setting} to be {', '.join(choices)}, got {value!r}")
