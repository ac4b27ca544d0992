"""Views of an image: steps one after another, read from text or from ttach, told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from segkit.files import nearest
from segkit.tta import ttach_views
from segkit.tta._steps import STEPS, SYMMETRIES, Add, Multiply, Rotate, Size, Step, Symmetry

PRESETS = {"none": ("identity",), "d4": tuple(SYMMETRIES)}


@dataclass(frozen=True)
class View:
    """Steps that are done to an image one after another; equal views do the same.

    Attributes:
        name: The view in words, as `as_views` reads it; scales of ttach's have names that it does not read.
        steps: What is done, in this order.
    """

    name: str
    steps: tuple[Step, ...]

    @property
    def mirrored(self) -> bool:
        """Whether there is an odd number of mirrors, so that left and right are exchanged."""
        return sum(step.mirrored for step in self.steps) % 2 == 1

    @property
    def partial(self) -> bool:
        """Whether something of the image leaves the frame."""
        return any(step.partial for step in self.steps)

    def apply(self, image: Tensor) -> Tensor:
        """Transform images.

        Args:
            image: Shape (N, channels, H, W).

        Returns:
            The images as the network is to see them.
        """
        for step in self.steps:
            image = step.apply(image)
        return image

    def undo(self, out: Tensor, size: Size, image_size: Size, *, fill: str = "border") -> Tensor:
        """Bring a prediction for the view back onto the pixels of the image.

        Args:
            out: The prediction, float, shape (N, C, h, w).
            size: (h, w) of the result.
            image_size: (H, W) of the image.
            fill: Values of pixels that the view did not see: "border", the nearest that it saw, or "zeros".

        Returns:
            float, shape (N, C, *size).
        """
        sizes, image_sizes = [size], [image_size]
        for step in self.steps:
            sizes.append(step.size(sizes[-1]))
            image_sizes.append(step.size(image_sizes[-1]))
        for index in range(len(self.steps) - 1, -1, -1):
            out = self.steps[index].undo(out, sizes[index], image_sizes[index], fill)
        return out

    def seen(self, size: Size, image_size: Size, device: torch.device) -> Tensor | None:
        """Tell which pixels of the result the view saw.

        Args:
            size: (h, w) of the result.
            image_size: (H, W) of the image.
            device: Where the answer shall be.

        Returns:
            bool (h, w); None where it saw all of them.
        """
        if not self.partial:
            return None
        ones = torch.ones(1, 1, *size, device=device)
        for step in self.steps:  # as large as the network's output
            ones = ones.new_ones(1, 1, *step.size((ones.shape[2], ones.shape[3])))
        return self.undo(ones, size, image_size, fill="zeros")[0, 0] > 0.999


def as_views(spec: object) -> tuple[View, ...]:
    """Read different views, in order, from text, from ttach's transforms, or from a list of such.

    Names are the eight symmetries of the square ("identity", "hflip", "vflip", "rot90", "rot180", "rot270",
    "transpose", "antitranspose"), `rotate(degrees)`, `scale(factor)`, `shift(down, right)` in shares of the sides,
    `gamma(exponent)`, `multiply(factor)`, `add(value)`, "none" and "d4"; `*` does one after the other. What does the
    same is one view, in whatever order it is written: symmetries come first, factors and sums last, and rotations that
    follow each other are one rotation.

    Args:
        spec: Text such as "d4, hflip*scale(1.25), rotate(-5)"; a `View`; a `ttach.Compose`, one of `ttach.aliases`
            included; a ttach transform or a list of them, which stands for their Compose; or a list of texts, views
            and Composes, of which each adds its views.

    Returns:
        The views, each once.

    Raises:
        ValueError: For what cannot be read, with its neighbours; for steps that do nothing; and for transforms of
            ttach that cannot be undone on masks.

    Example:
        >>> [view.name for view in as_views("none, hflip*vflip, rot180, scale(1.5)*hflip, hflip*scale(1.5)")]
        ['identity', 'rot180', 'hflip*scale(1.5)']
        >>> import ttach
        >>> [view.name for view in as_views(ttach.aliases.flip_transform())]
        ['identity', 'vflip', 'hflip', 'rot180']
    """
    single = isinstance(spec, (str, View)) or ttach_views.is_compose(spec) or ttach_views.is_transform(spec)
    given: list[Any] = [spec] if single else list(spec) if isinstance(spec, Iterable) else [None]
    if given and all(ttach_views.is_transform(item) for item in given):
        read = [_view(steps) for steps in ttach_views.steps_of(given)]
    else:
        read = [view for item in given for view in _read_item(item, spec)]
    different: dict[tuple[Step, ...], View] = {}
    for view in read:
        different.setdefault(view.steps, view)
    return tuple(different.values())


def _read_item(item: object, spec: object) -> Iterable[View]:
    """The views of one text, View or Compose."""
    if isinstance(item, View):
        return [item]
    if isinstance(item, str):
        return _read_text(item)
    if ttach_views.is_compose(item):
        compose: Any = item
        return [_view(steps) for steps in ttach_views.steps_of(compose.aug_transforms)]
    if ttach_views.is_transform(item):
        raise ValueError(f"{type(item).__name__} stands among other views; wrap it: ttach.Compose([...])")
    raise ValueError(
        f"expected views as text such as 'hflip, scale(1.25)', as a ttach.Compose, or a list, got {spec!r}"
    )


def _read_text(text: str) -> Iterable[View]:
    """Views of a text with commas between them."""
    for name in re.split(r",(?![^()]*\))", text):
        for each in PRESETS.get(name.strip(), (name,)):
            yield _view([_read_step(part.strip(), each.strip()) for part in each.split("*")])


def _read_step(text: str, view: str) -> Step:
    """One step of a view's text."""
    match = re.fullmatch(r"(\w+)(?:\(([^()]*)\))?", text)
    name = match[1] if match else text
    if name in SYMMETRIES and match and match[2] is None:
        return SYMMETRIES[name]
    if name not in STEPS or not match or match[2] is None:
        known = [*SYMMETRIES, *PRESETS, *STEPS]
        hint = f"{name} needs numbers: {name}(...)" if name in STEPS else nearest(name, known)
        raise ValueError(f"no view {view!r}: {hint}")
    parameters = [field.name for field in fields(STEPS[name])]
    try:
        numbers = [float(number) for number in match[2].split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != len(parameters):
        raise ValueError(f"view {view!r}: expected {name}({', '.join(parameters)}), in numbers")
    step: Step = STEPS[name](*numbers)
    return step


def _view(steps: Sequence[Step]) -> View:
    """The normal form: one symmetry, then rotations, scales, shifts and gammas, then one factor and one sum.

    Symmetries change places with every step that can (`commuted`), factors and sums with all of them; rotations that
    follow each other are one, if it is one that `rotate` takes. What does nothing is left out.
    """
    rest: list[Step] = []
    first, factor, offset = SYMMETRIES["identity"], 1.0, 0.0
    for step in steps:
        if isinstance(step, Symmetry):
            exchanged = [each.commuted(step) for each in rest]
            if all(each is not None for each in exchanged):
                first, rest = first.then(step), [each for each in exchanged if each is not None]
            elif isinstance(last := rest[-1], Symmetry):
                rest[-1:] = [joined] if (joined := last.then(step)) != SYMMETRIES["identity"] else []
            elif step != SYMMETRIES["identity"]:
                rest.append(step)
        elif isinstance(step, Multiply):
            factor, offset = _rounded(factor * step.factor), _rounded(offset * step.factor)
        elif isinstance(step, Add):
            offset = _rounded(offset + step.value)
        else:
            rest.append(step)
    kept: list[Step] = [] if first == SYMMETRIES["identity"] else [first]
    for kind, run in groupby(rest, type):
        same = list(run)
        if kind is Rotate:
            degrees = _rounded(sum(each.degrees for each in same if isinstance(each, Rotate)))
            if abs(degrees) <= 45:
                same = [Rotate(degrees)] if degrees else []
        kept += same
    kept += [] if factor == 1 else [Multiply(factor)]
    kept += [] if offset == 0 else [Add(offset)]
    return View("*".join(map(_name, kept)) or "identity", tuple(kept))


def _rounded(value: float) -> float:
    """Without what sums and products of decimals leave behind the twelfth digit."""
    return float(f"{value:.12g}")


def _name(step: Step) -> str:
    """The step as text."""
    if isinstance(step, Symmetry):
        return next(name for name, other in SYMMETRIES.items() if other == step)
    for name, kind in STEPS.items():
        if type(step) is kind:
            return f"{name}({', '.join(f'{value:g}' for value in vars(step).values())})"
    return str(step)
