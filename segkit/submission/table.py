"""SubmissionFormat: a CSV with one mask, or one object, a row in RLE, whatever its columns and conventions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from segkit.masks import MaskSet, as_masks
from segkit.rle import RepairResult, Runs, TextLayout, read_text, repair, write_text
from segkit.rle.tables import COLUMNS, Table, plain_text, quoted, writing
from segkit.submission import reader, sample, specs, writer
from segkit.submission.checks import CellCheck, check
from segkit.submission.keys import Keys
from segkit.submission.names import Size
from segkit.submission.rows import Masks, SizesLike, rows_of


@dataclass(frozen=True)
class SubmissionFormat:
    """A CSV with RLE texts: its columns, how it names masks, and how the texts number pixels.

    Args:
        columns: Of image, class and RLE; or of a key and RLE, where the key names the class too or there is one class.
        key: What the first column holds: "{image}", or "{stem}", the id without the ending of its file; with two
            columns also of both, such as "{image}_{class}". None is "{image}".
        order: Pixels are numbered row by row ("C") or column by column ("F").
        start: Number of the first pixel, 1 or 0.
        relative: Each start counts from the end of the run before, the first from the first pixel (SIIM-ACR 2019).
        empty: What an empty mask is written as, such as "" or "-1".
        objects: One row an object (connected component); an image and class without any gets one empty row.

    Raises:
        ValueError: For settings that contradict each other.

    Example:
        >>> str(SubmissionFormat(("ImageId", "EncodedPixels"), order="F", empty="-1"))
        'columns=ImageId,EncodedPixels order=F empty=-1'
    """

    columns: tuple[str, ...] = COLUMNS
    key: str | None = None
    order: Literal["C", "F"] = "C"
    start: Literal[0, 1] = 1
    relative: bool = False
    empty: str = ""
    objects: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        named = [name for name in self.columns if isinstance(name, str) and name]
        if len(self.columns) not in (2, 3) or len(set(named)) != len(self.columns):
            raise ValueError(f"expected columns of image, class and RLE, or of a key and RLE, got {self.columns}")
        if self.keys and self.cell_check.is_mask(self.empty):
            raise ValueError(f"expected empty to be no RLE text, got {self.empty!r}, which is a mask with pixels")

    @cached_property
    def keys(self) -> Keys:
        """How rows name image and class."""
        return Keys(len(self.columns) == 3, "{image}" if self.key is None else self.key)

    @cached_property
    def layout(self) -> TextLayout:
        """How the texts number pixels."""
        return TextLayout(self.order, self.start, self.relative)

    @cached_property
    def cell_check(self) -> CellCheck:
        """What a cell of RLE may hold."""
        return CellCheck(self.layout, self.empty)

    @classmethod
    def from_sample(cls, path: str | Path, **known: object) -> Self:
        """The format of a sample submission, or of a train.csv with RLE.

        Its columns, key, empty masks, and where they show: the first pixel's number, relative starts, one row an
        object. Whether rows or columns come first never shows.

        Args:
            path: The CSV, .csv.gz or .zip.
            known: Settings that are known, such as order="F"; they are not inferred.

        Returns:
            The format.

        Warns:
            UserWarning: Names each setting that the sample does not tell and what it is taken for.
        """
        fields, notes = sample.infer(path, known)
        if notes:
            warnings.warn(f"{path}: {notes}", stacklevel=2)
        return cls(**fields)

    def without_order(self) -> Self:
        """The same format, its texts taken for rows of one long line.

        For questions whose answer is the same along the text, such as votes and Dice, and which then need no sizes.
        """
        return replace(self, order="C")

    def __str__(self) -> str:
        return specs.spec_of(self, always=("columns",))

    def text(self, runs: Runs) -> str:
        """The cell of one mask.

        Args:
            runs: The mask; with a shape, where pixels are numbered column by column.

        Returns:
            Its RLE text, or what an empty mask is written as.
        """
        return write_text(runs, self.layout) if runs else self.empty

    def runs(self, cell: str, size: Size | None = None) -> Runs:
        """The mask of one cell.

        Args:
            cell: RLE text, what an empty mask is written as, "" or NaN.
            size: (height, width); needed where pixels are numbered column by column.

        Returns:
            The mask, row-major.

        Raises:
            ValueError: Names the bad token.
        """
        return read_text(self._plain(cell), size, self.layout)

    def repaired(self, cell: str, size: Size | None = None) -> RepairResult:
        """The mask of one cell that may be broken, as segkit.rle.repair does it.

        Args:
            cell: As in runs().
            size: (height, width).

        Returns:
            The mask, and what was done.
        """
        layout = self.layout
        return repair(self._plain(cell), size, order=layout.order, start=layout.start, relative=layout.relative)

    def _plain(self, cell: str) -> str:
        """RLE text of a cell, "" for an empty mask."""
        text = plain_text(cell)
        return "" if text == self.empty else text

    # -- writing -------------------------------------------------------------------------------------------------
    def write(
        self,
        path: str | Path,
        masks: Masks,
        ids: Sequence[str] | None = None,
        *,
        like: str | Path | None = None,
        sizes: SizesLike = None,
    ) -> Path:
        """Write masks, one at a time; the file takes its place when its last row is written.

        Args:
            path: .csv; .csv.gz and .zip are packed.
            masks: A MaskSet, {image: {class: mask}}, or rows (image, class, mask). A mask is Runs, an (H, W) array or
                row-major 1-based RLE text; with `objects` also a list of them, one an object.
            ids: The images to write, in order; default all.
            like: A sample submission whose rows, in its order, and columns are written instead; its images are found
                with and without the endings of files.
            sizes: (height, width) of every image or {image: (height, width)}, for masks that know no shape.

        Returns:
            The path.

        Raises:
            ValueError: Names image and class of a mask that cannot be written.
        """
        if like is None:
            header, rows = list(self.columns), writer.rows(self, rows_of(masks, ids), sizes)
        elif ids is not None or not isinstance(masks, Mapping):
            raise ValueError("like= says which rows to write: pass a MaskSet or mapping, and no ids")
        else:
            model = Table(like, self.columns)
            header, rows = model.header, writer.rows_like(self, model, as_masks(masks), sizes)
        with writing(path) as handle:
            handle.write(",".join(map(quoted, header)) + "\n")
            handle.writelines(",".join(map(quoted, cells)) + "\n" for cells in rows)
        return Path(path)

    # -- reading -------------------------------------------------------------------------------------------------
    def read(
        self,
        path: str | Path,
        sizes: SizesLike = None,
        repair: bool = False,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> MaskSet:
        """Read a file: its rows are found in one pass, a mask is read and parsed when it is asked for.

        So memory does not grow with the texts. Rows are matched by image and class, never by position; an empty cell
        and NaN are empty masks too. Rows of one image and class are joined where `objects` says so.

        Args:
            path: .csv, .csv.gz or .zip.
            sizes: (height, width) of every image or {image: (height, width)}: runs must end inside. Needed where
                pixels are numbered column by column.
            repair: Repair broken RLE as segkit.rle.repair does, and warn (RepairWarning) with file, image and class.
            ids: The images that names mean, with or without the endings of files; default those of `sizes`.
            classes: Those there are, in order; of a format that names no class, its one class. Needed where classes
                hold the separator of the key.

        Returns:
            Masks in the file's order of images and classes; .rows in its order of rows.

        Raises:
            ValueError: At once for missing columns, a row of another length, a key of another pattern and an image and
                class that come again; when a mask is asked for, for its RLE, and where the file has changed.
        """
        return reader.read(self, path, sizes, repair, ids, classes)

    def rows(self, path: str | Path, sizes: SizesLike = None, repair: bool = False) -> Iterator[tuple[str, str, Runs]]:
        """The masks of a file in its order, one a row, also where an image and class come again.

        Args:
            path: .csv, .csv.gz or .zip.
            sizes: As for read().
            repair: As for read().

        Yields:
            (image, class, mask).

        Raises:
            ValueError: Names file, line, image and class.
        """
        return reader.rows(self, Table(path, self.columns), sizes, repair)

    # -- checking ------------------------------------------------------------------------------------------------
    def validate(
        self,
        path: str | Path,
        like: str | Path | None = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        sizes: SizesLike = None,
        images: str | Path | None = None,
    ) -> dict[str, int]:
        """Check a written file row by row: columns, keys, rows, their order, RLE.

        Args:
            path: .csv, .csv.gz or .zip.
            like: A sample submission that has the columns, rows and order to expect.
            ids: The images to expect, in order, in place of `like`; each must have every class.
            classes: The classes to expect, in order, in place of `like`; default those of the file.
            sizes: (height, width) of every image or {image: (height, width)}: runs must end inside.
            images: Folder of the images: each must have a row, each row an image, and runs must end inside.

        Returns:
            {"rows", "images", "classes", "empty"}: how many there are; `rows` counts each image and class once.

        Raises:
            ValueError: Lists the first 20 problems, with line, image and class, and counts the others.
        """
        table = Table(path, self.columns)
        model = None if like is None else Table(like, self.columns)
        return check(table, self, model, ids=ids, classes=classes, sizes=sizes, images=images)


DEFAULT = SubmissionFormat()
"""image_name,class,rle, row by row from 1."""
