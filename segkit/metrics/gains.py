"""The score, and what can be said about it: intervals, gains and tests that know which images are of one person."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd

from segkit.metrics.sums import Sums, draws_of_persons, sums

POWER = 0.8
"""How often a gain of the resolvable size would be found (Cohen 1988)."""

EXACT = 12
"""Up to so many persons every pattern of signs is counted: 2 ** 12."""


FEWEST_TO_KEEP = 6
"""Persons that a setting must be seen to gain on before it is kept: with n persons, each as likely to lose as to gain,
all gain once in 2 ** n times. Below 6 that is more than 2.5 %, and an interval of so few is too narrow to tell."""


class Interval(NamedTuple):
    """A mean with its interval (clustered by group), and how many groups and images stand behind it."""

    mean: float
    low: float
    high: float
    groups: int
    images: int
    strata: Mapping[str, int]
    """How many groups stand behind each stratum of a mix; empty without one."""


class Comparison(NamedTuple):
    """B minus A in mean Dice: 0.01 is one Dice point."""

    gain: float
    low: float
    high: float
    p: float
    """Of the sign-flip test: how often a gain as large, up or down, comes of tables that differ by chance alone."""
    resolvable: float
    """The smallest true gain that this data would show: four times in five its interval would lie above 0."""
    groups: int
    images: int
    strata: Mapping[str, int]
    """As in Interval."""


def score(
    table: pd.DataFrame, *, strata: Mapping[str, str] | None = None, mix: Mapping[str, float] | None = None
) -> float:
    """Mean over images, then over classes; NaN cells are left out, a class of NaN alone too.

    strata, mix: {image id: stratum} and {stratum: share}: the score at another mix of a group, for instance that of
    the test set. Each stratum's images share its weight (post-stratification: Holt and Smith 1979), so that the images
    at hand stand for those of their stratum. ValueError for an image without a stratum, shares that do not add up to
    1, or a share of a stratum that has no image.

    >>> table = pd.DataFrame({"Ulna": [0.9, 0.9, 0.9, 0.5]}, index=list("abcd"))
    >>> poses = {"a": "upright", "b": "upright", "c": "upright", "d": "tilted"}
    >>> round(score(table), 3), round(score(table, strata=poses, mix={"tilted": 0.58, "upright": 0.42}), 3)
    (0.8, 0.668)
    """
    return _score(sums(table, dict.fromkeys(table.index, "one"), strata, mix))


def bootstrap(
    table: pd.DataFrame,
    groups: Mapping[str, str],
    *,
    strata: Mapping[str, str] | None = None,
    mix: Mapping[str, float] | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The score with its percentile interval over resampled groups (persons, not images: two hands are no two draws).

    groups: {image id: person}. Of n groups n - 1 are drawn, as n would understate the variance of few (Rao and Wu
    1988). strata, mix: as for score(); then the groups of each stratum are resampled among themselves, those in
    several with the rarest. low and high are NaN where a single group stands for all, or for a stratum: how much
    persons differ cannot be seen of one, and of two or three only roughly. ValueError as score(), and names an image
    without a group.
    """
    found = sums(table, groups, strata, mix)
    low, high = _ends(found.scores(_draws(found, draws, level, seed)), found, level)
    return Interval(_score(found), low, high, len(found.images), len(table), found.persons())


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    groups: Mapping[str, str],
    *,
    strata: Mapping[str, str] | None = None,
    mix: Mapping[str, float] | None = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Is B better than A? The paired gain with its interval over resampled groups, and a paired test.

    low, high: as bootstrap(), both tables under the same resamples. p: the permutation test that exchanges A and B
    for whole persons (Fisher's sign flips, two-sided); of up to 12 persons all 2 ** n patterns are counted, of more
    `draws` are drawn. With n persons it cannot be below 2 / 2 ** n: of 5 persons 1 in 16. resolvable: 2.8 standard
    errors of the gain at level=.95, which is 1.96 for the interval and .84 for a power of 80 %: the least detectable
    effect (Bloom 1995). A true gain of half the interval's width would be found once in two times only.
    strata, mix: the gain at another mix, as for score().
    ValueError where the tables do not cover the same images, classes and known cells (NaN), and as bootstrap().
    """
    if set(a.index) != set(b.index) or set(a.columns) != set(b.columns):
        only = sorted(set(a.index) ^ set(b.index)) or sorted(set(a.columns) ^ set(b.columns))
        raise ValueError(f"the tables differ in {len(only)} images or classes: {only[:3]}")
    b = b.loc[a.index, a.columns]
    one_sided = a.isna().to_numpy() != b.isna().to_numpy()
    if one_sided.any():
        row, column = np.argwhere(one_sided)[0]
        raise ValueError(
            f"{one_sided.sum()} cells are NaN in one table only, for instance image {a.index[row]}, class "
            f"{a.columns[column]}: make both with the same truth and empty="
        )
    first, second = sums(a, groups, strata, mix), sums(b, groups, strata, mix)
    counts = _draws(first, draws, level, seed)
    gains = second.scores(counts) - first.scores(counts)
    low, high = _ends(gains, first, level)
    normal = NormalDist()
    reach = normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(POWER)
    return Comparison(
        _score(second) - _score(first),
        low,
        high,
        _sign_flips(_by_person(first, second), draws, seed),
        float(reach * np.nanstd(gains)) if np.isfinite(low) else np.nan,
        len(first.images),
        len(a),
        first.persons(),
    )


def _score(found: Sums) -> float:
    return float(found.scores(np.ones(len(found.images))))


def _draws(found: Sums, draws: int, level: float, seed: int) -> np.ndarray:
    if draws < 1 or not 0 < level < 1:
        raise ValueError(f"draws={draws}, level={level}: at least 1 draw and a level between 0 and 1 are wanted")
    return draws_of_persons(found.home(), draws, seed)


def _ends(values: np.ndarray, found: Sums, level: float) -> tuple[float, float]:
    """The interval's two ends, of the draws that have an image of each stratum."""
    if found.unknowable() or np.isnan(values).all():
        return np.nan, np.nan
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _by_person(first: Sums, second: Sums) -> np.ndarray:
    """(P,) what each person adds to the gain; their sum is the gain, as both tables know the same cells."""
    factors = first.factors(np.ones(len(first.images)))
    gained = np.einsum("s,psc->pc", factors, second.values - first.values)
    known = np.einsum("s,psc->c", factors, first.known)
    there = known > 0
    return gained[:, there] @ (1 / known[there]) / max(there.sum(), 1)


def _sign_flips(gained: np.ndarray, draws: int, seed: int) -> float:
    """The share of patterns of signs whose sum is as far from 0 as the one that came."""
    n, seen = len(gained), abs(gained.sum())
    slack = 1e-12 + 1e-9 * seen  # rounding makes no pattern rarer
    if n <= EXACT:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
        return float((np.abs(signs @ gained) >= seen - slack).mean())
    signs = np.random.default_rng(seed).integers(0, 2, (draws, n)) * 2 - 1
    hits = int((np.abs(signs @ gained) >= seen - slack).sum())
    return (1 + hits) / (1 + draws)  # what came is one of the patterns (Phipson and Smyth 2010)
