"""Samples of label maps: one image of numbers or colours, a value a class, so that no two classes share a pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import digest_of_files, nfc
from segkit.images import SUFFIXES, read_labels
from segkit.rle import Runs
from segkit.samples.grouping import Group, Strata, make_samples
from segkit.samples.listing import Images, list_images, match_files, passed_over
from segkit.samples.mask_files import nothing_matches, shared
from segkit.samples.source import Annotation, Source

Value = int | str | Sequence[int]
"""A number, or a colour: (red, green, blue) or "#rrggbb"."""


def open_label_maps(
    images: Images,
    maps: str | Path,
    classes: Mapping[str, Value],
    ignore: Value | Sequence[Value] | None,
    pattern: str | None,
    group: Group,
    strata: Strata,
) -> Source:
    """The source of Samples.from_label_maps.

    Args:
        images: As Samples.from_images takes them.
        maps: The folder of the maps.
        classes: {name: value or colour}.
        ignore: Value or values of pixels that count nowhere.
        pattern: Where the maps lie; None is "**/{stem}.*".
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If there is no map of an image, or two of one, or for values that contradict each other.
    """
    values, ignored, colours = _values(classes, ignore)
    pattern = "**/{stem}.*" if pattern is None else pattern
    listing = list_images(images)
    matched, other = match_files(maps, pattern, listing, None, SUFFIXES)
    if not matched:
        raise ValueError(nothing_matches(maps, pattern, listing, other))
    files: dict[str, Path] = {}
    for match in matched:
        for image in match.images:
            if image in files:
                raise ValueError(f"image {image} has two label maps: {files[image]} and {match.path}")
            files[image] = match.path
    reader = LabelReader(files, values, ignored, colours)
    problems = [*listing.problems, *shared(matched), *passed_over(other, "belongs to no image")]
    return Source(
        make_samples(listing.images, group, strata), tuple(values), frozenset(files), reader, exclusive=True,
        problems=tuple(problems), refused=listing.refused, annotation_files=files, token=reader.token, name=str(maps),
    )  # fmt: skip


def _values(
    classes: Mapping[str, Value], ignore: Value | Sequence[Value] | None
) -> tuple[dict[str, int], tuple[int, ...], bool]:
    """({class: value}, ignored values, whether they are colours, which are packed into one number)."""
    if not isinstance(classes, Mapping) or not classes:
        raise ValueError(f"classes={classes!r}: expected {{name: value or colour}}")
    colours = _is_colour(next(iter(classes.values())))
    alone = ignore is None or isinstance(ignore, (int, str)) or (colours and _is_colour(ignore))
    given: list[Any] = [] if ignore is None else [ignore] if alone else list(ignore)  # type: ignore[arg-type]
    if any(_is_colour(value) != colours for value in (*classes.values(), *given)):
        raise ValueError(f"classes and ignore: expected either numbers or colours, got {dict(classes)} and {ignore}")
    values = {nfc(name): _packed(value) for name, value in classes.items()}
    ignored = tuple(map(_packed, given))
    every = [*values.values(), *ignored]
    if len(set(every)) != len(every) or len(values) != len(classes):
        raise ValueError(f"classes and ignore: expected every name and value once, got {dict(classes)} and {ignore}")
    return values, ignored, colours


def _is_colour(value: object) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, Sequence) and len(value) == 3


def _packed(value: Value) -> int:
    """A number, or red * 65536 + green * 256 + blue."""
    try:
        if isinstance(value, str):
            if len(value) != 7 or value[0] != "#":
                raise ValueError
            return int(value[1:], 16)
        if isinstance(value, Sequence):
            red, green, blue = (int(part) for part in value)
            if not all(0 <= part <= 255 for part in (red, green, blue)):
                raise ValueError
            return red << 16 | green << 8 | blue
        if int(value) != value or value < 0:
            raise ValueError
        return int(value)
    except (TypeError, ValueError):
        raise ValueError(f'{value!r}: expected a number of 0 or more, (red, green, blue) or "#rrggbb"') from None


@dataclass(frozen=True)
class LabelReader:
    """id -> Annotation.

    Attributes:
        files: {id: label map}.
        values: {class: value}.
        ignored: Values of pixels that count nowhere.
        colours: Whether values are packed colours.
    """

    files: Mapping[str, Path]
    values: Mapping[str, int]
    ignored: tuple[int, ...]
    colours: bool

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        path = self.files[image]
        labels = read_labels(path, colours=self.colours)
        if self.colours:
            red, green, blue = (labels[..., k].astype(np.int32) for k in range(3))
            labels = red << 16 | green << 8 | blue
        small = labels.dtype == np.uint8
        there = set((np.flatnonzero(np.bincount(labels.ravel())) if small else np.unique(labels)).tolist())
        unknown = sorted(there - {0, *self.values.values(), *self.ignored})
        if unknown:
            some = ", ".join(f"#{value:06x}" if self.colours else str(value) for value in unknown[:5])
            raise ValueError(f"{path}: {len(unknown)} values are neither a class nor ignored: {some}; name them in "
                             "classes= or ignore=")  # fmt: skip
        regions = {cls: Runs.from_mask(labels == value) for cls, value in self.values.items() if value in there}
        left_out = [value for value in self.ignored if value in there]
        ignore = Runs.from_mask(np.isin(labels, left_out)) if left_out else None
        return Annotation(regions, ignore, size=(labels.shape[0], labels.shape[1]))

    def token(self, image: str) -> str:
        """As Source.token.

        Args:
            image: The image's id.

        Returns:
            A digest of the files and of how they are read.
        """
        return digest_of_files([self.files[image]], [dict(self.values), self.ignored, self.colours])
