"""Tiles: training on windows of large images, each window once per epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from segkit.data.drawing import Drawing, has_ignored, mirrored_channels
from segkit.data.images import ImageData, Size, as_size
from segkit.data.normalise import IMAGE_MAX, Statistics, normalise, own_statistics
from segkit.data.sample import as_transform, check_labelled, one_to_float
from segkit.geometry import Placement
from segkit.images import ImageSpec
from segkit.samples import Samples


class Tiles(Dataset[dict[str, Any]]):
    """Every tile of every image, at a fixed scale: for images that are larger than any network's input.

    Samples are as those of `SegmentationData`: the target of a tile is that part of the target of the whole image, and
    "image" normalises by the mean and standard deviation of the whole image, as a network sees it through a sliding
    window. Predict with predict(model, ImageData(samples, scale=scale), store, window=tile). An image smaller than a
    tile is mirrored into the rest, which has no weight.

    Args:
        samples: Annotated images.
        tile: (h, w) of a tile, after scaling.
        stride: (down, right) from one tile to the next; default: the tile, so that they touch. The last one of a row
            or column ends with the image.
        scale: Factor by which images are scaled first: .25 shows a network a quarter of the resolution.
        transform: As for `SegmentationData`; it moves a tile by itself.
        seed: Of the transform.
        cache: Folder that keeps the scaled images; with it only the tile is read from a file. See `ImageData`.
        class_swaps: Pairs of classes that a mirror flip exchanges.
        in_channels: Channels that the network takes; default those of the images.
        image_spec: As for `SegmentationData`.

    Attributes:
        tiles: (index of the image, top, left) of each tile, after scaling.
        ids: Names of the tiles, "IMAGE (top, left)".

    Raises:
        ValueError: If a sample has no annotation, an annotation cannot be read, or tile or stride are out of range.
    """

    def __init__(
        self,
        samples: Samples,
        tile: Size,
        stride: Size | None = None,
        *,
        scale: float = 1.0,
        transform: object = None,
        seed: int = 0,
        cache: str | Path | None = None,
        class_swaps: Sequence[tuple[str, str]] | Sequence[tuple[int, int]] = (),
        in_channels: int | None = None,
        image_spec: ImageSpec | None = None,
    ) -> None:
        check_labelled(samples)
        self.size, self.stride = as_size(tile), as_size(tile if stride is None else stride)
        self.samples, self.classes = samples, samples.classes
        self.images = ImageData(samples, scale=scale, cache=cache, in_channels=in_channels, image_spec=image_spec)
        self.in_channels, self.image_spec = self.images.in_channels, self.images.measure()
        self.transform, self.seed, self.epoch = transform, seed, 0
        sizes = [self.images.placement(index).size for index in range(len(samples))]
        self.tiles = [
            (index, top, left)
            for index, size in enumerate(sizes)
            for top in tile_starts(size[0], self.size[0], self.stride[0])
            for left in tile_starts(size[1], self.size[1], self.stride[1])
        ]
        self.ids = [f"{samples.ids[index]} ({top}, {left})" for index, top, left in self.tiles]
        small = any(size[0] < self.size[0] or size[1] < self.size[1] for size in sizes)
        self.drawing = Drawing(
            samples,
            as_transform(transform, self.image_spec, self.size),
            order=mirrored_channels(self.classes, class_swaps),
            targets="soft",
            weighted=has_ignored(samples) or samples.exclusive or small,
        )
        self._statistics: dict[int, Statistics] = {}

    def __len__(self) -> int:
        return len(self.tiles)

    def set_epoch(self, epoch: int) -> None:
        """Transform as in this epoch from now on.

        Args:
            epoch: From 0.
        """
        self.epoch = epoch

    def fingerprint(self) -> dict[str, Any]:
        """What decides the samples.

        Returns:
            {name: value}; a run that is resumed needs them unchanged.
        """
        return {
            "samples": self.samples.fingerprint(),
            "tile": self.size,
            "stride": self.stride,
            "scale": self.images.scale,
            "transform": self.transform,
            "seed": self.seed,
            "mirrored": self.drawing.order,
            "image_spec": self.image_spec.to_dict(),
            "in_channels": self.in_channels,
        }

    def raw(self, index: int) -> dict[str, Any]:
        """One sample as `fit` takes it.

        Args:
            index: Of the tile.

        Returns:
            As `SegmentationData.raw`; normalised already where "image" normalises.
        """
        number, top, left = self.tiles[index]
        whole, (h, w) = self.images.mapped(number), self.size
        part = np.array(whole[top : top + h, left : left + w])
        shown = Placement((part.shape[0], part.shape[1]), self.size, (0, 0, part.shape[0], part.shape[1])).pad(part)
        shape = self.samples.sizes[self.samples.ids[number]]
        where = Placement(shape, self.size, (-top, -left, whole.shape[0] - top, whole.shape[1] - left))
        generator = np.random.default_rng([self.seed, self.epoch, index])
        sample = self.drawing.sample(self.samples.ids[number], index, shown, where, generator)
        if self.image_spec.normalize == "image":
            image, found = sample["image"][None], self._of_whole(number, whole)
            sample["image"] = normalise(image, self.image_spec, self.in_channels, statistics=found)[0]
            del sample[IMAGE_MAX]
        return sample

    def __getitem__(self, index: int) -> dict[str, Any]:
        return one_to_float(self.raw(index), self.image_spec, self.in_channels)

    def _of_whole(self, number: int, whole: np.ndarray) -> Statistics:
        """The statistics of a whole image, computed once per process."""
        if number not in self._statistics:
            image = torch.from_numpy(np.array(whole.transpose(2, 0, 1)))
            self._statistics[number] = own_statistics(image[None])
        return self._statistics[number]


def tile_starts(full: int, side: int, stride: int) -> list[int]:
    """Where tiles begin on an axis: at 0, stride, 2 stride ..., and one that ends with the axis.

    Args:
        full: Length of the axis.
        side: Of a tile.
        stride: From one tile to the next.

    Returns:
        Begins, ascending; [0] where the axis is shorter than a tile.

    Example:
        >>> tile_starts(10, 4, 4)
        [0, 4, 6]
        >>> tile_starts(8, 4, 4)
        [0, 4]
    """
    last = max(0, full - side)
    return sorted({*range(0, last + 1, stride), last})
