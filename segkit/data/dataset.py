"""Annotations -> torch datasets: each image decoded once, targets drawn straight onto the network's grid."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segkit import files
from segkit.data.augment import Augment, Augmentation, light, medium, strong
from segkit.geometry import draw_soft, polygons, resize
from segkit.geometry.warp import Warp
from segkit.images import image_size, read_image
from segkit.samples import Fix, Item, load

__all__ = [
    "Augment", "Images", "SegmentationData", "Targets", "light", "medium", "mirrored_channels", "normalise",
    "strong",
]  # fmt: skip

Targets = Literal["soft", "nearest", "nearest-exact"]
Size = tuple[int, int]
NEAREST = {"nearest": cv2.INTER_NEAREST, "nearest-exact": cv2.INTER_NEAREST_EXACT}


def normalise(images: Tensor, in_channels: int = 1) -> Tensor:
    """Grey images as a network takes them: each with its own mean 0 and standard deviation 1.

    The one place for it: training, validation and prediction all come through here. images: uint8 (N, 1, h,
    w) -> float32 (N, in_channels, h, w), the channels equal. Sums are whole numbers, so that an image comes
    out the same whatever batch it is in. Exposure and contrast of a radiograph say nothing about the bone,
    hence per image.

    >>> normalise(torch.tensor([[[[0, 20]]]], dtype=torch.uint8), in_channels=2)[0].tolist()
    [[[-1.0, 1.0]], [[-1.0, 1.0]]]
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 1:
        raise ValueError(f"uint8 (N, 1, h, w) is wanted, got {images.dtype} {tuple(images.shape)}")
    flat = images.flatten(1).to(torch.int32)
    count = flat.shape[1]
    mean = flat.sum(1, dtype=torch.int64).float() / count
    square = (flat * flat).sum(1, dtype=torch.int64).float() / count
    scale = (square - mean * mean).clamp(min=1.0).rsqrt()  # at least one grey level: a flat image becomes zeros
    out = (images.float() - mean[:, None, None, None]) * scale[:, None, None, None]
    return out.expand(-1, in_channels, -1, -1)


def mirrored_channels(
    classes: Sequence[str], swaps: Sequence[tuple[str, str]] | Sequence[tuple[int, int]] = ()
) -> list[int]:
    """The channel order after a mirror flip: swaps are pairs of names or of channel indices.

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


class Images(Dataset[dict[str, object]]):
    """Images of items, brought to the grid; no annotation is needed.

    images[index] -> {"image": uint8 (1, h, w), "index": int}. cache: a folder that keeps the small images
    (.npy), so that each is decoded once; several workers and runs may share it; an image that changes (path,
    time or bytes) is decoded anew. Without a folder each visit decodes. ValueError names an image that cannot
    be read.
    """

    def __init__(self, items: Sequence[Item], *, size: Size, cache: str | Path | None = None) -> None:
        self.items, self.size = list(items), _as_size(size)
        self.cache = None if cache is None else Path(cache) / f"{self.size[0]}x{self.size[1]}"

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, object]:
        return {"image": torch.from_numpy(self.grey(index)[None]), "index": index}

    def grey(self, index: int) -> np.ndarray:
        """uint8 (h, w), the caller's own to change."""
        path = self.items[index].image
        if self.cache is None:
            return resize.resize_image(read_image(path)[..., 0], self.size)
        try:
            state = path.stat()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        kept = self.cache / f"{files.digest([str(path.resolve()), state.st_mtime_ns, state.st_size])}.npy"
        if not kept.exists():
            image = resize.resize_image(read_image(path)[..., 0], self.size)
            with files.replacing(kept) as part, part.open("wb") as handle:
                np.save(handle, image)
        return np.load(kept)


