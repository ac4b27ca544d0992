"""Samples of YOLO segmentation text: a line an object, its class's number, then x and y as shares of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segkit.files import nfc, read_text
from segkit.geometry import Polygons
from segkit.images import image_size
from segkit.samples.classes import as_classes
from segkit.samples.grouping import Group, Paths, Strata, make_samples
from segkit.samples.listing import Images, list_images, match_files, passed_over
from segkit.samples.mask_files import labelled_ids, nothing_matches, shared
from segkit.samples.outlines import containing_pixels
from segkit.samples.source import Annotation, Source


def open_yolo(
    images: Images,
    labels: str | Path,
    classes: Sequence[str] | str | Path,
    missing: str,
    group: Group,
    strata: Strata,
) -> Source:
    """The source of Samples.from_yolo.

    Args:
        images: As Samples.from_images takes them.
        labels: The folder of the text files.
        classes: Names in the order of their numbers, or a data.yaml.
        missing: "unlabelled" or "negative".
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If there is no text file of an image, or no names.
    """
    names = read_names(classes) if isinstance(classes, (str, Path)) else as_classes(classes)
    listing = list_images(images, beside=(".txt",))
    matched, other = match_files(labels, "**/{stem}.txt", listing, None, (".txt",))
    if not matched and missing == "unlabelled":
        raise ValueError(nothing_matches(labels, "**/{stem}.txt", listing, other))
    files = {image: match.path for match in matched for image in match.images}
    reader = YoloReader(files, listing.images, names)
    problems = [*listing.problems, *shared(matched), *passed_over(other, "belongs to no image")]
    return Source(
        make_samples(listing.images, group, strata), names, labelled_ids(files, listing, missing), reader,
        problems=tuple(problems), refused=listing.refused, annotation_files=files, name=str(labels),
    )  # fmt: skip


def read_names(path: str | Path) -> tuple[str, ...]:
    """The class names of a data.yaml.

    Args:
        path: The file; its names are a list, or {number: name}.

    Returns:
        The names in the order of their numbers.

    Raises:
        ValueError: If there are none; names the file.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not there: expected a data.yaml with names, or classes=[names]")
    try:
        names = yaml.safe_load(read_text(path))["names"]
        if isinstance(names, dict):
            names = [names[number] for number in range(len(names))]
        return as_classes(names)
    except (yaml.YAMLError, RecursionError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: expected names, a list or {{0: name, 1: name}}: {error}") from error


@dataclass(frozen=True)
class YoloReader:
    """id -> Annotation.

    Attributes:
        files: {id: text file}.
        images: {id: image files}, for sizes.
        classes: Names, in the order of their numbers.
    """

    files: Mapping[str, Path]
    images: Mapping[str, Paths]
    classes: tuple[str, ...]

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        if image not in self.files:
            return Annotation({})
        path, paths = self.files[image], self.images[image]
        height, width = image_size(paths if isinstance(paths, Path) else paths[0])
        outlines: dict[str, list[np.ndarray]] = {}
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if line.strip():
                cls, points = self._parsed(line, f"{path}, line {number}")
                where = f"{path}, line {number}, class {cls}"
                outlines.setdefault(cls, []).append(containing_pixels(points * [width, height], where, (height, width)))
        return Annotation({nfc(cls): Polygons(found) for cls, found in outlines.items()})

    def _parsed(self, line: str, where: str) -> tuple[str, np.ndarray]:
        """(class, shares (n, 2))."""
        first, *rest = line.split()
        try:
            number, shares = int(first), np.array([float(word) for word in rest])
        except ValueError as error:
            raise ValueError(f"{where}: expected a class number and shares x y x y ..., got {line[:60]!r}") from error
        if not 0 <= number < len(self.classes):
            raise ValueError(f"{where}: class {number}, there are {len(self.classes)}: {', '.join(self.classes)}")
        if len(shares) == 4:
            raise ValueError(f"{where}: a box of 4 numbers, expected a polygon of 3 points or more")
        if len(shares) < 6 or len(shares) % 2:
            raise ValueError(f"{where}: expected a polygon of 3 points or more, got {len(shares)} numbers")
        if not (np.abs(shares - 0.5) <= 1.5).all():
            raise ValueError(
                f"{where}: expected shares of the image between 0 and 1, got {shares.min()} to {shares.max()}"
            )
        return self.classes[number], shares.reshape(-1, 2)
