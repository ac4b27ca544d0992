"""Views of an image that undo themselves on what a network made of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from segkit.files import nearest

Size = tuple[int, int]


class Step(Protocol):
    """One thing that is done to an image. Fill: "border" repeats the edge where nothing was seen, "zeros" leaves 0."""

    @property
    def mirrored(self) -> bool: ...
    @property
    def partial(self) -> bool: ...
    def apply(self, image: Tensor) -> Tensor: ...
    def size(self, size: Size) -> Size: ...
    def undo(self, out: Tensor, size: Size, shown: Size, fill: str) -> Tensor: ...


@dataclass(frozen=True)
class Symmetry:
    """A mirror flip (or none), then quarter turns against the clock: the eight of the square."""

    mirrored: bool
    turns: int
    partial = False

    def apply(self, image: Tensor) -> Tensor:
        return torch.rot90(image.flip(-1) if self.mirrored else image, self.turns, (-2, -1))

    def size(self, size: Size) -> Size:
        return (size[1], size[0]) if self.turns % 2 else size

    def undo(self, out: Tensor, size: Size, shown: Size, fill: str) -> Tensor:
        out = torch.rot90(out, -self.turns, (-2, -1))
        return out.flip(-1) if self.mirrored else out

    def then(self, other: Symmetry) -> Symmetry:
        """Both as one."""
        turns = other.turns + (-self.turns if other.mirrored else self.turns)
        return Symmetry(self.mirrored != other.mirrored, turns % 4)


class _Whole:
    """What keeps every pixel's place and sees the whole image."""

    mirrored = partial = False

    def size(self, size: Size) -> Size:
        return size

    def undo(self, out: Tensor, size: Size, shown: Size, fill: str) -> Tensor:
        return out


@dataclass(frozen=True)
class Rotate(_Whole):
    """A turn by degrees against the clock around the middle, in the image's own frame."""

    degrees: float
    partial = True

    def __post_init__(self) -> None:
        if not 0 < abs(self.degrees) <= 45:
            raise ValueError(f"rotate({self.degrees:g}): -45 to 45 degrees, not 0, are wanted; further take rot90")

    def apply(self, image: Tensor) -> Tensor:
        return _turned(image, self.degrees, "border")

    def undo(self, out: Tensor, size: Size, shown: Size, fill: str) -> Tensor:
        return _turned(out, -self.degrees, fill)


@dataclass(frozen=True)
class Scale(_Whole):
    """The whole image, larger or smaller."""

    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf or self.factor == 1:
            raise ValueError(f"scale({self.factor:g}): a factor above 0, not 1, is wanted")

    def size(self, size: Size) -> Size:
        return max(1, round(size[0] * self.factor)), max(1, round(size[1] * self.factor))

    def apply(self, image: Tensor) -> Tensor:
        return _resized(image, self.size((image.shape[-2], image.shape[-1])))

    def undo(self, out: Tensor, size: Size, shown: Size, fill: str) -> Tensor:
        return _resized(out, size)


