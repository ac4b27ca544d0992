"""What of a blend's thresholds and weights is used: first thresholds, then weights, each judged by other persons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from segkit.ensemble import BlendSpace, shrunk
from segkit.ensemble.weights import Weights
from segkit.metrics import Comparison, compare
from segkit.studies.choosing import FEWEST_PERSONS
from segkit.studies.objectives import blend_curves
from segkit.thresholds import PerClass, ScoreCurves, choose_shrink, per_class, person_folds

Search = Callable[[BlendSpace], Weights]
"""search(space of some persons) -> the weights it finds there, a whole study for instance."""
MOVED = (0.0, 0.5)
"""How far found weights are moved towards equal ones where they compete; equal ones compete as well."""


class BlendChoice(NamedTuple):
    """Weights and thresholds chosen on some persons, and what the choosing is worth on others."""

    weights: dict[str, np.ndarray]
    """{class: (K,)}, normalised: for BlendSpace.dice and ensemble.blended."""
    thresholds: dict[str, float]
    kept: str
    """Which of `held_out` it is."""
    table: pd.DataFrame
    """Dice image x class, each image scored by what the other persons chose."""
    tuned: float
    """Mean Dice of the choice on the very images it was made on."""
    held_out: dict[str, float]
    """Mean held-out Dice of each choice; "nothing" is equal weights at .5, which need no choosing."""
    gains: dict[str, Comparison]
    """Of each choice over what was kept before it, paired and clustered by person; none below 3 persons."""


def choose_blend(
    space: BlendSpace,
    groups: Mapping[str, str],
    search: Search,
    *,
    found: Weights = None,
    weights_by_class: bool = False,
    thresholds_by_class: bool = False,
    k: int = 5,
) -> BlendChoice:
    """Choose a blend's thresholds, then its weights, with the nested, person-grouped score of the choosing beside it.

    Thresholds: the exact ones of equal weights with their shrink, against .5 (or the end of the space's range that is
    nearest to it). Weights: what `search` finds, greedy ones (BlendSpace.greedy), both also half-way to equal ones, and
    equal ones; which of these, folds of the persons that choose say. They are judged over what was kept before, with
    thresholds of their own where thresholds are kept and at .5 else. For each fold of persons all that is done on the
    others alone. Each of the two is used only where the 95 % interval of what it so gains on the persons held out,
    paired and clustered by person, is above 0, and never with fewer than 6 persons.
    groups: {id: person}. found: what `search` made of the whole space, where that is known. weights_by_class: greedy
    weights of each class. thresholds_by_class: one for each class instead of one for all. `search` is called for
    3 k + 2 parts of the space, two of three of them of half the persons that choose.
    """
    middle = min(max(0.5, space.low), space.high)
    plain = space.dice(None, middle)
    equal = shrunk({cls: np.ones(len(space.names)) for cls in space.classes}, 1.0)
    persons = len({groups[i] for i in space.ids})
    nothing = (plain, equal, per_class(middle, space.classes))
    options, gains, best = {"nothing": nothing}, {}, "nothing"
    if persons >= FEWEST_PERSONS:
        chooser = _Chooser(search, groups, weights_by_class, thresholds_by_class, k, middle)
        folds = [tuple(_part(space, rows) for rows in fold) for fold in person_folds(space.ids, groups, k)]

        def unseen(choose: Callable[[BlendSpace], tuple[Weights, PerClass]]) -> np.ndarray:
            tables = [_frame(held.dice(*choose(others)), held) for held, others in folds]
            return pd.concat(tables).loc[list(space.ids)].to_numpy()

        after = unseen(lambda part: (None, chooser.thresholds(part)))
        gains["thresholds"] = compare(_frame(plain, space), _frame(after, space), groups)
        options["thresholds"] = (after, equal, per_class(chooser.thresholds(space), space.classes))
        chooser.cut = gains["thresholds"].is_significant()
        best, name = ("thresholds", "thresholds and weights") if chooser.cut else ("nothing", "weights")
        before, after = options[best][0], unseen(chooser.weigh)
        gains[name] = compare(_frame(before, space), _frame(after, space), groups)
        options[name] = (after, equal, options[best][2])
        if gains[name].is_significant():
            weights, thresholds = chooser.weigh(space, search(space) if found is None else found)
            best, options[name] = name, (after, weights, per_class(thresholds, space.classes))
    table, weights, cuts = options[best]
    held_out = {option: float(scores.mean()) for option, (scores, _, _) in options.items()}
    tuned = float(space.dice(weights, cuts).mean())
    return BlendChoice(weights, cuts, best, _frame(table, space), tuned, held_out, gains)


class _Chooser:
    """The whole choice of thresholds, and of weights, on a part of the persons."""

    def __init__(
        self, search: Search, groups: Mapping[str, str], by_class: bool, cuts_by_class: bool, k: int, middle: float
    ) -> None:
        self.search, self.groups, self.by_class, self.cuts_by_class = search, groups, by_class, cuts_by_class
        self.k, self.middle = k, middle
        self.cut = False
        """Whether weights come with thresholds of their own."""

    def thresholds(self, part: BlendSpace) -> PerClass:
        """Those of equal weights, with their shrink."""
        curves = blend_curves(part)
        return curves.best(self._shrink(curves), shared=not self.cuts_by_class)

    def weigh(self, part: BlendSpace, found: Weights = None) -> tuple[dict[str, np.ndarray], PerClass]:
        """The weights that do best on halves of the part's persons which they were not found on, found on all of it."""
        shrink = self._shrink(blend_curves(part)) if self.cut else 0.0
        scores: dict[str, float] = {}
        for held, others in person_folds(part.ids, self.groups, 2):
            there, here = _part(part, held), _part(part, others)
            for name, weights in self._offered(here, self.search(here), shrink).items():
                dice = there.dice(weights, self._of(here, weights, shrink))
                scores[name] = scores.get(name, 0.0) + float(dice.sum())
        best = max(
            scores, key=lambda name: round(scores[name] / len(part.ids) / len(part.classes), 9)
        )  # first of equals
        weights = self._offered(part, self.search(part) if found is None else found, shrink)[best]
        return weights, self._of(part, weights, shrink)

    def _offered(self, part: BlendSpace, found: Weights, shrink: float) -> dict[str, dict[str, np.ndarray]]:
        """Equal weights, and those found and grown on a part, as they are and moved towards equal ones."""
        grown = part.greedy(self._of(part, None, shrink), by_class=self.by_class)
        out = {"equal": shrunk(grown, 1.0)}
        for name, weights in (("greedy", grown), ("study", per_class(found, part.classes))):
            out |= {f"{name}, moved {share:g}": shrunk(weights, share) for share in reversed(MOVED)}
        return out

    def _of(self, part: BlendSpace, weights: Weights, shrink: float) -> PerClass:
        return blend_curves(part, weights).best(shrink, shared=not self.cuts_by_class) if self.cut else self.middle

    def _shrink(self, curves: ScoreCurves) -> float:
        return choose_shrink(curves, self.groups, k=self.k, shared=not self.cuts_by_class)


def _part(space: BlendSpace, rows: np.ndarray) -> BlendSpace:
    return space.subset([space.ids[row] for row in rows])


def _frame(scores: np.ndarray, space: BlendSpace) -> pd.DataFrame:
    return pd.DataFrame(scores, index=pd.Index(space.ids, name="image_name"), columns=list(space.classes))
