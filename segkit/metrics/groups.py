"""The score, its interval and paired comparisons, all of which know which images belong together."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from segkit.metrics.resample import GroupSums, draw_groups, group_sums
from segkit.metrics.results import Comparison, Interval
from segkit.metrics.scores import Scores, mean_of_known

if TYPE_CHECKING:
    import pandas as pd

POWER = 0.8
"""How often a gain of the minimum detectable size would be found (Cohen 1988)."""

EXACT = 12
"""Up to so many groups every pattern of signs is counted: 2 ** 12."""


def score(
    scores: Scores | pd.DataFrame,
    *,
    strata: Mapping[str, str] | None = None,
    mix: Mapping[str, float] | None = None,
) -> float:
    """Compute the score, also at another mix of strata, for instance that of the test set.

    At a mix each stratum's images share its weight (post-stratification: Holt and Smith 1979), so that the images at
    hand stand for those of their stratum.

    Args:
        scores: Scores of a metric, or a table image x class: then the mean over images, then over classes, NaN cells
            and classes of NaN alone left out.
        strata: {image id: stratum}.
        mix: {stratum: share}.

    Returns:
        The score.

    Raises:
        ValueError: If an image has no stratum, if the shares do not add up to 1, or if a share belongs to a stratum
            without image.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"Ulna": [0.9, 0.9, 0.9, 0.5]}, index=list("abcd"))
        >>> poses = {"a": "upright", "b": "upright", "c": "upright", "d": "tilted"}
        >>> round(score(table), 3), round(score(table, strata=poses, mix={"tilted": 0.58, "upright": 0.42}), 3)
        (0.8, 0.668)
    """
    scores = _as_scores(scores)
    return group_sums(scores, dict.fromkeys(scores.ids, "one"), strata, mix).score()


def bootstrap(
    scores: Scores | pd.DataFrame,
    groups: Mapping[str, str],
    *,
    strata: Mapping[str, str] | None = None,
    mix: Mapping[str, float] | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Compute the score with its percentile interval over resampled groups.

    Groups are drawn, not images: two images of one patient are no two draws. Of n groups n - 1 are drawn, as n would
    understate the variance of few (Rao and Wu 1988). For a pooled metric the counts of the drawn groups are added.

    Args:
        scores: Scores of a metric, or a table image x class.
        groups: {image id: group}.
        strata: {image id: stratum}, as for `score`; then the groups of each stratum are resampled among themselves,
            those in several with the rarest.
        mix: {stratum: share}, as for `score`.
        draws: Number of resamples.
        level: Of the interval.
        seed: Of the resamples.

    Returns:
        The interval. Its ends are NaN where a single group stands for all, or for a stratum.

    Raises:
        ValueError: As `score`, and if an image has no group.
    """
    sums = group_sums(_as_scores(scores), groups, strata, mix)
    low, high = _ends(sums.scores(_draws(sums, draws, level, seed)), sums, level)
    images = int(sums.images.sum())
    return Interval(sums.score(), low, high, len(sums.images), images, sums.strata(), level)


