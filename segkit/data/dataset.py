"""SegmentationData: samples as a torch dataset of images and targets at network resolution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from segkit.data.drawing import Drawing, Targets, has_ignored, mirrored_channels
from segkit.data.images import ImageData, Size
from segkit.data.sample import as_transform, check_labelled, one_to_float
from segkit.geometry import Fit, Warp
from segkit.images import ImageSpec
from segkit.samples import Samples


class SegmentationData(Dataset[dict[str, Any]]):
    """Images and targets at network resolution, made when asked for.

    data[index] is {"image": float32 (in_channels, h, w), "target": float32 (C, h, w), "index": int}, and "weight":
    float32 (1, h, w) where anything of the set is ignored: pixels that an annotation ignores, the padding of
    fit="pad", and, of exclusive classes, pixels without any class. The weight of a pixel is the share of it that is
    known, and its target the share of that which a class covers.

    data.raw(index) is the same before `to_float`: the image (C, h, w) as it was read and the target in uint8, a quarter
    of the memory, which `fit` makes floats of on the device.

    Annotations are read here and now, so that a bad one is named before training starts. Each sample is drawn from
    (seed, epoch, index) alone: any number of workers gives the same samples, epochs differ.

    Args:
        samples: Annotated images. One whose annotation names nothing is a negative, and is learned from.
        size: (h, w) that the network sees.
        transform: An `Augment`, or transforms of albumentations; None leaves samples as they are. What an Augment moves
            is drawn from its moved outlines; albumentations moves the drawn target. Both exchange classes on a flip.
        fit: "stretch" changes the aspect ratio to that of `size`; "pad" keeps it, mirrors the image into the rest, and
            gives the rest no weight.
        targets: "soft" is the share of each low-resolution pixel that a class covers; "nearest" (OpenCV's, shifted by
            half a pixel) and "nearest-exact" are there to be compared with.
        seed: Of the transform.
        cache: Folder that keeps the small images; see `ImageData`.
        class_swaps: Pairs of classes that a mirror flip exchanges.
        in_channels: Channels that the network takes; default those of the images. Grey images are repeated.
        image_spec: A spec with the numbers of another training in place of "dataset"; default that of the samples,
            measured on these images.

    Attributes:
        samples: The samples.
        ids: Their ids.
        classes: Class names, in channel order.
        size: (h, w).
        images: The `ImageData` behind it.
        image_spec: How images are read and normalised, in numbers.
        in_channels: Channels that the network takes.

    Raises:
        ValueError: If a sample has no annotation, an annotation cannot be read, or settings do not fit the images.
    """

    def __init__(
        self,
        samples: Samples,
        size: Size,
        *,
        transform: object = None,
        fit: Fit = "stretch",
        targets: Targets = "soft",
        seed: int = 0,
        cache: str | Path | None = None,
        class_swaps: Sequence[tuple[str, str]] | Sequence[tuple[int, int]] = (),
        in_channels: int | None = None,
        image_spec: ImageSpec | None = None,
    ) -> None:
        check_labelled(samples)
        self.samples, self.ids, self.classes = samples, samples.ids, samples.classes
        self.images = ImageData(
            samples, size=size, fit=fit, cache=cache, in_channels=in_channels, image_spec=image_spec
        )  # fmt: skip
        assert self.images.size is not None
        self.size, self.in_channels, self.image_spec = self.images.size, self.images.in_channels, self.images.measure()
        self.targets, self.transform, self.seed, self.epoch = targets, transform, seed, 0
        self.drawing = Drawing(
            samples,
            as_transform(transform, self.image_spec, self.size, hard=targets != "soft"),
            order=mirrored_channels(self.classes, class_swaps),
            targets=targets,
            weighted=has_ignored(samples) or samples.exclusive or fit == "pad",
        )

    def __len__(self) -> int:
        return len(self.ids)

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
            "size": self.size,
            "fit": self.images.fit,
            "targets": self.targets,
            "transform": self.transform,
            "seed": self.seed,
            "mirrored": self.drawing.order,
            "image_spec": self.image_spec.to_dict(),
            "in_channels": self.in_channels,
        }

    def raw(self, index: int) -> dict[str, Any]:
        """One sample before `to_float`.

        Args:
            index: Of the image.

        Returns:
            {"image": uint8 or float32 (C, h, w), "target": uint8 (C, h, w), "index", "image_max": 255,
            "target_max": 255}, and "weight": float32 (1, h, w) where anything of the set is ignored.
        """
        generator = np.random.default_rng([self.seed, self.epoch, index])
        return self.drawing.sample(
            self.ids[index], index, self.images.image(index), self.images.placement(index), generator
        )

    def __getitem__(self, index: int) -> dict[str, Any]:
        return one_to_float(self.raw(index), self.image_spec, self.in_channels)

    def target(self, index: int, *, warp: Warp | None = None) -> np.ndarray:
        """The target of a sample, without the transform or under a warp.

        Args:
            index: Of the image.
            warp: What moves it.

        Returns:
            uint8 (C, h, w) of 0 to 255: the share of each low-resolution pixel that a class covers.
        """
        return self.drawing.target(self.ids[index], self.images.placement(index), warp)
