"""Numbers as the page writes them: four decimals for scores, units everywhere, a dash for what is not there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeGuard

import numpy as np
from matplotlib.ticker import MaxNLocator


def known(value: float | None) -> TypeGuard[float]:
    """Say whether this is a number to show: neither None nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


def score(value: float | None) -> str:
    """Write a score with four decimals, a dash where there is none.

    Example:
        >>> score(0.91237), score(float("nan"))
        ('0.9124', '–')
    """
    return f"{value:.4f}" if known(value) else "–"


def signed(value: float, places: int = 4) -> str:
    """Write a difference with its sign.

    Example:
        >>> signed(0.0012), signed(-0.0012), signed(0.00001), signed(-0.5, places=2)
        ('+0.0012', '−0.0012', '0.0000', '−0.50')
    """
    rounded = round(value, places)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else ''}{abs(rounded):.{places}f}"


def percent(share: float) -> str:
    """Write a share (0 to 1) in percent, with two digits or more.

    Example:
        >>> percent(0.1234), percent(0.012), percent(0.000123), percent(0.0)
        ('12.3 %', '1.20 %', '0.012 %', '0 %')
    """
    if not known(share):
        return "–"
    value = 100 * share
    if value >= 0.1:
        return f"{value:.1f} %" if value >= 10 else f"{value:.2f} %"
    return f"{float(f'{value:.2g}'):g} %"


def duration(seconds: float | None) -> str:
    """Write seconds as people say them.

    Example:
        >>> duration(4.26), duration(83), duration(7384)
        ('4.3 s', '1 min 23 s', '2 h 3 min')
    """
    if not known(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def megabytes(value: float | None) -> str:
    """Write an amount of memory, MB.

    Example:
        >>> megabytes(1234.4)
        '1,234 MB'
    """
    return f"{value:,.0f} MB" if known(value) else "–"


def pixels(value: float | None) -> str:
    """Write a number of pixels, which may be a mean.

    Example:
        >>> pixels(12345.5)
        '12,346'
    """
    return f"{value:,.0f}" if known(value) else "–"


def threshold(value: float | None) -> str:
    """Write a threshold (a probability) with two decimals.

    Example:
        >>> threshold(0.4567)
        '0.46'
    """
    return f"{value:.2f}" if known(value) else "–"


def count(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun.

    Example:
        >>> count(1, "image"), count(2, "image"), count(2, "class", "classes")
        ('1 image', '2 images', '2 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sortable(value: float) -> str:
    """Write a value in full for the sorting of a table; "" where there is none."""
    return repr(float(value)) if known(value) else ""


class Scale:
    """Places of numbers along a bar, in percent of its width.

    Args:
        values: All that the bar must hold; NaN is left out.
        top: Its right end; default: the highest value.

    Attributes:
        ticks: (place, label) of a few round numbers.

    Example:
        >>> scale = Scale([0.8, 0.9])
        >>> scale.at(0.85), [label for _, label in scale.ticks]
        (50.0, ['0.80', '0.85', '0.90'])
    """

    def __init__(self, values: Iterable[float], *, top: float | None = None) -> None:
        found = [v for v in values if known(v)] or [0.0, 1.0]
        low, high = min(found), max(found) if top is None else top
        room = max(0.06 * (high - low), 0.002)
        self.low, self.high = low - room, high + room
        places = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(self.low, self.high)
        ticks = [float(t) for t in np.round(places, 6) if self.low <= t <= self.high]
        decimals = max((len(f"{t:g}".partition(".")[2]) for t in ticks), default=0)
        self.ticks = [(self.at(t), f"{t:.{decimals}f}") for t in ticks]

    def at(self, value: float) -> float:
        """Place of a value, 0 to 100."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


class LogScale:
    """The same for positive numbers over several powers of ten.

    Args:
        values: All that the bar must hold; NaN, 0 and below are left out.

    Example:
        >>> scale = LogScale([100, 10000])
        >>> scale.at(1000), [label for _, label in scale.ticks]
        (50.0, ['100', '1k', '10k'])
    """

    def __init__(self, values: Iterable[float]) -> None:
        found = [math.log10(v) for v in values if known(v) and v > 0] or [0.0, 1.0]
        room = max(0.04 * (max(found) - min(found)), 0.05)
        self.low, self.high = min(found) - room, max(found) + room
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        steps = (1,) if self.high - self.low > 1.6 else (1, 3)
        ticks = [step * 10.0**power for power in powers for step in steps]
        inside = [t for t in ticks if self.low <= math.log10(t) <= self.high]
        self.ticks = [(self.at(t), _thousands(t)) for t in inside]

    def at(self, value: float) -> float:
        """Place of a value, 0 to 100."""
        return round(100 * (math.log10(value) - self.low) / (self.high - self.low), 2)


def _thousands(value: float) -> str:
    """3000 -> "3k"."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


FILTERS = {
    "score": score,
    "signed": signed,
    "percent": percent,
    "duration": duration,
    "megabytes": megabytes,
    "threshold": threshold,
    "pixels": pixels,
    "v": sortable,
}
