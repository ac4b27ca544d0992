"""What can be said about scores: an interval, a comparison, and the only rule of significance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

MIN_GROUPS = 6
"""Fewest groups that can show a gain: with fewer no p of the exact two-sided sign-flip test reaches .05 (2 / 2**5 =
.0625), and an interval over so few is too narrow."""

ROUNDING = 1e-6
"""Gains below this are rounding, not gains."""


class Interval(NamedTuple):
    """A score with its interval over resampled groups.

    Attributes:
        mean: The score.
        low: Lower end; NaN where a single group stands for all, or for a stratum.
        high: Upper end.
        groups: Number of groups.
        images: Number of images.
        strata: Number of groups of each stratum of a mix; empty without one.
        level: Of the interval, such as .95.
    """

    mean: float
    low: float
    high: float
    groups: int
    images: int
    strata: Mapping[str, int]
    level: float = 0.95

    def __str__(self) -> str:
        """One line, such as "0.9123 (95 % interval 0.9050 to 0.9200, 24 groups, 48 images)"."""
        return f"{self.mean:.4f} ({_interval(self, '.4f')}, {_size(self)})"


class Comparison(NamedTuple):
    """How much better B is than A; positive is better, also for a metric of which lower is better.

    Attributes:
        gain: The difference of the scores: .01 is one point.
        low: Lower end of its interval; NaN where a single group stands for all, or for a stratum.
        high: Upper end.
        p: Of the two-sided sign-flip test: how often a gain as large, up or down, comes of chance alone.
        min_detectable_effect: The smallest true gain that this data would show: four times in five its interval would
            lie above 0.
        groups: Number of groups.
        images: Number of images.
        strata: Number of groups of each stratum of a mix; empty without one.
        level: Of interval and test, such as .95.
    """

    gain: float
    low: float
    high: float
    p: float
    min_detectable_effect: float
    groups: int
    images: int
    strata: Mapping[str, int]
    level: float = 0.95

    def is_significant(self) -> bool:
        """Tell whether the gain may change a setting: the only rule of significance in segkit.

        Three things must hold: at least MIN_GROUPS groups, the whole interval above 0, and p of the sign-flip test at
        most 1 - level. Why all three: the test is exact for any number of groups, but says nothing of the size of the
        gain and assumes that a gain and a loss are as likely; the bootstrap assumes no symmetry and shows the size, but
        with few groups its intervals are too narrow. Where they disagree the data does not carry the claim, and
        nothing is changed. With 6 groups p is at least 2 / 2**6 = .031, so that all six must gain.

        Returns:
            True where B is significantly better than A. (Never where it is worse.)
        """
        return bool(self.groups >= MIN_GROUPS and self.low > ROUNDING and self.p <= 1 - self.level)

    def reversed(self) -> Comparison:
        """The comparison of A over B."""
        return self._replace(gain=-self.gain, low=-self.high, high=-self.low)

    def __str__(self) -> str:
        """One line: gain, interval, p, how many groups, and the verdict."""
        worse = self.reversed().is_significant()
        verdict = "B is better" if self.is_significant() else "A is better" if worse else "no significant difference"
        if self.groups < MIN_GROUPS:
            verdict += f" (fewer than {MIN_GROUPS} groups can show none)"
        return f"gain {self.gain:+.4f} ({_interval(self, '+.4f')}, p = {self.p:.2g}, {_size(self)}): {verdict}"


def _interval(found: Interval | Comparison, digits: str) -> str:
    if found.low != found.low:
        return f"no interval: a single group stands for {'a stratum' if found.strata else 'all'}"
    return f"{100 * found.level:g} % interval {found.low:{digits}} to {found.high:{digits}}"


def _size(found: Interval | Comparison) -> str:
    strata = f" ({', '.join(f'{name} {count}' for name, count in found.strata.items())})" if found.strata else ""
    return f"{found.groups} groups{strata}, {found.images} images"
