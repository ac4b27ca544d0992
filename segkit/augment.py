"""Augmentation for radiographs: frozen numbers in, albumentations inside, one generator per sample.

Left and right differ in a radiograph, so the mirror flip is done here and not by albumentations: only who
knows that a flip happened can swap left-lung with right-lung. There is no vertical flip: nobody is X-rayed
upside down.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Augmentation = Callable[[np.ndarray, np.ndarray, np.random.Generator, Sequence[int]], tuple[np.ndarray, np.ndarray]]
"""(image, target, generator, mirrored channel order) -> (image, target): as a dataset takes it."""


@dataclass(frozen=True)
class Augment:
    """What happens to one sample; `dataclasses.replace(medium(), rotate=45)` makes a variant.

    hflip: probability of a mirror flip, channels swapped with it. rotate: degrees to either side. scale: to 1
    +- scale. shift: share of the side, to either side. bend: share of a cell by which the lines of a 5 x 5
    grid move. tone: brightness and contrast by +- tone, gamma in 1 / (1 + 2 tone) to 1 + 2 tone. noise:
    standard deviation as a share of white, at most. blur: Gaussian sigma in pixels of the grid, at most.
    extra: albumentations transforms that come last. 0 leaves a step out. rotate, scale and shift happen
    together, in 4 of 5 samples; bend in 1 of 3; tone in 3 of 4; noise and blur in 1 of 4.

    Called with (image uint8 (h, w), target uint8 (C, h, w) of coverage 0..255, generator, mirrored) -> new
    arrays of the same shapes. Everything random is drawn from the generator. `mirrored` is the channel order
    after a flip.
    """

    hflip: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    bend: float = 0.0
    tone: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    extra: tuple[Any, ...] = ()

    def __call__(
        self, image: np.ndarray, target: np.ndarray, generator: np.random.Generator, mirrored: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        if generator.random() < self.hflip:
            image, target = image[:, ::-1], target[list(mirrored), :, ::-1]
        # An empty plane stays empty under every transform here: only the others are warped.
        present = [plane for plane in range(len(target)) if target[plane].any()]
        sample: dict[str, Any] = {"image": np.ascontiguousarray(image)}
        if present:
            sample["masks"] = [np.ascontiguousarray(target[plane]) for plane in present]
        # Not set_random_seed: it gives every transform a generator of its own with the same seed, and then
        # blur happens exactly where noise does, in amounts that move together.
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        sample = self._compose(**sample)
        out = np.zeros_like(target)
        for plane, mask in zip(present, sample.get("masks", ())):
            out[plane] = mask
        return sample["image"], out

    @cached_property
    def _compose(self) -> Any:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network
        import albumentations as A  # 3.5 s, so only where augmentation happens, once per worker
        import cv2

        linear = cv2.INTER_LINEAR  # the default is nearest, for soft masks too
        steps: list[Any] = []
        if self.rotate or self.scale or self.shift:
            affine = A.Affine(
                rotate=(-self.rotate, self.rotate),
                scale=(1 - self.scale, 1 + self.scale),
                translate_percent=(-self.shift, self.shift),
                interpolation=linear,
                mask_interpolation=linear,
                p=0.8,
            )
            steps.append(affine)
        if self.bend:
            limit = (-self.bend, self.bend)
            steps.append(A.GridDistortion(distort_limit=limit, mask_interpolation=linear, p=1 / 3))
        if self.tone:
            limit, gamma = (-self.tone, self.tone), 1 + 2 * self.tone
            steps.append(A.RandomBrightnessContrast(limit, limit, p=0.75))
            steps.append(A.RandomGamma((100 / gamma, 100 * gamma), p=0.75))
        if self.noise:
            steps.append(A.GaussNoise(std_range=(0.0, self.noise), p=0.25))
        if self.blur:
            steps.append(A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, self.blur), p=0.25))
        return A.Compose([*steps, *self.extra])


def light(*, hflip: float = 0.5) -> Augment:
    """Small turns and shifts and a little tone: for short runs and large data."""
    return Augment(hflip=hflip, rotate=10, scale=0.08, shift=0.03, tone=0.15)


def medium(*, hflip: float = 0.5) -> Augment:
    """Turns up to 30 degrees, noise, blur: one training hand in ten is tilted, half of the test."""
    return Augment(hflip=hflip, rotate=30, scale=0.12, shift=0.05, tone=0.2, noise=0.04, blur=1.0)


def strong(*, hflip: float = 0.5) -> Augment:
    """Turns up to 45 degrees and mild bending too: for long runs on few images."""
    return Augment(hflip=hflip, rotate=45, scale=0.2, shift=0.08, bend=0.15, tone=0.3, noise=0.06, blur=1.5)
