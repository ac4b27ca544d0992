"""Which stores belong into a mean: one is taken in only where groups gain that had no part in the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.ensemble.greedy import EXACT, Scorer, WeightScorer
from segkit.ensemble.space import BlendSpace
from segkit.files import nearest
from segkit.metrics import Comparison, Scores, compare
from segkit.selection import Candidate, Selection, is_promising, select, signed
from segkit.thresholds import PerClass

if TYPE_CHECKING:
    import pandas as pd

Chosen = tuple[int, ...]
"""Places of stores, in the order they were taken."""


class MemberResult(NamedTuple):
    """What taking a store into the mean did, on top of those taken before it.

    Attributes:
        name: Of the store.
        gain: On all groups.
        kept: Whether it is taken.
    """

    name: str
    gain: Comparison
    kept: bool


@dataclass(frozen=True, eq=False)
class Members:
    """The stores that are kept, with the numbers.

    Attributes:
        names: In the order they were taken; the first is the one it began with.
        weights: 1 for those kept and 0 for the others, in the space's order: for BlendSpace.dice and ensemble.blend.
        tried: Every store that came first in a round, and each other one's gain in the round that took none.
        selection: How the choice as a whole was judged on groups that had no part in it.
    """

    names: tuple[str, ...]
    weights: list[float]
    tried: list[MemberResult]
    selection: Selection[Chosen]

    @property
    def held_out(self) -> Comparison | None:
        """What such a choice gains over the first alone on groups unseen; None where there are too few to ask."""
        return self.selection.rows[0].gain if self.selection.rows else None

    @property
    def table(self) -> pd.DataFrame:
        """`tried` as a table: store, gain, low, high, kept."""
        import pandas as pd

        rows = [(t.name, t.gain.gain, t.gain.low, t.gain.high, t.kept) for t in self.tried]
        return pd.DataFrame(rows, columns=["store", "gain", "low", "high", "kept"])


def members(
    space: BlendSpace | WeightScorer,
    groups: Mapping[str, str],
    *,
    first: str | None = None,
    thresholds: PerClass = 0.5,
    level: float = 0.95,
    k: int = 5,
) -> Members:
    """Grow an equal mean from one store, taking in what gains: views, folds, other networks.

    In each round the store whose addition gains most is taken, if the interval of that gain lies above 0; else growing
    ends. That choice is made again without each fold of groups and scored on them: unless the gain on the groups held
    out is significant, nothing is taken.

    Args:
        space: Of one store for each candidate; or a scorer of their weights, such as postprocess.RenderedBlends.
        groups: {image id: group}.
        first: Name of the store to begin with, which is the answer where nothing helps; default: the first.
        thresholds: A probability, or one for each class; of a BlendSpace.
        level: Of interval and test.
        k: Most folds of groups.

    Returns:
        The stores to average.

    Raises:
        ValueError: For an unknown first, a threshold outside the space's range, or an image without a group.
    """
    names = list(space.names)
    if first is not None and first not in names:
        raise ValueError(f"no store {first!r}; {nearest(first, names)}")
    begin = (0 if first is None else names.index(first),)
    scorer = Scorer(space, thresholds) if isinstance(space, BlendSpace) else space
    grower = _Grower(scorer, groups, level)
    fit = Candidate[Chosen]("members", lambda ids, now: grower.grow(ids, now)[0])
    found = select(begin, [fit], grower.scores, space.ids, groups, k=k, level=level)
    kept = {names[store] for store in found.setting}
    tried = [t._replace(kept=t.name in kept) for t in grower.grow(space.ids, begin)[1]]
    weights = [float(store in found.setting) for store in range(len(names))]
    return Members(tuple(names[store] for store in found.setting), weights, tried, found)


class _Grower:
    """Forward selection of stores on some images."""

    def __init__(self, scorer: WeightScorer, groups: Mapping[str, str], level: float) -> None:
        self.scorer, self.groups, self.level = scorer, groups, level

    def scores(self, chosen: Chosen, ids: Sequence[str]) -> Scores:
        """Scores of the equal mean of some stores."""
        return self.scorer([float(store in chosen) for store in range(len(self.scorer.names))], ids)

    def grow(self, ids: Sequence[str], begin: Chosen) -> tuple[Chosen, list[MemberResult]]:
        """What is taken, and what was tried, judged on these images alone."""
        names, chosen = self.scorer.names, begin
        tried: list[MemberResult] = []
        while len(chosen) < len(names):
            base = self.scores(chosen, ids)
            added = {store: self.scores((*chosen, store), ids) for store in range(len(names)) if store not in chosen}
            best = max(added, key=lambda store: round(signed(added[store]), EXACT))
            gain = self._gain(base, added[best])
            if not is_promising(gain):
                return chosen, [*tried, *(MemberResult(names[s], self._gain(base, a), False) for s, a in added.items())]
            chosen = (*chosen, best)
            tried.append(MemberResult(names[best], gain, True))
        return chosen, tried

    def _gain(self, base: Scores, other: Scores) -> Comparison:
        same = all(np.array_equal(a, b) for a, b in zip(base.parts, other.parts))
        return compare(base, other, self.groups, level=self.level, draws=1 if same else 2000)
