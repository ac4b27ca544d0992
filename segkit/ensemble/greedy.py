"""Greedy selection of weights, and scores of blends that are remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from segkit.ensemble.weights import Weights, shares
from segkit.metrics import Counts, Metric, Scores
from segkit.selection import PRECISION
from segkit.thresholds import PerClass

EXACT = PRECISION + 3
"""Digits of a mean score: what differs by less is equal."""


class Space(Protocol):
    """What a BlendSpace is to a search: pixel counts of single classes under weights."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    metric: Metric

    @property
    def target(self) -> np.ndarray:
        """True pixels, int64 (images, classes)."""

    def columns(
        self, share: np.ndarray, thresholds: PerClass, channels: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Count the pixels of some classes alone.

        Args:
            share: float32 (classes, K) normalised weights.
            thresholds: A probability, or one for each class.
            channels: Places of the classes.

        Returns:
            tp and predicted pixels, each int64 (images, channels).
        """


class WeightScorer(Protocol):
    """Scores of any weights of stores; `names` are the stores'."""

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __call__(self, weights: Weights, ids: Sequence[str] | None = None) -> Scores:
        """Score weights.

        Args:
            weights: K numbers, {class: K numbers}, or None for equal ones.
            ids: Images; default: all.

        Returns:
            The scores.
        """


class Scorer:
    """Scores of any weights at fixed thresholds; what was asked for once is remembered.

    Args:
        space: Where they come from.
        thresholds: A probability, or one for each class.
    """

    def __init__(self, space: Space, thresholds: PerClass) -> None:
        self.space, self.thresholds = space, thresholds
        self.ids, self.classes, self.names = space.ids, space.classes, space.names
        self._known: dict[tuple[int, bytes], tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, weights: Weights, ids: Sequence[str] | None = None) -> Scores:
        """Score weights.

        Args:
            weights: K numbers, {class: K numbers}, or None for equal ones.
            ids: Images; default: all.

        Returns:
            The scores.
        """
        space = self.space
        share = shares(weights, space.classes, len(space.names))
        keys = [(channel, row.tobytes()) for channel, row in enumerate(share)]
        new = [channel for channel, key in enumerate(keys) if key not in self._known]
        if new:
            tp, predicted = space.columns(share, self.thresholds, new)
            self._known.update((keys[channel], pair) for channel, *pair in zip(new, tp.T, predicted.T))  # type: ignore[misc]
        tp, predicted = (np.stack(columns, axis=1) for columns in zip(*(self._known[key] for key in keys)))
        counts = Counts(tp, predicted, space.target)
        scores = Scores.from_counts(counts, space.metric, space.ids, space.classes)
        return scores if ids is None else scores.subset(ids)


def greedy(scorer: WeightScorer, ids: Sequence[str], *, rounds: int, by_class: bool) -> dict[str, np.ndarray]:
    """Greedy selection with replacement, chosen on some images; see BlendSpace.greedy.

    Args:
        scorer: Scores weights.
        ids: The images.
        rounds: How often a store is added.
        by_class: Each class has a bag of its own.

    Returns:
        {class: float64 (K,) weights that add up to 1}.

    Raises:
        ValueError: If rounds is below 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: expected at least 1")
    classes, count = scorer.classes, len(scorer.names)
    bag, best = np.zeros((len(classes), count)), np.zeros((len(classes), count))
    highest = np.full(len(classes), -np.inf)
    for _ in range(rounds):
        means = np.empty((count, len(classes)))
        for store in range(count):
            more = bag.copy()
            more[:, store] += 1
            means[store] = _means(scorer(dict(zip(classes, more)), ids), by_class)
        means = means.round(EXACT)
        for channel in range(len(classes)):
            pick = max(range(count), key=lambda k, c=channel: (means[k, c], -bag[c, k], -k))  # type: ignore[misc]
            bag[channel, pick] += 1
            if means[pick, channel] > highest[channel]:
                highest[channel], best[channel] = means[pick, channel], bag[channel]
    return dict(zip(classes, best / best.sum(axis=1, keepdims=True)))


def _means(scores: Scores, by_class: bool) -> np.ndarray | float:
    """The score of each class, or of all; higher is better. A class that nothing is known of is worst."""
    sign = 1 if scores.higher_is_better else -1
    if not by_class:
        return float(sign * scores.score())
    return np.nan_to_num(sign * scores.per_class(), nan=-np.inf)


def uniform(space: Space | WeightScorer) -> Mapping[str, np.ndarray]:
    """Equal weights.

    Args:
        space: Of the stores.

    Returns:
        {class: float64 (K,) weights that add up to 1}.
    """
    count = len(space.names)
    return {cls: np.full(count, 1 / count) for cls in space.classes}
