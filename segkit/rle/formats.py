"""Masks and Kaggle text in one call each, in any layout, and repair that says what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from segkit.rle._checks import as_shape
from segkit.rle._text import parse, repaired, warn, written
from segkit.rle.runs import Runs


@dataclass(frozen=True)
class TextLayout:
    """How a Kaggle text numbers pixels.

    Args:
        order: "C" row by row, "F" column by column.
        start: Number of the first pixel, 1 or 0.
        relative: Starts count from the end of the run before (SIIM-ACR 2019), the first from the first pixel.

    Raises:
        ValueError: For an unknown order or start.
    """

    order: str = "C"
    start: int = 1
    relative: bool = False

    def __post_init__(self) -> None:
        if self.order not in ("C", "F"):
            raise ValueError(f"expected order 'C' (row by row) or 'F' (column by column), got order={self.order!r}")
        if self.start not in (0, 1):
            raise ValueError(f"expected 0 or 1 as the number of the first pixel, got start={self.start!r}")


ROWS = TextLayout()


TEXTS = {
    f"kaggle-{name}-{start}{'-relative' * relative}": TextLayout(order, start, relative)
    for relative in (False, True)
    for name, order in (("rows", "C"), ("columns", "F"))
    for start in (1, 0)
}
"""{name: layout}."""


class RepairResult(NamedTuple):
    """What a repair gives.

    Attributes:
        runs: The mask, row-major.
        notes: What was done, one note for each kind of change; none where nothing was broken.
    """

    runs: Runs
    notes: tuple[str, ...]


def read_text(text: str, shape: tuple[int, int] | None = None, layout: TextLayout = ROWS) -> Runs:
    """Runs of a Kaggle text of any layout.

    Args:
        text: "start length start length ...", "" for an empty mask.
        shape: (height, width); needed by texts in columns.
        layout: How it numbers pixels.

    Returns:
        Runs, row-major.

    Raises:
        ValueError: Names the bad token.
    """
    flat = _flat(shape, layout)
    runs = Runs._trusted(parse(text, start=layout.start, relative=layout.relative, shape=flat), flat)
    return runs if layout.order == "C" else runs.transpose()


def write_text(runs: Runs, layout: TextLayout = ROWS) -> str:
    """The Kaggle text of runs in any layout.

    Args:
        runs: The mask; it needs a shape for texts in columns.
        layout: How the text numbers pixels.

    Returns:
        "start length start length ...", "" for an empty mask.
    """
    array = runs.array if layout.order == "C" else runs.transpose().array
    return written(array, start=layout.start, relative=layout.relative)


def encode(mask: np.ndarray, *, order: str = "C", start: int = 1, relative: bool = False) -> str:
    """Kaggle text "start length start length ..." of a mask; an empty mask is "".

    Args:
        mask: (H, W) bool or integer, set where not zero.
        order: "C" flattens row by row (hand bones), "F" column by column (many other competitions).
        start: Number of the first pixel, 1 (Kaggle) or 0.
        relative: Starts count from the end of the run before.

    Returns:
        The text.

    Raises:
        ValueError: For another shape, a float mask, or an unknown order or start.

    Example:
        >>> encode(np.array([[0, 1, 1], [1, 0, 1]]))
        '2 3 6 1'
        >>> encode(np.array([[0, 1, 1], [1, 0, 1]]), order="F")
        '2 2 5 2'
        >>> encode(np.array([[0, 1, 1], [1, 0, 1]]), start=0, relative=True)
        '1 3 1 1'
    """
    return write_text(Runs.from_mask(mask), TextLayout(order, start, relative))


def decode(
    text: str,
    shape: tuple[int, int],
    *,
    order: str = "C",
    start: int = 1,
    relative: bool = False,
    repair: bool = False,
) -> np.ndarray:
    """The mask that a Kaggle text stands for.

    Args:
        text: "start length start length ..."; "" is an empty mask. Runs that touch are fine.
        shape: (height, width).
        order: "C" row by row, "F" column by column.
        start: Number of the first pixel, 1 or 0.
        relative: Starts count from the end of the run before.
        repair: Repair a broken text as `repair` does, and warn (RepairWarning) of what was done.

    Returns:
        Bool, (H, W).

    Raises:
        ValueError: For None and NaN (what a CSV reader makes of an empty cell: fill it with ""), an odd number of
            tokens, a token that is no integer, runs that are unsorted, overlapping, empty or end past the last pixel.

    Example:
        >>> decode("2 3 6 1", (2, 3)).astype(int)
        array([[0, 1, 1],
               [1, 0, 1]])
    """
    layout, shape = TextLayout(order, start, relative), as_shape(shape)
    if not repair:
        return read_text(text, shape, layout).mask()
    runs, notes = repair_text(text, shape, layout)
    warn(notes, level=2)
    return runs.mask()


def repair(
    text: str,
    shape: tuple[int, int] | None = None,
    *,
    order: str = "C",
    start: int = 1,
    relative: bool = False,
) -> RepairResult:
    """Runs of a broken Kaggle text, and what was done.

    Dropped: a last token without a partner, pairs with a token that is no integer, runs whose length is below 1 or
    that lie outside the image. Cropped: runs that reach out of it. Sorted, and merged where they overlap.

    Args:
        text: The text.
        shape: (height, width); without it (order "C" only) nothing is known to lie past the last pixel.
        order: "C" row by row, "F" column by column.
        start: Number of the first pixel, 1 or 0.
        relative: Starts count from the end of the run before.

    Returns:
        The runs and a note for each kind of change.

    Raises:
        ValueError: For None and NaN, which are no text; for a text that is whole as relative starts while half of its
            runs overlap, or they overlap and are unsorted, which is another convention; and for a relative text with
            a token that is no integer or negative, after which nobody knows where the runs lie.

    Example:
        >>> repair("9 9 1 2 2 2 7", (2, 5))
        RepairResult(runs=Runs(2 runs, area 5, shape (2, 5)), notes=("dropped a last token without a partner (token 7
         '7')", "cropped runs that reach out of the image (token 1 '9')", "sorted runs (token 3 '1')",
         "merged overlapping runs (token 5 '2')"))
    """
    return repair_text(text, shape, TextLayout(order, start, relative))


def repair_text(text: str, shape: tuple[int, int] | None, layout: TextLayout) -> RepairResult:
    """The same as repair() of a layout.

    Args:
        text: The text.
        shape: (height, width), or None.
        layout: How it numbers pixels.

    Returns:
        The runs and a note for each kind of change.
    """
    flat = _flat(shape, layout)
    array, notes = repaired(text, start=layout.start, relative=layout.relative, shape=flat)
    runs = Runs._trusted(array, flat)
    return RepairResult(runs if layout.order == "C" else runs.transpose(), tuple(notes))


def _flat(shape: tuple[int, int] | None, layout: TextLayout) -> tuple[int, int] | None:
    """The shape of the image as the text runs through it: transposed where it goes down the columns."""
    if shape is None and layout.order == "F":
        raise ValueError("column-major text needs the image's shape (height, width) to become runs")
    return None if shape is None else as_shape(shape) if layout.order == "C" else as_shape(shape)[::-1]
