"""Masks and Kaggle text in one call each, repair that says what it did, and conversion among all formats."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from segkit.rle._checks import as_shape
from segkit.rle._text import RepairWarning, parse, repaired, warn, written
from segkit.rle.coco import from_coco, repaired_counts, to_coco
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
COCO = {"coco": "text", "coco-bytes": "bytes", "coco-list": "list"}
FORMATS = (*TEXTS, *COCO, "runs", "mask")


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
    runs, notes = _repair_text(text, shape, layout)
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
    return _repair_text(text, shape, TextLayout(order, start, relative))


def repair_coco(value: Mapping[str, Any]) -> RepairResult:
    """Runs of COCO run lengths whose counts do not fit the image, and what was done.

    Dropped: a last number of compressed counts that is cut off. Cropped at the image's end: counts that add up to more
    than its pixels. Taken as background: the last pixels, where they add up to fewer.

    Args:
        value: {"size": [height, width], "counts": text, bytes or a list}.

    Returns:
        The runs and a note for each change.

    Raises:
        ValueError: As in from_coco for a missing key, polygons, and a number that is negative, no integer, or holds a
            character that is none of COCO's: nobody knows where the runs after it lie.

    Example:
        >>> repair_coco({"size": [2, 3], "counts": [1, 3, 9]})
        RepairResult(runs=Runs(2 runs, area 3, shape (2, 3)), notes=("cropped counts that add up to 13 at the image's 6
         pixels",))
    """
    runs, notes = repaired_counts(value)
    return RepairResult(runs, tuple(notes))


def convert(value: Any, shape: tuple[int, int] | None = None, *, source: str, target: str, repair: bool = False) -> Any:
    """A mask from one format to another, by its runs: nothing is decoded that need not be.

    | format | what it is |
    |---|---|
    | kaggle-rows-1, kaggle-rows-0 | text, row by row, the first pixel is 1 or 0 |
    | kaggle-columns-1, kaggle-columns-0 | text, column by column |
    | the same with -relative | starts count from the end of the run before |
    | coco, coco-bytes, coco-list | {"size", "counts"}: compressed text or bytes, or a list; as a source all are one |
    | runs, mask | Runs; (H, W) bool |

    Args:
        value: The mask, in the format `source`.
        shape: (height, width); may be left out where value knows it (COCO, mask, Runs with a shape) and between texts
            in rows.
        source: Its format.
        target: The format to come.
        repair: Repair broken text or COCO counts as `repair` and `repair_coco` do, and warn (RepairWarning) of what was
            done.

    Returns:
        The mask in the format `target`.

    Raises:
        ValueError: For an unknown format, a shape that is missing or another than value's, repair of runs or a mask,
            and whatever is wrong with value.

    Example:
        >>> convert("2 2", (2, 3), source="kaggle-columns-1", target="kaggle-rows-0")
        '1 1 3 1'
    """
    for name in (source, target):
        if name not in FORMATS:
            raise ValueError(f"no format {name!r}; known: {', '.join(FORMATS)}")
    runs = _repaired(value, shape, source) if repair else _read(value, shape, source)
    if target in COCO:
        return to_coco(runs, counts=COCO[target])  # type: ignore[arg-type]
    if target in TEXTS:
        return write_text(runs, TEXTS[target])
    return runs if target == "runs" else runs.mask()


def _read(value: Any, shape: tuple[int, int] | None, source: str) -> Runs:
    if source in TEXTS:
        return read_text(value, shape, TEXTS[source])
    runs = from_coco(value) if source in COCO else Runs.from_mask(value) if source == "mask" else value
    if not isinstance(runs, Runs):
        raise ValueError(f"expected Runs for source='runs', got {type(value).__name__}")
    return runs if shape is None else runs.with_shape(shape)


def _repaired(value: Any, shape: tuple[int, int] | None, source: str) -> Runs:
    if source in TEXTS:
        runs, notes = _repair_text(value, shape, TEXTS[source])
        warn(notes, level=3)
        return runs
    if source not in COCO:
        raise ValueError(f"repair=True repairs Kaggle text and COCO counts, not {source}")
    runs, notes = repair_coco(value)
    if notes:
        warnings.warn(f"the COCO counts were repaired: {'; '.join(notes)}", RepairWarning, stacklevel=3)
    return runs if shape is None else runs.with_shape(shape)


def _repair_text(text: str, shape: tuple[int, int] | None, layout: TextLayout) -> RepairResult:
    flat = _flat(shape, layout)
    array, notes = repaired(text, start=layout.start, relative=layout.relative, shape=flat)
    runs = Runs._trusted(array, flat)
    return RepairResult(runs if layout.order == "C" else runs.transpose(), tuple(notes))


def _flat(shape: tuple[int, int] | None, layout: TextLayout) -> tuple[int, int] | None:
    """The shape of the image as the text runs through it: transposed where it goes down the columns."""
    if shape is None and layout.order == "F":
        raise ValueError("column-major text needs the image's shape (height, width) to become runs")
    return None if shape is None else as_shape(shape) if layout.order == "C" else as_shape(shape)[::-1]
