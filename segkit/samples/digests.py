"""Digests of annotations and of whole samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from segkit.files import digest, nfc
from segkit.images import ImageSpec
from segkit.rle import Runs
from segkit.samples.source import Annotation, ClassRegion, Source


def fingerprint_of(source: Source, image: ImageSpec, annotation: Callable[[str], Annotation]) -> str:
    """What Samples.fingerprint gives.

    Args:
        source: The samples and how they are annotated.
        image: How images are read.
        annotation: id -> Annotation, remembered.

    Returns:
        Hexadecimal digits.
    """

    def token(name: str) -> str:
        if name not in source.labelled:
            return "unlabelled"
        try:
            return source.token(name) if source.token else token_of(annotation(name))
        except ValueError:
            return "broken"

    rows = [
        [s.id, s.group, dict(s.strata), [[nfc(path.name), _bytes_on_disk(path)] for path in s.files], token(s.id)]
        for s in source.samples
    ]
    return digest([rows, source.classes, source.exclusive, image.to_dict()])


def token_of(annotation: Annotation) -> str:
    """A digest of the regions, and of what is ignored.

    Args:
        annotation: What an annotation says.

    Returns:
        Hexadecimal digits; regions of no pixel change nothing.
    """
    total = hashlib.sha256()
    for cls in sorted(annotation.regions):
        region = annotation.regions[cls]
        if region:
            total.update(repr((cls, type(region).__name__)).encode())
            _add(total, region)
    if annotation.ignore:
        total.update(b"ignore")
        _add(total, annotation.ignore)
    return total.hexdigest()[:16]


def _add(total: hashlib._Hash, region: ClassRegion) -> None:
    if isinstance(region, Runs):
        total.update(np.ascontiguousarray(region.array, "<i8").tobytes())
        return
    for polygon in region:
        for points in polygon:
            total.update(f"{len(polygon)},{len(points)};".encode() + np.ascontiguousarray(points, "<f8").tobytes())


def _bytes_on_disk(path: Path) -> int:
    """The size of a file, -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
