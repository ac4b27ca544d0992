"""What is read when asked for: sizes, replaced annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from segkit.files import nearest
from segkit.images import image_size, read_pixels
from segkit.masks import MaskSet
from segkit.rle import Runs
from segkit.samples.digests import token_of
from segkit.samples.source import Annotation, ClassRegion, Size, Source


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


class ImageFiles:
    """The pixels of images and their sizes, which subsets share."""

    def __init__(self, source: Source) -> None:
        self._files = {sample.id: sample.files for sample in source.samples}
        self._pixels = source.pixels
        self._sizes: dict[str, Size] = {}

    def stored(self, image: str) -> list[np.ndarray]:
        """The pixels of an image as its files hold them.

        Args:
            image: The image's id.

        Returns:
            Arrays (H, W, C), one a file.
        """
        if self._pixels is None:
            return [read_pixels(path) for path in self._files[image]]
        pixels = self._pixels(image)
        return [pixels if pixels.ndim == 3 else pixels[..., None]]

    def size(self, image: str) -> Size:
        """The size of an image, read once.

        Args:
            image: The image's id.

        Returns:
            (height, width).
        """
        if image not in self._sizes:
            if self._pixels is None:
                self._sizes[image] = image_size(self._files[image][0])
            else:
                height, width = self.stored(image)[0].shape[:2]
                self._sizes[image] = height, width
        return self._sizes[image]


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
        """Read the annotation of an image."""
        return self._given[image] if image in self._given else self._annotate(image)

    def token(self, image: str) -> str:
        """As Source.token.

        Args:
            image: The image's id.

        Returns:
            Text that changes with the annotation.
        """
        return token_of(self(image)) if image in self._given or self._token is None else self._token(image)


class GivenMasks:
    """id -> Annotation of masks that are there already. ValueError for other classes, or images all of which are."""

    def __init__(self, masks: MaskSet, classes: Sequence[str], ids: Sequence[str]) -> None:
        name = masks.name or "truth"
        if other := [cls for cls in masks.classes if cls not in classes]:
            raise ValueError(f"{name}: class {other[0]!r} is none of the samples'; {nearest(other[0], classes)}")
        self._masks, self.ids = masks, frozenset(masks.ids) & frozenset(ids)
        if not self.ids:
            raise ValueError(f"{name}: none of its images is a sample; it has {masks.ids[:1]}, the samples {ids[:1]}")

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        found: dict[str, ClassRegion] = {}
        for cls in self._masks.classes:
            try:
                found[cls] = self._masks[image][cls]
            except KeyError:  # no row of this class
                continue
        return Annotation(found, self._masks.ignore(image))


def bytes_of(annotation: Annotation) -> int:
    """Memory of the regions, and of what is ignored.

    Args:
        annotation: What an annotation says.

    Returns:
        Bytes.
    """
    total = 0
    for region in (*annotation.regions.values(), annotation.ignore):
        if isinstance(region, Runs):
            total += region.array.nbytes
        elif region is not None:
            total += sum(points.nbytes + 100 for polygon in region for points in polygon)
    return total
