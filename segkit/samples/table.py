"""Samples of a table and functions: whatever no other source reads; and of images alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import nfc
from segkit.geometry import Polygons
from segkit.rle import Runs
from segkit.samples.classes import as_classes
from segkit.samples.grouping import Group, Paths, Strata, make_samples
from segkit.samples.listing import Images, list_images
from segkit.samples.source import Annotation, ClassRegion, Source

Row = Mapping[str, Any]
Frame = Any
"""A DataFrame, or dictionaries."""
ReadImage = Callable[[Any], np.ndarray]
ReadMasks = Callable[[Any], Mapping[str, Any]]
ReadIgnore = Callable[[Any], Any]


def open_images(images: Images, classes: Sequence[str], group: Group, strata: Strata) -> Source:
    """The source of Samples.from_images.

    Args:
        images: A folder, a glob pattern, a list of files, or {id: file or files}.
        classes: What is to be predicted.
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If there is no image.
    """
    listing = list_images(images)
    known = as_classes(classes) if classes else ()
    return Source(make_samples(listing.images, group, strata), known, problems=tuple(listing.problems),
                  refused=listing.refused, name=listing.name)  # fmt: skip


def open_table(
    frame: Frame,
    read_image: ReadImage | None,
    read_masks: ReadMasks | None,
    read_ignore: ReadIgnore | None,
    classes: Sequence[str] | None,
    exclusive: bool,
    group: Group,
    strata: Strata,
) -> Source:
    """The source of Samples.from_table.

    Args:
        frame: A DataFrame or dictionaries.
        read_image: row -> array of the image, or None.
        read_masks: row -> {class: mask}, or None.
        read_ignore: row -> mask of the pixels that count nowhere, or None.
        classes: In channel order; None reads every row.
        exclusive: Whether a pixel has at most one class.
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If a row has no id or image, or an id that was there already.
    """
    rows = _rows(frame)
    images = {image: _paths(row, image, read_image is None) for image, row in rows.items()}
    own = {image: str(row["group"]) if "group" in row else image for image, row in rows.items()}
    reader = TableReader(rows, read_masks, read_ignore)
    if classes is not None:
        known = as_classes(classes)
    elif read_masks is None:
        known = ()
    else:
        known = tuple(dict.fromkeys(cls for image in rows for cls in reader(image).regions))
    return Source(
        make_samples(images, group, strata, own), known, frozenset() if read_masks is None else frozenset(rows),
        reader, exclusive=exclusive, pixels=None if read_image is None else PixelReader(rows, read_image),
        name="the table",
    )  # fmt: skip


def _rows(frame: Frame) -> dict[str, Row]:
    """{id: row} of a DataFrame or of dictionaries."""
    records: Iterable[Row] = frame.to_dict("records") if hasattr(frame, "to_dict") else frame
    out: dict[str, Row] = {}
    for number, row in enumerate(records):
        if not isinstance(row, Mapping) or "id" not in row:
            columns = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
            raise ValueError(f"row {number}: expected a column 'id', got {columns}")
        image = nfc(str(row["id"]))
        if image in out:
            raise ValueError(f"row {number}: id {image!r} was there already")
        out[image] = dict(row)
    if not out:
        raise ValueError("expected a table of one row or more, got none")
    return out


def _paths(row: Row, image: str, needed: bool) -> Paths:
    """The file or files of the column `image`."""
    given = row.get("image", ())
    if isinstance(given, (str, Path)):
        return Path(given)
    if isinstance(given, Sequence) and (given or not needed):
        return tuple(Path(part) for part in given)
    if needed:
        raise ValueError(f"id {image!r}: expected a column 'image' with a file or several, or read_image=; columns are "
                         f"{', '.join(map(str, row))}")  # fmt: skip
    return ()


@dataclass(frozen=True)
class PixelReader:
    """id -> array of the image.

    Attributes:
        rows: {id: row}.
        read: The user's function.
    """

    rows: Mapping[str, Row]
    read: ReadImage

    def __call__(self, image: str) -> np.ndarray:
        """Read the pixels of an image."""
        pixels = np.asarray(self.read(self.rows[image]))
        if pixels.ndim not in (2, 3):
            raise ValueError(f"image {image}: expected read_image to give (H, W) or (H, W, C), got {pixels.shape}")
        return pixels


@dataclass(frozen=True)
class TableReader:
    """id -> Annotation.

    Attributes:
        rows: {id: row}.
        masks: The user's function.
        ignored: The user's function of the pixels that count nowhere.
    """

    rows: Mapping[str, Row]
    masks: ReadMasks | None
    ignored: ReadIgnore | None

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        assert self.masks is not None
        row = self.rows[image]
        given = self.masks(row)
        if not isinstance(given, Mapping):
            raise ValueError(f"image {image}: expected read_masks to give {{class: mask}}, {{}} for a negative, got "
                             f"{type(given).__name__}")  # fmt: skip
        regions = {nfc(str(cls)): _region(mask, f"image {image}, class {cls}") for cls, mask in given.items()}
        ignored = None if self.ignored is None else self.ignored(row)
        ignore = None if ignored is None else _region(ignored, f"image {image}, ignored pixels")
        if isinstance(ignore, Polygons):
            raise ValueError(f"image {image}, ignored pixels: expected Runs or a mask (H, W), got Polygons")
        shapes = {region.shape for region in (*regions.values(), ignore) if isinstance(region, Runs) and region.shape}
        if len(shapes) > 1:
            raise ValueError(f"image {image}: expected masks of one size, got {sorted(shapes)}")
        return Annotation(regions, ignore, size=next(iter(shapes), None))


def _region(mask: object, where: str) -> ClassRegion:
    if isinstance(mask, (Runs, Polygons)):
        return mask
    try:
        return Runs.from_mask(np.asarray(mask))
    except ValueError as error:
        raise ValueError(f"{where}: expected a mask (H, W), Runs or Polygons: {error}") from error
