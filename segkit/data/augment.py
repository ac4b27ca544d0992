"""Augmentation for radiographs: frozen numbers in, one generator per sample, geometry by `segkit.geometry.warp`.

Left and right differ in a radiograph, so the mirror flip is done here: only who knows that a flip happened can swap
left-lung with right-lung. There is no vertical flip: nobody is X-rayed upside down. Tone, noise and blur are
albumentations'.
"""

from __future__ import annotations

import ast
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from segkit.files import nearest
from segkit.geometry.warp import Warp, warp

Augmentation = Callable[[np.ndarray, np.ndarray, np.random.Generator, Sequence[int]], tuple[np.ndarray, np.ndarray]]
"""(image, target, generator, mirrored channel order) -> (image, target): as a dataset takes it."""


@dataclass(frozen=True)
class Augment:
    """What happens to one sample; `dataclasses.replace(medium(), rotate=45)` makes a variant.

    hflip: probability of a mirror flip, channels swapped with it. rotate: degrees to either side. scale: to 1
    +- scale. shift: share of the side, to either side. bend: by what share lengths change at most, locally, in a
    smooth random field. tone: brightness and contrast by +- tone, gamma in 1 / (1 + 2 tone) to 1 + 2 tone. clahe:
    clip limit of a local equalisation, 1 to this. noise: standard deviation as a share of white, at most. blur:
    Gaussian sigma in pixels of the grid, at most. extra: albumentations transforms that come last. 0 leaves a step
    out. rotate, scale and shift happen together, in 4 of 5 samples; bend in 1 of 3; tone in 3 of 4; clahe, noise and
    blur in 1 of 4. ValueError for a number outside its range.

    Called with (image uint8 (h, w), target uint8 (C, h, w) of coverage 0..255, generator, mirrored) -> new
    arrays of the same shapes. Everything random is drawn from the generator. `mirrored` is the channel order
    after a flip. Where the rings of an annotation are at hand, `geometry` and `finish` are the two halves of it, and
    the target is drawn in between, under the warp, instead of being resampled: SegmentationData does so.
    """

    hflip: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    bend: float = 0.0
    tone: float = 0.0
    clahe: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    extra: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        most = {"hflip": 1, "rotate": 180, "scale": 0.9, "bend": 0.8, "tone": 1, "noise": 1}
        for name in ("hflip", "rotate", "scale", "shift", "bend", "tone", "clahe", "noise", "blur"):
            if not 0 <= getattr(self, name) <= most.get(name, np.inf):
                upper = f" to {most[name]}" if name in most else " or more"
                raise ValueError(f"{name}={getattr(self, name)}: 0{upper} is wanted")
        if 0 < self.clahe < 1:
            raise ValueError(f"clahe={self.clahe}: a clip limit of at least 1, or 0 for none, is wanted")

    def __call__(
        self, image: np.ndarray, target: np.ndarray, generator: np.random.Generator, mirrored: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        moved = self.geometry(image.shape, generator)
        if moved is not None:
            image, target = moved.image(image), moved.masks(target)
        return self.finish(image, target, generator, mirrored)

    def geometry(
        self, size: tuple[int, ...], generator: np.random.Generator, *, shape: tuple[int, int] | None = None
    ) -> Warp | None:
        """The warp of one sample on a grid `size` over an image of `shape`; None where it stays as it is."""
        size, draw = (size[0], size[1]), generator.uniform
        moves = generator.random() < 0.8 and bool(self.rotate or self.scale or self.shift)
        bends = generator.random() < 1 / 3 and bool(self.bend)
        if not moves and not bends:
            return None
        placed: dict[str, Any] = {}
        if moves:
            placed = {
                "rotate": draw(-self.rotate, self.rotate),
                "scale": draw(1 - self.scale, 1 + self.scale),
                "shift": tuple(draw(-self.shift, self.shift, 2)),
            }
        bend = draw(0, self.bend) if bends else 0.0
        return warp(size, shape=shape, bend=bend, generator=generator, **placed)

    def finish(
        self, image: np.ndarray, target: np.ndarray, generator: np.random.Generator, mirrored: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """What comes after the geometry: flip, tone, noise, blur, extra. -> new arrays."""
        if generator.random() < self.hflip:
            image, target = image[:, ::-1], target[list(mirrored), :, ::-1]
        image = np.array(image)
        if self.extra:  # these may move things: the masks go with them, empty ones excepted, which stay empty
            present = [plane for plane in range(len(target)) if target[plane].any()]
            sample: dict[str, Any] = {"image": image}
            if present:
                sample["masks"] = [np.ascontiguousarray(target[plane]) for plane in present]
            sample = self._drawn(generator)(**sample)
            out = np.zeros_like(target)
            for plane, mask in zip(present, sample.get("masks", ())):
                out[plane] = mask
            return sample["image"], out
        if self.tone or self.clahe or self.noise or self.blur:
            image = self._drawn(generator)(image=image)["image"]
        return image, np.array(target)

    def _drawn(self, generator: np.random.Generator) -> Any:
        # Not set_random_seed: it gives every transform a generator of its own with the same seed, and then
        # blur happens exactly where noise does, in amounts that move together.
        self._compose.set_random_state(generator, random.Random(int(generator.integers(2**63))))
        return self._compose

    @cached_property
    def _compose(self) -> Any:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network
        import albumentations as A  # 3.5 s, so only where it is needed, once per worker

        steps: list[Any] = []
        if self.tone:
            limit, gamma = (-self.tone, self.tone), 1 + 2 * self.tone
            steps.append(A.RandomBrightnessContrast(limit, limit, p=0.75))
            steps.append(A.RandomGamma((100 / gamma, 100 * gamma), p=0.75))
        if self.clahe:
            steps.append(A.CLAHE((1, self.clahe), (8, 8), p=0.25))
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


PRESETS: dict[str, Callable[[], Augment]] = {"none": Augment, "light": light, "medium": medium, "strong": strong}


def build(text: str) -> Augment | None:
    """An augmentation from text: a name of PRESETS, or one with other numbers. None where nothing is left to do.

    ValueError names what there is near a misspelt preset or number.

    >>> build("medium(clahe=2.0, bend=0.1)") == replace(medium(), clahe=2.0, bend=0.1)
    True
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        settings: dict[str, Any] = {}
        if isinstance(node, ast.Call) and not node.args:
            settings, node = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}, node.func
        if not isinstance(node, ast.Name):
            raise ValueError
    except (SyntaxError, ValueError):
        raise ValueError(
            f"cannot read the augmentation {text!r}; write it like 'medium(clahe=2.0, bend=0.1)'"
        ) from None
    if node.id not in PRESETS:
        raise ValueError(f"no augmentation {node.id!r}; {nearest(node.id, PRESETS)}")
    known = [field.name for field in fields(Augment) if field.name != "extra"]
    for name, value in settings.items():
        if name not in known:
            raise ValueError(f"{node.id} has no setting {name!r}; {nearest(name, known)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{text}: {name} is a number, got {value!r}")
    found = replace(PRESETS[node.id](), **settings)
    return None if found == Augment() else found
