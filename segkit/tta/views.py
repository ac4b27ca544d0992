"""Views of an image: steps one after another, read from text, told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from segkit.files import nearest
from segkit.tta.steps import STEPS, SYMMETRIES, Multiply, Rotate, Size, Step, Symmetry

PRESETS = {"none": ("identity",), "d4": tuple(SYMMETRIES)}


@dataclass(frozen=True)
class View:
    """Steps done to an image one after another; equal views do the same.

    name: as `as_views` reads it. mirrored: an odd number of mirrors, so that left and right are exchanged. partial:
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


def as_views(spec: str | View | Iterable[str | View]) -> tuple[View, ...]:
    """Different views, in order: text such as "d4, hflip*scale(1.25), rotate(-5)", or a list of such.

    Names are the eight symmetries of the square ("identity", "hflip", "vflip", "rot90", "rot180", "rot270",
    "transpose", "antitranspose"), `rotate(degrees)`, `scale(factor)`, `shift(down, right)` in shares of the sides,
    `gamma(exponent)`, `multiply(factor)`, "none" and "d4"; `*` does one after the other. What does the same is one
    view, in whatever order it is written: symmetries come first, factors last, and turns that follow each other are
    one turn. ValueError for what cannot be read, with its neighbours, and for steps that do nothing.

    >>> [view.name for view in as_views("none, hflip*vflip, rot180, scale(1.5)*hflip, hflip*scale(1.5)")]
    ['identity', 'rot180', 'hflip*scale(1.5)']
    """
    given: list[Any] = [spec] if isinstance(spec, (str, View)) else list(spec) if isinstance(spec, Iterable) else [None]
    if not all(isinstance(one, (str, View)) for one in given):
        raise ValueError(f"views={spec!r}: text such as 'hflip, scale(1.25)', or a list of such, is wanted")
    found: dict[tuple[Step, ...], View] = {}
    for one in given:
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
    wanted = [field.name for field in fields(STEPS[name])]
    try:
        numbers = [float(number) for number in found[2].split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(wanted):
        raise ValueError(f"view {view!r}: {name}({', '.join(wanted)}) is wanted, in numbers")
    return STEPS[name](*numbers)


def _view(steps: Sequence[Step]) -> View:
    """The normal form: one symmetry, then what turns, scales, moves and bends tones, then one factor.

    Symmetries change places with every step (`behind`), factors with all of them unchanged; turns that follow each
    other are one, if it is one that `rotate` takes. What does nothing is left out.
    """
    rest: list[Any] = []
    first, factor = SYMMETRIES["identity"], 1.0
    for step in steps:
        if isinstance(step, Symmetry):
            first, rest = first.then(step), [each.behind(step) for each in rest]
        elif isinstance(step, Multiply):
            factor = _rounded(factor * step.factor)
        else:
            rest.append(step)
    kept: list[Step] = [] if first == SYMMETRIES["identity"] else [first]
    for kind, run in groupby(rest, type):
        same = list(run)
        if kind is Rotate and abs(turn := _rounded(sum(each.degrees for each in same))) <= 45:
            same = [Rotate(turn)] if turn else []
        kept += same
    kept += [] if factor == 1 else [Multiply(factor)]
    return View("*".join(map(_name, kept)) or "identity", tuple(kept))


def _rounded(value: float) -> float:
    """Without what sums and products of decimals leave behind the twelfth digit."""
    return float(f"{value:.12g}")


def _name(step: Step) -> str:
    if isinstance(step, Symmetry):
        return next(name for name, other in SYMMETRIES.items() if other == step)
    name = next(name for name, kind in STEPS.items() if kind is type(step))
    return f"{name}({', '.join(f'{value:g}' for value in vars(step).values())})"
