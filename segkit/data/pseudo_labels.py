"""Pseudo-labels in training: images with the labels that segkit.pseudo wrote, alone or as a share of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from segkit import files
from segkit.data.augment import Augmentation
from segkit.data.dataset import Images, normalise
from segkit.geometry import resize
from segkit.pseudo import Labels
from segkit.samples import Item


class PseudoData(Dataset[dict[str, object]]):
    """Images with pseudo-labels, as SegmentationData has them with true ones, and "weight" beside.

    items: at least those that `labels` names; others are left out. size: (h, w); labels of another grid are brought to
    it. augment, seed, cache, in_channels: as for SegmentationData; mirrored: the channel order after a flip, as
    data.mirrored_channels gives it. What an augmentation moves in from outside the image weighs 0.

    data[index] -> {"image": float32 (in_channels, h, w), "target", "weight": float32 (C, h, w), "index": int};
    data.raw(index): image and target in uint8. ValueError names an image that has a label and no item.
    """

    def __init__(
        self,
        items: Sequence[Item],
        labels: Labels,
        *,
        size: tuple[int, int],
        augment: Augmentation | None = None,
        seed: int = 0,
        cache: str | Path | None = None,
        in_channels: int = 1,
        mirrored: Sequence[int] | None = None,
    ) -> None:
        known = {item.id: item for item in items}
        if lacking := [image for image in labels.ids if image not in known]:
            raise ValueError(f"{labels.path}: {len(lacking)} of its images are not among the items: {lacking[0]} ...")
        self.items = [known[image] for image in labels.ids]
        self.ids = [item.id for item in self.items]
        self.labels, self.augment, self.seed, self.in_channels, self.epoch = labels, augment, seed, in_channels, 0
        self.classes = labels.classes
        self.images = Images(self.items, size=size, cache=cache)
        self.size = self.images.size
        order = list(range(len(self.classes))) if mirrored is None else list(mirrored)
        self._order = [*order, *(channel + len(order) for channel in order)]  # of targets, then of weights

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
        return {"pseudo": files.digest([*self.labels.ids, str(self.labels.path)]), "pseudo_seed": self.seed}

    def raw(self, index: int) -> dict[str, Any]:
        """One sample: image uint8 (1, h, w), target uint8 (C, h, w) of 0..255, weight float32 (C, h, w), index."""
        image = self.images.grey(index)
        target, weight = self.labels[self.items[index].id]
        planes = np.concatenate([target, weight * 255])
        if planes.shape[1:] != self.size:
            planes = np.stack([resize.resize_image(plane, self.size) for plane in planes])
        if self.augment is not None:
            generator = np.random.default_rng([self.seed, self.epoch, index, 3])  # 3: no draw is another dataset's
            image, planes = self.augment(image, planes, generator, self._order)
        target, weight = np.split(planes, 2)
        return {
            "image": torch.from_numpy(image[None]),
            "target": torch.from_numpy(np.ascontiguousarray(target)),
            "weight": torch.from_numpy(weight.astype(np.float32) / 255),
            "index": index,
        }

    def __getitem__(self, index: int) -> dict[str, Any]:
        return _as_float(self.raw(index), self.in_channels)


class Joined(Dataset[dict[str, object]]):
    """Annotated images, all of them each epoch, and among them a share of pseudo-labelled ones.

    data: SegmentationData; extra: PseudoData of the same size and classes; share: of an epoch's samples that are
    pseudo-labelled, above 0 and below 1. Which come in an epoch is drawn from (seed, epoch) alone, each as often as the
    others. Takes the place of SegmentationData in Crops, Mixed and fit(); every sample has a "weight", 1 where it is
    annotated. ValueError for other sizes, classes or shares.
    """

    def __init__(self, data: Any, extra: PseudoData, *, share: float = 0.3) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share={share}: of pseudo-labelled samples, above 0 and below 1, is wanted")
        if data.size != extra.size or tuple(data.classes) != tuple(extra.classes):
            raise ValueError(
                f"annotated {data.size} {tuple(data.classes)}, pseudo-labelled {extra.size} {extra.classes}: "
                "the same size and classes are wanted"
            )
        self.data, self.extra, self.share = data, extra, float(share)
        self.items = [*data.items, *extra.items]
        self.ids = [*data.ids, *extra.ids]
        self.classes, self.size, self.in_channels, self.seed = data.classes, data.size, data.in_channels, data.seed
        self.epoch = 0
        self._drawn = max(1, round(len(data) * share / (1 - share)))

    def __len__(self) -> int:
        return len(self.data) + self._drawn

    def set_epoch(self, epoch: int) -> None:
        """Draw and augment as in this epoch from now on."""
        self.epoch = epoch
        self.data.set_epoch(epoch)
        self.extra.set_epoch(epoch)

    def fingerprint(self) -> dict[str, Any]:
        """What decides the samples.

        Returns:
            {name: value}; a run that is resumed needs them unchanged.
        """
        return {**self.data.fingerprint(), **self.extra.fingerprint(), "pseudo_share": self.share}

    def raw(self, index: int) -> dict[str, Any]:
        """One sample in uint8, and its weight; "index" is its place in `items`."""
        count = len(self.data)
        if index < count:
            sample = self.data.raw(index)
            return {**sample, "weight": torch.ones(sample["target"].shape)}
        place = self.extra_of(index - count)
        return self.extra.raw(place) | {"index": count + place}

    def extra_of(self, number: int) -> int:
        """Which pseudo-labelled image is the one with this number in this epoch."""
        turn, place = divmod(self.epoch * self._drawn + number, len(self.extra))
        return int(np.random.default_rng([self.seed, turn, 4]).permutation(len(self.extra))[place])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return _as_float(self.raw(index), self.in_channels)


def _as_float(raw: dict[str, Any], in_channels: int) -> dict[str, Any]:
    return raw | {"image": normalise(raw["image"][None], in_channels)[0], "target": raw["target"] / 255}
