"""Steps: what can be done to an image and undone on what a network predicts for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]


class Step(Protocol):
    """One transform of an image and its inverse on a prediction."""

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged."""

    @property
    def partial(self) -> bool:
        """Whether something of the image leaves the frame."""

    def apply(self, image: Tensor) -> Tensor:
        """Transform images, shape (N, channels, H, W)."""

    def size(self, size: Size) -> Size:
        """Return what an image of this (H, W) becomes."""

    def undo(self, out: Tensor, size: Size, image_size: Size, fill: str) -> Tensor:
        """Bring a prediction (N, C, h, w) back.

        Args:
            out: The prediction for the transformed image, float.
            size: (h, w) of the result.
            image_size: (H, W) of the image before the step.
            fill: Values where nothing was seen: "border" repeats the edge, "zeros" leaves 0.
        """

    def commuted(self, symmetry: Symmetry) -> Step | None:
        """Return the step that does after `symmetry` what this one does before it; None where there is none."""


@dataclass(frozen=True)
class Symmetry:
    """One of the eight symmetries of the square: a horizontal flip or none, then quarter turns.

    Attributes:
        mirrored: Whether the image is flipped first.
        turns: Counter-clockwise quarter turns, 0 to 3.
    """

    mirrored: bool
    turns: int
    partial = False

    def apply(self, image: Tensor) -> Tensor:
        return torch.rot90(image.flip(-1) if self.mirrored else image, self.turns, (-2, -1))

    def size(self, size: Size) -> Size:
        return (size[1], size[0]) if self.turns % 2 else size

    def undo(self, out: Tensor, size: Size, image_size: Size, fill: str) -> Tensor:
        out = torch.rot90(out, -self.turns, (-2, -1))
        return out.flip(-1) if self.mirrored else out

    def then(self, other: Symmetry) -> Symmetry:
        """Return both as one: this, then the other."""
        turns = other.turns + (-self.turns if other.mirrored else self.turns)
        return Symmetry(self.mirrored != other.mirrored, turns % 4)

    def commuted(self, symmetry: Symmetry) -> None:
        """Return None: symmetries are joined, not exchanged."""


class _InPlace:
    """Base of steps that keep every pixel's place and see the whole image."""

    mirrored = partial = False

    def apply(self, image: Tensor) -> Tensor:
        raise NotImplementedError

    def size(self, size: Size) -> Size:
        return size

    def undo(self, out: Tensor, size: Size, image_size: Size, fill: str) -> Tensor:
        return out

    def commuted(self, symmetry: Symmetry) -> Step | None:
        return self


@dataclass(frozen=True)
class Rotate(_InPlace):
    """Rotation around the centre, inside the image's own frame.

    Attributes:
        degrees: Counter-clockwise, -45 to 45, not 0.
    """

    degrees: float
    partial = True

    def __post_init__(self) -> None:
        if not 0 < abs(self.degrees) <= 45:
            raise ValueError(f"rotate({self.degrees:g}): expected -45 to 45 degrees, not 0; for more use rot90")

    def apply(self, image: Tensor) -> Tensor:
        return _rotated(image, self.degrees, "border")

    def undo(self, out: Tensor, size: Size, image_size: Size, fill: str) -> Tensor:
        return _rotated(out, -self.degrees, fill)

    def commuted(self, symmetry: Symmetry) -> Rotate:
        return Rotate(-self.degrees) if symmetry.mirrored else self


@dataclass(frozen=True)
class Scale(_InPlace):
    """The whole image, larger or smaller; bilinear, area-weighted where it shrinks.

    Attributes:
        factor: Above 0, not 1.
    """

    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf or self.factor == 1:
            raise ValueError(f"scale({self.factor:g}): expected a factor above 0, not 1")

    def size(self, size: Size) -> Size:
        return max(1, round(size[0] * self.factor)), max(1, round(size[1] * self.factor))

    def apply(self, image: Tensor) -> Tensor:
        return _resized(image, self.size((image.shape[-2], image.shape[-1])))

    def undo(self, out: Tensor, size: Size, image_size: Size, fill: str) -> Tensor:
        return _resized(out, size)


