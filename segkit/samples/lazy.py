"""What is read when asked for: sizes, replaced annotations, digests of regions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from segkit.rle import Runs
from segkit.samples.source import Annotation, ClassRegion, Size


class Sizes(Mapping[str, Size]):
    """{id: (height, width)}, read when asked for."""

    def __init__(self, ids: tuple[str, ...], read: Callable[[str], Size]) -> None:
        self._ids, self._read = dict.fromkeys(ids), read

    def __getitem__(self, image: str) -> Size:
        if image not in self._ids:
            raise KeyError(image)
        return self._read(image)

    def __contains__(self, image: object) -> bool:
        return image in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class Overridden:
    """A source's annotations, some replaced."""

    def __init__(
        self,
        annotate: Callable[[str], Annotation],
        token: Callable[[str], str] | None,
        given: Mapping[str, Annotation],
    ) -> None:
        self._annotate, self._token, self._given = annotate, token, given

    def __call__(self, image: str) -> Annotation:
        return self._given[image] if image in self._given else self._annotate(image)

    def token(self, image: str) -> str:
        """As Source.token."""
        return token_of(self(image)) if image in self._given or self._token is None else self._token(image)


def token_of(annotation: Annotation) -> str:
    """A digest of the regions, and of what is ignored."""
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


def _add(total: Any, region: ClassRegion) -> None:
    if isinstance(region, Runs):
        total.update(np.ascontiguousarray(region.array, "<i8").tobytes())
        return
    for polygon in region:
        for points in polygon:
            total.update(f"{len(polygon)},{len(points)};".encode() + np.ascontiguousarray(points, "<f8").tobytes())


def bytes_of(annotation: Annotation) -> int:
    """Memory of the regions, and of what is ignored."""
    total = 0
    for region in (*annotation.regions.values(), annotation.ignore):
        if isinstance(region, Runs):
            total += region.array.nbytes
        elif region is not None:
            total += sum(points.nbytes + 100 for polygon in region for points in polygon)
    return total
