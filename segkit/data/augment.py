"""Augmentation: frozen numbers in, one generator per sample, geometry by `segkit.geometry.warp`.

Left and right differ in a radiograph, so flips are done here: only who knows that a flip happened can swap left-lung
with right-lung. Tone, colour, noise and blur are albumentations'.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from segkit.data.transforms import AlbumentationsTransform, is_albumentations, load
from segkit.files import nearest
from segkit.geometry.warp import Warp, warp


@dataclass(frozen=True)
class Augment:
    """What happens to one sample; `dataclasses.replace(medium(), rotate=45)` makes a variant.

    Where polygons of an annotation are at hand, `SegmentationData` draws targets between `geometry` and `finish`, under
    the warp, instead of resampling them. Everything random is drawn from the generator. Called as
    augment(image, target, generator, mirrored), with image uint8 or float32 (h, w, C), target uint8 (K, h, w) of
    coverage 0 to 255, and the channel order after a mirror flip, it resamples both and returns new arrays.

    Args:
        hflip: Probability of a mirror flip; channels that it exchanges are exchanged.
        vflip: Probability of an upside-down flip; a mirror flip as well.
        rot90: Probability of a turn by 90, 180 or 270 degrees, each as likely; the size must be square.
        rotate: Degrees, to either side.
        scale: Scaled by a factor of 1 +- scale.
        shift: Share of the side, to either side.
        bend: Share by which lengths change at most, locally, in a smooth random field.
        tone: Brightness and contrast by +- tone, gamma in 1 / (1 + 2 tone) to 1 + 2 tone.
        hue: Degrees on the colour circle, to either side; RGB images only.
        saturation: Saturation by +- a share of its range; RGB images only.
        clahe: Largest clip limit of a local equalisation, at least 1; grey and RGB images only.
        noise: Largest standard deviation, as a share of white.
        blur: Largest Gaussian sigma, in pixels at network resolution.
        extra: albumentations transforms that come last.

    A step of 0 is left out. rotate, scale and shift happen together, in 4 of 5 samples; bend in 1 of 3; tone, hue and
    saturation in 3 of 4; clahe, noise and blur in 1 of 4.

    Raises:
        ValueError: If a number is out of range.
    """

    hflip: float = 0.0
    vflip: float = 0.0
    rot90: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    bend: float = 0.0
    tone: float = 0.0
    hue: float = 0.0
    saturation: float = 0.0
    clahe: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    extra: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        for name in NUMBERS:
            if not 0 <= getattr(self, name) <= HIGHEST.get(name, np.inf):
                upper = f" to {HIGHEST[name]}" if name in HIGHEST else " or more"
                raise ValueError(f"{name}={getattr(self, name)}: expected 0{upper}")
        if 0 < self.clahe < 1:
            raise ValueError(f"clahe={self.clahe}: expected a clip limit of at least 1, or 0 for none")
        if is_albumentations(self.extra):  # a Compose is a sequence, and would lose its p
            object.__setattr__(self, "extra", (self.extra,))

    def __call__(
        self, image: np.ndarray, target: np.ndarray, generator: np.random.Generator, mirrored: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move and change an image and its target; see the class."""
        moved = self.geometry(image.shape[:2], generator)
        if moved is not None:
            image, target = moved.image(image), moved.masks(target)
        return self.finish(image, target, generator, mirrored)

    def check(self, channels: str | int, size: tuple[int, int]) -> None:
        """Refuse steps that images of this kind cannot have.

        Args:
            channels: `ImageSpec.channels`.
            size: (h, w) at network resolution.

        Raises:
            ValueError: For colour steps of images without colours, and quarter turns of a size that is not square.
        """
        for name in ("hue", "saturation"):
            if getattr(self, name) and channels != "rgb":
                raise ValueError(
                    f'{name}={getattr(self, name)}: expected ImageSpec("rgb"), the images are {channels!r}'
                )
        if self.clahe and channels not in ("grey", "rgb"):
            raise ValueError(f"clahe={self.clahe}: expected grey or RGB images, got {channels} channels")
        if self.rot90 and size[0] != size[1]:
            raise ValueError(f"rot90={self.rot90}: expected a square size, got {size}; use hflip and vflip")

    def geometry(
        self, size: tuple[int, ...], generator: np.random.Generator, *, shape: tuple[int, int] | None = None
    ) -> Warp | None:
        """Draw the warp of one sample.

        Args:
            size: (h, w) at network resolution.
            generator: What it is drawn from.
            shape: (H, W) of the image that is stretched over `size`; default `size`.

        Returns:
            The warp; None where the sample stays as it is.
        """
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
        """Do what comes after the geometry: flips, tone, colour, noise, blur, extra.

        Args:
            image: uint8 or float32 (h, w, C).
            target: uint8 (K, h, w).
            generator: What it is drawn from.
            mirrored: The channel order of the target after a mirror flip.

        Returns:
            (image, target), new arrays.
        """
        mirrors = 0
        if generator.random() < self.hflip:
            image, target, mirrors = image[:, ::-1], target[..., ::-1], mirrors + 1
        if self.vflip and generator.random() < self.vflip:
            image, target, mirrors = image[::-1], target[:, ::-1], mirrors + 1
        if self.rot90 and generator.random() < self.rot90:
            turns = int(generator.integers(1, 4))
            image, target = np.rot90(image, turns), np.rot90(target, turns, axes=(1, 2))
        if mirrors % 2:
            target = target[list(mirrored)]
        image, target = np.array(image), np.array(target)
        return (image, target) if self._pixels is None else self._pixels(image, target, generator, mirrored)

    @cached_property
    def _pixels(self) -> AlbumentationsTransform | None:
        """What albumentations does."""
        if not (self.tone or self.hue or self.saturation or self.clahe or self.noise or self.blur or self.extra):
            return None
        A = load()
        steps: list[Any] = []
        if self.tone:
            limit, gamma = (-self.tone, self.tone), 1 + 2 * self.tone
            steps.append(A.RandomBrightnessContrast(limit, limit, p=0.75))
            steps.append(A.RandomGamma((100 / gamma, 100 * gamma), p=0.75))
        if self.hue or self.saturation:
            hue, saturation = self.hue / 2, 255 * self.saturation  # OpenCV counts 180 hues
            steps.append(A.HueSaturationValue((-hue, hue), (-saturation, saturation), (0, 0), p=0.75))
        if self.clahe:
            steps.append(A.CLAHE((1, self.clahe), (8, 8), p=0.25))
        if self.noise:
            steps.append(A.GaussNoise(std_range=(0.0, self.noise), p=0.25))
        if self.blur:
            steps.append(A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, self.blur), p=0.25))
        return AlbumentationsTransform(A.Compose([*steps, *self.extra]))


