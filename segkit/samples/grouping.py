"""Groups and strata as every source takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segkit.files import nearest, nfc
from segkit.samples.source import Sample

Group = str | Mapping[str, str] | Callable[[str], str] | None
"""A regex with one capture group, {id: group}, id -> group, or None: the source's own."""

Strata = Mapping[str, Mapping[str, Any]] | None
"""{name: {id: value}}."""

Paths = Path | tuple[Path, ...]


def make_samples(
    images: Mapping[str, Paths], group: Group, strata: Strata, own: Mapping[str, str] | None = None
) -> tuple[Sample, ...]:
    """The samples of a source.

    Args:
        images: {id: file or files}.
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.
        own: {id: group} where `group` is None; default: every image is its own group.

    Returns:
        The samples, in the order of `images`.

    Raises:
        ValueError: For a group that an image lacks, or a stratum of an image that is not there.
    """
    for name, values in (strata or {}).items():
        if unknown := [image for image in values if nfc(str(image)) not in images]:
            raise ValueError(f"stratum {name}: no image {unknown[0]!r}; {nearest(str(unknown[0]), images)}")
    values_of: dict[str, dict[str, str]] = {image: {} for image in images}
    for name, values in (strata or {}).items():
        for image, value in values.items():
            values_of[nfc(str(image))][name] = str(value)
    given = {nfc(str(image)): value for image, value in group.items()} if isinstance(group, Mapping) else group
    pattern = _compiled(group) if isinstance(group, str) else None
    out = []
    for image, files in images.items():
        if group is None:
            found: Any = image if own is None else own[image]
        elif pattern is not None:
            found = _matched(pattern, image, files)
        elif isinstance(given, Mapping):
            if image not in given:
                raise ValueError(f"group: no group of image {image!r}; {nearest(image, given)}")
            found = given[image]
        else:
            assert callable(group)
            found = group(image)
        out.append(Sample(image, nfc(str(found)), files, values_of[image]))
    return tuple(out)


def _compiled(group: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise ValueError(f"group={group!r} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise ValueError(f"group={group!r}: expected one capture group (...), got {pattern.groups}")
    return pattern


def _matched(pattern: re.Pattern[str], image: str, files: Paths) -> str:
    """The capture in the id, else in the first file's path."""
    first = files if isinstance(files, Path) else next(iter(files), None)
    for text in (image, "" if first is None else nfc(first.as_posix())):
        found = pattern.search(text)
        if found and found.group(1) is not None:
            return found.group(1)
    raise ValueError(f"group={pattern.pattern!r} matches neither the id {image!r} nor the path {first}")