@dataclass(frozen=True)
class Shift(_InPlace):
    """Translation in whole pixels.

    Attributes:
        down: Share of the height, in (-1, 1).
        right: Share of the width, in (-1, 1).
    """

    down: float
    right: float
    partial = True

    def __post_init__(self) -> None:
        if not (abs(self.down) < 1 and abs(self.right) < 1) or self.down == self.right == 0:
            raise ValueError(
                f"shift({self.down:g}, {self.right:g}): expected shares of the sides in (-1, 1), not both 0"
            )

    def apply(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        return _moved(image, round(self.down * height), round(self.right * width), "border")

    def undo(self, out: Tensor, size: Size, image_size: Size, fill: str) -> Tensor:
        down, right = (round(round(a * n) * m / n) for a, n, m in zip((self.down, self.right), image_size, size))
        return _moved(out, -down, -right, fill)

    def commuted(self, symmetry: Symmetry) -> Shift:
        down, right = self.down, -self.right if symmetry.mirrored else self.right
        for _ in range(symmetry.turns):
            down, right = -right, down
        return Shift(down + 0.0, right + 0.0)  # without -0


@dataclass(frozen=True)
class Gamma(_InPlace):
    """Each image between its own extremes raised to a power, its mean and standard deviation restored.

    Attributes:
        exponent: Above 0, not 1.
    """

    exponent: float

    def __post_init__(self) -> None:
        if not 0 < self.exponent < math.inf or self.exponent == 1:
            raise ValueError(f"gamma({self.exponent:g}): expected an exponent above 0, not 1")

    def apply(self, image: Tensor) -> Tensor:
        least, most = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
        new = ((image - least) / (most - least).clamp(min=1e-12)) ** self.exponent
        spread, old = (x.std((1, 2, 3), keepdim=True, correction=0) for x in (new, image))
        centred = (new - new.mean((1, 2, 3), keepdim=True)) * (old / spread.clamp(min=1e-12))
        return centred + image.mean((1, 2, 3), keepdim=True)


@dataclass(frozen=True)
class Multiply(_InPlace):
    """Every value times a factor: the contrast of an image that is normalised to mean 0.

    Attributes:
        factor: Above 0, not 1.
    """

    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf or self.factor == 1:
            raise ValueError(f"multiply({self.factor:g}): expected a factor above 0, not 1")

    def apply(self, image: Tensor) -> Tensor:
        return image * self.factor


@dataclass(frozen=True)
class Add(_InPlace):
    """A number added to every value: the brightness.

    Attributes:
        value: Finite, not 0; in units of the normalised image.
    """

    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value) or self.value == 0:
            raise ValueError(f"add({self.value:g}): expected a finite number, not 0")

    def apply(self, image: Tensor) -> Tensor:
        return image + self.value


SYMMETRIES = {
    "identity": Symmetry(False, 0),
    "rot90": Symmetry(False, 1),
    "rot180": Symmetry(False, 2),
    "rot270": Symmetry(False, 3),
    "hflip": Symmetry(True, 0),
    "transpose": Symmetry(True, 1),
    "vflip": Symmetry(True, 2),
    "antitranspose": Symmetry(True, 3),
}
STEPS: dict[str, type[Any]] = {
    "rotate": Rotate,
    "scale": Scale,
    "shift": Shift,
    "gamma": Gamma,
    "multiply": Multiply,
    "add": Add,
}


def _rotated(x: Tensor, degrees: float, fill: str) -> Tensor:
    """Bilinear, in the frame's own pixels, around its centre."""
    height, width = x.shape[-2:]
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    matrix = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
    theta = torch.tensor([matrix], dtype=x.dtype, device=x.device).expand(len(x), 2, 3)
    places = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, places, padding_mode=fill, align_corners=False)


def _resized(x: Tensor, size: Size) -> Tensor:
    """Bilinear with half pixels, area-weighted where it shrinks."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=True)


def _moved(x: Tensor, down: int, right: int, fill: str) -> Tensor:
    """Moved by whole pixels."""
    for axis, by in ((2, down), (3, right)):
        side = x.shape[axis]
        places = torch.arange(side, device=x.device) - by
        x = x.index_select(axis, places.clamp(0, side - 1))
        if fill == "zeros":
            outside = (places < 0) | (places >= side)
            x = x.masked_fill(outside.view(-1, 1) if axis == 2 else outside, 0)
    return x
