"""What a source format gives: samples, their annotations when asked for, and what is wrong with the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segkit.geometry import Polygons
from segkit.rle import Runs

Size = tuple[int, int]

ClassRegion = Polygons | Runs
"""What one class covers in one image."""


@dataclass(frozen=True)
class Sample:
    """One image.

    Attributes:
        id: Its name, unique in the data; what submissions call it.
        group: What must stay on one side of a split: a patient, a drive, a source picture.
        image: The file, or several whose channels are stacked; none where a function reads the image.
        strata: {name: value}, e.g. {"pose": "tilted"}: what folds balance and reports list.
    """

    id: str
    group: str
    image: Path | tuple[Path, ...]
    strata: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the image, one or several."""
        return (self.image,) if isinstance(self.image, Path) else self.image


NOTES = (
    "colour", "depth", "alpha", "filename", "metadata", "missing-class", "missing-label", "negative", "no-region",
    "note", "passed-over", "shared-group", "touching", "unlabelled",
)  # fmt: skip
"""Kinds of findings that are common and harmless."""


class Problem(NamedTuple):
    """One finding of an audit.

    Attributes:
        file: Path of the file, "" where none is meant.
        image: Id of the image, "" where none is meant.
        cls: The class, "" where none is meant.
        kind: What is wrong, in a word of `segkit.audit`.
        message: The details.
        severity: "note" for a kind that is common and harmless, else "problem".
    """

    file: str
    image: str
    cls: str
    kind: str
    message: str

    @property
    def severity(self) -> str:
        """Whether it is a "note" or a "problem"."""
        return "note" if self.kind in NOTES else "problem"


@dataclass(frozen=True)
class Annotation:
    """What the annotation of one image says.

    Attributes:
        regions: {label: Polygons or Runs}, labels as they come; none for a negative.
        ignore: The pixels that count nowhere, or None.
        size: (height, width) that the annotation says of its image, or None.
        size_binds: Whether another size than the image's makes the annotation useless; else it is a note of the audit.
        problems: What was dropped or contradicts the image, for the audit.
    """

    regions: Mapping[str, ClassRegion]
    ignore: Runs | None = None
    size: Size | None = None
    size_binds: bool = True
    problems: tuple[Problem, ...] = ()


def no_annotation(image: str) -> Annotation:
    """The annotation of sources that have none.

    Args:
        image: The image's id.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"image {image} has no annotation")


@dataclass(frozen=True)
class Source:
    """Everything that a source format knows; `Samples` is made of it.

    Attributes:
        samples: In order, ids unique.
        classes: In channel order.
        labelled: Ids of the images that have an annotation, be it of nothing.
        annotate: id -> Annotation; ValueError for an annotation that cannot be read. Must be picklable.
        exclusive: Whether a pixel has at most one class.
        pixels: id -> array (H, W) or (H, W, C), where a function reads the images; None reads their files.
        problems: What was found while the files were listed, for the audit.
        refused: {id: why} of images that must not be used, such as those whose name two files share.
        annotation_files: {id: the file that its annotation is read from}, for the audit.
        token: id -> text that changes with the annotation, where that is cheaper than reading it; else None.
        name: What errors call the data.
    """

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    labelled: frozenset[str] = frozenset()
    annotate: Callable[[str], Annotation] = no_annotation
    exclusive: bool = False
    pixels: Callable[[str], np.ndarray] | None = None
    problems: tuple[Problem, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    annotation_files: Mapping[str, Path] = field(default_factory=dict)
    token: Callable[[str], str] | None = None
    name: str = ""
