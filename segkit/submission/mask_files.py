"""MaskFiles: a folder with one mask file an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from segkit.files import replacing, visible_files
from segkit.images import without_suffix
from segkit.masks import MaskSet
from segkit.submission import specs
from segkit.submission.classmaps import class_map, mask_of
from segkit.submission.keys import ONLY_CLASS, Keys
from segkit.submission.names import FolderSizes, Names, Size
from segkit.submission.problems import Problems, compare_rows
from segkit.submission.rows import Masks, SizesLike, as_runs, rows_of, size_of


@dataclass(frozen=True)
class MaskFiles:
    """A folder of masks, one 8-bit file an image.

    Of one class, its pixels have `value`; of several, which are exclusive, each its number from 1 on. The rest is 0.

    Args:
        suffix: Ending of the files: .tif, .png or another that Pillow writes without loss.
        key: A file's name without it: "{stem}", the image's id without its ending, or such as "{stem}_mask".
        value: What the pixels of the one class have: 1, or 255 for viewers.

    Raises:
        ValueError: For settings that contradict each other.

    Example:
        >>> str(MaskFiles(".png", value=255))
        'files suffix=.png value=255'
    """

    suffix: str = ".tif"
    key: str = "{stem}"
    value: int = 1

    def __post_init__(self) -> None:
        if self.suffix.lower() not in (".tif", ".tiff", ".png", ".bmp", ".gif"):
            raise ValueError(f"expected suffix .tif, .tiff, .png, .bmp or .gif, got {self.suffix!r}")
        if not 1 <= self.value <= 255:
            raise ValueError(f"expected a value of 1 to 255, got {self.value}")
        if not self.keys.has_one_class:
            raise ValueError(f"expected a key of the image alone, got key={self.key!r}")

    @cached_property
    def keys(self) -> Keys:
        """How files are named."""
        return Keys(False, self.key)

    def __str__(self) -> str:
        return specs.spec_of(self, kind="files", always=("suffix",))

    def write(
        self,
        path: str | Path,
        masks: Masks,
        ids: Sequence[str] | None = None,
        *,
        like: str | Path | None = None,
        sizes: SizesLike = None,
    ) -> Path:
        """Write masks, one image at a time.

        Args:
            path: The folder.
            masks: As for SubmissionFormat.write; the classes of an image come in channel order.
            ids: The images to write, in order; default all.
            like: A folder of sample files whose images are written.
            sizes: (height, width) of every image or {image: (height, width)}, for masks that know no shape.

        Returns:
            The folder.

        Raises:
            ValueError: Names image and class, also where classes overlap.
        """
        path = Path(path)
        if like is not None:
            if ids is not None or not isinstance(masks, Mapping):
                raise ValueError("like= says which files to write: pass a MaskSet or mapping, and no ids")
            names = Names(masks)
            ids = [names.resolve(self.keys.names([name])[0]) for name in self._files(like)]
        for image, group in groupby(rows_of(masks, ids), key=lambda row: row[0]):
            size, rows = size_of(sizes, image), list(group)
            try:
                numbers = class_map(((cls, as_runs(mask, size)) for _, cls, mask in rows), None, 1)
            except ValueError as error:
                raise ValueError(f"image {image}: {error}") from error
            if len(rows) > 1 and self.value != 1:
                raise ValueError(f"image {image}: value={self.value} is for one class, got {len(rows)}")
            pixels = (numbers * self.value).astype(np.uint8)
            with replacing(path / f"{self.keys.cells(image, '')[0]}{self.suffix}") as part:
                Image.fromarray(pixels).save(part)
        return path

    def read(
        self,
        path: str | Path,
        sizes: SizesLike = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> MaskSet:
        """Read a folder; a file is read when its masks are asked for.

        Args:
            path: The folder.
            sizes: (height, width) of every image or {image: (height, width)}: files must be of it.
            ids: The images that file names mean; default those of `sizes`, or the names themselves.
            classes: Their names, in the order of their numbers; default one, "mask", whose pixels are not 0.

        Returns:
            Masks of every image and class.

        Raises:
            ValueError: Names the file.
        """
        names = Names(sizes if ids is None and isinstance(sizes, Mapping) else ids)
        files = {self.keys.names([name])[0]: file for name, file in self._files(path).items()}
        files = {names.find(name) or name: file for name, file in files.items()}
        found = [ONLY_CLASS] if classes is None else list(classes)
        number_of = {cls: number for number, cls in enumerate(found, 1)}

        @lru_cache(maxsize=2)
        def pixels(image: str) -> np.ndarray:
            mask = _read(files[image])
            size = size_of(sizes, image)
            if size is not None and mask.shape != size:
                raise ValueError(f"{files[image]}: expected a mask of {size}, got {mask.shape}")
            return mask if len(found) > 1 else (mask != 0).astype(np.uint8)

        known = _FileSizes(files)
        return MaskSet(files, found, lambda i, c: mask_of(pixels(i), number_of[c], None), sizes=known, name=str(path))

    def _files(self, folder: str | Path) -> dict[str, Path]:
        """{name without the ending: file} of a folder."""
        files = [file for file in visible_files(folder) if file.name.lower().endswith(self.suffix.lower())]
        return {file.name[: -len(self.suffix)]: file for file in files}

    def validate(
        self,
        path: str | Path,
        like: str | Path | None = None,
        *,
        ids: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        images: str | Path | None = None,
    ) -> dict[str, int]:
        """Check a folder: which files there are, their depth, values and sizes.

        Args:
            path: The folder.
            like: A folder of sample files: their names and sizes are expected.
            ids: The images to expect, in place of `like`.
            classes: The classes there are; default one.
            images: Folder of the images: each must have a file of its size.

        Returns:
            {"rows", "images", "classes", "empty"}: `rows` and `images` count files.

        Raises:
            ValueError: Lists the first 20 problems and counts the others.
        """
        found, files = Problems(path), self._files(path)
        known = {name: self.keys.names([name])[0] for name in files}
        folder = None if images is None else FolderSizes(images)
        names = Names(folder)
        sample = None if like is None else self._files(like)
        allowed = {0, self.value} if classes is None or len(classes) == 1 else set(range(len(classes) + 1))
        empty = 0
        for name, file in files.items():
            try:
                pixels = _read(file)
            except ValueError as error:
                found.add(str(error))
                continue
            image = names.find(known[name]) if folder is not None else None
            if folder is not None and image is None:
                found.add(f"{file.name}: {images} has no such image")
            expected = folder[image] if folder is not None and image else None
            if sample is not None and name in sample:
                expected = expected or _read(sample[name]).shape
            if expected is not None and pixels.shape != expected:
                found.add(f"{file.name}: expected a mask of {expected}, got {pixels.shape}")
            values = set(np.unique(pixels).tolist())
            if values - allowed:
                found.add(f"{file.name}: expected the values {sorted(allowed)}, got {sorted(values - allowed)[:5]} too")
            empty += values <= {0}
        if sample is not None:
            compare_rows(found, {(name,): None for name in sorted(files)}, [(name,) for name in sorted(sample)])
        elif ids is not None or folder is not None:
            asked = sorted(without_suffix(image) for image in (ids if ids is not None else folder or ()))
            compare_rows(
                found, {(without_suffix(image),): None for image in sorted(known.values())}, [(i,) for i in asked]
            )
        elif not files:
            found.add(f"it has no {self.suffix} file")
        found.raise_any()
        return {"rows": len(files), "images": len(files), "classes": len(classes or (ONLY_CLASS,)), "empty": empty}


class _FileSizes(Mapping[str, Size]):
    """{id: (height, width)} of mask files, read from their headers."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def __getitem__(self, image: str) -> Size:
        with Image.open(self._files[image]) as file:
            return file.height, file.width

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _read(file: Path) -> np.ndarray:
    """The values of an 8-bit file of one channel."""
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image)
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} cannot be read as an image: {error}") from error
    if pixels.dtype == bool:
        return pixels.astype(np.uint8)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise ValueError(f"{file}: expected 8 bits and one channel, got {pixels.dtype} of shape {pixels.shape}")
    return pixels
