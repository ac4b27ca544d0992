"""Others' submissions: any column names, row- or column-major, from 0 or 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from segkit import submission
from segkit.predictions.importers.names import Images, Size, among, resolver
from segkit.rle import Runs, convert
from segkit.rle.tables import COLUMNS, Table, plain_text


def import_csv(
    source: str | Path,
    out: str | Path,
    *,
    columns: tuple[str, str, str] = COLUMNS,
    order: str = "C",
    start: int = 1,
    images: Images = None,
) -> Path:
    """Another competition's CSV -> a submission in ours at `out`: submission.read and Truth.open read it.

    columns: of the image, the class and the RLE text. order, start: of its RLE, as in rle.decode; "F" needs sizes.
    images: see Images; with a folder or mapping, image names become ids, and every mask must end inside its image.
    An empty cell, NaN and -1 are an empty mask. Rows keep their order, are read and written one at a time; other
    columns are left out (rle.convert_file keeps them, and names as they are).
    ValueError names file, line, image and class.
    """
    among("order", order, ("C", "F"))
    among("start", str(start), ("0", "1"))
    if order == "F" and images is None:
        raise ValueError(f"{source}: order='F' counts down the columns; pass images= for the images' sizes")
    kind = f"kaggle-{'rows' if order == 'C' else 'columns'}-{start}"
    return submission.write(out, _rows(Table(source, columns), kind, resolver(images)))


def _rows(
    table: Table, kind: str, resolve: Callable[[str], tuple[str, Size | None]]
) -> Iterator[tuple[str, str, Runs]]:
    seen: set[tuple[str, str]] = set()
    for line, _, cells in table.rows():
        name, cls, text = (cells[place] for place in table.at)
        where = f"{table.path}, line {line}, image {name}, class {cls}"
        text = "" if text.strip() == "-1" else plain_text(text)
        try:
            image, size = resolve(name)
            runs = convert(text, size, source=kind, target="runs")
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if (image, cls) in seen:
            raise ValueError(f"{where}: was there already")
        seen.add((image, cls))
        yield image, cls, runs
