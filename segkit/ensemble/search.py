"""Weights for a blend, and what choosing them is worth on other groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from segkit.ensemble.greedy import Scorer, WeightScorer, greedy, uniform
from segkit.ensemble.space import BlendSpace
from segkit.ensemble.weights import Weights, shrunk
from segkit.metrics import Scores
from segkit.selection import Candidate, Selection, best_of, cross_fit, select
from segkit.thresholds import SHRINKS, PerClass

ClassWeights = Mapping[str, np.ndarray]
"""{class: (K,) weights}."""


def nested(
    space: BlendSpace | WeightScorer,
    groups: Mapping[str, str],
    *,
    thresholds: PerClass = 0.5,
    rounds: int = 10,
    by_class: bool = False,
    k: int = 5,
    shrinks: Sequence[float] = SHRINKS,
) -> Selection[ClassWeights]:
    """Greedy weights, moved towards equal ones as far as other groups say, and used only where these gain.

    For each of at most k folds of groups, weights and shrink are chosen on the others alone (the shrink by folds among
    them) and score the groups held out. Scores of a blend that was met before are remembered, so that this costs little
    more than one greedy run.

    Args:
        space: Of the stores; or a scorer of their weights, such as postprocess.RenderedBlends.
        groups: {image id: group}.
        thresholds: A probability, or one for each class; of a BlendSpace.
        rounds: Of greedy selection.
        by_class: Each class has weights of its own.
        k: Most folds of groups.
        shrinks: How far weights may be moved; 1 is equal weights.

    Returns:
        The selection: `.setting` are {class: (K,) weights}, equal ones where chosen ones do not gain significantly;
        `.folds` what the other groups chose for the images of each fold.

    Raises:
        ValueError: If an image has no group, or a threshold is outside the space's range.
    """
    scorer = Scorer(space, thresholds) if isinstance(space, BlendSpace) else space
    careful_first = sorted(shrinks, reverse=True)

    def offer(ids: Sequence[str]) -> dict[str, ClassWeights]:
        grown = greedy(scorer, ids, rounds=rounds, by_class=by_class)
        return {str(shrink): shrunk(grown, shrink) for shrink in careful_first}

    def fit(ids: Sequence[str], _: ClassWeights) -> ClassWeights:
        return offer(ids)[best_of(offer, scorer, ids, groups, k=k)]

    return select(uniform(space), [Candidate("weights", fit)], scorer, scorer.ids, groups, k=k)


def held_out(
    space: BlendSpace,
    groups: Mapping[str, str],
    choose: Callable[[BlendSpace], tuple[Weights, PerClass]],
    *,
    k: int = 5,
) -> Scores:
    """Score each image under what `choose` made of the other groups: the price of any tuning.

    Args:
        space: Of the stores.
        groups: {image id: group}.
        choose: choose(space) -> (weights, thresholds), for instance a whole study; called once for each fold, with a
            space of the other groups alone.
        k: Most folds of groups.

    Returns:
        Held-out scores.

    Raises:
        ValueError: If there are fewer than 2 groups, or an image has none.
    """
    return cross_fit(
        lambda ids: choose(space.subset(ids)),
        lambda setting, ids: space.subset(ids).scores(*setting),
        space.ids,
        groups,
        k=k,
    )
