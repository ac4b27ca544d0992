"""Scores that can be resampled: what every interval, comparison and choice of settings is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from segkit.metrics.base import Metric
    from segkit.metrics.counts import Counts

Parts = tuple[np.ndarray, ...]
"""What is added over images, each (..., classes) once it is added."""

Index = list[int] | tuple[slice, list[int]]


@dataclass(frozen=True, eq=False)
class Scores:
    """The score of a set of images, in a form that any weights of the images can be put on.

    A score is made in three steps: add `parts` over the images, `finish` the sums to a score for each class, take the
    mean over the classes that have one (not NaN). A table image x class (a mean over images) and pooled pixel counts
    (Dice of all images as one) both have this form; `bootstrap` and `compare` know no other.

    Attributes:
        ids: Image ids.
        classes: Class names.
        parts: Arrays that are added over images, each of shape (images, classes).
        finish: From sums (arrays of shape (..., classes)) to scores of classes, shape (..., classes).
        cells: Score of each image and class on its own, float, shape (images, classes); NaN counts nothing. For a
            pooled metric its mean is not the score.
        target: True pixels, shape (images, classes), where the scores come from counts, else None.
        higher_is_better: Whether a higher score is a better one.

    Example:
        >>> import pandas as pd
        >>> found = Scores.from_table(pd.DataFrame({"x": [0.5, 1.0]}, index=["a", "b"]))
        >>> found.score(), float(found.score(np.array([1, 3])))
        (0.75, 0.875)
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    parts: Parts
    finish: Callable[[Sequence[np.ndarray]], np.ndarray]
    cells: np.ndarray
    target: np.ndarray | None = None
    higher_is_better: bool = True

    @classmethod
    def from_table(cls, table: pd.DataFrame, *, higher_is_better: bool = True) -> Scores:
        """Make the scores whose score is the mean over images, then over classes.

        Args:
            table: Scores, images down, classes across; NaN counts nothing.
            higher_is_better: Whether a higher score is a better one.

        Returns:
            The scores.
        """
        return cls.from_cells(table.to_numpy(np.float64), table.index, table.columns, higher_is_better=higher_is_better)

    @classmethod
    def from_cells(
        cls, cells: np.ndarray, ids: Iterable[str], classes: Iterable[str], *, higher_is_better: bool = True
    ) -> Scores:
        """Make the scores of `from_table` from an array.

        Args:
            cells: Score of each image and class, float, shape (images, classes); NaN counts nothing.
            ids: Image ids.
            classes: Class names.
            higher_is_better: Whether a higher score is a better one.

        Returns:
            The scores.
        """
        return cls(tuple(ids), tuple(classes), mean_parts(cells), mean_finish, cells, None, higher_is_better)

    @classmethod
    def from_counts(cls, counts: Counts, metric: Metric, ids: Iterable[str], classes: Iterable[str]) -> Scores:
        """Make the scores of a metric from pixel counts, pooled or as a mean over images as the metric says.

        Args:
            counts: Pixel counts, shape (images, classes).
            metric: A metric that has counts, such as Dice().
            ids: Image ids, in the order of the counts.
            classes: Class names, in the order of the counts.

        Returns:
            The scores.

        Raises:
            ValueError: If the counts are of another number of images or classes.
        """
        ids, classes = tuple(ids), tuple(classes)
        if counts.shape != (len(ids), len(classes)):
            raise ValueError(f"expected counts of shape {(len(ids), len(classes))}, got {counts.shape}")
        cells = metric.values(counts.tp, counts.predicted, counts.target)
        return cls(ids, classes, metric.parts(counts), metric.finish, cells, counts.target, metric.higher_is_better)

    @property
    def table(self) -> pd.DataFrame:
        """`cells` as a DataFrame, images down, classes across."""
        import pandas as pd

        return pd.DataFrame(self.cells, index=pd.Index(self.ids, name="image_name"), columns=list(self.classes))

    def per_class(self, weights: np.ndarray | None = None) -> np.ndarray:
        """Compute the score of each class.

        Args:
            weights: How often each image counts, shape (..., images); by default once.

        Returns:
            Scores, float, shape (..., classes); NaN for a class that nothing is known of.
        """
        if weights is None:
            return self.finish([part.sum(axis=0) for part in self.parts])
        return self.finish([np.asarray(weights) @ part for part in self.parts])

    @overload
    def score(self) -> float: ...
    @overload
    def score(self, weights: np.ndarray) -> np.ndarray: ...
    def score(self, weights: np.ndarray | None = None) -> float | np.ndarray:
        """Compute the mean over classes of `per_class`.

        Args:
            weights: How often each image counts, shape (..., images); by default once.

        Returns:
            A float, or with weights an array of shape (...).
        """
        found = mean_of_known(self.per_class(weights))
        return float(found) if weights is None else found

    def subset(self, ids: Iterable[str]) -> Scores:
        """Take the scores of some images.

        Args:
            ids: Image ids, in the order that is wanted.

        Returns:
            Their scores.

        Raises:
            ValueError: If an id is unknown.
        """
        ids = tuple(ids)
        return replace(self._take(_places(ids, self.ids, "images")), ids=ids)

    def select(self, classes: Iterable[str]) -> Scores:
        """Take the scores of some classes.

        Args:
            classes: Class names, in the order that is wanted.

        Returns:
            Their scores.

        Raises:
            ValueError: If a class is unknown.
        """
        classes = tuple(classes)
        return replace(self._take((slice(None), _places(classes, self.classes, "classes"))), classes=classes)

    def _take(self, where: Index) -> Scores:
        target = None if self.target is None else self.target[where]
        return replace(self, parts=tuple(part[where] for part in self.parts), cells=self.cells[where], target=target)


def _places(wanted: Sequence[str], known: Sequence[str], what: str) -> list[int]:
    place = {name: row for row, name in enumerate(known)}
    if unknown := [name for name in wanted if name not in place]:
        raise ValueError(f"expected some of the {len(known)} {what}, got {unknown[:3]}")
    return [place[name] for name in wanted]


def mean_parts(values: np.ndarray) -> Parts:
    """Make the parts of a mean over images.

    Args:
        values: Scores, float, shape (..., images, classes); NaN counts nothing.

    Returns:
        The values that are known (else 0), and whether each is known (1 or 0).
    """
    known = ~np.isnan(values)
    return np.where(known, values, 0.0), known.astype(np.float64)


def mean_finish(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Divide the sum of the known values by their number.

    Args:
        parts: What `mean_parts` adds up to.

    Returns:
        Means; NaN where nothing is known.
    """
    total, known = parts
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known > 0, total / known, np.nan)


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """Take the mean over the last axis without NaN.

    Args:
        values: Numbers, float, shape (..., n).

    Returns:
        Means, shape (...); NaN where nothing else is there.
    """
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)
