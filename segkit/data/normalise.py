"""Normalisation, on the device: the one place that training, validation and prediction go through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segkit.images import ImageSpec
from segkit.images.spec import IMAGENET

GREY = ImageSpec()

IMAGE_MAX = "image_max"
"""Key of samples whose image is not normalised yet: what is white, 255."""
TARGET_MAX = "target_max"
"""Key of samples whose target is stored as integers: what is covered as a whole, 255."""


Statistics = tuple[Tensor, Tensor]
"""Mean and 1 / standard deviation of each image over all its channels, float32 (N,)."""


def normalise(
    images: Tensor, spec: ImageSpec = GREY, in_channels: int | None = None, *, statistics: Statistics | None = None
) -> Tensor:
    """Images as a network takes them.

    With "image" each image gets mean 0 and standard deviation 1 over all its channels together: exposure and contrast
    of a radiograph say nothing about the bone. Sums of 8-bit images are whole numbers, so that an image comes out the
    same in whatever batch it is.

    Args:
        images: uint8 or float32 (N, C, h, w), values 0 to 255.
        spec: What the images are, and how they are normalised; "dataset" must have become numbers, see `measured`.
        in_channels: Channels that the network takes; default those of the images. Grey images are repeated.
        statistics: What "image" takes instead of the images' own: of the whole images, where these are parts.

    Returns:
        float32 (N, in_channels, h, w).

    Raises:
        ValueError: If images, spec and in_channels do not fit each other.

    Example:
        >>> normalise(torch.tensor([[[[0, 20]]]], dtype=torch.uint8), in_channels=2)[0].tolist()
        [[[-1.0, 1.0]], [[-1.0, 1.0]]]
    """
    if images.ndim != 4 or images.dtype not in (torch.uint8, torch.float32):
        raise ValueError(f"expected uint8 or float32 images (N, C, h, w), got {images.dtype} {tuple(images.shape)}")
    if images.shape[1] != spec.num_channels:
        raise ValueError(f"expected {spec.num_channels} channels ({spec.channels}), got images of {images.shape[1]}")
    taken = spec.num_channels if in_channels is None else in_channels
    check_channels(spec, taken)
    if spec.normalize == "dataset":
        raise ValueError(
            'normalize="dataset" is not measured yet: take SegmentationData(...).image_spec, or that of the model file'
        )
    if spec.normalize == "image":
        found = own_statistics(images) if statistics is None else statistics
        mean, scale = (part[:, None, None, None] for part in found)
    else:
        given: Any = IMAGENET if spec.normalize == "imagenet" else spec.normalize
        mean, std = (255 * torch.tensor(part, device=images.device).view(1, -1, 1, 1) for part in given)
        scale = 1 / std
    out = (images.float() - mean) * scale
    return out.expand(-1, taken, -1, -1) if taken != out.shape[1] else out


def check_channels(spec: ImageSpec, in_channels: int) -> None:
    """Refuse a network that takes other channels than the images have.

    Args:
        spec: Of the images.
        in_channels: Of the network.

    Raises:
        ValueError: If they differ and the images are not grey.
    """
    if spec.num_channels not in (1, in_channels):
        raise ValueError(
            f"the network takes {in_channels} channels, the images have {spec.num_channels} ({spec.channels}): create "
            f"the network with in_channels={spec.num_channels}, or read the images with another ImageSpec"
        )


def own_statistics(images: Tensor) -> Statistics:
    """What "image" normalises by.

    Args:
        images: uint8 or float32 (N, C, h, w), values 0 to 255.

    Returns:
        Their statistics; of a flat image the standard deviation counts as one grey level.
    """
    flat = images.flatten(1)
    count = flat.shape[1]
    if images.dtype == torch.uint8:
        flat = flat.to(torch.int32)
        mean = flat.sum(1, dtype=torch.int64).float() / count
        square = (flat * flat).sum(1, dtype=torch.int64).float() / count
    else:
        precise = flat.double()
        mean = precise.mean(1)
        square = (precise * precise).mean(1)
    variance = (square - mean * mean).clamp(min=1.0)  # a flat image becomes zeros
    return mean.float(), variance.rsqrt().float()


def measured(spec: ImageSpec, images: Iterable[np.ndarray]) -> ImageSpec:
    """A spec with numbers in place of "dataset".

    Args:
        spec: Any spec; one without "dataset" comes back as it is, and no image is read.
        images: The training images, uint8 or float32 (h, w, C).

    Returns:
        The spec, its `normalize` (mean, std) per channel over all pixels of all images.

    Raises:
        ValueError: If there is no image.
    """
    if spec.normalize != "dataset":
        return spec
    count, total, square = 0, np.zeros(spec.num_channels), np.zeros(spec.num_channels)
    for image in images:
        flat = image.reshape(-1, spec.num_channels).astype(np.float64) / 255
        count, total, square = count + len(flat), total + flat.sum(0), square + (flat * flat).sum(0)
    if not count:
        raise ValueError('normalize="dataset": expected at least one image to measure')
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean * mean, 255.0**-2))
    return replace(spec, normalize=(tuple(mean.tolist()), tuple(std.tolist())))


def to_float(batch: Mapping[str, Any], spec: ImageSpec = GREY, in_channels: int | None = None) -> dict[str, Any]:
    """A batch as a network and a loss take it.

    Args:
        batch: "image" (N, C, h, w), raw where IMAGE_MAX is among the keys; "target", integers where TARGET_MAX is.
        spec: Of raw images.
        in_channels: Channels that the network takes.

    Returns:
        The batch with "image" and "target" in float32, without the two keys. Targets without TARGET_MAX keep what they
        say: bool and integers (N, C, h, w) become 0.0 and 1.0, class numbers (N, h, w) become int64.

    Raises:
        ValueError: If an image is neither raw nor float.
    """
    out = {name: value for name, value in batch.items() if name not in (IMAGE_MAX, TARGET_MAX)}
    image, target = batch["image"], batch.get("target")
    if IMAGE_MAX in batch:
        out["image"] = normalise(image, spec, in_channels)
    elif not image.is_floating_point():
        raise ValueError(f"expected normalised float images, got {image.dtype}: normalise, or use SegmentationData")
    if target is not None:
        if TARGET_MAX in batch:
            out["target"] = target.float().div_(255)  # in place: fresh memory is what costs here
        elif not target.is_floating_point():
            out["target"] = target.float() if target.ndim == image.ndim else target.long()
    return out