class SegmentationData(Dataset[dict[str, object]]):
    """Images and targets at the network's size, made when asked for.

    items: annotated images; classes: names in channel order; size: (h, w). targets: "soft" is the share of
    each cell that the mask covers, in 1/255; "nearest" (OpenCV's, shifted by half a pixel) and
    "nearest-exact" are there to be compared with. augment: light(), medium(), strong() or any callable of
    their kind (segkit.data.augment.Augmentation), seeded by (seed, epoch, index) alone: any number of workers
    gives the same samples, epochs differ. What an Augment moves is drawn from its moved rings; another callable gets
    arrays. class_swaps: pairs of classes that a mirror flip exchanges. cache:
    see Images. labels: what annotations.load gave, where it was called already (items that it excludes are
    left out); else it is called here with `fixes`.

    data[index] -> {"image": float32 (in_channels, h, w), "target": float32 (C, h, w), "index": int};
    data.raw(index) is the same in uint8, image (1, h, w) and target 0..255, a quarter of the memory, which
    fit() makes floats of on the device. Annotation files are read here and now: ValueError names a bad one
    before training starts.
    """

    def __init__(
        self,
        items: Sequence[Item],
        classes: Sequence[str],
        *,
        size: Size,
        targets: Targets = "soft",
        augment: Augmentation | None = None,
        seed: int = 0,
        cache: str | Path | None = None,
        fixes: Sequence[Fix] = (),
        labels: Mapping[str, Mapping[str, Sequence[np.ndarray]]] | None = None,
        in_channels: int = 1,
        class_swaps: Sequence[tuple[str, str]] | Sequence[tuple[int, int]] = (),
    ) -> None:
        if targets not in get_args(Targets):
            raise ValueError(f"targets={targets!r}; one of {', '.join(get_args(Targets))} is wanted")
        labels = load(items, classes, fixes) if labels is None else labels
        self.items = [item for item in items if item.id in labels]
        if not self.items:
            raise ValueError(f"none of {len(items)} items has labels; pass annotated images")
        self.ids = [item.id for item in self.items]
        self.classes, self.targets, self.augment = tuple(classes), targets, augment
        self.seed, self.in_channels, self.epoch = seed, in_channels, 0
        self.images = Images(self.items, size=size, cache=cache)
        self.size = self.images.size
        self._rings = [[list(labels[item.id][name]) for name in self.classes] for item in self.items]
        self._shapes: list[Size] = [image_size(item.image) for item in self.items]
        self._mirrored = mirrored_channels(self.classes, class_swaps)

    def __len__(self) -> int:
        return len(self.items)

    def set_epoch(self, epoch: int) -> None:
        """Augment as in this epoch from now on."""
        self.epoch = epoch

    def fingerprint(self) -> dict[str, Any]:
        """What decides the samples.

        Returns:
            {name: value}; a run that is resumed needs them unchanged.
        """
        return {
            "images": files.digest([[item.id, item.image.stat().st_size] for item in self.items]),
            "labels": self._labels_digest(),
            "classes": list(self.classes),
            "size": list(self.size),
            "targets": self.targets,
            "augment": self.augment,
            "seed": self.seed,
            "mirrored": list(self._mirrored),
        }

    def _labels_digest(self) -> str:
        found = hashlib.sha256()
        for rings in (ring for row in self._rings for ring in row):
            found.update(str(len(rings)).encode())
            for ring in rings:
                found.update(np.ascontiguousarray(ring, np.float64).tobytes())
        return found.hexdigest()[:16]

    def raw(self, index: int) -> dict[str, object]:
        """One sample in uint8: image (1, h, w), target (C, h, w) of 0..255, index."""
        image, augment = self.images.grey(index), self.augment
        generator = np.random.default_rng([self.seed, self.epoch, index])
        if isinstance(augment, Augment):
            warp = augment.geometry(self.size, generator, shape=self._shapes[index])
            image = image if warp is None else warp.image(image)
            image, target = augment.finish(image, self.target(index, warp=warp), generator, self._mirrored)
        elif augment is not None:
            image, target = augment(image, self.target(index), generator, self._mirrored)
        else:
            target = self.target(index)
        return {"image": torch.from_numpy(image[None]), "target": torch.from_numpy(target), "index": index}

    def __getitem__(self, index: int) -> dict[str, object]:
        raw = self.raw(index)
        image, target = raw["image"], raw["target"]
        assert isinstance(image, Tensor)
        assert isinstance(target, Tensor)
        return raw | {"image": normalise(image[None], self.in_channels)[0], "target": target / 255}

    def target(self, index: int, *, warp: Warp | None = None) -> np.ndarray:
        """uint8 (C, h, w) of 0..255, without augmentation or under a warp. One full-size mask is held at a time."""
        shape, (h, w) = self._shapes[index], self.size
        out = np.zeros((len(self.classes), h, w), np.uint8)
        for plane, rings in zip(out, self._rings[index]):
            if not rings:
                continue
            if self.targets == "soft":
                draw_soft(plane, rings, shape, warp=warp)
            else:
                moved = rings if warp is None else warp.polygons(rings, shape)
                mask = polygons.rasterize(moved, shape)
                plane[:] = cv2.resize(mask, (w, h), interpolation=NEAREST[self.targets]) * 255
        return out


def _as_size(size: Size) -> Size:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size (height, width) of at least 1 is wanted, got {size}")
    return int(size[0]), int(size[1])
