"""What choosing thresholds is worth on groups that had no part in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from segkit.metrics import Counts, Scores
from segkit.thresholds.score_curves import ScoreCurves

SHRINKS = (0.0, 0.25, 0.5, 0.75, 1.0)

Choose = Callable[[ScoreCurves], dict[str, float]]
Folds = list[tuple[np.ndarray, np.ndarray]]


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

    def choose(inner: ScoreCurves) -> dict[str, float]:
        return inner.best(choose_shrink(inner, groups, k=k, shrinks=shrinks, shared=shared), shared=shared)

    scores = _held_out(score_curves, person_folds(score_curves.ids, groups, k), [choose])[0]
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

    def rule(shrink: float) -> Choose:
        return lambda inner: inner.best(shrink, shared=shared)

    folds = person_folds(score_curves.ids, groups, k)
    scores = _held_out(score_curves, folds, [rule(shrink) for shrink in shrinks])
    return max(zip(shrinks, scores), key=lambda pair: (round(pair[1].score(), 9), pair[0]))[0]


def _held_out(score_curves: ScoreCurves, folds: Folds, rules: Sequence[Choose]) -> list[Scores]:
    """The scores of each rule, each image under the thresholds that the rule chose on the other groups."""
    ids = score_curves.ids
    tp, predicted = (np.empty((len(rules), *score_curves.target.shape), np.int64) for _ in range(2))
    for held, kept in folds:
        inner, outer = (score_curves.subset([ids[i] for i in part]) for part in (kept, held))
        for number, rule in enumerate(rules):
            counts = outer.counts(rule(inner))
            tp[number, held], predicted[number, held] = counts.tp, counts.predicted
    found = [Counts(tp[n], predicted[n], score_curves.target) for n in range(len(rules))]
    return [Scores.from_counts(counts, score_curves.metric, ids, score_curves.classes) for counts in found]


def person_folds(ids: Sequence[str], groups: Mapping[str, str], k: int) -> Folds:
    """Divide images into folds of whole groups.

    Args:
        ids: Image ids.
        groups: {image id: group}.
        k: Most folds.

    Returns:
        (held-out rows, other rows) of `ids` for each fold.

    Raises:
        ValueError: If an image has no group, there are fewer than 2 groups, or k is below 2.
    """
    if k < 2:
        raise ValueError(f"expected at least 2 folds of groups, one is scored by what the others chose, got k={k}")
    missing = [i for i in ids if i not in groups]
    if missing:
        raise ValueError(f"{len(missing)} images have no group: {', '.join(missing[:3])} ...")
    names = [groups[i] for i in ids]
    count = len(set(names))
    if count < 2:
        raise ValueError(f"{count} group: a held-out check needs at least 2, a nested one 3")
    from sklearn.model_selection import GroupKFold  # a second to import, which a vote need not wait for

    splitter = GroupKFold(min(k, count), shuffle=True, random_state=0)
    return [(held, kept) for kept, held in splitter.split(np.zeros(len(ids)), groups=names)]
