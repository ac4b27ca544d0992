"""CSVs with a column of RLE text: streamed row by row, and a row read again by its place in the file.

So nobody holds the texts of a file that is larger than memory. A row is split at its commas; the csv module, a hundred
times slower on long texts, is asked only about rows with quotes. .csv, .csv.gz and .zip are read alike.
"""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from segkit.rle._packed import Source, writing

__all__ = ["COLUMNS", "Row", "Table", "by_image", "plain_text", "quoted", "read_sizes", "writing"]

COLUMNS = ("image_name", "class", "rle")


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        line: Where it ends, counted from 1.
        place: Its first byte in the (unpacked) file and how many there are.
        cells: All of its cells.
    """

    line: int
    place: tuple[int, int]
    cells: list[str]


class Table:
    """A CSV in UTF-8 that has the expected columns, and perhaps others. Threads and processes may share one.

    Args:
        path: .csv, .csv.gz, or a .zip with one CSV.
        columns: The columns it must have.

    Attributes:
        path: The file.
        header: Its columns, stripped.
        at: The places of `columns` among them.

    Raises:
        ValueError: At once for a file without these columns, and while reading for a row of another length, quotes
            that are not closed, carriage returns alone, and bytes that are not UTF-8; each names file and line.
    """

    def __init__(self, path: str | Path, columns: Sequence[str] = COLUMNS) -> None:
        self.path = Path(path)
        self._source = Source(self.path)
        with self._source.open() as handle:
            _, _, record = next(_records(handle, self.path), (1, 0, b""))
        self.header = [name.strip() for name in _cells(record, f"{self.path}, line 1")]
        missing = [name for name in columns if name not in self.header]
        if missing:
            mark = next((mark for mark in ";\t" if len(self.header) == 1 and mark in self.header[0]), "")
            hint = f"; cells are separated by commas, not {mark!r}" if mark else ""
            raise ValueError(f"{self.path}: expected columns {', '.join(columns)}, got {', '.join(self.header)}{hint}")
        self.at = [self.header.index(name) for name in columns]

    def rows(self) -> Iterator[Row]:
        """Every row below the header; blank lines are passed over."""
        with self._source.open() as handle:
            records = _records(handle, self.path)
            next(records, None)
            for line, offset, record in records:
                cells = _cells(record, f"{self.path}, line {line}")
                if cells == [""]:
                    continue
                if len(cells) != len(self.header):
                    raise ValueError(
                        f"{self.path}, line {line}: expected {len(self.header)} cells, as in its first line "
                        f"({', '.join(map(repr, self.header))}), got {len(cells)}"
                    )
                yield Row(line, (offset, len(record)), cells)

    def cells(self, place: tuple[int, int]) -> list[str]:
        """The cells of a row.

        Args:
            place: Its Row.place.

        Returns:
            All of its cells.

        Raises:
            ValueError: Where the file has changed since the Table was made.
        """
        return _cells(self._source.read(*place), f"{self.path}, byte {place[0]}")


def by_image(
    path: str | Path, columns: Sequence[str] | None, keys: Sequence[str] = ("id", "image_name")
) -> dict[str, list[str]]:
    """What a CSV says of each image: its group, size, stratum.

    Args:
        path: The CSV.
        columns: Those to read; None is the one column there is beside the image's.
        keys: What the image's column may be called, the first first.

    Returns:
        {image: its cells in these columns}.

    Raises:
        ValueError: Names file, line and image: for other columns, a row of another length, a cell that is blank, and
            an image that comes again with other cells.
    """
    table = Table(path, ())
    key = next((name for name in keys if name in table.header), None)
    others = [name for name in table.header if name != key]
    asked = list(columns or others)
    if key is None or not asked or not set(asked) <= set(others) or (columns is None and len(others) > 1):
        what = "and one more" if columns is None else f"and {' and '.join(columns)}"
        raise ValueError(f"{path}: expected columns {keys[0]} (or {keys[1]}) {what}, got {table.header}")
    found: dict[str, list[str]] = {}
    for line, _, cells in table.rows():
        row = dict(zip(table.header, (cell.strip() for cell in cells)))
        image, values = row[key], [row[name] for name in asked]
        if blank := [name for name in (key, *asked) if not row[name]]:
            raise ValueError(f"{path}, line {line}, image {image or '(none)'}: {blank[0]} is blank")
        if found.setdefault(image, values) != values:
            before, now = (", ".join(cells) for cells in (found[image], values))
            raise ValueError(f"{path}, line {line}, image {image}: {now}, but {before} further up")
    return found


def read_sizes(path: str | Path) -> dict[str, tuple[int, int]]:
    """The images' sizes of a CSV.

    Args:
        path: CSV with the columns image_name (or id), height and width.

    Returns:
        {image: (height, width)}.

    Raises:
        ValueError: Names file and image, for sizes that are no integers; 310.0 is one.
    """
    sizes = {}
    for image, cells in by_image(path, ["height", "width"], ("image_name", "id")).items():
        plain = [cell[:-2] if cell.endswith(".0") else cell for cell in cells]
        if not all(cell.isdecimal() for cell in plain):
            raise ValueError(f"{path}, image {image}: heights and widths are integers, got {' and '.join(cells)}")
        sizes[image] = int(plain[0]), int(plain[1])
    return sizes


def plain_text(cell: str) -> str:
    """RLE text of a cell: NaN, in any case, is an empty mask.

    Args:
        cell: The cell.

    Returns:
        Its text without blanks around it.
    """
    text = cell.strip()
    return "" if text[:3].lower() == "nan" and len(text) == 3 else text


def quoted(text: str) -> str:
    """Text as a cell of a CSV, in quotes where it must be.

    Args:
        text: What the cell holds.

    Returns:
        The cell.

    Example:
        >>> quoted("a,b"), quoted("a b")
        ('"a,b"', 'a b')
    """
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


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
    """The cells of a record, split at its commas."""
    try:
        text = record.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: expected UTF-8, byte {error.start + 1} of the row is none") from error
    if '"' in text:
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        try:
            return next(csv.reader([text]))
        except csv.Error as error:
            raise ValueError(f"{where}: its quotes are not closed where the cell ends ({error})") from error
    if "\r" in text:
        raise ValueError(f"{where}: a carriage return without a line feed ends no row; save it with line feeds")
    return text.split(",")
