"""BlendSpace: the full-resolution score of any blend, without full-resolution arrays in a trial.

A convex combination lies between the least and the greatest of its values. So a pixel whose K values all lie above the
highest admissible threshold, or all at or below the lowest, can never change: it is counted once. What is left is a
band around the edges, a few percent of the pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from segkit.ensemble.bands import BandCache, band_key, make_band
from segkit.ensemble.blending import agree, store_names
from segkit.ensemble.greedy import Scorer, greedy
from segkit.ensemble.means import level_of, margin, weighted_sum
from segkit.ensemble.weights import Domain, Weights, shares
from segkit.masks import MaskSet, as_masks, true_runs
from segkit.metrics import Counts, Dice, Metric, Scores
from segkit.predictions import PredictionStore
from segkit.thresholds import PerClass, images_of_both, probabilities


class BlendSpace:
    """Pixel counts at full resolution of every convex combination of K stores under thresholds in [low, high]; exact.

    `dice` equals, element by element, the Dice of postprocess.render() of such a blend against the truth.

    Args:
        stores: Stores of the same classes, which may overlap.
        truth: True masks; pixels of `truth.ignore(id)` count nowhere.
        metric: What `scores` gives, a metric that has counts; default: Dice().
        domain: What is averaged, "logits" or "probs".
        low: Lowest threshold that can be asked for.
        high: Highest threshold that can be asked for.
        ids: Images; default: those of the first store that the truth has.
        workers: Threads, over images; default: one a core.
        cache: Folder for the bands (4 K bytes a pixel), which are then mapped into memory when used, shared between
            processes, and made again only for what has changed; None keeps them in memory.
        memory: Bytes of bands that are kept in memory without a cache; what outgrows that lies in a temporary folder
            that goes with the space.

    Attributes:
        ids: Images.
        classes: Classes, in channel order.
        names: What the stores are called: the names of their files, or the paths where those repeat.
        metric: What `scores` gives.
        domain: What is averaged.
        low: Lowest threshold.
        high: Highest threshold.

    Raises:
        ValueError: If stores do not agree, low and high are no range, the truth does not fit, or the metric needs
            masks.
        KeyError: If a store lacks an image.
    """

    def __init__(
        self,
        stores: Sequence[PredictionStore],
        truth: MaskSet,
        *,
        metric: Metric | None = None,
        domain: Domain = "logits",
        low: float = 0.1,
        high: float = 0.9,
        ids: Sequence[str] | None = None,
        workers: int | None = None,
        cache: str | Path | None = None,
        memory: int = 2**28,
    ) -> None:
        if not stores:
            raise ValueError("expected at least one store, got none")
        if not 0 < low <= high < 1:
            raise ValueError(f"low={low}, high={high}: expected 0 < low <= high < 1")
        self.metric: Metric = Dice() if metric is None else metric
        if not self.metric.has_counts:
            raise ValueError(f"{self.metric} needs the masks themselves: a BlendSpace knows pixel counts")
        first, truth = stores[0], as_masks(truth)
        if first.exclusive:
            raise ValueError(f"{first.path}: exclusive classes have no thresholds; expected classes that may overlap")
        self.low, self.high, self.domain, self.workers = float(low), float(high), domain, workers
        self.classes, self.ids = first.classes, _ids(first, truth, ids)
        agree(stores, self.ids)
        self.names = store_names(stores)
        slack = margin(stores, domain)
        below, above = np.float32(level_of(low, domain) - slack), np.float32(level_of(high, domain) + slack)
        settings = (3, domain, float(below), float(above))
        self._bands = BandCache(cache, memory)

        def one(image: str) -> tuple[np.ndarray | Path, np.ndarray]:
            levels, size = [store.levels(image) for store in stores], first.sizes[image]
            targets = [true_runs(truth, image, cls, size, of=first.path) for cls in self.classes]
            ignore = truth.ignore(image)
            ignore = ignore.with_shape(size) if ignore else None
            return self._bands.keep(
                lambda: make_band(stores, levels, size, targets, ignore, domain, below, above),
                lambda: band_key(stores, levels, size, targets, ignore, settings),
            )

        with ThreadPoolExecutor(workers) as pool:
            made = list(pool.map(one, self.ids))
        self._values = [values for values, _ in made]
        self._counts = np.stack([counts for _, counts in made])

    def scores(self, weights: Weights = None, thresholds: PerClass = 0.5) -> Scores:
        """Score one blend, in the form that `metrics.bootstrap` and `metrics.compare` take.

        Args:
            weights: K numbers >= 0, normalised, or {class: K numbers} with "*"; None for equal ones.
            thresholds: A probability, or one for each class, within [low, high].

        Returns:
            The scores of the space's metric.

        Raises:
            ValueError: For weights that are negative or all 0, and a threshold outside [low, high].
        """
        return Scores.from_counts(self.counts(weights, thresholds), self.metric, self.ids, self.classes)

    def counts(self, weights: Weights = None, thresholds: PerClass = 0.5) -> Counts:
        """Count the pixels of one blend; arguments and errors are those of scores().

        Args:
            weights: As for scores().
            thresholds: As for scores().

        Returns:
            Counts of shape (images, classes).
        """
        share = shares(weights, self.classes, len(self.names))
        tp, predicted = self.columns(share, thresholds, range(len(self.classes)))
        return Counts(tp, predicted, self.target)

    def dice(self, weights: Weights = None, thresholds: PerClass = 0.5) -> np.ndarray:
        """Dice of one blend, whatever the space's metric is; arguments and errors are those of scores().

        Args:
            weights: As for scores().
            thresholds: As for scores().

        Returns:
            float64 (images, classes).
        """
        found = self.counts(weights, thresholds)
        return Dice().values(found.tp, found.predicted, found.target)

    def sweep(self, weights: Weights = None, *, thresholds: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """Count the pixels of one blend at several thresholds for all classes, in one pass.

        Args:
            weights: As for scores().
            thresholds: Probabilities within [low, high].

        Returns:
            tp and predicted pixels, each int64 (images, classes, thresholds).

        Raises:
            ValueError: As scores().
        """
        share = shares(weights, self.classes, len(self.names))
        levels = np.array([self._levels(threshold)[0] for threshold in thresholds])
        order = np.argsort(levels)

        def count(channel: int, unsure: np.ndarray, counts: np.ndarray) -> np.ndarray:
            sure, sure_true, _, true, _ = counts
            passed = np.searchsorted(levels[order], weighted_sum(unsure, share[channel]))  # levels strictly below
            above, common = (
                np.cumsum(np.bincount(part, minlength=len(levels) + 1)[::-1])[::-1][1:]
                for part in (passed, passed[:true])
            )
            found = np.empty((2, len(levels)), np.int64)
            found[:, order] = sure_true + common, sure + above
            return found

        found = self._each(count, range(len(self.classes)))
        return found[:, :, 0], found[:, :, 1]

    def columns(
        self, share: np.ndarray, thresholds: PerClass, channels: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Count the pixels of some classes alone.

        Args:
            share: float32 (classes, K) normalised weights.
            thresholds: As for scores().
            channels: Places of the classes.

        Returns:
            tp and predicted pixels, each int64 (images, channels).
        """
        levels = self._levels(thresholds)

        def count(channel: int, unsure: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
            sure, sure_true, _, true, _ = counts
            above = weighted_sum(unsure, share[channel]) > levels[channel]
            return sure_true + np.count_nonzero(above[:true]), sure + np.count_nonzero(above)

        found = self._each(count, channels)
        return found[:, :, 0], found[:, :, 1]

    def greedy(self, thresholds: PerClass = 0.5, *, rounds: int = 10, by_class: bool = False) -> dict[str, np.ndarray]:
        """Greedy selection with replacement: weights for scores().

        From an empty bag, `rounds` times: add the store, again or anew, that makes the score best; the best bag on the
        way is the answer, and how often a store is in it is its weight. Of equals the store that is in the bag least
        often. Overfits less than free weights, but overfits: ensemble.nested says by how much.

        Args:
            thresholds: A probability, or one for each class.
            rounds: At least 1.
            by_class: Each class has a bag of its own.

        Returns:
            {class: float64 (K,) weights that add up to 1}.

        Raises:
            ValueError: If rounds is below 1, or as scores().

        References:
            Caruana and others, "Ensemble selection from libraries of models" (2004).
        """
        return greedy(Scorer(self, thresholds), self.ids, rounds=rounds, by_class=by_class)

    def subset(self, ids: Iterable[str]) -> BlendSpace:
        """The space of some images alone; nothing is copied.

        Args:
            ids: Images, in the order wanted.

        Returns:
            A space that shares the bands.

        Raises:
            ValueError: For an unknown image, or none at all.
        """
        place, ids = {image: row for row, image in enumerate(self.ids)}, list(ids)
        unknown = [image for image in ids if image not in place]
        if unknown or not ids:
            raise ValueError(f"expected some of the {len(self.ids)} images, got {unknown[:3] or 'none'}")
        rows = [place[image] for image in ids]
        other = copy.copy(self)
        other.ids, other._values, other._counts = tuple(ids), [self._values[r] for r in rows], self._counts[rows]
        return other

    @property
    def target(self) -> np.ndarray:
        """True pixels, int64 (images, classes)."""
        target: np.ndarray = self._counts[:, :, 2]
        return target

    @property
    def pixels(self) -> int:
        """How many pixels, of all images and classes, a blend can change."""
        return int(self._counts[:, :, 4].sum())

    def _each(self, count: Callable[[int, np.ndarray, np.ndarray], Any], channels: Sequence[int]) -> np.ndarray:
        """int64 (images, channels, ...) of count(channel, values of the band, its counts)."""

        def one(row: int) -> list[Any]:
            values, counts = self._values[row], self._counts[row]
            if isinstance(values, Path):
                values = np.load(values, mmap_mode="r")
            ends = np.cumsum(counts[:, 4])
            return [count(c, values[:, ends[c] - counts[c, 4] : ends[c]], counts[c]) for c in channels]

        with ThreadPoolExecutor(self.workers) as pool:
            return np.array(list(pool.map(one, range(len(self.ids)))), np.int64)

    def _levels(self, thresholds: PerClass) -> list[np.floating]:
        """The level of each class. ValueError for a threshold outside the range."""
        settings = probabilities(thresholds, self.classes)
        for cls, threshold in settings.items():
            if not self.low <= threshold <= self.high:
                raise ValueError(
                    f"class {cls}: threshold {threshold} is outside [{self.low}, {self.high}], for which this space "
                    "was made; make it with other low= and high="
                )
        return [level_of(settings[cls], self.domain) for cls in self.classes]


def _ids(first: PredictionStore, truth: MaskSet, ids: Sequence[str] | None) -> tuple[str, ...]:
    """The images that are scored. ValueError where the truth does not fit."""
    if lacking := [c for c in first.classes if c not in truth.classes]:
        raise ValueError(f"the truth has no class {', '.join(lacking)}")
    chosen = tuple(images_of_both(first, truth) if ids is None else ids)
    if unknown := [i for i in chosen if i not in truth]:
        raise ValueError(f"the truth has no image {', '.join(unknown[:3])}")
    if not chosen:
        raise ValueError("ids is empty: name the images, or leave it out for all that the truth has")
    return chosen