def compare(
    a: Scores | pd.DataFrame,
    b: Scores | pd.DataFrame,
    groups: Mapping[str, str],
    *,
    strata: Mapping[str, str] | None = None,
    mix: Mapping[str, float] | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two predictions of the same images: the paired gain of B over A with its interval and test.

    Interval: as `bootstrap`, A and B under the same resamples. Test: A and B are exchanged for whole groups (Fisher's
    sign flips, two-sided); of up to 12 groups all 2 ** n patterns are counted, of more `draws` are drawn (Phipson and
    Smyth 2010). Minimum detectable effect: 2.8 standard errors of the gain at level=.95, which is 1.96 for the interval
    and .84 for a power of 80 % (Bloom 1995); a true gain of half the interval's width would be found only once in two
    times.

    Args:
        a: Scores of a metric, or a table image x class.
        b: The same of the other prediction, of the same images and classes.
        groups: {image id: group}.
        strata: {image id: stratum}, as for `score`.
        mix: {stratum: share}, as for `score`.
        draws: Number of resamples, and of patterns of signs.
        level: Of interval and test.
        seed: Of the resamples.

    Returns:
        The comparison; `is_significant()` is the verdict.

    Raises:
        ValueError: If the two do not cover the same images, classes and known cells, and as `bootstrap`.
    """
    first, second = _paired(_as_scores(a), _as_scores(b))
    sign = 1.0 if first.higher_is_better else -1.0
    before, after = (group_sums(scores, groups, strata, mix) for scores in (first, second))
    counts = _draws(before, draws, level, seed)
    gains = sign * (after.scores(counts) - before.scores(counts))
    low, high = _ends(gains, before, level)
    normal = NormalDist()
    reach = normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(POWER)
    return Comparison(
        sign * (after.score() - before.score()),
        low,
        high,
        _sign_flips(before, after, draws, seed),
        float(reach * np.nanstd(gains)) if np.isfinite(low) else np.nan,
        len(before.images),
        int(before.images.sum()),
        before.strata(),
        level,
    )


def _as_scores(scores: Scores | pd.DataFrame) -> Scores:
    return scores if isinstance(scores, Scores) else Scores.from_table(scores)


def _paired(a: Scores, b: Scores) -> tuple[Scores, Scores]:
    """A and B in the same order; ValueError where they are not of the same images, classes and truth."""
    if set(a.ids) != set(b.ids) or set(a.classes) != set(b.classes):
        only = sorted(set(a.ids) ^ set(b.ids)) or sorted(set(a.classes) ^ set(b.classes))
        raise ValueError(f"the tables differ in {len(only)} images or classes: {only[:3]}")
    b = b.subset(a.ids).select(a.classes)
    if a.target is not None and b.target is not None:
        differ, what = a.target != b.target, "were scored against different truths"
    else:
        differ, what = np.isnan(a.cells) != np.isnan(b.cells), "are NaN in one table only"
    if differ.any():
        row, column = np.argwhere(differ)[0]
        raise ValueError(
            f"{differ.sum()} cells {what}, for instance image {a.ids[row]}, class {a.classes[column]}: make both with "
            "the same truth and metric"
        )
    return a, b


def _draws(sums: GroupSums, draws: int, level: float, seed: int) -> np.ndarray:
    if draws < 1 or not 0 < level < 1:
        raise ValueError(f"expected at least 1 draw and a level between 0 and 1, got draws={draws}, level={level}")
    return draw_groups(sums.home(), draws, seed)


def _ends(values: np.ndarray, sums: GroupSums, level: float) -> tuple[float, float]:
    """The interval's two ends, of the draws that have an image of each stratum."""
    if sums.has_lone_group() or np.isnan(values).all():
        return np.nan, np.nan
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _sign_flips(a: GroupSums, b: GroupSums, draws: int, seed: int) -> float:
    """The share of patterns of exchanges whose gain is as far from 0 as the one that came."""
    n = len(a.images)
    halves = [((y + x) / 2, (y - x) / 2) for x, y in zip(a.by_group(), b.by_group())]

    def gains(signs: np.ndarray) -> np.ndarray:
        ends = ([m.sum(axis=0) + side * (signs @ d) for m, d in halves] for side in (1, -1))
        after, before = (mean_of_known(a.finish(sums)) for sums in ends)
        return np.asarray(after - before)

    seen = abs(float(gains(np.ones(n))))
    if seen != seen:  # nothing is known
        return np.nan
    enough = seen - 1e-12 - 1e-9 * seen  # rounding makes no pattern rarer
    if n <= EXACT:
        signs = 1.0 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float((np.abs(gains(signs)) >= enough).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (draws, n)) * 2.0 - 1
    return (1 + int((np.abs(gains(signs)) >= enough).sum())) / (1 + draws)  # what came is one of the patterns
