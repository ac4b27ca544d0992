"""A submission on disk: written row by row, and read without holding its texts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from segkit.files import replacing
from segkit.masks import MaskSet
from segkit.rle import RepairWarning, Runs, mend
from segkit.rle.tables import COLUMNS, Table, plain_text


def write(path: str | Path, rows: Iterable[tuple[str, str, str | Runs]]) -> Path:
    """Write rows (image_name, class, RLE text or Runs) in the order they come, one at a time.

    The file takes its place only when the last row is written. ValueError for a mask that is neither text nor Runs.
    """
    path = Path(path)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as handle:
        handle.write(",".join(COLUMNS) + "\n")
        for image, cls, mask in rows:
            if not isinstance(mask, (str, Runs)):
                raise ValueError(f"image {image}, class {cls}: RLE text or Runs are wanted, got {type(mask).__name__}")
            text = mask.text() if isinstance(mask, Runs) else _cell(mask)
            handle.write(f"{_cell(image)},{_cell(cls)},{text}\n")
    return path


def read(path: str | Path, *, sizes: Mapping[str, tuple[int, int]] | None = None, repair: bool = False) -> MaskSet:
    """Read a submission: a mapping like Truth, in the file's order of images and classes; .rows in its order of rows.

    Rows are matched by (image_name, class), never by position; an empty cell and NaN are an empty mask. The file is
    read once to find its rows; a mask is read and parsed when it is asked for, so that memory does not grow with the
    texts. ValueError then names file, image and class, also where the file has changed meanwhile. ValueError at once
    for missing columns, a row of another length and a repeated (image, class).
    sizes: {id: (H, W)}, given to the runs, which must end inside. repair: mend RLE that is not whole as segkit.rle.mend
    does, and warn (RepairWarning) with file, image and class of what was done; past the last pixel only with sizes.
    """
    table = Table(path)
    at_image, at_class, at_text = table.at
    places: dict[tuple[str, str], tuple[int, int]] = {}
    ids: dict[str, str] = {}
    classes: dict[str, str] = {}
    for line, place, cells in table.rows():
        image, cls = cells[at_image], cells[at_class]
        key = ids.setdefault(image, image), classes.setdefault(cls, cls)
        if key in places:
            raise ValueError(f"{path}, line {line}: image {image}, class {cls} was there already")
        places[key] = place
    sizes = dict(sizes or {})

    def load(image: str, cls: str) -> Runs:
        place = places.get((image, cls))
        if place is None:
            raise KeyError(f"{path} has no row for image {image}, class {cls}")
        text, size = plain_text(table.cells(place)[at_text]), sizes.get(image)
        where = f"{path}, image {image}, class {cls}"
        if not repair:
            try:
                return Runs.from_text(text, size)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        runs, notes = mend(text, size)
        if notes:
            warnings.warn(f"{where}: the RLE text was repaired: {'; '.join(notes)}", RepairWarning, stacklevel=3)
        return runs

    return MaskSet(ids, classes, load, sizes=sizes, rows=places.keys(), name=str(path))


def _cell(text: str) -> str:
    """Text as a cell of CSV, quoted where it must be."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
