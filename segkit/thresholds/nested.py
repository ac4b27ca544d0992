"""What choosing thresholds is worth on groups that had no part in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from segkit.metrics import Scores
from segkit.selection import best_of, cross_fit
from segkit.thresholds.score_curves import ScoreCurves

SHRINKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Nested(NamedTuple):
    """The held-out score of chosen thresholds: each image is scored under those that other groups chose.

    Attributes:
        scores: Held-out scores, for `metrics.compare` and `metrics.bootstrap`.
        shrink: The shrink for use, chosen on all groups.
        tuned: Score of the thresholds for use on the very images they were chosen on.
        held_out: Score on images that had no part in the choice.
        untuned: Score at .5.
    """

    scores: Scores
    shrink: float
    tuned: float
    held_out: float
    untuned: float

    @property
    def table(self) -> np.ndarray:
        """Held-out scores of single images, shape (images, classes)."""
        return self.scores.cells


def nested(
    score_curves: ScoreCurves,
    groups: Mapping[str, str],
    *,
    k: int = 5,
    shrinks: Sequence[float] = SHRINKS,
    shared: bool = False,
) -> Nested:
    """Choose `shrink` by a nested check over groups, and say what the whole choice is worth on groups unseen.

    The outer folds score: thresholds and shrink are chosen on the other groups alone (shrink by folds among them), then
    applied to the groups held out. The same choice on everybody gives `shrink` for use. shrink = 1 is .5 for every
    class: "no gain, no change" is one of the choices.

    Args:
        score_curves: Curves of out-of-fold predictions.
        groups: {image id: group}.
        k: Number of folds.
        shrinks: What `shrink` may be.
        shared: One threshold for all classes.

    Returns:
        The scores.

    Raises:
        ValueError: If an image has no group, or there are fewer than 3 groups.
    """

    def choose(ids: Sequence[str]) -> dict[str, float]:
        inner = score_curves.subset(ids)
        return inner.best(choose_shrink(inner, groups, k=k, shrinks=shrinks, shared=shared), shared=shared)

    scores = cross_fit(choose, _scorer(score_curves), score_curves.ids, groups, k=k)
    shrink = choose_shrink(score_curves, groups, k=k, shrinks=shrinks, shared=shared)
    tuned = score_curves.score(score_curves.best(shrink, shared=shared))
    return Nested(scores, shrink, tuned, scores.score(), score_curves.score(0.5))


def choose_shrink(
    score_curves: ScoreCurves,
    groups: Mapping[str, str],
    *,
    k: int = 5,
    shrinks: Sequence[float] = SHRINKS,
    shared: bool = False,
) -> float:
    """Choose the shrink whose thresholds score best on groups they were not chosen on; the largest of equals.

    Args:
        score_curves: Curves of out-of-fold predictions.
        groups: {image id: group}.
        k: Number of folds.
        shrinks: What `shrink` may be.
        shared: One threshold for all classes.

    Returns:
        The shrink.
    """
    careful_first = sorted(shrinks, reverse=True)

    def offer(ids: Sequence[str]) -> dict[str, dict[str, float]]:
        inner = score_curves.subset(ids)
        return {str(shrink): inner.best(shrink, shared=shared) for shrink in careful_first}

    return float(best_of(offer, _scorer(score_curves), score_curves.ids, groups, k=k))


def _scorer(score_curves: ScoreCurves) -> Callable[[dict[str, float], Sequence[str]], Scores]:
    """score(thresholds, ids) by the curves."""
    return lambda thresholds, ids: score_curves.scores(thresholds).subset(ids)
