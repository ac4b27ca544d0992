"""Raw samples: how they are checked, transformed, packed, and turned into floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from segkit.data.augment import Augment
from segkit.data.normalise import IMAGE_MAX, TARGET_MAX, to_float
from segkit.data.transforms import AlbumentationsTransform, is_albumentations
from segkit.images import ImageSpec
from segkit.samples import Samples

Size = tuple[int, int]


class SampleData(Protocol):
    """What datasets that wrap another one ask of it: SegmentationData, Tiles, Joined have it."""

    size: Size
    image_spec: ImageSpec
    in_channels: int
    seed: int
    epoch: int

    @property
    def ids(self) -> Sequence[str]:
        """Image ids, in the order of the samples."""

    @property
    def classes(self) -> Sequence[str]:
        """Class names, in channel order."""

    def __len__(self) -> int:
        """How many samples."""

    def set_epoch(self, epoch: int) -> None:
        """Draw as in this epoch from now on.

        Args:
            epoch: From 0.
        """

    def fingerprint(self) -> dict[str, Any]:
        """What decides the samples."""

    def raw(self, index: int) -> dict[str, Any]:
        """One sample before `to_float`.

        Args:
            index: Of the sample.
        """


Transform = Callable[[np.ndarray, np.ndarray, np.random.Generator, Sequence[int]], tuple[np.ndarray, np.ndarray]]
"""(image, target, generator, channel order after a mirror flip) -> (image, target), as `Augment` is one."""


def check_labelled(samples: Samples) -> None:
    """Refuse samples to train on that nobody has annotated.

    Args:
        samples: Any.

    Raises:
        ValueError: If there is none, or one of them has no annotation.
    """
    if not len(samples):
        raise ValueError("expected at least one annotated image, got none")
    labelled = set(samples.labelled)
    if missing := [image for image in samples.ids if image not in labelled]:
        raise ValueError(
            f"{len(missing)} of {len(samples)} images have no annotation ({', '.join(missing[:3])} ...): pass "
            "samples.subset(samples.labelled)"
        )


def as_transform(transform: object, spec: ImageSpec, size: Size, *, hard: bool = False) -> Transform | None:
    """A transform as datasets call it.

    Args:
        transform: An `Augment`, transforms of albumentations, or None.
        spec: Of the images.
        size: (h, w) at network resolution.
        hard: Move masks by nearest neighbour.

    Returns:
        A function of (image, target, generator, mirrored).

    Raises:
        ValueError: For anything else, and for steps that the images cannot have.
    """
    if transform is None:
        return None
    if isinstance(transform, Augment):
        transform.check(spec.channels, size)
        return transform
    if is_albumentations(transform):
        return AlbumentationsTransform(transform, hard=hard)
    raise ValueError(
        f"transform={transform!r}: expected an Augment, such as medium(), or an albumentations.Compose; wrap a "
        "function of your own in albumentations.Lambda"
    )


def split(channels: np.ndarray, classes: int, *, exclusive: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Target and known share out of what was transformed together.

    Args:
        channels: uint8 (C, h, w) of coverage, or (C + 1, h, w) with what is not known as the last.
        classes: C.
        exclusive: Whether what no class covers is not known.

    Returns:
        (target uint8 (C, h, w) as a share of what is known, known uint8 (h, w) or None).
    """
    target = channels[:classes]
    if exclusive:
        known = np.minimum(target.sum(0, dtype=np.uint32), 255).astype(np.uint8)
    elif len(channels) > classes:
        known = 255 - channels[classes]
    else:
        return target, None
    part = (known > 0) & (known < 255)
    if part.any():
        share = np.rint(target[:, part] * (255.0 / known[part]))
        target = target.copy()
        target[:, part] = np.minimum(share, 255).astype(np.uint8)
    return target * (known > 0), known


def pack(image: np.ndarray, index: int, target: np.ndarray, known: np.ndarray | None) -> dict[str, Any]:
    """A raw sample.

    Args:
        image: (h, w, C).
        index: Of the image.
        target: uint8 (C, h, w).
        known: uint8 (h, w) or (C, h, w) of 0 to 255, or None.

    Returns:
        See `SegmentationData.raw`.
    """
    sample: dict[str, Any] = {
        "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
        "target": torch.from_numpy(np.ascontiguousarray(target)),
        "index": index,
        IMAGE_MAX: 255,
        TARGET_MAX: 255,
    }
    if known is not None:
        share = known.astype(np.float32) / 255
        sample["weight"] = torch.from_numpy(share if share.ndim == 3 else share[None])
    return sample


def one_to_float(sample: dict[str, Any], spec: ImageSpec, in_channels: int | None) -> dict[str, Any]:
    """`to_float` of a single sample.

    Args:
        sample: As `SegmentationData.raw` gives it.
        spec: Of the images.
        in_channels: Channels that the network takes.

    Returns:
        The sample, image and target in float32.
    """
    batch = {**sample, "image": sample["image"][None], "target": sample["target"][None]}
    out = to_float(batch, spec, in_channels)
    return out | {"image": out["image"][0], "target": out["target"][0]}
