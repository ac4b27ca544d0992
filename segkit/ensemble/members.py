"""Which stores belong into a mean: one is taken in only where persons it was not chosen on gain. The default is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from segkit.ensemble.search import Scorer
from segkit.files import nearest
from segkit.metrics import MIN_GROUPS, Comparison, compare
from segkit.thresholds import PerClass, person_folds

if TYPE_CHECKING:
    from segkit.ensemble.space import BlendSpace


class Tried(NamedTuple):
    """What taking a store into the mean did, on top of those taken before it."""

    name: str
    gain: Comparison
    kept: bool


class Members(NamedTuple):
    """The stores that are kept, with the numbers."""

    names: tuple[str, ...]
    """In the order they were taken; the first is the one it began with."""
    weights: list[float]
    """1 for those kept and 0 for the others, in the space's order: for BlendSpace.dice and ensemble.blend."""
    tried: list[Tried]
    """Every store that came first in a round, and each other one's gain in the round that took none."""
    held_out: Comparison | None
    """What such a choice gains over the first alone on persons unseen: each is scored under what the others alone would
    have kept. None where too few persons are left to ask."""

    @property
    def table(self) -> pd.DataFrame:
        """`tried` as a table: store, gain, low, high, kept."""
        rows = [(t.name, t.gain.gain, t.gain.low, t.gain.high, t.kept) for t in self.tried]
        return pd.DataFrame(rows, columns=["store", "gain", "low", "high", "kept"])


def members(
    space: BlendSpace,
    groups: Mapping[str, str],
    *,
    first: str | None = None,
    thresholds: PerClass = 0.5,
    level: float = 0.95,
    k: int = 5,
) -> Members:
    """Grow an equal mean from one store, taking in what is sure to help: test-time views, folds, other networks.

    space: of one store for each candidate; groups: {id: person}; first: the name of the store to begin with (default
    the first), which is the answer where nothing helps. In each round the store whose addition gains most is taken, if
    the paired interval of its gain, clustered by person, is above 0; else growing ends. That choice is then made again
    without each of at most k folds of persons and scored on them: unless the interval of that held-out gain is above 0
    too, nothing is taken. Nor with fewer than 6 persons.
    ValueError for an unknown first, a threshold outside the space's range, or an image without a person.
    """
    names = list(space.names)
    if first is not None and first not in names:
        raise ValueError(f"no store {first!r}; {nearest(first, names)}")
    begin = 0 if first is None else names.index(first)
    grower = _Grower(Scorer(space, thresholds), groups, level)
    everyone = np.arange(len(space.ids))
    chosen, tried = grower.grow(everyone, begin)
    held_out = None
    if len({groups[i] for i in space.ids if i in groups}) < MIN_GROUPS:
        chosen = [begin]
    else:
        before = grower.table([begin])
        unseen = before.copy()
        for held, others in person_folds(space.ids, groups, k):
            unseen.iloc[held] = grower.table(grower.grow(others, begin)[0]).iloc[held]
        held_out = compare(before, unseen, groups, level=level)
        if not held_out.is_significant():
            chosen = [begin]
    kept = {names[store] for store in chosen}
    return Members(
        tuple(names[store] for store in chosen),
        [float(store in chosen) for store in range(len(names))],
        [t._replace(kept=t.kept and t.name in kept) for t in tried],
        held_out,
    )


class _Grower:
    def __init__(self, scorer: Scorer, groups: Mapping[str, str], level: float) -> None:
        self.scorer, self.groups, self.level = scorer, groups, level

    def table(self, chosen: Sequence[int]) -> pd.DataFrame:
        """Dice image x class of the equal mean of some stores."""
        space = self.scorer.space
        weights = [float(store in chosen) for store in range(len(space.names))]
        return pd.DataFrame(self.scorer(weights), index=list(space.ids), columns=list(space.classes))

    def grow(self, rows: np.ndarray, begin: int) -> tuple[list[int], list[Tried]]:
        """What is taken, and what was tried, judged on these rows (images) alone."""
        names, chosen = self.scorer.space.names, [begin]
        tried: list[Tried] = []
        while len(chosen) < len(names):
            left = [store for store in range(len(names)) if store not in chosen]
            base = self.table(chosen).iloc[rows]
            tables = {store: self.table([*chosen, store]).iloc[rows] for store in left}
            best = max(left, key=lambda store: round(float(tables[store].to_numpy().mean()), 12))
            gain = self._gain(base, tables[best])
            if not gain.low > 0:
                return chosen, [*tried, *(Tried(names[s], self._gain(base, tables[s]), False) for s in left)]
            chosen.append(best)
            tried.append(Tried(names[best], gain, True))
        return chosen, tried

    def _gain(self, base: pd.DataFrame, other: pd.DataFrame) -> Comparison:
        return compare(base, other, self.groups, level=self.level, draws=1 if base.equals(other) else 2000)
