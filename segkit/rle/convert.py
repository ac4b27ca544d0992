"""Masks from any format to any other, and repair of COCO counts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from segkit.rle._text import RepairWarning, warn
from segkit.rle.coco import from_coco, repaired_counts, to_coco
from segkit.rle.formats import TEXTS, RepairResult, read_text, repair_text, write_text
from segkit.rle.runs import Runs

COCO = {"coco": "text", "coco-bytes": "bytes", "coco-list": "list"}
FORMATS = (*TEXTS, *COCO, "runs", "mask")
"""What convert() knows."""
Mask = Any
"""Text, a dictionary of COCO's, Runs or an array: its format says which."""


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


def convert(
    value: Mask, shape: tuple[int, int] | None = None, *, source: str, target: str, repair: bool = False
) -> Mask:
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


def _read(value: Mask, shape: tuple[int, int] | None, source: str) -> Runs:
    if source in TEXTS:
        return read_text(value, shape, TEXTS[source])
    runs = from_coco(value) if source in COCO else Runs.from_mask(value) if source == "mask" else value
    if not isinstance(runs, Runs):
        raise ValueError(f"expected Runs for source='runs', got {type(value).__name__}")
    return runs if shape is None else runs.with_shape(shape)


def _repaired(value: Mask, shape: tuple[int, int] | None, source: str) -> Runs:
    if source in TEXTS:
        runs, notes = repair_text(value, shape, TEXTS[source])
        warn(notes, level=3)
        return runs
    if source not in COCO:
        raise ValueError(f"repair=True repairs Kaggle text and COCO counts, not {source}")
    runs, notes = repair_coco(value)
    if notes:
        warnings.warn(f"the COCO counts were repaired: {'; '.join(notes)}", RepairWarning, stacklevel=3)
    return runs if shape is None else runs.with_shape(shape)
