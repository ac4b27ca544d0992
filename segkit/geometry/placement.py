"""Placement: where an image lies at network resolution, on the way in and on the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from segkit.geometry.resize import Region, resize_image, upsample

Fit = Literal["stretch", "pad"]
Size = tuple[int, int]


@dataclass(frozen=True)
class Placement:
    """How one image lies in what the network sees; made by `place`.

    The image is stretched over `box` by the pixel convention of `segkit.geometry.resize`; what lies outside is padding.

    Attributes:
        shape: (H, W) of the image.
        size: (h, w) that the network sees.
        box: (top, left, bottom, right) of the image in it.

    Example:
        >>> place((100, 200), (64, 64), "pad").box
        (16, 0, 48, 64)
    """

    shape: Size
    size: Size
    box: Region

    @property
    def inner(self) -> Size:
        """(h, w) of the box."""
        top, left, bottom, right = self.box
        return bottom - top, right - left

    @property
    def padded(self) -> bool:
        """Whether anything lies outside the box."""
        return self.inner != self.size

    def image(self, image: np.ndarray) -> np.ndarray:
        """Bring an image to network resolution; the padding mirrors it.

        Args:
            image: (H, W, C), uint8 or float32.

        Returns:
            A new array (h, w, C) of the same dtype.

        Raises:
            ValueError: If the image has another size.
        """
        if image.shape[:2] != self.shape:
            raise ValueError(f"expected an image of {self.shape} (height, width), got {image.shape[:2]}")
        return self.pad(resize_image(image, self.inner))

    def pad(self, small: np.ndarray) -> np.ndarray:
        """Mirror an image of the size of the box into the padding.

        Args:
            small: (h, w, C) of the size of the box.

        Returns:
            (h, w, C) that the network sees.
        """
        if not self.padded:
            return small
        top, left, bottom, right = self.box
        border = (top, self.size[0] - bottom, left, self.size[1] - right)
        channels = [
            cv2.copyMakeBorder(np.ascontiguousarray(channel), *border, cv2.BORDER_REFLECT_101)
            for channel in np.moveaxis(small, -1, 0)
        ]
        return np.stack(channels, axis=-1)

    def unpad(self, maps: np.ndarray) -> np.ndarray:
        """Cut the padding off what a network says.

        Args:
            maps: Class maps (C, h, w).

        Returns:
            The part of them that the image is stretched over.

        Raises:
            ValueError: If the maps have another size than what the network saw.
        """
        if maps.shape[1:] != self.size:
            raise ValueError(f"expected class maps of {self.size}, as the network was shown, got {maps.shape[1:]}")
        top, left, bottom, right = self.box
        return maps[:, top:bottom, left:right]

    def to_grid(self, maps: np.ndarray, grid: Size) -> np.ndarray:
        """Cut the padding off, and stretch the rest over the resolution of a store.

        Args:
            maps: Class maps (C, h, w), float.
            grid: (height, width) of the store.

        Returns:
            (C, *grid): bilinear where it grows, an area average where it shrinks; the maps themselves where nothing
            changes.
        """
        inner = self.unpad(maps)
        if inner.shape[1:] == tuple(grid):
            return inner
        if grid[0] >= inner.shape[1] and grid[1] >= inner.shape[2]:
            return np.stack([upsample(channel, grid) for channel in inner])
        return np.stack([resize_image(np.ascontiguousarray(channel, np.float32), grid) for channel in inner])


def place(shape: Size, size: Size, fit: Fit = "stretch") -> Placement:
    """Lay an image into what the network sees.

    Args:
        shape: (H, W) of the image.
        size: (h, w) that the network sees.
        fit: "stretch" changes the aspect ratio; "pad" keeps it, to half a pixel, and centres the image.

    Returns:
        The placement.

    Raises:
        ValueError: For another `fit`.
    """
    if fit not in get_args(Fit):
        raise ValueError(f"fit={fit!r}: expected {' or '.join(get_args(Fit))}")
    (height, width), (h, w) = ((int(a), int(b)) for a, b in (shape, size))
    if fit == "stretch":
        return Placement((height, width), (h, w), (0, 0, h, w))
    scale = min(h / height, w / width)
    inner = [min(side, max(1, round(full * scale))) for full, side in zip((height, width), (h, w))]
    top, left = (h - inner[0]) // 2, (w - inner[1]) // 2
    return Placement((height, width), (h, w), (top, left, top + inner[0], left + inner[1]))


def intersection(box: Region, within: Region | None) -> Region | None:
    """The part of a box that lies within another.

    Args:
        box: (top, left, bottom, right).
        within: Another; None for no limit.

    Returns:
        Their intersection, or None where it is empty.
    """
    if within is None:
        return box
    top, left = max(box[0], within[0]), max(box[1], within[1])
    bottom, right = min(box[2], within[2]), min(box[3], within[3])
    return (top, left, bottom, right) if top < bottom and left < right else None
