"""Others' submissions: any column names, row- or column-major, from 0 or 1."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from segkit import submission
from segkit.doors.names import Images, Size, among, resolver
from segkit.files import nearest
from segkit.rle import Runs, decode


def import_csv(
    source: str | Path,
    out: str | Path,
    *,
    columns: tuple[str, str, str] = ("image_name", "class", "rle"),
    order: str = "C",
    start: int = 1,
    images: Images = None,
) -> Path:
    """Another competition's CSV -> a submission in ours at `out`: submission.read and Truth.open read it.

    columns: of the image, the class and the RLE text. order, start: of its RLE, as in rle.decode; "F" needs sizes.
    images: see Images; with a folder or mapping, image names become ids, and every mask must end inside its image.
    An empty cell, NaN and -1 are an empty mask. Rows keep their order, are read and written one at a time.
    ValueError names file, line, image and class.
    """
    among("order", order, ("C", "F"))
    if order == "F" and images is None:
        raise ValueError(f"{source}: order='F' counts down the columns; pass images= for the images' sizes")
    return submission.write(out, _rows(Path(source), columns, order, start, resolver(images)))


def _rows(
    path: Path, columns: Sequence[str], order: str, start: int, resolve: Callable[[str], tuple[str, Size | None]]
) -> Iterator[tuple[str, str, Runs]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    seen: set[tuple[str, str]] = set()
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        for column in columns:
            if column not in (reader.fieldnames or ()):
                raise ValueError(f"{path} has no column {column!r}; {nearest(column, reader.fieldnames or ())}")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{path}, line {reader.line_num}: {len(reader.fieldnames or ())} cells are wanted")
            name, cls, text = (row[column] for column in columns)
            where = f"{path}, line {reader.line_num}, image {name}, class {cls}"
            text = "" if text.strip().lower() in ("nan", "-1") else text.strip()
            try:
                image, size = resolve(name)
                if order == "C" or size is None:
                    runs = Runs.from_text(text, size, start=start)
                else:
                    runs = Runs.from_mask(decode(text, size, order=order, start=start))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            if (image, cls) in seen:
                raise ValueError(f"{where}: was there already")
            seen.add((image, cls))
            yield image, cls, runs
