"""What of a blend's thresholds and weights is used: first thresholds, then weights, each judged by other groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from segkit.ensemble import Blend, BlendSpace, shrunk
from segkit.ensemble.greedy import uniform
from segkit.ensemble.weights import Weights
from segkit.metrics import Scores
from segkit.postprocess import Pipeline
from segkit.selection import Candidate, Selection, best_of, select
from segkit.studies.objectives import blend_curves
from segkit.thresholds import PerClass, choose_shrink, per_class

Search = Callable[[BlendSpace], Weights]
"""search(space of some groups) -> the weights it finds there, a whole study for instance."""
ClassWeights = Mapping[str, np.ndarray]
"""{class: (K,) weights}."""
SHARES_TO_EQUAL = (0.5, 0.0)
"""How far found weights are moved towards equal ones where they compete; equal ones compete as well."""


@dataclass(frozen=True, eq=False)
class _Setting:
    """Weights and thresholds; whether the thresholds were tuned."""

    weights: ClassWeights
    thresholds: PerClass
    tuned: bool = False


def choose_blend(
    space: BlendSpace,
    groups: Mapping[str, str],
    search: Search,
    *,
    found: Weights = None,
    weights_by_class: bool = False,
    thresholds_by_class: bool = False,
    k: int = 5,
    level: float = 0.95,
) -> Selection[Pipeline]:
    """Choose a blend's thresholds, then its weights, each only where it gains on groups without part in the choice.

    Thresholds: the exact ones of equal weights with their shrink, against .5 (or the end of the space's range that is
    nearest to it). Weights: what `search` finds, greedy ones (BlendSpace.greedy), both also half-way to equal ones, and
    equal ones; which of these, halves of the groups that choose say. They are judged over what was kept before, with
    thresholds of their own where thresholds are kept and at .5 else. For each fold of groups all that is done on the
    others alone. With fewer than 6 groups nothing is used.

    Args:
        space: Of the stores, with its metric.
        groups: {image id: group}.
        search: Called for 3 k + 2 parts of the space, two of three of them of half the groups that choose.
        found: What `search` made of the whole space, where that is known.
        weights_by_class: Each class has weights of its own.
        thresholds_by_class: Each class has a threshold of its own.
        k: Most folds of groups.
        level: Of interval and test.

    Returns:
        The selection; `.setting` is the Pipeline to use, with its blend.

    Raises:
        ValueError: If an image has no group, or k is below 2.
    """
    middle = min(max(0.5, space.low), space.high)
    chooser = _Chooser(space, groups, search, found, weights_by_class, not thresholds_by_class, k)
    start = _Setting(uniform(space), middle)
    candidates = [Candidate("thresholds", chooser.fit_thresholds), Candidate("weights", chooser.fit_weights)]
    kept = select(start, candidates, chooser.scores, space.ids, groups, k=k, level=level)

    def pipeline(setting: _Setting) -> Pipeline:
        rows = {cls: row.tolist() for cls, row in setting.weights.items()}
        blend = Blend(
            rows if weights_by_class else rows[space.classes[0]], domain=space.domain, stores=space.names
        )  # fmt: skip
        thresholds = per_class(setting.thresholds, space.classes)
        return Pipeline(
            thresholds=thresholds if thresholds_by_class else thresholds[space.classes[0]],
            classes=space.classes,
            blend=blend,
        )

    folds = tuple((ids, pipeline(setting)) for ids, setting in kept.folds)
    return Selection(pipeline(kept.setting), kept.rows, kept.start, kept.scores, kept.tuned, folds)


class _Chooser:
    """The choice of thresholds, and of weights, on some images."""

    def __init__(
        self,
        space: BlendSpace,
        groups: Mapping[str, str],
        search: Search,
        found: Weights,
        by_class: bool,
        shared: bool,
        k: int,
    ) -> None:
        self.space, self.groups, self.search, self.found = space, groups, search, found
        self.by_class, self.shared, self.k = by_class, shared, k

    def scores(self, setting: _Setting, ids: Sequence[str]) -> Scores:
        """The scores of some images under a setting."""
        return self.space.subset(ids).scores(setting.weights, setting.thresholds)

    def fit_thresholds(self, ids: Sequence[str], now: _Setting) -> _Setting:
        """The exact thresholds of the current weights, with their shrink."""
        part = self.space.subset(ids)
        return replace(now, thresholds=self._thresholds(part, now.weights, self._shrink(part)), tuned=True)

    def fit_weights(self, ids: Sequence[str], now: _Setting) -> _Setting:
        """The weights that do best on halves of the groups which they were not found on, found on all of them."""
        part = self.space.subset(ids)
        shrink = self._shrink(part) if now.tuned else None

        def offer(some: Sequence[str]) -> dict[str, _Setting]:
            here = self.space.subset(some)
            weights = self.offered(here, now, shrink)
            return {name: self._with(here, now, one, shrink) for name, one in weights.items()}

        name = best_of(offer, self.scores, part.ids, self.groups, k=2)
        return self._with(part, now, self.offered(part, now, shrink)[name], shrink)

    def offered(self, part: BlendSpace, now: _Setting, shrink: float | None) -> dict[str, ClassWeights]:
        """Equal weights, and those found and grown on a part, as they are and moved towards equal ones."""
        whole = set(part.ids) == set(self.space.ids)
        found = self.found if whole and self.found is not None else self.search(part)
        thresholds = now.thresholds if shrink is None else self._thresholds(part, None, shrink)
        grown = part.greedy(thresholds, by_class=self.by_class)
        out: dict[str, ClassWeights] = {"equal": uniform(part)}
        for name, weights in (("greedy", grown), ("study", per_class(found, part.classes))):
            out |= {f"{name}, moved {share:g}": shrunk(weights, share) for share in SHARES_TO_EQUAL}
        return out

    def _with(self, part: BlendSpace, now: _Setting, weights: ClassWeights, shrink: float | None) -> _Setting:
        """The setting of these weights, with thresholds of their own where thresholds are tuned."""
        if shrink is None:
            return replace(now, weights=weights)
        return replace(now, weights=weights, thresholds=self._thresholds(part, weights, shrink))

    def _thresholds(self, part: BlendSpace, weights: Weights, shrink: float) -> PerClass:
        return blend_curves(part, weights).best(shrink, shared=self.shared)

    def _shrink(self, part: BlendSpace) -> float:
        return choose_shrink(blend_curves(part), self.groups, k=self.k, shared=self.shared)
