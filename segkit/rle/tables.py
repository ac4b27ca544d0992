"""CSVs with a column of RLE text: streamed row by row, and a row read again by its place in the file.

So nobody holds the texts of a file that is larger than memory. A row is split at its commas; the csv module, a hundred
times slower on long texts, is asked only about rows with quotes.
"""

from __future__ import annotations

import codecs
import csv
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

COLUMNS = ("image_name", "class", "rle")


class Row(NamedTuple):
    """A row of a table. line: where it ends, counted from 1; place: (first byte, bytes); cells: all of them."""

    line: int
    place: tuple[int, int]
    cells: list[str]


class Table:
    """A CSV in UTF-8 that has the wanted columns, and perhaps others. Threads and processes may share one.

    header: its columns, stripped; at: the places of the wanted ones among them.
    ValueError at once for a file without these columns, and while reading for a row of another length, quotes that are
    not closed, carriage returns alone, and bytes that are not UTF-8; each names file and line.
    """

    def __init__(self, path: str | Path, columns: Sequence[str] = COLUMNS) -> None:
        self.path = Path(path)
        with self.path.open("rb") as handle:
            self._state = _state(handle)
            _, _, record = next(_records(handle, self.path), (1, 0, b""))
        self.header = [name.strip() for name in _cells(record, f"{self.path}, line 1")]
        missing = [name for name in columns if name not in self.header]
        if missing:
            mark = next((mark for mark in ";\t" if len(self.header) == 1 and mark in self.header[0]), "")
            hint = f"; commas are wanted between the cells, not {mark!r}" if mark else ""
            wanted = f"columns {', '.join(columns)} are wanted, {', '.join(missing)} missing in {self.header}"
            raise ValueError(f"{self.path}: {wanted}{hint}")
        self.at = [self.header.index(name) for name in columns]

    def rows(self) -> Iterator[Row]:
        """Every row below the header; blank lines are passed over."""
        with self.path.open("rb") as handle:
            self._same(handle)
            records = _records(handle, self.path)
            next(records)
            for line, offset, record in records:
                cells = _cells(record, f"{self.path}, line {line}")
                if cells == [""]:
                    continue
                if len(cells) != len(self.header):
                    raise ValueError(
                        f"{self.path}, line {line}: {len(cells)} cells, {len(self.header)} are wanted, as in its first "
                        f"line ({', '.join(map(repr, self.header))})"
                    )
                yield Row(line, (offset, len(record)), cells)

    def cells(self, place: tuple[int, int]) -> list[str]:
        """The cells of the row at Row.place. ValueError where the file has changed since the Table was made."""
        offset, size = place
        with self.path.open("rb", buffering=0) as handle:
            self._same(handle)
            handle.seek(offset)
            record = handle.read(size)
        return _cells(record, f"{self.path}, byte {offset}")

    def _same(self, handle: BinaryIO) -> None:
        if _state(handle) != self._state:
            raise ValueError(f"{self.path} has changed since it was first looked at; read it again")


def by_image(
    path: str | Path, columns: Sequence[str] | None, keys: Sequence[str] = ("id", "image_name")
) -> dict[str, list[str]]:
    """{image: its cells in these columns} of a CSV: of persons, sizes, strata.

    columns: None is the one column there is beside the image's. keys: what the image's may be called, the first first.
    ValueError names file, line and image: for other columns, a row of another length, a cell that is blank, and an
    image that comes again with other cells.
    """
    table = Table(path, ())
    key = next((name for name in keys if name in table.header), None)
    others = [name for name in table.header if name != key]
    wanted = list(columns or others)
    if key is None or not wanted or not set(wanted) <= set(others) or (columns is None and len(others) > 1):
        what = "and one more" if columns is None else f"and {' and '.join(columns)}"
        raise ValueError(f"{path}: columns {keys[0]} (or {keys[1]}) {what} are wanted, got {table.header}")
    found: dict[str, list[str]] = {}
    for line, _, cells in table.rows():
        row = dict(zip(table.header, (cell.strip() for cell in cells)))
        image, values = row[key], [row[name] for name in wanted]
        if blank := [name for name in (key, *wanted) if not row[name]]:
            raise ValueError(f"{path}, line {line}, image {image or '(none)'}: {blank[0]} is blank")
        if found.setdefault(image, values) != values:
            before, now = (", ".join(cells) for cells in (found[image], values))
            raise ValueError(f"{path}, line {line}, image {image}: {now}, but {before} further up")
    return found


def plain_text(cell: str) -> str:
    """RLE text of a cell: NaN, in any case, is an empty mask."""
    text = cell.strip()
    return "" if text[:3].lower() == "nan" and len(text) == 3 else text


def _state(handle: BinaryIO) -> tuple[int, int, int]:
    """What changes with a file's content."""
    found = os.fstat(handle.fileno())
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{handle.name} is no regular file; it is read more than once, so save it to one first")
    return found.st_ino, found.st_size, found.st_mtime_ns


def _records(handle: BinaryIO, path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line it ends on, first byte, bytes) of each record: a line, or several where quotes hold line ends."""
    offset, open_quote, parts = 0, False, []
    line = 0
    for line, piece in enumerate(handle, 1):
        parts.append(piece)
        open_quote ^= piece.count(b'"') % 2 == 1
        if open_quote:
            continue
        record = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        yield line, offset, record.removeprefix(codecs.BOM_UTF8) if offset == 0 else record
        offset += len(record)
    if parts:
        raise ValueError(f"{path}, line {line - len(parts) + 1}: a quote is opened and never closed")


def _cells(record: bytes, where: str) -> list[str]:
    try:
        text = record.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: UTF-8 is wanted, byte {error.start + 1} of the row is none") from error
    if '"' in text:
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        try:
            return next(csv.reader([text]))
        except csv.Error as error:
            raise ValueError(f"{where}: its quotes are not closed where the cell ends ({error})") from error
    if "\r" in text:
        raise ValueError(f"{where}: a carriage return without a line feed ends no row; save it with line feeds")
    return text.split(",")
