"""The one loop that decides whether a setting is worth keeping: fitted on some groups, scored on the others.

Thresholds, steps, weights, views and members all go through select(). A candidate is fitted on the groups kept, scored
on the groups held out, and kept only where its gain there over the current setting is significant
(metrics.Comparison.is_significant): no gain, no change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from segkit.folds import check_groups, group_folds
from segkit.metrics import Comparison, Scores, compare
from segkit.metrics.joining import join

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

S = TypeVar("S")
"""A setting: a Pipeline, weights, a set of steps, anything that can be scored."""

Ids = tuple[str, ...]
Score = Callable[[S, Ids], Scores]
"""score(setting, ids) -> the scores of these images under a setting, in this order."""
Fit = Callable[[Ids, S], S]
"""fit(ids, current) -> a setting chosen on these images alone; current: what was kept before, fitted on the same."""

MIN_GROUPS_TO_SCORE = 3
"""With fewer groups no choice can be scored on groups that had no part in it."""
PRECISION = 9
"""Digits of a score: what differs by less is equal, and the first of equals is taken."""


@dataclass(frozen=True)
class Candidate(Generic[S]):
    """A way to choose a setting.

    Args:
        name: Such as "thresholds".
        fit: Chooses a setting on some images, on top of the current one.
        without: without(setting, classes) -> the setting that leaves these classes as they were: asked for the classes
            whose held-out score falls. None where a setting cannot be undone class by class.
    """

    name: str
    fit: Fit[S]
    without: Callable[[S, Sequence[str]], S] | None = None


@dataclass(frozen=True)
class Row:
    """What a candidate was worth.

    Attributes:
        name: Of the candidate.
        gain: Over what was kept before it, on groups that had no part in the choice.
        held_out: Its held-out score.
        kept: Whether it is used.
    """

    name: str
    gain: Comparison
    held_out: float
    kept: bool


@dataclass(frozen=True, eq=False)
class Selection(Generic[S]):
    """What select() kept, and what it is worth.

    Attributes:
        setting: What to use: fitted on all groups.
        rows: Every candidate in the order it was tried; empty where there are too few groups to score any.
        start: Scores of the setting that it began with, which needs no choosing.
        scores: Held-out scores of what is kept: each image is scored under what other groups chose.
        tuned: Score of `setting` on the very images it was chosen on.
        folds: (ids, what the other groups chose for them) of each fold, as `scores` were made.
    """

    setting: S
    rows: tuple[Row, ...]
    start: Scores
    scores: Scores
    tuned: float
    folds: tuple[tuple[Ids, S], ...] = ()

    @property
    def kept(self) -> str:
        """The names of the candidates that are used, such as "thresholds and steps"; "nothing" where none is."""
        return " and ".join(row.name for row in self.rows if row.kept) or "nothing"

    @property
    def untuned(self) -> float:
        """Score of the setting that it began with."""
        return float(self.start.score())

    @property
    def held_out(self) -> float:
        """Held-out score of what is kept: the one to believe."""
        return float(self.scores.score())

    @property
    def table(self) -> pd.DataFrame:
        """The rows: candidate, gain, low, high, p, held_out, kept."""
        import pandas as pd

        cells = [(r.name, r.gain.gain, r.gain.low, r.gain.high, r.gain.p, r.held_out, r.kept) for r in self.rows]
        return pd.DataFrame(cells, columns=["candidate", "gain", "low", "high", "p", "held_out", "kept"])

    def __str__(self) -> str:
        lines = [f"{row.name}: {row.gain}; {'kept' if row.kept else 'not kept'}" for row in self.rows]
        if not lines:
            lines = [f"fewer than {MIN_GROUPS_TO_SCORE} groups: nothing can be scored on others, nothing is kept"]
        scores = f"untuned {self.untuned:.4f}, held out {self.held_out:.4f}, tuned {self.tuned:.4f}"
        return "\n".join([*lines, f"kept: {self.kept} ({scores})"])


def select(
    start: S,
    candidates: Sequence[Candidate[S]],
    score: Score[S],
    ids: Sequence[str],
    groups: Mapping[str, str],
    *,
    k: int = 5,
    level: float = 0.95,
) -> Selection[S]:
    """Try candidates one after another, each on top of what was kept before; keep those that gain significantly.

    For each fold of groups a candidate is fitted on the others alone, and scores the groups held out. Where that gain
    is significant, the candidate is fitted on all groups and used. With fewer than 6 groups nothing is kept.

    Args:
        start: The setting that needs no choosing.
        candidates: In the order to try.
        score: Scores a setting on some images.
        ids: All images.
        groups: {image id: group}.
        k: Most folds of groups.
        level: Of interval and test.

    Returns:
        What is kept, with the held-out score.

    Raises:
        ValueError: If an image has no group, or k is below 2.

    Example:
        >>> import pandas as pd
        >>> score = lambda bonus, ids: Scores.from_table(pd.DataFrame({"x": 0.5 + bonus}, index=ids))
        >>> found = select(0.0, [Candidate("bonus", lambda ids, now: 0.1)], score, "abcdef", {i: i for i in "abcdef"})
        >>> found.setting, found.kept, found.untuned, found.held_out
        (0.1, 'bonus', 0.5, 0.6)
    """
    every = tuple(ids)
    first = current = score(start, every)
    if len({groups[image] for image in every if image in groups}) < MIN_GROUPS_TO_SCORE:
        check_groups(every, groups)
        return Selection(start, (), first, first, float(first.score()))
    folds = [_named(every, fold) for fold in group_folds(every, groups, k)]
    fitted, setting, rows = [start] * len(folds), start, []
    for candidate in candidates:
        found = [candidate.fit(kept, before) for (_, kept), before in zip(folds, fitted)]
        after = join([score(one, held) for one, (held, _) in zip(found, folds)], every)
        gain = compare(current, after, groups, level=level)
        kept = gain.is_significant()
        if kept:
            setting = candidate.fit(every, setting)
            if candidate.without is not None and (falls := _falls(current, after)):
                setting = candidate.without(setting, falls)
                found = [candidate.without(one, falls) for one in found]
                after = join([score(one, held) for one, (held, _) in zip(found, folds)], every)
            fitted, current = found, after
        rows.append(Row(candidate.name, gain, float(after.score()), kept))
    chosen = tuple((held, one) for one, (held, _) in zip(fitted, folds))
    return Selection(setting, tuple(rows), first, current, float(score(setting, every).score()), chosen)


def cross_fit(
    fit: Callable[[Ids], S], score: Score[S], ids: Sequence[str], groups: Mapping[str, str], *, k: int = 5
) -> Scores:
    """Score each image under what other groups chose: the price of any tuning.

    Args:
        fit: Chooses a setting on some images; called once a fold.
        score: Scores a setting on some images.
        ids: All images.
        groups: {image id: group}.
        k: Most folds of groups.

    Returns:
        Held-out scores, in the order of ids.
    """
    return _cross_fit_each(lambda part: {"": fit(part)}, score, ids, groups, k)[""]


def best_of(
    fits: Callable[[Ids], Mapping[str, S]],
    score: Score[S],
    ids: Sequence[str],
    groups: Mapping[str, str],
    *,
    k: int = 5,
) -> str:
    """The name whose settings score best on groups that they were not fitted on; the first of equals.

    This is a choice, not a claim: call it inside a candidate's fit, and let select() judge it.

    Args:
        fits: fits(ids) -> {name: setting}, the most careful first.
        score: Scores a setting on some images.
        ids: All images.
        groups: {image id: group}.
        k: Most folds of groups.

    Returns:
        A name.
    """
    found = _cross_fit_each(fits, score, ids, groups, k)
    return max(found, key=lambda name: round(signed(found[name]), PRECISION))


def is_promising(gain: Comparison) -> bool:
    """Whether a fit takes a step that has nothing to tune, such as a member: the interval of its gain lies above 0.

    This is no claim, and no rule of significance: the fit as a whole is judged by select(), on other groups.

    Args:
        gain: On the images of the fit.

    Returns:
        True where the step is taken.
    """
    return gain.low > 0


def signed(scores: Scores) -> float:
    """The score, as a number of which higher is better.

    Args:
        scores: Of any metric.

    Returns:
        The score, negative where lower is better.
    """
    return float(scores.score()) * (1 if scores.higher_is_better else -1)


def _cross_fit_each(
    fits: Callable[[Ids], Mapping[str, S]], score: Score[S], ids: Sequence[str], groups: Mapping[str, str], k: int
) -> dict[str, Scores]:
    """{name: held-out scores} of several settings that are fitted together."""
    parts: dict[str, list[Scores]] = {}
    for fold in group_folds(ids, groups, k):
        held, kept = _named(ids, fold)
        for name, setting in fits(kept).items():
            parts.setdefault(name, []).append(score(setting, held))
    return {name: join(found, ids) for name, found in parts.items()}


def _named(ids: Sequence[str], fold: tuple[np.ndarray, np.ndarray]) -> tuple[Ids, Ids]:
    """Rows of a fold as ids."""
    return tuple(ids[row] for row in fold[0]), tuple(ids[row] for row in fold[1])


def _falls(before: Scores, after: Scores) -> list[str]:
    """Classes whose score is worse than before."""
    sign = 1 if before.higher_is_better else -1
    change = sign * (after.per_class() - before.per_class())
    return [cls for cls, gained in zip(before.classes, change) if gained < 0]
