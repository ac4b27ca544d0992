"""What is asked of annotated images, whatever files they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Self

import numpy as np

from segkit import files
from segkit.geometry import Polygons
from segkit.images import ImageSpec, combine
from segkit.masks import MaskSet
from segkit.rle import Runs
from segkit.samples.cache import Cache
from segkit.samples.digests import fingerprint_of
from segkit.samples.lazy import GivenMasks, ImageFiles, Overridden, Sizes, bytes_of
from segkit.samples.source import Annotation, ClassRegion, Problem, Sample, Size, Source


class BaseSamples:
    """Images, their groups and strata, and what is annotated on them; see `Samples`, which opens files."""

    def __init__(self, source: Source, image: ImageSpec | None = None) -> None:
        self._source, self.classes, self.exclusive = source, source.classes, source.exclusive
        self._spec = ImageSpec() if image is None else image
        self._samples = {sample.id: sample for sample in source.samples}
        if len(self._samples) != len(source.samples):
            raise ValueError(f"{source.name}: expected every id once, got {len(source.samples)} samples of "
                             f"{len(self._samples)} ids")  # fmt: skip
        if len(set(source.classes)) != len(source.classes):
            raise ValueError(f"{source.name}: expected every class once, got {', '.join(source.classes)}")
        self._groups = {sample.id: sample.group for sample in source.samples}
        self._cache, self._images = Cache(), ImageFiles(source)

    @property
    def ids(self) -> tuple[str, ...]:
        """Image ids, in order."""
        return tuple(self._samples)

    @property
    def image_spec(self) -> ImageSpec:
        """How images are read."""
        return self._spec

    @property
    def groups(self) -> dict[str, str]:
        """{id: group}; a group must stay on one side of a split."""
        return dict(self._groups)

    @property
    def strata(self) -> dict[str, dict[str, str]]:
        """{name: {id: value}} of the images that have one."""
        names = dict.fromkeys(name for sample in self for name in sample.strata)
        return {name: {s.id: s.strata[name] for s in self if name in s.strata} for name in names}

    @property
    def labelled(self) -> tuple[str, ...]:
        """Ids of the images that have an annotation; one that names nothing counts: a negative."""
        return tuple(image for image in self._samples if image in self._source.labelled)

    @property
    def sizes(self) -> Mapping[str, Size]:
        """{id: (height, width)}, read from the files' headers when asked for."""
        return Sizes(self.ids, self._images.size)

    @property
    def truth(self) -> MaskSet:
        """The masks of the labelled images at their own size, drawn when asked for."""
        ids = self.labelled
        sizes = Sizes(ids, self._images.size)
        return MaskSet(ids, self.classes, self._runs, sizes=sizes, name=self._source.name, ignore=self.ignore)

    def subset(self, ids: Iterable[str]) -> Self:
        """Some of the samples.

        Args:
            ids: Image ids, in the order wanted, each once.

        Returns:
            Samples that share what was read already.

        Raises:
            KeyError: If there is no such image.
            ValueError: If an id comes twice.
        """
        source = replace(self._source, samples=tuple(self[image] for image in ids), problems=())
        return self._like(source)

    def with_annotations(self, annotations: Mapping[str, Annotation]) -> Self:
        """Other annotations for some of the samples: fixes, pseudo-labels.

        Args:
            annotations: {id: Annotation}; the images become labelled.

        Returns:
            New samples; these stay as they were.

        Raises:
            KeyError: If there is no such image.
        """
        for image in annotations:
            self[image]
        given = Overridden(self._source.annotate, self._source.token, dict(annotations))
        labelled = self._source.labelled | set(annotations)
        return self._like(replace(self._source, annotate=given, token=given.token, labelled=labelled), fresh=True)

    def with_truth(self, truth: MaskSet) -> Self:
        """Masks as the annotations of the images that they have.

        Args:
            truth: Masks of images and classes of these samples.

        Returns:
            New samples, labelled where the truth has masks.

        Raises:
            ValueError: For a class that these samples have not, or where no image is in common.
        """
        masks = GivenMasks(truth, self.classes, self.ids)
        source = replace(self._source, annotate=masks, token=None, labelled=masks.ids, annotation_files={})
        return self._like(source, fresh=True)

    def with_image_spec(self, image: ImageSpec) -> Self:
        """The same samples, their images read otherwise.

        Args:
            image: Channels, depth and normalisation.

        Returns:
            New samples that share what was read of annotations.
        """
        out = self._like(self._source)
        out._spec = image
        return out

    def _like(self, source: Source, *, fresh: bool = False) -> Self:
        """Other samples of the same files; fresh: their annotations are others."""
        out = type(self)(source, self._spec)
        out._images = self._images
        out._cache = Cache() if fresh else self._cache
        return out

    def annotation(self, image: str) -> Annotation:
        """What the annotation of an image says, its labels unchecked; read once.

        Args:
            image: The image's id.

        Returns:
            The annotation.

        Raises:
            ValueError: If the image has none, must not be used, or its annotation cannot be read.
        """
        self._refuse(image)
        if image not in self._source.labelled:
            raise ValueError(f"image {image} has no annotation; see Samples.labelled")
        return self._cache.get(image, lambda: self._source.annotate(image), bytes_of)

    def regions(self, image: str) -> dict[str, ClassRegion]:
        """What targets are drawn from.

        Args:
            image: The image's id.

        Returns:
            {class: Polygons or Runs} of all classes in channel order; what is not there is empty.

        Raises:
            ValueError: As `annotation`, and for a label that is no class or another size than the image's.
        """
        found = self.annotation(image)
        for label in found.regions:
            if label not in self.classes:
                raise ValueError(f"image {image}: label {label!r} is not a class; {files.nearest(label, self.classes)}")
        if found.size_binds and found.size not in (None, self._images.size(image)):
            raise ValueError(f"image {image} is {self._images.size(image)}, its annotation is of an image {found.size} "
                             "(height, width)")  # fmt: skip
        return {cls: found.regions.get(cls, Polygons()) for cls in self.classes}

    def ignore(self, image: str) -> Runs | None:
        """The pixels of an image that count nowhere.

        Args:
            image: The image's id.

        Returns:
            Runs of the image's shape, or None.

        Raises:
            ValueError: As `annotation` of a labelled image.
        """
        self[image]
        if image not in self._source.labelled:
            return None
        runs = self.annotation(image).ignore
        return None if runs is None or not runs else runs.with_shape(self._images.size(image))

    def read_image(self, image: str) -> np.ndarray:
        """One image as `image_spec` says.

        Args:
            image: The image's id.

        Returns:
            Array (H, W, C) of image_spec.dtype.

        Raises:
            ValueError: If it cannot be read or must not be used; names the file.
        """
        names = [str(path) for path in self[image].files] or [f"image {image}"]
        return combine(self.stored_pixels(image), self._spec, names)

    def stored_pixels(self, image: str) -> list[np.ndarray]:
        """The pixels of one image as its files hold them.

        Args:
            image: The image's id.

        Returns:
            Arrays (H, W, C), one a file.

        Raises:
            ValueError: If one cannot be read or the image must not be used.
        """
        self._refuse(image)
        return self._images.stored(image)

    def fingerprint(self) -> str:
        """A digest of everything that training sees: it stays when the data is moved or copied.

        Returns:
            Hexadecimal digits; of ids, groups, strata, classes, `exclusive`, the image spec, the images' file names
            and sizes in bytes, and the annotations.
        """
        return fingerprint_of(self._source, self._spec, self.annotation)

    def _refuse(self, image: str) -> None:
        self[image]
        if image in self._source.refused:
            raise ValueError(self._source.refused[image])

    def _runs(self, image: str, cls: str) -> Runs:
        region, size = self.regions(image)[cls], self._images.size(image)
        if isinstance(region, Polygons):
            return self._cache.get((image, cls), lambda: region.runs(size), lambda runs: runs.array.nbytes)
        try:
            return region.with_shape(size)
        except ValueError as error:
            raise ValueError(f"image {image}, class {cls}: {error}") from error

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was found while the files were listed, for the audit."""
        return self._source.problems

    @property
    def refused(self) -> Mapping[str, str]:
        """{id: why} of images that must not be used: two files share their name."""
        return self._source.refused

    def annotation_file(self, image: str) -> str:
        """The file that the annotation of an image is read from, for messages.

        Args:
            image: The image's id.

        Returns:
            Its path, or that of the image, or "".
        """
        paths = (self._source.annotation_files.get(image), *self[image].files)
        return next((str(path) for path in paths if path is not None), "")

    def __getitem__(self, image: str) -> Sample:
        if image not in self._samples:
            raise KeyError(f"no image {image!r} among the {len(self._samples)} here; "
                           f"{files.nearest(str(image), self._samples)}")  # fmt: skip
        return self._samples[image]

    def __contains__(self, image: object) -> bool:
        return image in self._samples

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples.values())

    def __len__(self) -> int:
        return len(self._samples)

    def __repr__(self) -> str:
        labelled = f"{len(self.labelled)} labelled, {len(self.classes)} classes"
        return f"{type(self).__name__}({len(self)} images of {len(set(self.groups.values()))} groups, {labelled})"
