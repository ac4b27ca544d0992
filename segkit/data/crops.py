"""Crops: training on windows of images, with an eye on what is rare; goes with `segkit.inference.Sliding`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from segkit.data.normalise import IMAGE_MAX, normalise
from segkit.data.sample import SampleData, one_to_float


class Crops(Dataset[dict[str, Any]]):
    """One window of each image of `data` per epoch.

    Samples are as those of `data`, at the size of the window. An image is normalised as a whole and then cut, as a
    network sees it through a sliding window. Windows are drawn from (seed, epoch, index) alone: any number of workers
    gives the same ones, epochs differ.

    Args:
        data: `SegmentationData` at the size that `Sliding` will see, or `Joined` of it; weights are cut too.
        size: (h, w) of the window, no larger than that.
        foreground: Share of the windows that are sure to hold a class: one of the image's own classes, each as likely
            as the others however small it is, then one of its pixels, anywhere in the window. The rest lie anywhere.

    Raises:
        ValueError: If the window does not fit, or foreground is outside [0, 1].
    """

    def __init__(self, data: SampleData, size: tuple[int, int], *, foreground: float = 0.5) -> None:
        if (
            not isinstance(size, Sequence)
            or len(size) != 2
            or min(size) < 1
            or size[0] > data.size[0]
            or size[1] > data.size[1]
        ):
            raise ValueError(f"a window of {size} does not lie inside images of {data.size}; take at most their size")
        if not 0 <= foreground <= 1:
            raise ValueError(f"foreground={foreground}: expected a share of the windows in [0, 1]")
        self.data, self.size, self.foreground = data, (int(size[0]), int(size[1])), float(foreground)
        self.ids, self.classes = data.ids, data.classes
        self.image_spec, self.in_channels = data.image_spec, data.in_channels

    def __len__(self) -> int:
        return len(self.data)

    def set_epoch(self, epoch: int) -> None:
        """Transform and cut as in this epoch from now on.

        Args:
            epoch: From 0.
        """
        self.data.set_epoch(epoch)

    def fingerprint(self) -> dict[str, Any]:
        """What decides the samples.

        Returns:
            {name: value}; a run that is resumed needs them unchanged.
        """
        return {**self.data.fingerprint(), "crop": list(self.size), "foreground": self.foreground}

    def raw(self, index: int) -> dict[str, Any]:
        """One sample as `fit` takes it.

        Args:
            index: Of the image.

        Returns:
            The window, image normalised, target in uint8.
        """
        sample: dict[str, Any] = self.data.raw(index)
        generator = np.random.default_rng([self.data.seed, self.data.epoch, index, 1])  # 1: augmentation has its own
        top, left = self._place(sample["target"].numpy(), generator)
        part = (..., slice(top, top + self.size[0]), slice(left, left + self.size[1]))
        if sample.pop(IMAGE_MAX, None):
            sample["image"] = normalise(sample["image"][None], self.image_spec, self.in_channels)[0]
        cut: dict[str, Any] = {
            name: sample[name][part].clone() for name in ("image", "target", "weight") if name in sample
        }
        return {**sample, **cut}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return one_to_float(self.raw(index), self.image_spec, self.in_channels)

    def _place(self, target: np.ndarray, generator: np.random.Generator) -> tuple[int, int]:
        """Top and left of a window."""
        room = [full - side + 1 for full, side in zip(self.data.size, self.size)]
        present = np.flatnonzero(target.any(axis=(1, 2)))
        if generator.random() >= self.foreground or not present.size:
            return int(generator.integers(room[0])), int(generator.integers(room[1]))
        pixels = np.flatnonzero(target[generator.choice(present)])
        at = np.unravel_index(generator.choice(pixels), self.data.size)
        # Every window that holds the pixel is as likely as the others.
        ends = [(max(0, int(a) - side + 1), min(int(a), free - 1)) for a, side, free in zip(at, self.size, room)]
        top, left = (int(generator.integers(low, high + 1)) for low, high in ends)
        return top, left
