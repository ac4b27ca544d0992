"""What networks written by hand share."""

from __future__ import annotations

from collections.abc import Sequence


def widths(plan: Sequence[int], width: float) -> list[int]:
    """The channels of `plan` times `width`, at least one each. ValueError where width is not above 0.

    >>> widths((64, 128), 0.25)
    [16, 32]
    """
    if not width > 0:
        raise ValueError(f"width multiplies the channels, got {width}; 1.0 is the paper's, 0.5 half of them")
    return [max(1, round(channels * width)) for channels in plan]
