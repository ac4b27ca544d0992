"""Is a written submission whole? Columns, keys, rows and their order, and every cell of RLE."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.rle import TextLayout, read_text, write_text
from segkit.rle.tables import Table, plain_text
from segkit.submission.names import FolderSizes, Names, Size
from segkit.submission.problems import Problems, compare_rows, told
from segkit.submission.rows import SizesLike, size_of

if TYPE_CHECKING:
    from segkit.submission.table import SubmissionFormat

BLANKS = (
    (re.compile(r"[\r\n]"), "a line break"),
    (re.compile(r"\t"), "a tab"),
    (re.compile(r"  "), "two blanks in a row"),
    (re.compile(r"^\s|\s$"), "a blank at its start or end"),
    (re.compile(r"[^\S ]"), "a blank that is not the space"),
)


class CellCheck:
    """What a cell of RLE may hold: the text that an encoder writes, or what an empty mask is written as.

    Args:
        layout: How texts number pixels.
        empty: What an empty mask is written as.
    """

    def __init__(self, layout: TextLayout, empty: str) -> None:
        self._empty, self._is_transposed = empty, layout.order == "F"
        self._flat = TextLayout("C", layout.start, layout.relative)  # text to text needs no image's order

    def problem(self, cell: str, size: Size | None = None) -> tuple[bool, str | None]:
        """Look at a cell.

        Args:
            cell: As the file holds it.
            size: (height, width), where known: runs must end inside.

        Returns:
            Whether the mask is empty, and what is wrong, None where nothing is.
        """
        text = plain_text(cell)
        if text in ("", self._empty):
            is_whole = cell == self._empty or (not self._empty and cell.lower() == "nan")
            return True, None if is_whole else f"expected {self._empty!r} for an empty mask, got {cell!r}"
        again, broken = None, ""
        try:
            again = self._again(text, size)
        except ValueError as error:
            broken = str(error)
        if again == cell:
            return False, None
        if odd := next((what for pattern, what in BLANKS if pattern.search(cell)), None):
            return False, f"the RLE text has {odd}; scorers split it at single spaces"
        if broken:
            return False, broken
        odd = next((token for token in text.split() if token != str(int(token))), None)
        what = "touching runs" if odd is None else f"numbers like {odd!r}"
        return False, f"{what} (they decode, but no encoder writes them)"

    def is_mask(self, text: str) -> bool:
        """Whether a text stands for a mask with pixels.

        Args:
            text: Any text.
        """
        try:
            return bool(self._again(text, None))
        except ValueError:
            return False

    def _again(self, text: str, size: Size | None) -> str:
        """The text, read and written."""
        shape = size if size is None or not self._is_transposed else size[::-1]
        return write_text(read_text(text, shape, self._flat), self._flat)


def check(
    table: Table,
    form: SubmissionFormat,
    sample: Table | None,
    *,
    ids: Sequence[str] | None,
    classes: Sequence[str] | None,
    sizes: SizesLike,
    images: str | Path | None,
) -> dict[str, int]:
    """What SubmissionFormat.validate does.

    Args:
        table: The file.
        form: Its format.
        sample: The rows and columns to expect, or None.
        ids: The images to expect, or None.
        classes: The classes to expect, or None.
        sizes: Of the images, where known.
        images: Folder of the images, or None.

    Returns:
        {"rows", "images", "classes", "empty"}.

    Raises:
        ValueError: Lists the first problems and counts the others.
    """
    if sample is not None and (ids is not None or classes is not None):
        raise ValueError("expected either like, or ids and classes, to say which rows there should be")
    if images is not None and sizes is not None:
        raise ValueError("expected either images or sizes to say how large the images are")
    found = Problems(table.path)
    _check_columns(found, table.header, list(form.columns) if sample is None else sample.header)
    folder = None if images is None else FolderSizes(images)
    known = folder if folder is not None else sizes
    names = Names(known if isinstance(known, Mapping) else ids)
    seen: dict[tuple[str, ...], int] = {}
    there: tuple[dict[str, None], dict[str, None]] = {}, {}
    empty: set[tuple[str, ...]] = set()
    for line, _, cells in table.rows():
        key = tuple(cells[place] for place in table.at[:-1])
        where = f"line {line}, {told(key)}"
        try:
            image, cls = form.keys.names(key, classes)
        except ValueError as error:
            found.add(f"line {line}: {error}")
            continue
        there[0].setdefault(image)
        there[1].setdefault(cls)
        image = names.find(image) or image
        is_listed = not isinstance(known, Mapping) or image in known
        size = size_of(known, image) if is_listed else None
        if not is_listed:
            lack = f"{images} has no such image" if images else "no size (height, width) is known for this image"
            found.add(f"{where}: {lack}")
        is_empty, problem = form.cell_check.problem(cells[table.at[-1]], size)
        if key in seen:
            if not form.objects:
                found.add(f"{where}: was on line {seen[key]} already")
            elif is_empty or key in empty:
                found.add(f"{where}: an empty row beside other rows of it, line {seen[key]} for one")
        seen.setdefault(key, line)
        if is_empty:
            empty.add(key)
        if problem:
            found.add(f"{where}: {problem}")
    expected = _expected(form, sample, ids, classes, there)
    if not seen and expected != []:
        found.add("it has no row")
    elif expected is not None:
        compare_rows(found, seen, expected)
    else:
        _compare_product(found, form, seen, there)
    if folder is not None and sample is None and ids is None:
        listed = {names.find(image) for image in there[0]}
        missing = [image for image in folder if image not in listed]
        found.add_many(len(missing), (f"image {image} of {images}: row is missing" for image in missing))
    found.raise_any()
    return {"rows": len(seen), "images": len(there[0]), "classes": len(there[1]), "empty": len(empty)}


def _check_columns(found: Problems, header: list[str], expected: list[str]) -> None:
    """Note other columns."""
    if header == expected:
        return
    index = any(not name or name.startswith("Unnamed: ") for name in header)
    hint = "; a column without a name is pandas' index: write with to_csv(..., index=False)" if index else ""
    found.add(f"expected the columns {expected}, got {header}{hint}")


def _expected(
    form: SubmissionFormat,
    sample: Table | None,
    ids: Sequence[str] | None,
    classes: Sequence[str] | None,
    there: tuple[dict[str, None], dict[str, None]],
) -> list[tuple[str, ...]] | None:
    """The rows to expect; None where neither a sample with rows nor ids or classes say it."""
    if sample is not None:
        return [tuple(row.cells[place] for place in sample.at[:-1]) for row in sample.rows()] or None
    if ids is None and classes is None:
        return None
    pairs = product(there[0] if ids is None else ids, there[1] if classes is None else classes)
    return [form.keys.cells(image, cls) for image, cls in pairs]


def _compare_product(
    found: Problems,
    form: SubmissionFormat,
    seen: dict[tuple[str, ...], int],
    there: tuple[dict[str, None], dict[str, None]],
) -> None:
    """Note the classes that images lack, where other images have them."""

    def missing() -> Iterator[str]:
        for image, cls in product(*there):
            if form.keys.cells(image, cls) not in seen:
                yield f"image {image}, class {cls}: row is missing"

    found.add_many(len(there[0]) * len(there[1]) - len(seen), missing())