@dataclass(frozen=True)
class Shift(_Whole):
    """Down and right by shares of the sides, in whole pixels."""

    down: float
    right: float
    partial = True

    def __post_init__(self) -> None:
        if not (abs(self.down) < 1 and abs(self.right) < 1) or self.down == self.right == 0:
            raise ValueError(f"shift({self.down:g}, {self.right:g}): shares of the sides in (-1, 1), not both 0")

    def apply(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        return _moved(image, round(self.down * height), round(self.right * width), "border")

    def undo(self, out: Tensor, size: Size, shown: Size, fill: str) -> Tensor:
        down, right = (round(round(a * n) * m / n) for a, n, m in zip((self.down, self.right), shown, size))
        return _moved(out, -down, -right, fill)


@dataclass(frozen=True)
class Gamma(_Whole):
    """Each image between its own extremes raised to a power, with its old mean and spread again."""

    exponent: float

    def __post_init__(self) -> None:
        if not 0 < self.exponent < math.inf or self.exponent == 1:
            raise ValueError(f"gamma({self.exponent:g}): an exponent above 0, not 1, is wanted")

    def apply(self, image: Tensor) -> Tensor:
        least, most = image.amin((1, 2, 3), keepdim=True), image.amax((1, 2, 3), keepdim=True)
        new = ((image - least) / (most - least).clamp(min=1e-12)) ** self.exponent
        spread, old = (x.std((1, 2, 3), keepdim=True, correction=0) for x in (new, image))
        centred = (new - new.mean((1, 2, 3), keepdim=True)) * (old / spread.clamp(min=1e-12))
        return centred + image.mean((1, 2, 3), keepdim=True)


@dataclass(frozen=True)
class Multiply(_Whole):
    """Every value times a factor: of an image normalised to mean 0, its contrast."""

    factor: float

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf or self.factor == 1:
            raise ValueError(f"multiply({self.factor:g}): a factor above 0, not 1, is wanted")

    def apply(self, image: Tensor) -> Tensor:
        return image * self.factor


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
STEPS: dict[str, Callable[..., Step]] = {
    "rotate": Rotate,
    "scale": Scale,
    "shift": Shift,
    "gamma": Gamma,
    "multiply": Multiply,
}
PRESETS = {"none": ("identity",), "d4": tuple(SYMMETRIES)}


@dataclass(frozen=True)
class View:
    """Steps done to an image one after another; equal views do the same.

    name: as `views` reads it. mirrored: an odd number of mirrors, so that left and right are exchanged. partial:
    something of the image leaves the frame.
    """

    name: str
    steps: tuple[Step, ...]

    @property
    def mirrored(self) -> bool:
        return sum(step.mirrored for step in self.steps) % 2 == 1

    @property
    def partial(self) -> bool:
        return any(step.partial for step in self.steps)

    def apply(self, image: Tensor) -> Tensor:
        """The image (N, channels, H, W) as the network is to see it."""
        for step in self.steps:
            image = step.apply(image)
        return image

    def undo(self, out: Tensor, size: Size, shown: Size, *, fill: str = "border") -> Tensor:
        """What a network made of the view, float (N, C, h, w), on the pixels of the image again.

        size: of the result; shown: (H, W) of the image. fill: of pixels that the view did not see, "border" (the
        nearest that it saw) or "zeros".
        """
        sizes, seen = [size], [shown]
        for step in self.steps:
            sizes.append(step.size(sizes[-1]))
            seen.append(step.size(seen[-1]))
        for place in range(len(self.steps) - 1, -1, -1):
            out = self.steps[place].undo(out, sizes[place], seen[place], fill)
        return out

    def seen(self, size: Size, shown: Size, device: torch.device) -> Tensor | None:
        """bool (h, w): the pixels of the result that the view saw; None where it saw all."""
        if not self.partial:
            return None
        ones = torch.ones(1, 1, *size, device=device)
        for step in self.steps:  # as large as the network's output
            ones = ones.new_ones(1, 1, *step.size((ones.shape[2], ones.shape[3])))
        return self.undo(ones, size, shown, fill="zeros")[0, 0] > 0.999


def views(spec: str | View | Iterable[str | View]) -> tuple[View, ...]:
    """Different views, in order: text such as "d4, hflip*scale(1.25), rotate(-5)", or a list of such.

    Names are the eight symmetries of the square ("identity", "hflip", "vflip", "rot90", "rot180", "rot270",
    "transpose", "antitranspose"), `rotate(degrees)`, `scale(factor)`, `shift(down, right)` in shares of the sides,
    `gamma(exponent)`, `multiply(factor)`, "none" and "d4"; `*` does one after the other. What does the same is one
    view. ValueError for what cannot be read, with its neighbours, and for steps that do nothing.

    >>> [view.name for view in views("none, hflip*vflip, rot180, hflip*scale(1.5)")]
    ['identity', 'rot180', 'hflip*scale(1.5)']
    """
    found: dict[tuple[Step, ...], View] = {}
    for one in [spec] if isinstance(spec, (str, View)) else spec:
        for view in [one] if isinstance(one, View) else _read(one):
            found.setdefault(view.steps, view)
    return tuple(found.values())


def _read(text: str) -> Iterable[View]:
    """Views of a text with commas between them."""
    for name in re.split(r",(?![^()]*\))", text):
        for each in PRESETS.get(name.strip(), (name,)):
            yield _view([_step(part.strip(), each.strip()) for part in each.split("*")])


def _step(text: str, view: str) -> Step:
    found = re.fullmatch(r"(\w+)(?:\(([^()]*)\))?", text)
    name = found[1] if found else text
    if name in SYMMETRIES and found and found[2] is None:
        return SYMMETRIES[name]
    if name not in STEPS or not found or found[2] is None:
        known = [*SYMMETRIES, *PRESETS, *STEPS]
        hint = f"{name} wants numbers: {name}(...)" if name in STEPS else nearest(name, known)
        raise ValueError(f"no view {view!r}: {hint}")
    try:
        return STEPS[name](*(float(number) for number in found[2].split(",")))
    except TypeError as error:
        raise ValueError(f"view {view!r}: {error}") from error


def _view(steps: Sequence[Step]) -> View:
    """Neighbouring symmetries as one, those that do nothing left out."""
    kept: list[Step] = []
    for step in steps:
        last = kept[-1] if kept else None
        if isinstance(step, Symmetry) and isinstance(last, Symmetry):
            kept[-1] = step = last.then(step)
        else:
            kept.append(step)
        if step == SYMMETRIES["identity"]:
            kept.pop()
    return View("*".join(map(_name, kept)) or "identity", tuple(kept))


def _name(step: Step) -> str:
    if isinstance(step, Symmetry):
        return next(name for name, other in SYMMETRIES.items() if other == step)
    name = next(name for name, kind in STEPS.items() if kind is type(step))
    return f"{name}({', '.join(f'{value:g}' for value in vars(step).values())})"


def _turned(x: Tensor, degrees: float, fill: str) -> Tensor:
    """Bilinear, in the frame's own pixels, around its middle."""
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
    for axis, by in ((2, down), (3, right)):
        side = x.shape[axis]
        places = torch.arange(side, device=x.device) - by
        x = x.index_select(axis, places.clamp(0, side - 1))
        if fill == "zeros":
            outside = (places < 0) | (places >= side)
            x = x.masked_fill(outside.view(-1, 1) if axis == 2 else outside, 0)
    return x
