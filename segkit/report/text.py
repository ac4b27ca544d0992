"""Numbers as the page writes them: four decimals for Dice, units everywhere, a dash for what is not there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator


def known(value: Any) -> bool:
    """Is this a number to show?"""
    return value is not None and math.isfinite(value)


def dice(value: float | None) -> str:
    """
    >>> dice(0.91237), dice(float("nan"))
    ('0.9124', '–')
    """
    return f"{value:.4f}" if known(value) else "–"


def signed(value: float) -> str:
    """
    >>> signed(0.0012), signed(-0.0012), signed(0.00001)
    ('+0.0012', '−0.0012', '0.0000')
    """
    rounded = round(value, 4)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else ''}{abs(rounded):.4f}"


def percent(share: float) -> str:
    """
    >>> percent(0.1234), percent(0.0001), percent(0.0)
    ('12.3 %', '0.01 %', '0 %')
    """
    if not known(share):
        return "–"
    value = 100 * share
    return f"{value:.1f} %" if value >= 1 else f"{float(f'{value:.2g}'):g} %"


def duration(seconds: float | None) -> str:
    """
    >>> duration(4.26), duration(83), duration(7384)
    ('4.3 s', '1 min 23 s', '2 h 3 min')
    """
    if not known(seconds):
        return "–"
    assert seconds is not None
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def megabytes(value: float | None) -> str:
    """
    >>> megabytes(1234.4)
    '1,234 MB'
    """
    return f"{value:,.0f} MB" if known(value) else "–"


def threshold(value: float | None) -> str:
    """
    >>> threshold(0.4567)
    '0.46'
    """
    return f"{value:.2f}" if known(value) else "–"


def count(number: int, one: str, many: str | None = None) -> str:
    """
    >>> count(1, "image"), count(2, "image"), count(2, "class", "classes")
    ('1 image', '2 images', '2 classes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sortable(value: float) -> str:
    """The value in full for the sorting of a table; "" where there is none."""
    return repr(float(value)) if known(value) else ""


class Scale:
    """Places of numbers along a bar, in percent of its width, with a few round ticks.

    >>> scale = Scale([0.8, 0.9])
    >>> scale.at(0.8) < scale.at(0.9), len(scale.ticks) >= 2
    (True, True)
    """

    def __init__(self, values: Iterable[float], *, top: float | None = None) -> None:
        found = [v for v in values if known(v)] or [0.0, 1.0]
        low, high = min(found), max(found) if top is None else top
        room = max(0.06 * (high - low), 0.002)
        self.low, self.high = low - room, high + room
        places = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        self.ticks = [float(t) for t in np.round(places, 6) if self.low <= t <= self.high]

    def at(self, value: float) -> float:
        """0 to 100."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


FILTERS = {
    "dice": dice,
    "signed": signed,
    "percent": percent,
    "duration": duration,
    "megabytes": megabytes,
    "threshold": threshold,
    "v": sortable,
    "tick": lambda value: f"{value:g}",
}
