"""SegmentationData: samples as a torch dataset of images and targets at network resolution."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from torch.utils.data import Dataset

from segkit.data.augment import Augment
from segkit.data.images import ImageData, Size
from segkit.data.sample import as_transform, check_labelled, one_to_float, pack, split
from segkit.geometry import Fit, Placement, Polygons, Warp, draw_soft
from segkit.images import ImageSpec
from segkit.samples import Samples

Targets = Literal["soft", "nearest", "nearest-exact"]
NEAREST = {"nearest": cv2.INTER_NEAREST, "nearest-exact": cv2.INTER_NEAREST_EXACT}


def mirrored_channels(
    classes: Sequence[str], swaps: Sequence[tuple[str, str]] | Sequence[tuple[int, int]] = ()
) -> list[int]:
    """The channel order after a mirror flip.

    Args:
        classes: Class names, in channel order.
        swaps: Pairs of classes, by name or by channel, that a mirror exchanges.

    Returns:
        The channel that each channel takes its content from.

    Raises:
        ValueError: If a pair names no class, or a class twice.

    Example:
        >>> mirrored_channels(("heart", "left", "right"), [("left", "right")])
        [0, 2, 1]
    """
    order = list(range(len(classes)))
    for pair in swaps:
        a, b = (list(classes).index(end) if isinstance(end, str) and end in classes else end for end in pair)
        if not (isinstance(a, int) and isinstance(b, int) and 0 <= a < len(order) and 0 <= b < len(order)):
            raise ValueError(f"class swap {tuple(pair)} names no pair of classes; classes are {', '.join(classes)}")
        if order[a] != a or order[b] != b or a == b:
            raise ValueError(f"class swap {tuple(pair)}: a class can be swapped once, and not with itself")
        order[a], order[b] = b, a
    return order


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
        transform: Any = None,
        fit: Fit = "stretch",
        targets: Targets = "soft",
        seed: int = 0,
        cache: str | Path | None = None,
        class_swaps: Sequence[tuple[str, str]] | Sequence[tuple[int, int]] = (),
        in_channels: int | None = None,
        image_spec: ImageSpec | None = None,
    ) -> None:
        if targets not in get_args(Targets):
            raise ValueError(f"targets={targets!r}: expected one of {', '.join(get_args(Targets))}")
        check_labelled(samples)
        self.samples, self.ids, self.classes = samples, samples.ids, samples.classes
        self.images = ImageData(
            samples, size=size, fit=fit, cache=cache, in_channels=in_channels, image_spec=image_spec
        )  # fmt: skip
        assert self.images.size is not None
        self.size, self.in_channels, self.image_spec = self.images.size, self.images.in_channels, self.images.measure()
        self.targets, self.seed, self.epoch = targets, seed, 0
        self.transform = transform
        self._transform = as_transform(transform, self.image_spec, self.size, hard=targets != "soft")
        self._order = mirrored_channels(self.classes, class_swaps)
        ignored = False
        for image in self.ids:
            samples.regions(image)
            ignored |= samples.ignore(image) is not None
        self.weighted = ignored or samples.exclusive or fit == "pad"

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
            "mirrored": self._order,
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
        image, transform = self.images.image(index), self._transform
        generator = np.random.default_rng([self.seed, self.epoch, index])
        where, warp = self.images.placement(index), None
        if isinstance(transform, Augment):
            shape = None if where.padded else where.shape
            warp = transform.geometry(self.size, generator, shape=shape)
            image = image if warp is None else warp.image(image)
        planes = self._planes(index, where, warp)
        order = [*self._order, *range(len(self.classes), len(planes))]
        if isinstance(transform, Augment):
            image, planes = transform.finish(image, planes, generator, order)
        elif transform is not None:
            image, planes = transform(image, planes, generator, order)
        return pack(image, index, *split(planes, len(self.classes), exclusive=self.samples.exclusive))

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
        where = self.images.placement(index)
        out = np.zeros((len(self.classes), *self.size), np.uint8)
        for channel, region in zip(out, self.samples.regions(self.ids[index]).values()):
            if not region:
                continue
            if self.targets == "soft":
                draw_soft(channel, region, where.shape, warp=warp, box=where.box)
            else:
                runs = region.runs(where.shape) if isinstance(region, Polygons) else region
                top, left, bottom, right = where.box
                mask = runs.mask(where.shape).view(np.uint8)
                small = cv2.resize(mask, where.inner[::-1], interpolation=NEAREST[self.targets])
                channel[top:bottom, left:right] = small * 255
                if warp is not None:
                    channel[:] = (warp.image(channel) > 127) * np.uint8(255)
        return out

    def _planes(self, index: int, where: Placement, warp: Warp | None) -> np.ndarray:
        """The target, and where anything of the set is ignored one channel more, of what is not known.

        Of exclusive classes nothing more is needed: what no class covers is not known.
        """
        target = self.target(index, warp=warp)
        if not self.weighted or self.samples.exclusive:
            return target
        unknown = np.zeros(self.size, np.uint8)
        if where.padded:
            height, width = where.shape
            whole = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
            draw_soft(unknown, Polygons([whole]), where.shape, warp=warp, box=where.box)
            unknown = 255 - unknown
        ignored = self.samples.ignore(self.ids[index])
        if ignored is not None:
            part = np.zeros(self.size, np.uint8)
            draw_soft(part, ignored, where.shape, warp=warp, box=where.box)
            unknown += np.minimum(part, 255 - unknown)
        return np.concatenate([target, unknown[None]])
