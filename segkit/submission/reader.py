"""A submission read without holding its texts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segkit.files import nearest
from segkit.masks import MaskSet
from segkit.rle import RepairWarning, Runs, at_least
from segkit.rle.tables import Table
from segkit.submission.names import Names, Size
from segkit.submission.rows import SizesLike, size_of

if TYPE_CHECKING:
    from segkit.submission.table import SubmissionFormat


def read(
    form: SubmissionFormat,
    path: str | Path,
    sizes: SizesLike,
    repair: bool,
    ids: Sequence[str] | None,
    classes: Sequence[str] | None,
) -> MaskSet:
    """What SubmissionFormat.read does.

    Args:
        form: The format.
        path: The file.
        sizes: Of the images, where known.
        repair: Whether to repair broken RLE.
        ids: The images that names mean.
        classes: Those there are.

    Returns:
        The masks.

    Raises:
        ValueError: Names file, line, image and class.
    """
    table = Table(path, form.columns)
    names = Names(sizes if ids is None and isinstance(sizes, Mapping) else ids)
    places: dict[tuple[str, str], list[tuple[int, int]]] = {}
    images: dict[str, str] = {}
    found = {cls: cls for cls in classes or ()}
    for line, place, cells in table.rows():
        try:
            name, cls = form.keys.names([cells[at] for at in table.at[:-1]], classes)
            if classes is not None and cls not in found:
                raise ValueError(f"image {name}: no class {cls!r}; {nearest(cls, classes)}")
            if name not in images:
                images[name] = names.find(name) or name
            key = images[name], found.setdefault(cls, cls)
            if key in places and not form.objects:
                hint = "; objects=True reads one row an object"
                raise ValueError(f"image {key[0]}, class {cls} was there already{hint}")
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        places.setdefault(key, []).append(place)

    def load(image: str, cls: str) -> Runs:
        if (image, cls) not in places:
            raise KeyError(f"{path} has no row for image {image}, class {cls}")
        where, size = f"{path}, image {image}, class {cls}", size_of(sizes, image)
        cells = [table.cells(place)[table.at[-1]] for place in places[image, cls]]
        parts = [_runs(form, cell, size, repair, where) for cell in cells]
        return parts[0] if len(parts) == 1 else at_least(parts, 1)

    known = dict.fromkeys(images.values(), sizes) if isinstance(sizes, tuple) else sizes
    return MaskSet(dict.fromkeys(images.values()), found, load, sizes=known, rows=places.keys(), name=str(path))


def rows(form: SubmissionFormat, table: Table, sizes: SizesLike, repair: bool) -> Iterator[tuple[str, str, Runs]]:
    """What SubmissionFormat.rows does.

    Args:
        form: The format.
        table: The file.
        sizes: Of the images, where known.
        repair: Whether to repair broken RLE.

    Yields:
        (image, class, mask).
    """
    names = Names(sizes if isinstance(sizes, Mapping) else None)
    for line, _, cells in table.rows():
        where = f"{table.path}, line {line}"
        try:
            name, cls = form.keys.names([cells[at] for at in table.at[:-1]])
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        image = names.find(name) or name
        where += f", image {image}" if form.keys.has_one_class else f", image {image}, class {cls}"
        size = size_of(sizes, image)
        if isinstance(sizes, Mapping) and size is None:
            raise ValueError(f"{where}: no size (height, width) is known for this image")
        yield image, cls, _runs(form, cells[table.at[-1]], size, repair, where)


def _runs(form: SubmissionFormat, cell: str, size: Size | None, repair: bool, where: str) -> Runs:
    """The mask of a cell; a repair is told."""
    try:
        if not repair:
            return form.runs(cell, size)
        runs, notes = form.repaired(cell, size)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if notes:
        warnings.warn(f"{where}: the RLE text was repaired: {'; '.join(notes)}", RepairWarning, stacklevel=4)
    return runs
