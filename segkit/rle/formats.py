"""Masks and Kaggle text in one call each, repair that says what it did, and conversion among all formats."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from segkit.rle.coco import from_coco, mended, to_coco
from segkit.rle.runs import Runs, _as_mask, _as_shape
from segkit.rle.text import RepairWarning, mend_text, warn

TEXTS = {
    f"kaggle-{name}-{start}": (order, start) for name, order in (("rows", "C"), ("columns", "F")) for start in (1, 0)
}
COCO = {"coco": "text", "coco-bytes": "bytes", "coco-list": "list"}
FORMATS = (*TEXTS, *COCO, "runs", "mask")


class Mended(NamedTuple):
    """Runs of a text or of COCO counts that were mended, and what was done; no notes where they were whole."""

    runs: Runs
    notes: tuple[str, ...]


def encode(mask: np.ndarray, *, order: str = "C", start: int = 1) -> str:
    """Kaggle text "start length start length ..." of a mask; an empty mask is "".

    mask: (H, W) bool or integer, set where not zero. order: "C" flattens row by row (hand bones), "F" column by
    column (many other competitions). start: the number of the first pixel, 1 (Kaggle) or 0.
    ValueError for another shape, a float mask, or an unknown order or start.

    >>> encode(np.array([[0, 1, 1], [1, 0, 1]]))
    '2 3 6 1'
    >>> encode(np.array([[0, 1, 1], [1, 0, 1]]), order="F")
    '2 2 5 2'
    """
    mask = _as_mask(mask)
    _check_layout(order, start)
    return Runs.from_mask(mask if order == "C" else mask.T).text(start=start)


def decode(text: str, shape: tuple[int, int], *, order: str = "C", start: int = 1, repair: bool = False) -> np.ndarray:
    """The mask that a Kaggle text stands for, bool (H, W); "" is an empty mask.

    shape: (height, width). ValueError for None and NaN (what a CSV reader makes of an empty cell: fill it with ""),
    an odd number of tokens, a token that is no integer, runs that are unsorted, overlapping, empty or end past the
    last pixel. Runs that touch are fine. repair: mend such a text as `mend` does, and warn (RepairWarning) of what
    was done.

    >>> decode("2 3 6 1", (2, 3)).astype(int)
    array([[0, 1, 1],
           [1, 0, 1]])
    """
    _check_layout(order, start)
    height, width = _as_shape(shape)
    if repair:
        runs, notes = mend(text, (height, width), order=order, start=start)
        warn(notes, level=2)
        return runs.mask()
    if order == "C":
        return Runs.from_text(text, (height, width), start=start).mask()
    return Runs.from_text(text, (width, height), start=start).mask().T.copy()


def mend(text: str, shape: tuple[int, int] | None = None, *, order: str = "C", start: int = 1) -> Mended:
    """Runs (row-major) of a text that is not whole, and what was done: a note for each kind of change.

    Dropped: a last token without a partner, pairs with a token that is no integer, runs whose length is below 1 or
    that lie outside the image. Cut: runs that reach out of it. Sorted, and merged where they overlap.
    shape: (height, width); without it (order "C" only) nothing is known to lie past the last pixel.
    ValueError for None and NaN, which are no text.

    >>> mend("9 9 1 2 2 2 7", (2, 5))
    Mended(runs=Runs(2 runs, area 5, shape (2, 5)), notes=("dropped a last token without a partner (token 7 '7')",
     "cut runs that reach out of the image (token 1 '9')", "sorted runs (token 3 '1')",
     "merged overlapping runs (token 5 '2')"))
    """
    _check_layout(order, start)
    if order == "F" and shape is None:
        raise ValueError("column-major text needs the image's shape (height, width) to become runs")
    flat_shape = None if shape is None else _as_shape(shape) if order == "C" else _as_shape(shape)[::-1]
    array, notes = mend_text(text, start=start, shape=flat_shape)
    runs = Runs._trusted(array, flat_shape)
    return Mended(runs if order == "C" else runs.transpose(), tuple(notes))


def mend_coco(value: Mapping[str, Any]) -> Mended:
    """Runs of COCO run lengths whose counts do not fit the image, and what was done.

    Dropped: a last number of compressed counts that is cut off. Cut at the image's end: counts that add up to more than
    its pixels. Taken as background: the last pixels, where they add up to fewer. Not mendable, so a ValueError as in
    from_coco: a missing key, polygons, and a number that is negative, no integer, or holds a character that is none of
    COCO's: nobody knows where the runs after it lie.

    >>> mend_coco({"size": [2, 3], "counts": [1, 3, 9]})
    Mended(runs=Runs(2 runs, area 3, shape (2, 3)), notes=("cut counts that add up to 13 at the image's 6 pixels",))
    """
    runs, notes = mended(value)
    return Mended(runs, tuple(notes))


def convert(value: Any, shape: tuple[int, int] | None = None, *, source: str, target: str, repair: bool = False) -> Any:
    """A mask from one format to another, by its runs: nothing is decoded that need not be.

    shape: (height, width); may be left out where value knows it (COCO, mask, Runs with a shape) and between texts in
    rows. repair: mend text or COCO counts that are not whole, as mend and mend_coco do, and warn (RepairWarning) of
    what was done.

    | format | what it is |
    |---|---|
    | kaggle-rows-1, kaggle-rows-0 | text, row by row, the first pixel is 1 or 0 |
    | kaggle-columns-1, kaggle-columns-0 | text, column by column |
    | coco, coco-bytes, coco-list | {"size", "counts"}: compressed text or bytes, or a list; as a source all are one |
    | runs, mask | Runs; (H, W) bool |

    ValueError for an unknown format, a shape that is missing or another than value's, repair of runs or a mask, and
    whatever is wrong with value.

    >>> convert("2 2", (2, 3), source="kaggle-columns-1", target="kaggle-rows-0")
    '1 1 3 1'
    """
    for name in (source, target):
        if name not in FORMATS:
            raise ValueError(f"no format {name!r}; known: {', '.join(FORMATS)}")
    return _written(_read(value, shape, source, repair), target)


def _read(value: Any, shape: tuple[int, int] | None, source: str, repair: bool = False) -> Runs:
    if source in TEXTS:
        order, start = TEXTS[source]
        if repair:
            runs, notes = mend(value, shape, order=order, start=start)
            warn(notes, level=3)
            return runs
        if order == "C":
            return Runs.from_text(value, shape, start=start)
        if shape is None:
            raise ValueError(f"{source} needs the image's shape (height, width)")
        return Runs.from_text(value, _as_shape(shape)[::-1], start=start).transpose()
    if repair and source not in COCO:
        raise ValueError(f"repair=True mends Kaggle text and COCO counts, not {source}")
    if repair:
        runs, notes = mend_coco(value)
        if notes:
            warnings.warn(f"the COCO counts were repaired: {'; '.join(notes)}", RepairWarning, stacklevel=3)
        return runs if shape is None else runs.with_shape(shape)
    runs = from_coco(value) if source in COCO else Runs.from_mask(value) if source == "mask" else value
    if not isinstance(runs, Runs):
        raise ValueError(f"Runs are wanted for source='runs', got {type(value).__name__}")
    return runs if shape is None else runs.with_shape(shape)


def _written(runs: Runs, target: str) -> Any:
    if target in COCO:
        return to_coco(runs, counts=COCO[target])  # type: ignore[arg-type]
    if target not in TEXTS:
        return runs if target == "runs" else runs.mask()
    order, start = TEXTS[target]
    return (runs if order == "C" else runs.transpose()).text(start=start)


def _check_layout(order: str, start: int) -> None:
    if order not in ("C", "F"):
        raise ValueError(f"order={order!r}: 'C' (row by row) or 'F' (column by column) is wanted")
    if start not in (0, 1):
        raise ValueError(f"start={start!r}: the first pixel is number 0 or 1")
