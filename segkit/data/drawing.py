"""Drawing: one sample out of an image, its annotation and a transform; what datasets of samples share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np

from segkit.data.augment import Augment
from segkit.data.sample import Transform, pack, split
from segkit.geometry import Placement, Polygons, Warp, draw_soft
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


@dataclass(frozen=True)
class Drawing:
    """How samples are drawn.

    Args:
        samples: The annotated images.
        transform: What moves and changes them; see `as_transform`.
        order: The channel order after a mirror flip.
        targets: "soft", or one of NEAREST.
        weighted: Whether anything is ignored in any sample, so that all have a weight.

    Raises:
        ValueError: For other targets.
    """

    samples: Samples
    transform: Transform | None
    order: Sequence[int]
    targets: Targets
    weighted: bool

    def __post_init__(self) -> None:
        if self.targets not in get_args(Targets):
            raise ValueError(f"targets={self.targets!r}: expected one of {', '.join(get_args(Targets))}")

    def sample(
        self, name: str, index: int, image: np.ndarray, where: Placement, generator: np.random.Generator
    ) -> dict[str, Any]:
        """One raw sample.

        Args:
            name: Id of the image.
            index: Of the sample.
            image: uint8 or float32 (h, w, C), what the network sees of it.
            where: Where the whole image lies in that.
            generator: What the transform is drawn from.

        Returns:
            See `SegmentationData.raw`.
        """
        transform, warp = self.transform, None
        if isinstance(transform, Augment):
            shape = where.shape if where.box == (0, 0, *where.size) else None  # else nothing is stretched
            warp = transform.geometry(where.size, generator, shape=shape)
            image = image if warp is None else warp.image(image)
        channels = self.channels(name, where, warp)
        order = [*self.order, *range(len(self.order), len(channels))]
        if isinstance(transform, Augment):
            image, channels = transform.finish(image, channels, generator, order)
        elif transform is not None:
            image, channels = transform(image, channels, generator, order)
        return pack(image, index, *split(channels, len(self.order), exclusive=self.samples.exclusive))

    def target(self, name: str, where: Placement, warp: Warp | None) -> np.ndarray:
        """The target of a sample.

        Args:
            name: Id of the image.
            where: Where the image lies.
            warp: What moves it.

        Returns:
            uint8 (C, h, w) of 0 to 255: the share of each low-resolution pixel that a class covers.
        """
        out = np.zeros((len(self.order), *where.size), np.uint8)
        for channel, region in zip(out, self.samples.regions(name).values()):
            if not region:
                continue
            if self.targets == "soft":
                draw_soft(channel, region, where.shape, warp=warp, box=where.box)
                continue
            runs = region.runs(where.shape) if isinstance(region, Polygons) else region
            mask = runs.mask(where.shape).view(np.uint8)
            top, left, bottom, right = where.box
            small = cv2.resize(mask, where.inner[::-1], interpolation=NEAREST[self.targets])
            channel[top:bottom, left:right] = small * 255
            if warp is not None:
                channel[:] = (warp.image(channel) > 127) * np.uint8(255)
        return out

    def channels(self, name: str, where: Placement, warp: Warp | None) -> np.ndarray:
        """The target, and where anything of the set is ignored one channel more, of what is not known.

        Of exclusive classes nothing more is needed: what no class covers is not known.

        Args:
            name: Id of the image.
            where: Where the image lies.
            warp: What moves it.

        Returns:
            uint8 (C, h, w) or (C + 1, h, w).
        """
        target = self.target(name, where, warp)
        if not self.weighted or self.samples.exclusive:
            return target
        unknown = np.zeros(where.size, np.uint8)
        if where.padded:
            height, width = where.shape
            whole = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
            draw_soft(unknown, Polygons([whole]), where.shape, warp=warp, box=where.box)
            unknown = 255 - unknown
        ignored = self.samples.ignore(name)
        if ignored is not None:
            part = np.zeros(where.size, np.uint8)
            draw_soft(part, ignored, where.shape, warp=warp, box=where.box)
            unknown += np.minimum(part, 255 - unknown)
        return np.concatenate([target, unknown[None]])


def has_ignored(samples: Samples) -> bool:
    """Read every annotation, so that a bad one is named now.

    Args:
        samples: Annotated images.

    Returns:
        Whether any of them has pixels that count nowhere.

    Raises:
        ValueError: If an annotation cannot be read.
    """
    found = False
    for image in samples.ids:
        samples.regions(image)
        found |= samples.ignore(image) is not None
    return found
