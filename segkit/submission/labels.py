"""PixelLabels: one row an image, the class number of every pixel of a smaller map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import numpy as np

from segkit.masks import MaskSet
from segkit.rle import Runs
from segkit.rle.tables import Table, quoted, writing
from segkit.submission import specs
from segkit.submission.classmaps import class_map, mask_of
from segkit.submission.keys import Keys
from segkit.submission.names import FolderSizes, Names
from segkit.submission.problems import Problems, compare_rows
from segkit.submission.rows import Masks, SizesLike, as_runs, rows_of, size_of


@dataclass(frozen=True)
class PixelLabels:
    """A CSV with a row an image: the class numbers of its pixels, row by row, at a size of the competition's.

    Classes are exclusive. Number 0 is the background where `first` is 1.

    Args:
        columns: Of image and numbers.
        size: (height, width) of the map. Masks of another size are brought to it by area: a pixel has the class that
            covers most of it.
        first: Number of the first class; 0 where the background is the first class itself.
        key: What the image's column holds: "{image}" or "{stem}", the id without the ending of its file.

    Raises:
        ValueError: For settings that contradict each other.

    Example:
        >>> str(PixelLabels(size=(128, 128)))
        'labels size=128,128'
    """

    columns: tuple[str, str] = ("image_id", "PredictionString")
    size: tuple[int, int] = (256, 256)
    first: int = 1
    key: str = "{image}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "size", tuple(self.size))
        if len(self.columns) != 2 or len(set(self.columns)) != 2:
            raise ValueError(f"expected columns of image and class numbers, got {self.columns}")
        if len(self.size) != 2 or min(self.size) < 1 or self.first not in (0, 1):
            raise ValueError(f"expected a size (height, width) and first 0 or 1, got {self.size} and {self.first}")
        if not self.keys.has_one_class:
            raise ValueError(f"expected a key of the image alone, got key={self.key!r}")

    @cached_property
    def keys(self) -> Keys:
        """How rows name images."""
        return Keys(False, self.key)

    @classmethod
    def from_sample(cls, path: str | Path, **known: object) -> Self:
        """The format of a sample submission; a map is taken for a square where `size` is not known.

        Args:
            path: The CSV.
            known: Settings that are known, such as first=0.

        Returns:
            The format.

        Raises:
            ValueError: Where the size cannot be told.
        """
        table = Table(path, ())
        row = next(table.rows(), None)
        if len(table.header) != 2:
            raise ValueError(f"{path}: expected columns of image and class numbers, got {table.header}")
        side = 0 if row is None else round(len(row.cells[1].split()) ** 0.5)
        if "size" not in known and (row is None or side * side != len(row.cells[1].split()) or not side):
            raise ValueError(f"{path}: its first row does not tell the map's size; pass size=(height, width)")
        fields: dict[str, Any] = {"columns": tuple(table.header), "size": (side, side), **known}
        return cls(**fields)

    def __str__(self) -> str:
        return specs.spec_of(self, kind="labels", always=("size",))

    def write(
        self,
        path: str | Path,
        masks: Masks,
        ids: Sequence[str] | None = None,
        *,
        like: str | Path | None = None,
        sizes: SizesLike = None,
    ) -> Path:
        """Write masks, one image at a time; the file takes its place when its last row is written.

        Args:
            path: .csv; .csv.gz and .zip are packed.
            masks: As for SubmissionFormat.write; the classes of an image come in channel order.
            ids: The images to write, in order; default all.
            like: A sample submission whose images are written, in its order; they are found with and without the
                endings of files.
            sizes: (height, width) of every image or {image: (height, width)}, for masks that know no shape.

        Returns:
            The path.

        Raises:
            ValueError: Names image and class, also where classes overlap.
        """
        named: dict[str, str] = {}
        if like is not None:
            if ids is not None or not isinstance(masks, Mapping):
                raise ValueError("like= says which rows to write: pass a MaskSet or mapping, and no ids")
            names = Names(masks)
            named = {names.resolve(name): name for name in self._images(Table(like, self.columns))}
            ids = list(named)
        with writing(path) as handle:
            handle.write(",".join(map(quoted, self.columns)) + "\n")
            for image, group in groupby(rows_of(masks, ids), key=lambda row: row[0]):
                size = size_of(sizes, image)
                try:
                    numbers = class_map(((cls, as_runs(mask, size)) for _, cls, mask in group), self.size, self.first)
                except ValueError as error:
                    raise ValueError(f"image {image}: {error}") from error
                name = named.get(image) or self.keys.cells(image, "")[0]
                handle.write(f"{quoted(name)},{' '.join(map(str, numbers.ravel().tolist()))}\n")
        return Path(path)

    def read(
        self,
        path: str | Path,
        sizes: SizesLike = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> MaskSet:
        """Read a file; an image's row is read when its masks are asked for.

        Args:
            path: .csv, .csv.gz or .zip.
            sizes: (height, width) of every image or {image: (height, width)}, which masks are brought to; default the
                map's own.
            ids: The images that names mean, with or without the endings of files; default those of `sizes`.
            classes: Their names, in the order of their numbers; default the numbers there are.

        Returns:
            Masks of every image and class.

        Raises:
            ValueError: Names file, line and image.
        """
        table = Table(path, self.columns)
        names = Names(sizes if ids is None and isinstance(sizes, Mapping) else ids)
        places: dict[str, tuple[int, int]] = {}
        most = self.first - 1
        for line, place, cells in table.rows():
            name = cells[table.at[0]]
            image = names.find(name) or name
            if image in places:
                raise ValueError(f"{path}, line {line}: image {image} was there already")
            places[image] = place
            if classes is None:
                most = max(most, int(self._numbers(cells[table.at[1]], f"{path}, line {line}, image {image}").max()))
        found = [str(number) for number in range(self.first, most + 1)] if classes is None else list(classes)
        number_of = {cls: number for number, cls in enumerate(found, self.first)}

        @lru_cache(maxsize=2)  # the classes of an image are asked for one after another
        def numbers(image: str) -> np.ndarray:
            return self._numbers(table.cells(places[image])[table.at[1]], f"{path}, image {image}")

        def load(image: str, cls: str) -> Runs:
            return mask_of(numbers(image), number_of[cls], size_of(sizes, image))

        known = {image: size_of(sizes, image) or self.size for image in places}
        return MaskSet(places, found, load, sizes=known, name=str(path))

    def _numbers(self, cell: str, where: str) -> np.ndarray:
        """The map of a cell."""
        tokens = cell.split()
        if len(tokens) != self.size[0] * self.size[1]:
            pixels = f"{self.size[0] * self.size[1]} numbers, one for each pixel of {self.size}"
            raise ValueError(f"{where}: expected {pixels}, got {len(tokens)}")
        bad = next((token for token in tokens if not token.isdecimal() or len(token) > 9), None)
        if bad is not None:
            raise ValueError(f"{where}: expected class numbers, got {bad!r}")
        return np.array(tokens, np.int64).reshape(self.size)

    def _images(self, table: Table) -> Iterator[str]:
        """The images' cells of a file."""
        return (cells[table.at[0]] for _, _, cells in table.rows())

    def validate(
        self,
        path: str | Path,
        like: str | Path | None = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        images: str | Path | None = None,
    ) -> dict[str, int]:
        """Check a written file row by row: columns, images, their order, the numbers.

        Args:
            path: .csv, .csv.gz or .zip.
            like: A sample submission that has the columns, images and order to expect.
            ids: The images to expect, in order, in place of `like`.
            classes: The classes there are: a number beyond them is a problem.
            images: Folder of the images: each must have a row, each row an image.

        Returns:
            {"rows", "images", "classes", "empty"}: `classes` counts the numbers used, `empty` images of one number.

        Raises:
            ValueError: Lists the first 20 problems, with line and image, and counts the others.
        """
        if like is not None and ids is not None:
            raise ValueError("expected either like or ids to say which rows there should be")
        table, found = Table(path, self.columns), Problems(path)
        sample = None if like is None else Table(like, self.columns)
        header = list(self.columns) if sample is None else sample.header
        if table.header != header:
            found.add(f"expected the columns {header}, got {table.header}")
        seen: dict[tuple[str, ...], int] = {}
        used: set[int] = set()
        plain = 0
        for line, _, cells in table.rows():
            image, cell = (cells[place] for place in table.at)
            where = f"line {line}, image {image}"
            if (image,) in seen:
                found.add(f"{where}: was on line {seen[image,]} already")
            seen.setdefault((image,), line)
            try:
                numbers = np.unique(self._numbers(cell, where))
            except ValueError as error:
                found.add(str(error))
                continue
            if " ".join(cell.split()) != cell:
                found.add(f"{where}: expected single spaces between the numbers")
            if classes is not None and numbers[-1] >= self.first + len(classes):
                found.add(f"{where}: number {numbers[-1]} is of none of the {len(classes)} classes")
            used |= set(numbers.tolist())
            plain += len(numbers) == 1
        folder = None if images is None else FolderSizes(images)
        if sample is not None:
            compare_rows(found, seen, [(image,) for image in self._images(sample)])
        elif ids is not None:
            compare_rows(found, seen, [self.keys.cells(image, "") for image in ids])
        elif not seen:
            found.add("it has no row")
        if folder is not None:
            names = Names(folder)
            there = {image: names.find(image) for (image,) in seen}
            for image in [image for image, known in there.items() if known is None]:
                found.add(f"line {seen[image,]}, image {image}: {images} has no such image")
            if sample is None and ids is None:
                missing = [image for image in folder if image not in set(there.values())]
                found.add_many(len(missing), (f"image {image} of {images}: row is missing" for image in missing))
        found.raise_any()
        return {"rows": len(seen), "images": len(seen), "classes": len(used), "empty": plain}
