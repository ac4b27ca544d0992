"""Weights for a blend: greedy selection, shrinkage to equal weights, and what choosing is worth on other persons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from segkit.ensemble.weights import Weights, shares, shrunk
from segkit.metrics import Comparison, compare
from segkit.thresholds import SHRINKS, PerClass, person_folds

if TYPE_CHECKING:
    from segkit.ensemble.space import BlendSpace


class NestedBlend(NamedTuple):
    """Weights that were chosen, and the honest score of the choosing: each image under what other persons chose."""

    weights: dict[str, np.ndarray]
    """{class: (K,) weights} that everybody chose, shrunk: for BlendSpace.dice and ensemble.blended."""
    shrink: float
    """How far the weights were moved towards equal ones; 1 is all the way."""
    table: np.ndarray
    """(images, classes) held-out Dice."""
    tuned: float
    """Mean Dice of `weights` on the very images they were chosen on."""
    held_out: float
    uniform: float
    """Mean Dice of equal weights, which need no choosing."""
    gain: Comparison
    """Held out against equal weights, paired and clustered by person: no gain.low above 0, no change."""


class Scorer:
    """(images, classes) Dice of any weights at fixed thresholds; what was asked for once is remembered."""

    def __init__(self, space: BlendSpace, thresholds: PerClass) -> None:
        self.space, self.thresholds = space, thresholds
        self._known: dict[tuple[int, bytes], np.ndarray] = {}

    def __call__(self, weights: Weights) -> np.ndarray:
        share = shares(weights, self.space.classes, len(self.space.names))
        keys = [(channel, row.tobytes()) for channel, row in enumerate(share)]
        new = [channel for channel, key in enumerate(keys) if key not in self._known]
        if new:
            found = self.space.columns(share, self.thresholds, new)
            self._known.update((keys[channel], column) for channel, column in zip(new, found.T))
        return np.stack([self._known[key] for key in keys], axis=1)


def greedy(scorer: Scorer, rows: Sequence[int] | np.ndarray, *, rounds: int, by_class: bool) -> np.ndarray:
    """(classes, K) normalised weights of BlendSpace.greedy, chosen on some rows (images) of the space."""
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: at least 1 is wanted")
    classes, count = scorer.space.classes, len(scorer.space.names)
    bag, best = np.zeros((len(classes), count)), np.zeros((len(classes), count))
    highest = np.full(len(classes), -np.inf)
    for _ in range(rounds):
        scores = np.empty((count, len(classes)))
        for store in range(count):
            more = bag.copy()
            more[:, store] += 1
            means = scorer(dict(zip(classes, more)))[rows].mean(axis=0)
            scores[store] = means if by_class else means.mean()
        scores = scores.round(12)
        for channel in range(len(classes)):
            pick = max(range(count), key=lambda k, c=channel: (scores[k, c], -bag[c, k], -k))  # type: ignore[misc]
            bag[channel, pick] += 1
            if scores[pick, channel] > highest[channel]:
                highest[channel], best[channel] = scores[pick, channel], bag[channel]
    return best / best.sum(axis=1, keepdims=True)


def nested(
    space: BlendSpace,
    groups: Mapping[str, str],
    *,
    thresholds: PerClass = 0.5,
    rounds: int = 10,
    by_class: bool = False,
    k: int = 5,
    shrinks: Sequence[float] = SHRINKS,
) -> NestedBlend:
    """Greedy weights with their shrink, and beside the tuned score the held-out one (nested, grouped by person).

    For each of at most k folds of persons, weights and shrink are chosen on the others alone (the shrink by folds among
    them) and score the persons held out. The same choice on everybody gives `weights`. shrink = 1 is equal weights: "no
    gain, no change" is one of the choices. groups: {id: person}, at least 3 persons. Scores of a blend that was met
    before are remembered, so that this costs little more than one greedy run.
    """
    scorer = Scorer(space, thresholds)

    def choose(rows: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
        total = dict.fromkeys(shrinks, 0.0)
        for held, kept in person_folds([space.ids[r] for r in rows], groups, k):
            weights = grown(rows[kept])
            for shrink in shrinks:
                total[shrink] += float(scorer(shrunk(weights, shrink))[rows[held]].sum())
        cells = len(rows) * len(space.classes)
        shrink = max(shrinks, key=lambda s: (round(total[s] / cells, 9), s))
        return shrink, shrunk(grown(rows), shrink)

    def grown(rows: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(space.classes, greedy(scorer, rows, rounds=rounds, by_class=by_class)))

    table = np.empty((len(space.ids), len(space.classes)))
    for held, kept in person_folds(space.ids, groups, k):
        table[held] = scorer(choose(kept)[1])[held]
    shrink, weights = choose(np.arange(len(space.ids)))
    plain, tuned = scorer(None), scorer(weights)
    before, after = (pd.DataFrame(t, index=list(space.ids), columns=list(space.classes)) for t in (plain, table))
    return NestedBlend(
        weights,
        shrink,
        table,
        float(tuned.mean()),
        float(table.mean()),
        float(plain.mean()),
        compare(before, after, groups),
    )


def held_out(
    space: BlendSpace,
    groups: Mapping[str, str],
    choose: Callable[[BlendSpace], tuple[Weights, PerClass]],
    *,
    k: int = 5,
) -> np.ndarray:
    """(images, classes) Dice of each image under what `choose` made of the other persons: the price of any tuning.

    choose(space) -> (weights, thresholds), for instance a whole study; it is called once for each of at most k folds of
    persons, with a space of the others alone. groups: {id: person}. ValueError for fewer than 2 persons or an image
    without one.
    """
    table = np.empty((len(space.ids), len(space.classes)))
    for held, kept in person_folds(space.ids, groups, k):
        weights, thresholds = choose(space.subset([space.ids[r] for r in kept]))
        table[held] = space.subset([space.ids[r] for r in held]).dice(weights, thresholds)
    return table
