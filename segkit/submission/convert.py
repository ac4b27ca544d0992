"""Whole files from one format to another, a row at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from segkit.rle.tables import Table, quoted, writing
from segkit.submission import reader
from segkit.submission.coco import CocoFile
from segkit.submission.format import Format
from segkit.submission.names import FolderSizes
from segkit.submission.parsing import parse
from segkit.submission.rows import SizesLike
from segkit.submission.table import DEFAULT, SubmissionFormat


def convert(
    path: str | Path,
    out: str | Path,
    source: str | Format,
    target: str | Format = DEFAULT,
    *,
    sizes: SizesLike = None,
    images: str | Path | None = None,
    repair: bool = False,
) -> Path:
    """Write a file's masks in another format.

    Between CSVs of the same columns a row stays a row, with its other columns; else rows are those that the target
    writes. To COCO every row is an annotation; from COCO every image has every category.

    Args:
        path: The file.
        out: The file to write; it takes its place when it is whole.
        source: Its format, or a line that parse() reads.
        target: The format of `out`; of a line, settings that are not named are the source's.
        sizes: (height, width) of every image or {image: (height, width)}; text in rows to text in rows needs none.
        images: Folder of the images, in place of sizes; names become those of its files.
        repair: Repair what is broken, and warn (RepairWarning) with image and class of what was done.

    Returns:
        `out`.

    Raises:
        ValueError: Names file, image and class of what is wrong.
    """
    if images is not None and sizes is not None:
        raise ValueError("expected either images or sizes to say how large the images are")
    source = parse(source) if isinstance(source, str) else source
    base = source if isinstance(source, SubmissionFormat) else None
    target = parse(target, base) if isinstance(target, str) else target
    known = sizes if images is None else FolderSizes(images)
    if isinstance(source, SubmissionFormat) and isinstance(target, SubmissionFormat) and _is_same_table(source, target):
        return _convert_cells(Path(path), Path(out), source, target, known, repair)
    if isinstance(target, CocoFile) and isinstance(source, SubmissionFormat | CocoFile):
        return target.write(out, source.rows(path, known, repair))
    if isinstance(source, SubmissionFormat | CocoFile):
        return target.write(out, source.read(path, known, repair))
    if repair:
        raise ValueError(f"expected RLE to repair, got the format {source}")
    return target.write(out, source.read(path, known))


def _is_same_table(source: SubmissionFormat, target: SubmissionFormat) -> bool:
    """Whether a row of one is a row of the other, with the same names."""
    return replace(source, key=target.key, order=target.order, start=target.start, relative=target.relative,
                   empty=target.empty) == target and source.keys.pattern == target.keys.pattern  # fmt: skip


def _convert_cells(
    path: Path, out: Path, source: SubmissionFormat, target: SubmissionFormat, sizes: SizesLike, repair: bool
) -> Path:
    """The same rows with other cells of RLE."""
    table = Table(path, source.columns)

    def cells() -> Iterator[Sequence[str]]:
        for row, (image, cls, runs) in zip(table.rows(), reader.rows(source, table, sizes, repair)):
            try:
                text = target.text(runs)
            except ValueError as error:
                raise ValueError(f"{path}, line {row.line}, image {image}, class {cls}: {error}") from error
            yield [text if place == table.at[-1] else cell for place, cell in enumerate(row.cells)]

    with writing(out) as handle:
        handle.write(",".join(map(quoted, table.header)) + "\n")
        handle.writelines(",".join(map(quoted, row)) + "\n" for row in cells())
    return out
