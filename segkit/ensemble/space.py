"""BlendSpace: the full-resolution Dice of any blend, without full-resolution arrays in a trial.

A convex combination lies between the least and the greatest of its values. So a pixel whose K values all lie above the
highest admissible cut, or all at or below the lowest, can never change: it is counted once. What is left is a band
around the edges, a few percent of the pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from segkit.ensemble import search
from segkit.ensemble.bands import BandCache, band_key, make_band
from segkit.ensemble.blending import agree
from segkit.ensemble.means import level_of, margin, weighted_sum
from segkit.ensemble.weights import Domain, Weights, shares
from segkit.masks import MaskSet, as_masks, true_runs
from segkit.predictions import PredictionStore
from segkit.rle import EPSILON
from segkit.thresholds import PerClass, images_of_both, probabilities


class BlendSpace:
    """Dice at full resolution of every convex combination of K stores under thresholds in [low, high]; exact.

    stores: of the same classes; truth: MaskSet; ids: the images, default those of the first store that truth has.
    domain: what is averaged, "logits" or "probs". cache: a folder for the band (4 K bytes a pixel of it), which is then
    mapped into memory when used, shared between processes, and made again only for what has changed; without one it is
    kept in memory up to `memory` bytes, and what outgrows that in a temporary folder that goes with the space.
    workers: threads, over images, default one a core.
    ValueError for stores that do not agree, for a range that is none and for a truth that does not fit; KeyError for an
    image that a store lacks.

    .dice equals, element by element, the Dice of postprocess.render() of such a blend against the truth.
    """

    def __init__(
        self,
        stores: Sequence[PredictionStore],
        truth: MaskSet,
        *,
        domain: Domain = "logits",
        low: float = 0.1,
        high: float = 0.9,
        ids: Sequence[str] | None = None,
        workers: int | None = None,
        cache: str | Path | None = None,
        memory: int = 2**28,
    ) -> None:
        if not stores:
            raise ValueError("a blend needs at least one store")
        if not 0 < low <= high < 1:
            raise ValueError(f"low={low}, high={high}: 0 < low <= high < 1 is wanted")
        first, truth = stores[0], as_masks(truth)
        self.low, self.high, self.domain, self.workers = float(low), float(high), domain, workers
        self.classes, self.ids = first.classes, _ids(first, truth, ids)
        agree(stores, self.ids)
        stems = [store.path.stem for store in stores]
        self.names = tuple(stems if len(set(stems)) == len(stems) else [str(store.path) for store in stores])
        """What the stores are called, in their order: the names of their files, or the paths where those repeat."""
        slack = margin(stores, domain)
        below, above = np.float32(level_of(low, domain) - slack), np.float32(level_of(high, domain) + slack)
        settings = (2, domain, float(below), float(above))
        self._bands = BandCache(cache, memory)

        def one(image: str) -> tuple[np.ndarray | Path, np.ndarray]:
            levels, size = [store.levels(image) for store in stores], first.sizes[image]
            targets = [true_runs(truth, image, cls, size, of=first.path) for cls in self.classes]
            return self._bands.keep(
                lambda: make_band(stores, levels, size, targets, domain, below, above),
                lambda: band_key(stores, levels, size, targets, settings),
            )

        with ThreadPoolExecutor(workers) as pool:
            made = list(pool.map(one, self.ids))
        self._values = [values for values, _ in made]
        self._counts = np.stack([counts for _, counts in made])

    def dice(self, weights: Weights = None, thresholds: PerClass = 0.5) -> np.ndarray:
        """(images, classes) float64 Dice of one blend.

        weights: K numbers >= 0, normalised, or {class: K numbers} with "*"; default equal. thresholds: a probability,
        or one a class. ValueError names weights that are negative or all 0 and a threshold outside [low, high].
        """
        return self.columns(shares(weights, self.classes, len(self.names)), thresholds, range(len(self.classes)))

    def sweep(self, weights: Weights = None, *, thresholds: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """(images, classes, thresholds) int64 tp and predicted pixels of one blend at each threshold, in one pass.

        Errors are those of dice().
        """
        share = shares(weights, self.classes, len(self.names))
        levels = np.array([self._levels(threshold)[0] for threshold in thresholds])
        order = np.argsort(levels)

        def count(channel: int, unsure: np.ndarray, counts: np.ndarray) -> np.ndarray:
            sure, sure_true, _, true, _ = counts
            passed = np.searchsorted(levels[order], weighted_sum(unsure, share[channel]))  # cuts strictly below
            above, common = (
                np.cumsum(np.bincount(part, minlength=len(levels) + 1)[::-1])[::-1][1:]
                for part in (passed, passed[:true])
            )
            found = np.empty((2, len(levels)))
            found[:, order] = sure_true + common, sure + above
            return found

        found = self._each(count, range(len(self.classes))).astype(np.int64)
        return found[:, :, 0], found[:, :, 1]

    def columns(self, share: np.ndarray, thresholds: PerClass, channels: Sequence[int]) -> np.ndarray:
        """(images, channels) float64 Dice of some classes alone; share: (classes, K) float32 weights, normalised."""
        levels = self._levels(thresholds)

        def dice(channel: int, unsure: np.ndarray, counts: np.ndarray) -> float:
            sure, sure_true, area, true, _ = counts
            above = weighted_sum(unsure, share[channel]) > levels[channel]
            common = sure_true + np.count_nonzero(above[:true])
            return float((2 * common + EPSILON) / (sure + np.count_nonzero(above) + area + EPSILON))

        return self._each(dice, channels)

    def _each(self, dice: Callable[[int, np.ndarray, np.ndarray], Any], channels: Sequence[int]) -> np.ndarray:
        """(images, channels, ...) of dice(channel, values of the band, counts)."""

        def one(row: int) -> list[Any]:
            values, counts = self._values[row], self._counts[row]
            if isinstance(values, Path):
                values = np.load(values, mmap_mode="r")
            ends = np.cumsum(counts[:, 4])
            return [dice(c, values[:, ends[c] - counts[c, 4] : ends[c]], counts[c]) for c in channels]

        with ThreadPoolExecutor(self.workers) as pool:
            return np.array(list(pool.map(one, range(len(self.ids)))), np.float64)

    def greedy(self, thresholds: PerClass = 0.5, *, rounds: int = 10, by_class: bool = False) -> dict[str, np.ndarray]:
        """Greedy selection with replacement (Caruana and others, 2004): {class: (K,) weights} for dice().

        From an empty bag, `rounds` times: add the store, again or anew, that makes the mean Dice highest; the best bag
        on the way is the answer, and how often a store is in it is its weight. by_class: each class has a bag of its
        own. Of equals the store that is in the bag least often. Overfits less than free weights, but overfits:
        ensemble.nested says by how much.
        """
        scorer = search.Scorer(self, thresholds)
        weights = search.greedy(scorer, range(len(self.ids)), rounds=rounds, by_class=by_class)
        return dict(zip(self.classes, weights))

    def subset(self, ids: Iterable[str]) -> BlendSpace:
        """The space of some images alone; nothing is copied. ValueError for an unknown one or none at all."""
        place, ids = {i: k for k, i in enumerate(self.ids)}, list(ids)
        unknown = [i for i in ids if i not in place]
        if unknown or not ids:
            raise ValueError(f"a subset of the {len(self.ids)} images is wanted, got {unknown[:3] or 'none'}")
        rows = [place[i] for i in ids]
        other = copy.copy(self)
        other.ids, other._values, other._counts = tuple(ids), [self._values[r] for r in rows], self._counts[rows]
        return other

    @property
    def target(self) -> np.ndarray:
        """True pixels, int64, shape (images, classes)."""
        return self._counts[:, :, 2]

    @property
    def pixels(self) -> int:
        """How many pixels, of all images and classes, a blend can change."""
        return int(self._counts[:, :, 4].sum())

    def _levels(self, thresholds: PerClass) -> list[np.floating]:
        settings = probabilities(thresholds, self.classes)
        for cls, threshold in settings.items():
            if not self.low <= threshold <= self.high:
                raise ValueError(
                    f"class {cls}: threshold {threshold} is outside [{self.low}, {self.high}], for which this space "
                    "was made; make it with other low= and high="
                )
        return [level_of(settings[cls], self.domain) for cls in self.classes]


def _ids(first: PredictionStore, truth: MaskSet, ids: Sequence[str] | None) -> tuple[str, ...]:
    if lacking := [c for c in first.classes if c not in truth.classes]:
        raise ValueError(f"the truth has no class {', '.join(lacking)}")
    chosen = tuple(images_of_both(first, truth) if ids is None else ids)
    if unknown := [i for i in chosen if i not in truth]:
        raise ValueError(f"the truth has no image {', '.join(unknown[:3])}")
    if not chosen:
        raise ValueError("ids is empty: name the images, or leave it out for all that the truth has")
    return chosen
