"""ScoreCurves: pixel counts at every threshold, and what follows from them without a search."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from segkit.geometry import resize
from segkit.metrics import Counts, Dice, Metric, Scores
from segkit.metrics.scores import mean_of_known
from segkit.thresholds import storage
from segkit.thresholds.plot import plot
from segkit.thresholds.settings import PerClass, check_separable, probabilities

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

CHUNK = 2**20
"""Numbers that are scored at a time."""


class ScoreCurves:
    """Pixel counts of each image and class at every threshold, at full resolution, and a metric.

    The score separates by class, so the best threshold of each class is read off; no search is needed. Thresholds that
    are asked for are taken at the nearest one that was counted.

    Args:
        ids: Image ids.
        classes: Class names.
        thresholds: Probabilities in rising order, shape (thresholds,).
        tp: Pixels predicted and true, integers, shape (images, classes, thresholds).
        predicted: Pixels predicted, integers, same shape.
        target: Pixels true, integers, shape (images, classes).
        pixels: Pixels of each image that count, integers, shape (images,); None where that is not known.
        metric: A metric that has counts and separates by class.

    Raises:
        ValueError: If the arrays do not fit together, or the metric does not separate by class.

    Example:
        >>> found = ScoreCurves(["a"], ["x"], [0.3, 0.5, 0.7], [[[4, 4, 2]]], [[[8, 4, 2]]], [[4]])
        >>> found.best(), round(found.score(0.3), 3), found.plateau(0.4)
        ({'x': 0.5}, 0.667, {'x': (0.3, 0.7)})
    """

    def __init__(
        self,
        ids: Iterable[str],
        classes: Iterable[str],
        thresholds: ArrayLike,
        tp: ArrayLike,
        predicted: ArrayLike,
        target: ArrayLike,
        pixels: ArrayLike | None = None,
        metric: Metric | None = None,
    ) -> None:
        self.ids, self.classes = tuple(ids), tuple(classes)
        self.metric = check_separable(Dice() if metric is None else metric)
        self.thresholds = np.asarray(thresholds, np.float64)
        self.tp, self.predicted = _compact(tp), _compact(predicted)
        self.target = np.asarray(target, np.int64)
        self.pixels = None if pixels is None else np.asarray(pixels, np.int64)
        shape = (len(self.ids), len(self.classes), len(self.thresholds))
        found = [self.tp.shape, self.predicted.shape, (*self.target.shape, shape[2])]
        if found != [shape] * 3 or (self.pixels is not None and self.pixels.shape != shape[:1]):
            raise ValueError(f"expected counts of shape {shape} (images, classes, thresholds), got {found}")
        self._logits = np.array([resize.logit(t) for t in self.thresholds])

    # -- scores --------------------------------------------------------------------------------------------------
    @cached_property
    def means(self) -> np.ndarray:
        """Score of each class over all images at each threshold, float64, shape (classes, thresholds)."""
        step = max(1, CHUNK // (len(self.ids) * len(self.thresholds)))
        found = [self._means(slice(first, first + step)) for first in range(0, len(self.classes), step)]
        return np.concatenate(found)

    def _means(self, part: slice) -> np.ndarray:
        tp, predicted = (np.moveaxis(a[:, part], 2, 0) for a in (self.tp, self.predicted))
        return self.metric.per_class(Counts(tp, predicted, np.broadcast_to(self.target[:, part], tp.shape))).T

    def score(self, thresholds: PerClass = 0.5) -> float:
        """Compute the score at some thresholds, in microseconds.

        Args:
            thresholds: A probability, or one for each class.

        Returns:
            The mean over classes.
        """
        return float(mean_of_known(self.means[np.arange(len(self.classes)), self._places(thresholds)]))

    def counts(self, thresholds: PerClass = 0.5) -> Counts:
        """Take the pixel counts at some thresholds.

        Args:
            thresholds: A probability, or one for each class.

        Returns:
            Counts of shape (images, classes).
        """
        at = np.arange(len(self.classes)), self._places(thresholds)
        return Counts(self.tp[:, *at], self.predicted[:, *at], self.target)

    def scores(self, thresholds: PerClass = 0.5) -> Scores:
        """Score some thresholds in the form that `metrics.bootstrap` and `metrics.compare` take.

        Args:
            thresholds: A probability, or one for each class.

        Returns:
            The scores of the metric.
        """
        return Scores.from_counts(self.counts(thresholds), self.metric, self.ids, self.classes)

    def table(self, thresholds: PerClass = 0.5) -> pd.DataFrame:
        """Score each image and class on its own, as `Metric.table` does.

        Args:
            thresholds: A probability, or one for each class.

        Returns:
            DataFrame, images down, classes across.
        """
        return self.scores(thresholds).table

    @property
    def empty_score(self) -> float:
        """Score of a submission that predicts nothing. Where most images lack the class it may be hard to beat."""
        nothing = np.zeros_like(self.target)
        return float(self.metric.from_counts(Counts(nothing, nothing, self.target)))

    @property
    def full_score(self) -> float:
        """Score of a submission that predicts every pixel; NaN where the sizes of the images are not known."""
        if self.pixels is None:
            return float("nan")
        every = np.broadcast_to(self.pixels[:, None], self.target.shape)
        return float(self.metric.from_counts(Counts(self.target, every, self.target)))

    # -- thresholds ----------------------------------------------------------------------------------------------
    def nearest_threshold(self, thresholds: PerClass) -> dict[str, float]:
        """Find the counted thresholds that are nearest, in logits.

        Args:
            thresholds: A probability, or one for each class.

        Returns:
            {class: threshold}.
        """
        return {c: float(self.thresholds[k]) for c, k in zip(self.classes, self._places(thresholds))}

    def best(self, shrink: float = 0.0, *, shared: bool = False) -> dict[str, float]:
        """Find the thresholds of the highest score: the exact optimum over those that were counted.

        Of thresholds that tie it is the one nearest to .5.

        Args:
            shrink: How far each is then moved towards .5, in logits: 0 is not at all, 1 all the way; to the nearest
                that was counted, so that `score` scores the very thresholds that a Pipeline runs.
            shared: Find one threshold for all classes instead of one for each.

        Returns:
            {class: threshold}.

        Raises:
            ValueError: If shrink is outside [0, 1].
        """
        if not 0.0 <= shrink <= 1.0:
            raise ValueError(f"expected shrink in [0, 1], got {shrink}")
        means = np.broadcast_to(mean_of_known(self.means.T), self.means.shape) if shared else self.means
        nearest_first = np.argsort(np.abs(self._logits), kind="stable")
        top = nearest_first[np.nan_to_num(means, nan=-np.inf)[:, nearest_first].argmax(axis=1)]
        moved = np.abs(self._logits[top][:, None] * (1.0 - shrink) - self._logits[None, :]).argmin(axis=1)
        return {c: float(self.thresholds[k]) for c, k in zip(self.classes, moved)}

    def at_edge(self) -> tuple[str, ...]:
        """Name the classes whose best threshold is the lowest or one of the two highest counted.

        A better one may lie beyond. Strictly above the very highest lies no logit that a store holds: there nothing is
        predicted, and the second highest parts the clipped logits from all others.
        """
        edges = set(self.thresholds[[0, -2, -1]].tolist())
        return tuple(cls for cls, threshold in self.best().items() if threshold in edges)

    def plateau(self, within: float = 0.0005) -> dict[str, tuple[float, float]]:
        """Find the range around the best threshold in which the score of the class stays near its top.

        A wide range means that the choice does not matter.

        Args:
            within: Loss of score that is allowed, 0 or more.

        Returns:
            {class: (lowest, highest threshold)}.

        Raises:
            ValueError: If `within` is negative.
        """
        if not within >= 0:
            raise ValueError(f"expected within to be a loss of score, 0 or more, got {within}")
        ranges = {}
        for cls, curve, best in zip(self.classes, self.means, self._places(self.best())):
            lower = np.flatnonzero(curve < curve.max() - within)
            low = int(lower[lower < best].max(initial=-1)) + 1
            high = int(lower[lower > best].min(initial=len(curve))) - 1
            ranges[cls] = float(self.thresholds[low]), float(self.thresholds[high])
        return ranges

    def _places(self, thresholds: PerClass) -> np.ndarray:
        logits = np.array([resize.logit(t) for t in probabilities(thresholds, self.classes).values()])
        return np.abs(np.clip(logits, *self._logits[[0, -1]])[:, None] - self._logits[None, :]).argmin(axis=1)

    # -- parts and files -----------------------------------------------------------------------------------------
    def subset(self, ids: Iterable[str]) -> ScoreCurves:
        """Take the curves of some images.

        Args:
            ids: Image ids, in the order that is wanted.

        Returns:
            Their curves.

        Raises:
            ValueError: If an id is unknown, or there is none.
        """
        place, ids = {i: k for k, i in enumerate(self.ids)}, list(ids)
        unknown = [i for i in ids if i not in place]
        if unknown or not ids:
            raise ValueError(f"expected some of the {len(self.ids)} images, got {unknown[:3] or 'none'}")
        rows = [place[i] for i in ids]
        pixels = None if self.pixels is None else self.pixels[rows]
        counts = self.tp[rows], self.predicted[rows], self.target[rows]
        return ScoreCurves(ids, self.classes, self.thresholds, *counts, pixels, self.metric)

    def with_metric(self, metric: Metric) -> ScoreCurves:
        """Score the same counts by another metric.

        Args:
            metric: A metric that has counts and separates by class.

        Returns:
            The curves of that metric.
        """
        counts = self.tp, self.predicted, self.target
        return ScoreCurves(self.ids, self.classes, self.thresholds, *counts, self.pixels, metric)

    def save(self, path: str | Path) -> None:
        """Write one .npz.

        Args:
            path: The file; an existing one is replaced.
        """
        storage.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> ScoreCurves:
        """Read what `save` wrote.

        Args:
            path: The file.

        Returns:
            The curves.

        Raises:
            ValueError: If the file holds something else; it names the file.
        """
        try:
            return cls(**storage.load(path))
        except storage.BROKEN as error:
            raise ValueError(f"{path} is no file of score curves that ScoreCurves.save wrote: {error}") from error

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the best threshold of each class and its plateaus, on a logit axis.

        Args:
            ax: matplotlib Axes to draw on; by default new ones.

        Returns:
            The Axes. A dot is the optimum, the thick bar where the score is within .0005 of it, the thin one .005.
        """
        return plot(self, ax)


def _compact(counts: ArrayLike) -> np.ndarray:
    """Counts as int32, which holds those of any image below 2 ** 31 pixels."""
    counts = np.asarray(counts)
    return counts if counts.size and counts.max() > np.iinfo(np.int32).max else counts.astype(np.int32, copy=False)
