"""ImageData: the images of samples at network resolution, without annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from segkit import files
from segkit.data.normalise import IMAGE_MAX, check_channels, measured
from segkit.geometry import Fit, Placement, place
from segkit.images import ImageSpec
from segkit.samples import Samples

Size = tuple[int, int]


class ImageData(Dataset[dict[str, Any]]):
    """Images brought to network resolution.

    data[index] is {"image": uint8 or float32 (C, h, w), "index": int, "image_max": 255}; `to_float` normalises batches
    of it.

    Args:
        samples: The images; no annotation is needed.
        size: (h, w) that the network sees.
        scale: Instead of `size`: the factor by which every image is scaled, whatever its size is.
        fit: "stretch" changes the aspect ratio to that of `size`; "pad" keeps it and mirrors the image into the rest.
        cache: Folder that keeps the small images (.npy), so that each is decoded once; workers and runs may share it.
            An image that changes (path, time, bytes, spec) is decoded anew.
        in_channels: Channels that the network takes; default those of the images.
        image_spec: A spec with the numbers of a training in place of "dataset"; default that of the samples.

    Attributes:
        samples: The samples.
        ids: Their ids.
        size: (h, w), or None with `scale`.
        image_spec: How images are read and normalised.
        in_channels: Channels that the network takes.

    Raises:
        ValueError: If neither or both of size and scale are given, or values are out of range or do not fit.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        size: Size | None = None,
        scale: float | None = None,
        fit: Fit = "stretch",
        cache: str | Path | None = None,
        in_channels: int | None = None,
        image_spec: ImageSpec | None = None,
    ) -> None:
        if (size is None) == (scale is None):
            raise ValueError(f"size={size}, scale={scale}: expected one of the two")
        if scale is not None and not 0 < scale < 64:
            raise ValueError(f"scale={scale}: expected a factor above 0")
        self.samples, self.ids = samples, samples.ids
        self.size, self.scale, self.fit = None if size is None else as_size(size), scale, fit
        place((1, 1), self.size or (1, 1), fit)  # a misspelt fit is named now
        self.cache = None if cache is None else Path(cache)
        self.image_spec = samples.image_spec if image_spec is None else image_spec
        self.in_channels = self.image_spec.num_channels if in_channels is None else in_channels
        check_channels(self.image_spec, self.in_channels)

    def __len__(self) -> int:
        return len(self.ids)

    def placement(self, index: int) -> Placement:
        """Where an image lies in what the network sees.

        Args:
            index: Of the image.

        Returns:
            Its placement.
        """
        shape = self.samples.sizes[self.ids[index]]
        if self.scale is None:
            assert self.size is not None
            return place(shape, self.size, self.fit)
        height, width = (max(1, round(side * self.scale)) for side in shape)
        return place(shape, (height, width))

    def image(self, index: int) -> np.ndarray:
        """One image as the network sees it, not normalised.

        Args:
            index: Of the image.

        Returns:
            uint8 or float32 (h, w, C), values 0 to 255, the caller's own to change.

        Raises:
            ValueError: If it cannot be read; names the file.
        """
        where = self.placement(index)
        kept = self._kept(index, where)
        if kept is not None and kept.exists():
            return where.pad(np.load(kept))
        image = where.image(self.samples.read_image(self.ids[index]))
        if kept is not None:
            top, left, bottom, right = where.box
            with files.replacing(kept) as part, part.open("wb") as handle:
                np.save(handle, image[top:bottom, left:right])
        return image

    def mapped(self, index: int) -> np.ndarray:
        """One image at a `scale`, read from the cache only where it is looked at.

        Args:
            index: Of the image.

        Returns:
            uint8 or float32 (h, w, C), not to be changed.

        Raises:
            ValueError: As `image`.
        """
        kept = self._kept(index, self.placement(index))
        if kept is None:
            return self.image(index)
        if not kept.exists():
            self.image(index)
        return np.load(kept, mmap_mode="r")

    def measure(self) -> ImageSpec:
        """Measure what `normalize="dataset"` stands for on these images; from now on it is used.

        Returns:
            The spec with numbers in its place.
        """
        self.image_spec = measured(self.image_spec, (self.image(index) for index in range(len(self))))
        return self.image_spec

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = np.ascontiguousarray(self.image(index).transpose(2, 0, 1))
        return {"image": torch.from_numpy(image), "index": index, IMAGE_MAX: 255}

    def _kept(self, index: int, where: Placement) -> Path | None:
        """The file that keeps a small image; None without a cache, or where the image is no file."""
        paths = self.samples[self.ids[index]].files
        if self.cache is None or not paths:
            return None
        spec = self.samples.image_spec.to_dict()
        spec.pop("normalize")
        try:
            state = [[str(path.resolve()), path.stat().st_mtime_ns, path.stat().st_size] for path in paths]
        except OSError as error:
            raise ValueError(f"{paths[0]} cannot be read: {error}") from error
        return self.cache / f"{where.inner[0]}x{where.inner[1]}" / f"{files.digest([state, spec])}.npy"


def as_size(size: Size) -> Size:
    """Check a size.

    Args:
        size: (height, width).

    Returns:
        The two as integers.

    Raises:
        ValueError: If it is not two numbers of at least 1.
    """
    try:
        height, width = (int(side) for side in size)
    except (TypeError, ValueError):
        raise ValueError(f"size={size}: expected (height, width)") from None
    if min(height, width) < 1:
        raise ValueError(f"size={size}: expected (height, width) of at least 1")
    return height, width
