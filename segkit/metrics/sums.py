"""Sums of a Dice table by person and stratum: enough for its score under any weights of persons, and any mix."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from segkit.files import nearest

SLACK = 0.02
"""Shares are typed with few digits: .33 + .33 + .33 is a whole."""


class Sums(NamedTuple):
    """What is known of P persons in S strata and C classes; without a mix there is one stratum."""

    values: np.ndarray
    """(P, S, C) sums of Dice over the cells that are not NaN."""
    known: np.ndarray
    """(P, S, C) how many these are."""
    images: np.ndarray
    """(P, S) images."""
    shares: np.ndarray
    """(S,) of the mix."""
    names: tuple[str, ...]
    """The strata; empty without a mix."""

    def factors(self, counts: np.ndarray) -> np.ndarray:
        """(..., S) what an image of each stratum counts where person p is there counts[..., p] times; NaN where a
        stratum that has a share has no image."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.shares > 0, self.shares / (counts @ self.images), 0.0)

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """(...,) the mean over images, then classes, where person p is there counts[..., p] times."""
        factors = self.factors(counts)
        shape = (*counts.shape[:-1], *self.values.shape[1:])
        total, known = (
            np.einsum("...s,...sc->...c", factors, (counts @ part.reshape(len(part), -1)).reshape(shape))
            for part in (self.values, self.known)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return mean_of_known(np.where(known > 0, total / known, np.nan))

    def persons(self) -> dict[str, int]:
        """Persons of each stratum; empty without a mix."""
        return {name: int(n) for name, n in zip(self.names, (self.images > 0).sum(axis=0))}

    def home(self) -> tuple[int, ...]:
        """Of each person the stratum that the resampling counts it to: of those it has images in the rarest, so that
        no draw lacks a rare one."""
        there = self.images > 0
        return tuple(np.where(there, there.sum(axis=0), len(there) + 1).argmin(axis=1).tolist())

    def unknowable(self) -> bool:
        """Whether a single person stands for a stratum: then nobody can say how much persons differ there."""
        return bool(((np.bincount(self.home(), minlength=len(self.shares)) == 1) & (self.shares > 0)).any())


def sums(
    table: pd.DataFrame,
    groups: Mapping[str, str],
    strata: Mapping[str, str] | None = None,
    mix: Mapping[str, float] | None = None,
) -> Sums:
    """A table's sums. ValueError for no image, an image without person or stratum, or a mix that does not fit."""
    if not len(table):
        raise ValueError("the table has no image: there is nothing to score")
    missing = [i for i in table.index if i not in groups]
    if missing:
        raise ValueError(f"{len(missing)} images have no group: {', '.join(map(str, missing[:3]))} ...")
    persons, person = np.unique([str(groups[i]) for i in table.index], return_inverse=True)
    names, shares, stratum = _strata(table, strata, mix)
    values = table.to_numpy(np.float64)
    known = ~np.isnan(values)
    shape = (len(persons), len(shares))
    parts = np.zeros((*shape, values.shape[1])), np.zeros((*shape, values.shape[1])), np.zeros(shape)
    for part, cells in zip(parts, (np.where(known, values, 0.0), known, 1.0)):
        np.add.at(part, (person, stratum), cells)
    return Sums(*parts, shares, names)


@lru_cache(maxsize=2)
def draws_of_persons(home: tuple[int, ...], draws: int, seed: int) -> np.ndarray:
    """(draws, P) how often each person is in each resample: in a stratum of n persons n - 1 are drawn, so that the
    variance is that of a mean of n (Rao and Wu 1988); one alone is always there."""
    rng, where = np.random.default_rng(seed), np.array(home)
    out = np.ones((draws, len(where)))
    for stratum in np.unique(where):
        (members,) = np.nonzero(where == stratum)
        if (n := len(members)) > 1:
            out[:, members] = rng.multinomial(n - 1, np.full(n, 1 / n), size=draws)
    out.flags.writeable = False
    return out


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis without NaN; NaN where nothing else is there."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(axis=-1) / known.sum(axis=-1)


def _strata(
    table: pd.DataFrame, strata: Mapping[str, str] | None, mix: Mapping[str, float] | None
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """(names, shares that sum to 1, place of each image's stratum)."""
    if (strata is None) != (mix is None):
        raise ValueError("strata says which image is in which group, mix the share of each: give both or neither")
    if strata is None or mix is None:
        return (), np.ones(1), np.zeros(len(table), int)
    missing = [i for i in table.index if i not in strata]
    if missing:
        raise ValueError(f"{len(missing)} images have no stratum: {', '.join(map(str, missing[:3]))} ...")
    names = tuple(sorted({strata[i] for i in table.index} | set(mix)))
    for name in names:
        if name not in mix:
            raise ValueError(
                f"the mix has no share of {name!r}, which images are in (0 leaves them out); {_listed(mix)}"
            )
        if not 0 <= mix[name] <= 1:
            raise ValueError(f"the mix has {mix[name]} of {name!r}: a share is wanted, 0 to 1")
    total = sum(mix.values())
    if abs(total - 1) > SLACK:
        raise ValueError(f"the shares of the mix add up to {total:g}, 1 is wanted: {_listed(mix)}")
    place = {name: number for number, name in enumerate(names)}
    stratum = np.array([place[strata[i]] for i in table.index])
    for name in names:
        if mix[name] > 0 and place[name] not in stratum:
            there = sorted({strata[i] for i in table.index})
            raise ValueError(f"the mix has {mix[name]:g} of {name!r}, but no image is in it; {nearest(name, there)}")
    return names, np.array([mix[name] / total for name in names]), stratum


def _listed(mix: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={share:g}" for name, share in mix.items())
