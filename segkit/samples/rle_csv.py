"""Samples of a CSV with RLE masks: train.csv of a Kaggle competition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from segkit.images import image_size
from segkit.masks import MaskSet
from segkit.samples.classes import as_classes
from segkit.samples.grouping import Group, Paths, Strata, make_samples
from segkit.samples.lazy import Sizes
from segkit.samples.listing import Images, list_images
from segkit.samples.mask_files import labelled_ids
from segkit.samples.source import Annotation, Problem, Size, Source
from segkit.submission import MaskFiles, PixelLabels, SubmissionFormat

Format = SubmissionFormat | PixelLabels | MaskFiles


def open_rle_csv(
    csv: str | Path,
    images: Images,
    format: Format,
    classes: Sequence[str] | None,
    missing: str,
    group: Group,
    strata: Strata,
) -> Source:
    """The source of Samples.from_rle_csv.

    Args:
        csv: The file.
        images: As Samples.from_images takes them.
        format: What reads the file.
        classes: In channel order, or None.
        missing: "unlabelled" or "negative".
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If no row is of an image.
    """
    listing = list_images(images)
    known = None if classes is None else as_classes(classes)
    reader = RleReader(Path(csv), format, listing.images, known)
    masks = reader.masks()
    found = [image for image in masks.ids if image in listing.images]
    if not found:
        raise ValueError(f"{csv}: no row is of an image of {listing.name}; it names {masks.ids[:1]}, an image is "
                         f"{next(iter(listing.images))}")  # fmt: skip
    orphans = [image for image in masks.ids if image not in listing.images]
    problems = [Problem(str(csv), image, "", "orphan-annotation", "a row without an image") for image in orphans]
    return Source(
        make_samples(listing.images, group, strata), known or masks.classes,
        labelled_ids(dict.fromkeys(found), listing, missing), reader, problems=(*listing.problems, *problems),
        refused=listing.refused, annotation_files=dict.fromkeys(found, Path(csv)), name=str(csv),
    )  # fmt: skip


@dataclass
class RleReader:
    """id -> Annotation; the file is looked through once, a row parsed when it is asked for.

    Attributes:
        csv: The file.
        format: What reads it.
        images: {id: files}, for sizes.
        classes: Those to read; None reads all.
    """

    csv: Path
    format: Format
    images: Mapping[str, Paths]
    classes: tuple[str, ...] | None
    _read: tuple[MaskSet, Mapping[str, list[str]]] | None = field(default=None, repr=False, compare=False)

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        masks, rows = self._opened()
        runs = {cls: masks[image][cls] for cls in rows.get(image, ())}
        return Annotation({cls: mask for cls, mask in runs.items() if mask})

    def masks(self) -> MaskSet:
        """The masks of the file."""
        return self._opened()[0]

    def _opened(self) -> tuple[MaskSet, Mapping[str, list[str]]]:
        if self._read is None:
            sizes = Sizes(tuple(self.images), self._size)
            masks = self.format.read(self.csv, sizes=sizes, ids=tuple(self.images), classes=self.classes)
            rows: dict[str, list[str]] = {}
            for image, cls in masks.rows:
                rows.setdefault(image, []).append(cls)
            self._read = masks, rows
        return self._read

    def _size(self, image: str) -> Size:
        paths = self.images[image]
        return image_size(paths if isinstance(paths, Path) else paths[0])

    def __reduce__(self) -> tuple[type[RleReader], tuple[object, ...]]:
        return RleReader, (self.csv, self.format, self.images, self.classes)  # a process reads the file for itself
