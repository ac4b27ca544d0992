"""Pseudo-labels in training: images with the labels that segkit.pseudo wrote, alone or as a share of all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from segkit import files
from segkit.data.drawing import mirrored_channels
from segkit.data.images import ImageData, Size
from segkit.data.sample import SampleData, as_transform, one_to_float, pack
from segkit.geometry import Fit, Placement, resize_image
from segkit.images import ImageSpec
from segkit.pseudo import Labels
from segkit.samples import Samples


class PseudoData(Dataset[dict[str, Any]]):
    """Images with pseudo-labels, as `SegmentationData` has them with true ones.

    Every sample has a "weight": float32 (C, h, w), 0 where the label is not sure, and in what a transform or the
    padding adds to the image.

    Args:
        samples: At least the images that `labels` names; others are left out.
        labels: What `pseudo.select(...).write` made; labels of another resolution are brought to this one.
        size: As for `SegmentationData`.
        transform: As for `SegmentationData`.
        fit: As for `SegmentationData`.
        seed: As for `SegmentationData`.
        cache: As for `SegmentationData`.
        class_swaps: As for `SegmentationData`.
        in_channels: As for `SegmentationData`.
        image_spec: That of the `SegmentationData` it is joined to, where images are normalised by "dataset".

    Raises:
        ValueError: If an image that has a label is not among the samples.
    """

    def __init__(
        self,
        samples: Samples,
        labels: Labels,
        size: Size,
        *,
        transform: object = None,
        fit: Fit = "stretch",
        seed: int = 0,
        cache: str | Path | None = None,
        class_swaps: Sequence[tuple[str, str]] | Sequence[tuple[int, int]] = (),
        in_channels: int | None = None,
        image_spec: ImageSpec | None = None,
    ) -> None:
        if lacking := [image for image in labels.ids if image not in samples]:
            raise ValueError(f"{labels.path}: {len(lacking)} of its images are not among the samples: {lacking[0]} ...")
        self.samples = samples.subset(labels.ids)
        self.ids, self.classes, self.labels = labels.ids, labels.classes, labels
        self.images = ImageData(
            self.samples, size=size, fit=fit, cache=cache, in_channels=in_channels, image_spec=image_spec
        )  # fmt: skip
        assert self.images.size is not None
        self.size, self.in_channels, self.image_spec = self.images.size, self.images.in_channels, self.images.measure()
        self.transform, self.seed, self.epoch = transform, seed, 0
        self._transform = as_transform(transform, self.image_spec, self.size)
        order = mirrored_channels(self.classes, class_swaps)
        self._order = [*order, *(channel + len(order) for channel in order)]  # of targets, then of weights

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
        written = hashlib.sha256()
        for image in self.ids:
            for part in self.labels[image]:
                written.update(np.ascontiguousarray(part).tobytes())
        return {
            "pseudo": files.digest([self.ids, written.hexdigest()]),
            "pseudo_samples": self.samples.fingerprint(),
            "pseudo_transform": self.transform,
            "pseudo_seed": self.seed,
        }

    def raw(self, index: int) -> dict[str, Any]:
        """One sample before `to_float`.

        Args:
            index: Of the image.

        Returns:
            See `SegmentationData.raw`; "weight" is float32 (C, h, w).
        """
        image, where = self.images.image(index), self.images.placement(index)
        target, weight = self.labels[self.ids[index]]
        channels = _placed(np.concatenate([target, weight * 255]), where)
        if self._transform is not None:
            generator = np.random.default_rng([self.seed, self.epoch, index, 3])  # 3: no draw is another dataset's
            image, channels = self._transform(image, channels, generator, self._order)
        return pack(image, index, *np.split(channels, 2))

    def __getitem__(self, index: int) -> dict[str, Any]:
        return one_to_float(self.raw(index), self.image_spec, self.in_channels)


def _placed(channels: np.ndarray, where: Placement) -> np.ndarray:
    """Planes of the whole image, uint8, brought to where the image lies; 0 in the padding."""
    if channels.shape[1:] != where.inner:
        channels = np.stack([resize_image(channel, where.inner) for channel in channels])
    if not where.padded:
        return channels
    out = np.zeros((len(channels), *where.size), np.uint8)
    top, left, bottom, right = where.box
    out[:, top:bottom, left:right] = channels
    return out


class Joined(Dataset[dict[str, Any]]):
    """Annotated images, all of them each epoch, and among them a share of pseudo-labelled ones.

    Takes the place of `SegmentationData` in `Crops`, `Mixed` and `fit`; every sample has a "weight" (C, h, w). Which
    pseudo-labelled images come in an epoch is drawn from (seed, epoch) alone, each as often as the others.

    Args:
        data: `SegmentationData`.
        extra: `PseudoData` of the same size, classes and image spec.
        share: Share of an epoch's samples that are pseudo-labelled, above 0 and below 1.

    Raises:
        ValueError: If sizes, classes or specs differ, or the share is out of range.
    """

    def __init__(self, data: SampleData, extra: PseudoData, *, share: float = 0.3) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share={share}: expected a share of pseudo-labelled samples above 0 and below 1")
        if data.size != extra.size or tuple(data.classes) != tuple(extra.classes):
            raise ValueError(
                f"annotated {data.size} {tuple(data.classes)}, pseudo-labelled {extra.size} {extra.classes}: expected "
                "the same size and classes"
            )
        if data.image_spec != extra.image_spec or data.in_channels != extra.in_channels:
            raise ValueError(
                f"annotated {data.image_spec}, pseudo-labelled {extra.image_spec}: expected the same; pass image_spec= "
                "and in_channels= of the annotated data"
            )
        self.data, self.extra, self.share = data, extra, float(share)
        self.ids = (*data.ids, *extra.ids)
        self.classes, self.size, self.seed, self.epoch = data.classes, data.size, data.seed, 0
        self.image_spec, self.in_channels = data.image_spec, data.in_channels
        self._drawn = max(1, round(len(data) * share / (1 - share)))

    def __len__(self) -> int:
        return len(self.data) + self._drawn

    def set_epoch(self, epoch: int) -> None:
        """Draw and transform as in this epoch from now on.

        Args:
            epoch: From 0.
        """
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
        """One sample before `to_float`.

        Args:
            index: Of the sample in this epoch.

        Returns:
            See `SegmentationData.raw`; "index" is its place in `ids`.
        """
        count = len(self.data)
        if index < count:
            sample = self.data.raw(index)
            weight = sample.get("weight", torch.ones(1, 1, 1))
            return {**sample, "weight": weight.expand(sample["target"].shape).clone()}
        place = self.extra_of(index - count)
        return self.extra.raw(place) | {"index": count + place}

    def extra_of(self, number: int) -> int:
        """Which pseudo-labelled image is the one with this number in this epoch.

        Args:
            number: From 0.

        Returns:
            Its index in `extra`.
        """
        turn, place = divmod(self.epoch * self._drawn + number, len(self.extra))
        return int(np.random.default_rng([self.seed, turn, 4]).permutation(len(self.extra))[place])

    def __getitem__(self, index: int) -> dict[str, Any]:
        return one_to_float(self.raw(index), self.image_spec, self.in_channels)
