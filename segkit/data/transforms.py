"""albumentations transforms on an image and its target: seeded by sample, class swaps respected."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Sequence
from functools import cached_property
from types import ModuleType
from typing import Any, Protocol

import cv2
import numpy as np


class _Compose(Protocol):
    """What is asked of an albumentations.Compose, which has no types."""

    mask_interpolation: int | None

    def set_random_state(self, random_generator: np.random.Generator, py_random: random.Random) -> None:
        """Draw from these from now on.

        Args:
            random_generator: NumPy's.
            py_random: Python's.
        """

    def set_mask_interpolation(self, mask_interpolation: int | None) -> None:
        """Move masks by this.

        Args:
            mask_interpolation: OpenCV's flag.
        """

    def add_targets(self, additional_targets: dict[str, str] | None) -> None:
        """Move these too.

        Args:
            additional_targets: {name: "mask"}.
        """

    def __call__(self, **sample: object) -> dict[str, Any]:
        """Transform a sample."""


class AlbumentationsTransform:
    """An albumentations transform as `Augment` is one: (image, target, generator, mirrored) -> (image, target).

    Every draw comes from the sample's generator, so that workers, epochs and resumed runs give what they should; the
    generators that albumentations has of its own repeat themselves. Soft targets are moved bilinearly. Where the
    transform mirrors the sample (a flip, a transposition, whatever it is called), classes that a mirror exchanges are
    exchanged.

    Args:
        transform: A Compose or a single transform; it is copied.
        hard: Move targets by nearest neighbour, as albumentations does; else bilinearly, unless the Compose has a
            `mask_interpolation` of its own.

    Raises:
        ValueError: When called, if the image comes back with another shape or type.
    """

    def __init__(self, transform: object, *, hard: bool = False) -> None:
        self.transform, self.hard = transform, hard

    def __call__(
        self, image: np.ndarray, target: np.ndarray, generator: np.random.Generator, mirrored: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move and change an image and its target; see the class."""
        # Not set_random_seed: it gives every transform a generator of its own with the same seed, and then
        # blur happens exactly where noise does, in amounts that move together.
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        sample: dict[str, Any] = {"image": _to_unit(image)}
        if not self._moves:
            return _from_unit(self._compose(**sample)["image"], image), np.array(target)
        present = [channel for channel in range(len(target)) if target[channel].any()]  # what is empty stays empty
        if present:
            sample["masks"] = [np.ascontiguousarray(target[channel]) for channel in present]
        swaps = list(mirrored) != sorted(mirrored)
        if swaps:
            sample |= _ramps(image.shape[:2])
        found = self._compose(**sample)
        moved = _from_unit(found["image"], image)
        out = np.zeros_like(target)
        for channel, mask in zip(present, found.get("masks", ())):
            out[channel] = mask
        if swaps and _is_mirrored(found["ramp_x"], found["ramp_y"]):
            out = out[list(mirrored)]
        return moved, out

    @cached_property
    def _compose(self) -> _Compose:
        A = load()
        own = copy.deepcopy(self.transform)
        compose: _Compose = own if isinstance(own, A.Compose) else A.Compose([own])
        if not self.hard and compose.mask_interpolation is None:
            compose.set_mask_interpolation(cv2.INTER_LINEAR)
        compose.add_targets({"ramp_x": "mask", "ramp_y": "mask"})
        return compose

    @cached_property
    def _moves(self) -> bool:
        return _has_dual(self._compose)


def load() -> ModuleType:
    """Import albumentations, 3.5 s, so only where it is needed, once per worker.

    Returns:
        The module.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network
    import albumentations

    return albumentations


def is_albumentations(transform: object) -> bool:
    """Whether an object is a transform or a Compose of albumentations, or derived from one.

    Args:
        transform: Anything.

    Returns:
        True if it is; albumentations is not imported to find out.
    """
    return any(kind.__module__.split(".")[0] == "albumentations" for kind in type(transform).__mro__)


def _has_dual(transform: object) -> bool:
    """Whether anything in it may move masks."""
    if hasattr(transform, "transforms"):
        return any(_has_dual(part) for part in transform.transforms)
    return not isinstance(transform, load().ImageOnlyTransform)


def _to_unit(image: np.ndarray) -> np.ndarray:
    """Float images in [0, 1], as albumentations takes them."""
    return np.ascontiguousarray(image) if image.dtype == np.uint8 else image / np.float32(255)


def _from_unit(found: np.ndarray, image: np.ndarray) -> np.ndarray:
    """What came back, in the scale and shape of the image that went in."""
    same = isinstance(found, np.ndarray) and found.dtype == image.dtype and found.size == image.size
    if same and found.shape in (image.shape, image.shape[:2]):
        found = found.reshape(image.shape)
        return found if image.dtype == np.uint8 else found * np.float32(255)
    got = f"{found.dtype} {tuple(found.shape)}" if hasattr(found, "dtype") else type(found).__name__
    raise ValueError(
        f"the transform made {got} of an image {image.dtype} {image.shape}: leave Normalize and ToTensorV2 out, the "
        "ImageSpec normalises; for windows of large images see Crops and Tiles"
    )


def _ramps(size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Masks that grow to the right and downwards: what becomes of them tells whether the sample was mirrored."""
    rows, columns = (np.linspace(1, 255, side).astype(np.uint8) for side in size)
    return {
        "ramp_x": np.ascontiguousarray(np.broadcast_to(columns, size)),
        "ramp_y": np.ascontiguousarray(np.broadcast_to(rows[:, None], size)),
    }


def _is_mirrored(ramp_x: np.ndarray, ramp_y: np.ndarray) -> bool:
    """Whether right and down have changed their sense of rotation."""
    y, x = np.nonzero((ramp_x > 0) & (ramp_y > 0))
    if len(x) < 3:
        return False
    away = [part - part.mean() for part in (x, y, ramp_x[y, x].astype(float), ramp_y[y, x].astype(float))]
    right, down, moved_right, moved_down = away
    slopes = [float((a * b).sum()) for a in (moved_right, moved_down) for b in (right, down)]
    return slopes[0] * slopes[3] < slopes[1] * slopes[2]
