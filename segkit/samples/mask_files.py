"""Samples of binary mask files: one a class, by a pattern or a folder, or one an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segkit.files import digest_of_files
from segkit.images import SUFFIXES, read_labels
from segkit.rle import Runs
from segkit.samples.classes import as_classes
from segkit.samples.grouping import Group, Strata, make_samples
from segkit.samples.listing import Images, Listing, Match, list_images, match_files, passed_over
from segkit.samples.source import Annotation, Problem, Source

ONE_CLASS = ("mask",)
"""The class of data that names none."""

MISSING = ("unlabelled", "negative")
"""What an image without an annotation is."""


def open_masks(
    images: Images,
    masks: str | Path,
    classes: Sequence[str] | None,
    pattern: str | None,
    threshold: float | None,
    missing: str,
    group: Group,
    strata: Strata,
) -> Source:
    """The source of Samples.from_masks.

    Args:
        images: As Samples.from_images takes them.
        masks: The folder of the masks.
        classes: In channel order, or None.
        pattern: Where the masks lie, or None.
        threshold: Values above it are set, or None.
        missing: "unlabelled" or "negative".
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If no mask is of an image, or for arguments that contradict each other.
    """
    known = None if classes is None else as_classes(classes)
    if pattern is None:
        pattern = "**/{class}/{stem}.*" if known is not None and len(known) > 1 else "**/{stem}.*"
    listing = list_images(images)
    matched, other = match_files(masks, pattern, listing, known, SUFFIXES)
    if "{class}" not in pattern and known is not None and len(known) > 1:
        raise ValueError(f"pattern={pattern!r}: expected {{class}} in it, there are {len(known)} classes")
    if known is None:
        known = tuple(sorted({match.cls for match in matched})) if "{class}" in pattern else ONE_CLASS
    if not matched and missing == "unlabelled":
        raise ValueError(nothing_matches(masks, pattern, listing, other))
    files: dict[str, list[tuple[str, Path]]] = {}
    for match in matched:
        for image in match.images:
            files.setdefault(image, []).append((match.cls or known[0], match.path))
    reader = MaskReader({image: tuple(row) for image, row in files.items()}, threshold)
    labelled = labelled_ids(files, listing, missing)
    problems = [*listing.problems, *shared(matched), *passed_over(other, "belongs to no image")]
    samples = make_samples(listing.images, group, strata)
    return Source(
        samples, known, labelled, reader, problems=tuple(problems), refused=listing.refused,
        annotation_files={image: row[0][1] for image, row in files.items()}, token=reader.token, name=str(masks),
    )  # fmt: skip


def labelled_ids(annotated: Mapping[str, object], listing: Listing, missing: str) -> frozenset[str]:
    """The images that count as annotated.

    Args:
        annotated: Ids with an annotation.
        listing: All images.
        missing: Whether the others are "unlabelled" or "negative".

    Returns:
        Ids.

    Raises:
        ValueError: For another value of `missing`.
    """
    if missing not in MISSING:
        raise ValueError(f"missing={missing!r}: expected {' or '.join(MISSING)}")
    return frozenset(annotated if missing == "unlabelled" else listing.images)


def shared(matched: Sequence[Match]) -> list[Problem]:
    """A finding for each file that belongs to several images.

    Args:
        matched: Files and their images.

    Returns:
        Findings for the audit.
    """
    return [
        Problem(str(match.path), match.images[1], "", "shared-annotation", f"belongs to {match.images[0]} as well")
        for match in matched
        if len(match.images) > 1
    ]


def nothing_matches(root: str | Path, pattern: str, listing: Listing, other: Sequence[Path]) -> str:
    """The error where no annotation file belongs to an image.

    Args:
        root: The folder of the files.
        pattern: What was looked for.
        listing: The images.
        other: The files that are there.

    Returns:
        The message.
    """
    seen = other[0].relative_to(root).as_posix() if other else "no other file"
    return f"{root}: no file matches the pattern {pattern!r}; there is {seen}, an image is {next(iter(listing.images))}"


@dataclass(frozen=True)
class MaskReader:
    """id -> Annotation.

    Attributes:
        files: {id: ((class, file), ...)}; files of one class are joined.
        threshold: Values above it are set; None expects at most one value beside 0.
    """

    files: Mapping[str, tuple[tuple[str, Path], ...]]
    threshold: float | None

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        masks: dict[str, np.ndarray] = {}
        size: tuple[int, int] | None = None
        for cls, path in self.files.get(image, ()):
            mask = read_mask(path, self.threshold)
            if size is not None and mask.shape != size:
                raise ValueError(f"{path} is {mask.shape}, the other masks of image {image} are {size} (height, width)")
            size = mask.shape
            masks[cls] = mask if cls not in masks else masks[cls] | mask
        runs = {cls: Runs.from_mask(mask) for cls, mask in masks.items()}
        return Annotation({cls: mask for cls, mask in runs.items() if mask}, size=size)

    def token(self, image: str) -> str:
        """As Source.token.

        Args:
            image: The image's id.

        Returns:
            A digest of the files and of how they are read.
        """
        files = self.files.get(image, ())
        return digest_of_files([path for _, path in files], [[cls for cls, _ in files], self.threshold])


def read_mask(path: Path, threshold: float | None) -> np.ndarray:
    """The mask of a file.

    Args:
        path: The file.
        threshold: Values above it are set; None expects at most one value beside 0.

    Returns:
        Mask, bool, shape (H, W).

    Raises:
        ValueError: If the file cannot be read, or has several values and no threshold is given; names it.
    """
    values = read_labels(path)
    if values.dtype == bool:
        return values
    if threshold is not None:
        return values > threshold
    mask = values != 0
    if mask.any() and int(values.max()) != int(values.min(initial=np.iinfo(values.dtype).max, where=mask)):
        many = len(np.unique(values))
        raise ValueError(
            f"{path}: expected 0 and one other value, got {many} values up to {values.max()}; "
            "pass threshold=127 for soft edges, or use Samples.from_label_maps"
        )
    return mask
