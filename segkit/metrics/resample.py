"""Scores added up by group and stratum: enough for the score under any weights of the groups, and any mix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from segkit.files import nearest
from segkit.metrics.scores import Parts, Scores, mean_of_known

SLACK = 0.02
"""Shares are typed with few digits: .33 + .33 + .33 adds up to 1."""


@dataclass(frozen=True, eq=False)
class GroupSums:
    """What is known of P groups in S strata and C classes; without a mix there is one stratum.

    Attributes:
        parts: Sums of the parts of `Scores`, each of shape (P, S, C).
        finish: From sums to scores of classes.
        images: Number of images, shape (P, S).
        shares: Share of each stratum in the mix, shape (S,).
        names: Names of the strata; empty without a mix.
    """

    parts: Parts
    finish: Callable[[Sequence[np.ndarray]], np.ndarray]
    images: np.ndarray
    shares: np.ndarray
    names: tuple[str, ...]

    def factors(self, counts: np.ndarray) -> np.ndarray:
        """Weight of one image of each stratum.

        Args:
            counts: How often each group is there, shape (..., P).

        Returns:
            Weights, shape (..., S), that add up to the number of images; NaN where a stratum of the mix has no image.
        """
        there = counts @ self.images
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.shares > 0, self.shares * there.sum(axis=-1, keepdims=True) / there, 0.0)

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """Score resamples.

        Args:
            counts: How often each group is there, shape (..., P).

        Returns:
            Scores, shape (...).
        """
        factors = self.factors(counts)
        shape = (*counts.shape[:-1], *self.parts[0].shape[1:])
        sums = [
            np.einsum("...s,...sc->...c", factors, (counts @ part.reshape(len(part), -1)).reshape(shape))
            for part in self.parts
        ]
        return mean_of_known(self.finish(sums))

    def score(self) -> float:
        """The score where each group is there once."""
        return float(self.scores(np.ones(len(self.images))))

    def by_group(self) -> Parts:
        """The parts of each group, strata weighted as the mix says, each of shape (P, C)."""
        factors = self.factors(np.ones(len(self.images)))
        return tuple(np.einsum("s,psc->pc", factors, part) for part in self.parts)

    def strata(self) -> dict[str, int]:
        """Number of groups of each stratum; empty without a mix."""
        return {name: int(n) for name, n in zip(self.names, (self.images > 0).sum(axis=0))}

    def home(self) -> tuple[int, ...]:
        """The stratum in which each group is resampled: the rarest that it has images in, so that no draw lacks it."""
        there = self.images > 0
        return tuple(np.where(there, there.sum(axis=0), len(there) + 1).argmin(axis=1).tolist())

    def has_lone_group(self) -> bool:
        """Whether a single group stands for a stratum: then nobody can say how much groups differ there."""
        return bool(((np.bincount(self.home(), minlength=len(self.shares)) == 1) & (self.shares > 0)).any())


def group_sums(
    scores: Scores,
    groups: Mapping[str, str],
    strata: Mapping[str, str] | None = None,
    mix: Mapping[str, float] | None = None,
) -> GroupSums:
    """Add scores by group and stratum.

    Args:
        scores: The scores.
        groups: {image id: group}.
        strata: {image id: stratum}; None for no mix.
        mix: {stratum: share}; None for no mix.

    Returns:
        The sums.

    Raises:
        ValueError: If there is no image, an image without group or stratum, or a mix that does not fit.
    """
    if not scores.ids:
        raise ValueError("the table has no image: there is nothing to score")
    missing = [i for i in scores.ids if i not in groups]
    if missing:
        raise ValueError(f"{len(missing)} images have no group: {', '.join(map(str, missing[:3]))} ...")
    names, group = np.unique([str(groups[i]) for i in scores.ids], return_inverse=True)
    labels, shares, stratum = _strata(scores.ids, strata, mix)
    shape = (len(names), len(shares))
    images = np.zeros(shape)
    np.add.at(images, (group, stratum), 1.0)
    parts = []
    for part in scores.parts:
        total = np.zeros((*shape, part.shape[1]))
        np.add.at(total, (group, stratum), part)
        parts.append(total)
    return GroupSums(tuple(parts), scores.finish, images, shares, labels)


@lru_cache(maxsize=2)
def draw_groups(home: tuple[int, ...], draws: int, seed: int) -> np.ndarray:
    """Draw resamples of groups.

    In a stratum of n groups n - 1 are drawn, so that the variance is that of a mean of n (Rao and Wu 1988); one alone
    is always there.

    Args:
        home: The stratum of each group, length P.
        draws: How many resamples.
        seed: Of the random numbers.

    Returns:
        How often each group is in each resample, read-only, shape (draws, P).
    """
    rng, where = np.random.default_rng(seed), np.array(home)
    out = np.ones((draws, len(where)))
    for stratum in np.unique(where):
        (members,) = np.nonzero(where == stratum)
        if (n := len(members)) > 1:
            out[:, members] = rng.multinomial(n - 1, np.full(n, 1 / n), size=draws)
    out.flags.writeable = False
    return out


def _strata(
    ids: Sequence[str], strata: Mapping[str, str] | None, mix: Mapping[str, float] | None
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """(names, shares that sum to 1, place of each image's stratum)."""
    if (strata is None) != (mix is None):
        raise ValueError("strata says which image is in which stratum, mix the share of each: give both or neither")
    if strata is None or mix is None:
        return (), np.ones(1), np.zeros(len(ids), int)
    missing = [i for i in ids if i not in strata]
    if missing:
        raise ValueError(f"{len(missing)} images have no stratum: {', '.join(map(str, missing[:3]))} ...")
    names = tuple(sorted({strata[i] for i in ids} | set(mix)))
    for name in names:
        if name not in mix:
            raise ValueError(
                f"the mix has no share of {name!r}, which images are in (0 leaves them out); {_listed(mix)}"
            )
        if not 0 <= mix[name] <= 1:
            raise ValueError(f"the mix has {mix[name]} of {name!r}: expected a share, 0 to 1")
    total = sum(mix.values())
    if abs(total - 1) > SLACK:
        raise ValueError(f"expected shares of the mix that add up to 1, got {total:g}: {_listed(mix)}")
    place = {name: number for number, name in enumerate(names)}
    stratum = np.array([place[strata[i]] for i in ids])
    for name in names:
        if mix[name] > 0 and place[name] not in stratum:
            there = sorted({strata[i] for i in ids})
            raise ValueError(f"the mix has {mix[name]:g} of {name!r}, but no image is in it; {nearest(name, there)}")
    return names, np.array([mix[name] / total for name in names]), stratum


def _listed(mix: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={share:g}" for name, share in mix.items())