NUMBERS = tuple(field.name for field in fields(Augment) if field.name != "extra")
HIGHEST = {"hflip": 1, "vflip": 1, "rot90": 1, "rotate": 180, "scale": 0.9, "bend": 0.8, "tone": 1, "hue": 180,
           "saturation": 1, "noise": 1}  # fmt: skip


def light(*, hflip: float = 0.5) -> Augment:
    """Small turns and shifts and a little tone: for short runs and large data.

    Args:
        hflip: Probability of a mirror flip.

    Returns:
        The preset.
    """
    return Augment(hflip=hflip, rotate=10, scale=0.08, shift=0.03, tone=0.15)


def medium(*, hflip: float = 0.5) -> Augment:
    """Turns up to 30 degrees, noise, blur: one training hand in ten is tilted, half of the test.

    Args:
        hflip: Probability of a mirror flip.

    Returns:
        The preset.
    """
    return Augment(hflip=hflip, rotate=30, scale=0.12, shift=0.05, tone=0.2, noise=0.04, blur=1.0)


def strong(*, hflip: float = 0.5) -> Augment:
    """Turns up to 45 degrees and mild bending too: for long runs on few images.

    Args:
        hflip: Probability of a mirror flip.

    Returns:
        The preset.
    """
    return Augment(hflip=hflip, rotate=45, scale=0.2, shift=0.08, bend=0.15, tone=0.3, noise=0.06, blur=1.5)


def colour(*, hflip: float = 0.5) -> Augment:
    """`medium` with hue and saturation: for RGB photographs and stained tissue.

    Args:
        hflip: Probability of a mirror flip.

    Returns:
        The preset.
    """
    return replace(medium(hflip=hflip), hue=20, saturation=0.2)


PRESETS: dict[str, Callable[[], Augment]] = {
    "none": Augment, "light": light, "medium": medium, "strong": strong, "colour": colour
}  # fmt: skip

FLIPS: dict[str, dict[str, float]] = {
    "horizontal": {"hflip": 0.5}, "vertical": {"vflip": 0.5}, "d4": {"hflip": 0.5, "rot90": 0.75}
}  # fmt: skip
"""What a recipe may declare of its images; "d4" makes all eight symmetries of the square as likely."""


def build(text: str, *, flips: Sequence[str] = ("horizontal",)) -> Augment | None:
    """Read an augmentation from text.

    Args:
        text: A name of PRESETS, or one with other numbers: "medium(clahe=2.0, bend=0.1)".
        flips: Names of FLIPS that every preset but "none" has, unless the text says another number.

    Returns:
        The augmentation; None where nothing is left to do.

    Raises:
        ValueError: For text that cannot be read; names what there is near a misspelt name.

    Example:
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
    for name, value in settings.items():
        if name not in NUMBERS:
            raise ValueError(f"{node.id} has no setting {name!r}; {nearest(name, NUMBERS)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{text}: {name} is a number, got {value!r}")
    flipped: dict[str, Any] = {}
    for flip in flips if node.id != "none" else ():
        if flip not in FLIPS:
            raise ValueError(f"no flip {flip!r}; {nearest(flip, FLIPS)}")
        flipped |= FLIPS[flip]
    unflipped = replace(PRESETS[node.id](), hflip=0.0)
    found = replace(unflipped, **{**flipped, **settings})
    return None if found == Augment() else found
