"""ttach's transforms as steps of segkit's views: the one module that knows ttach.

Flips, quarter turns, factors and sums become the steps that text names. Scale and Resize keep ttach's interpolation
and its sizes, but come back at the size of the image, where ttach loses pixels of odd sizes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

from torch import Tensor
from torch.nn import functional as F

from segkit.tta._steps import SYMMETRIES, Add, Multiply, Size, Step, Symmetry

HELP = "HorizontalFlip, VerticalFlip, Rotate90, Scale, Resize, Multiply and Add are understood"


def is_compose(value: object) -> bool:
    """Tell whether a value is a `ttach.Compose`.

    Args:
        value: Anything.

    Returns:
        False without an import of ttach: its objects exist only where it was imported.
    """
    ttach = sys.modules.get("ttach")
    return ttach is not None and isinstance(value, ttach.Compose)


def is_transform(value: object) -> bool:
    """Tell whether a value is one of ttach's transforms.

    Args:
        value: Anything.

    Returns:
        False without an import of ttach.
    """
    base = sys.modules.get("ttach.base")
    return base is not None and isinstance(value, base.BaseTransform)


def steps_of(transforms: Sequence[Any]) -> list[list[Step]]:
    """Read ttach's transforms as views: every combination of their parameters, in ttach's order.

    Args:
        transforms: Transforms that follow each other, `compose.aug_transforms`.

    Returns:
        The steps of each combination; what does nothing is left out.

    Raises:
        ValueError: For a transform that cannot be undone on masks, or is not ttach's own.
    """
    choices = [[_step(transform, value) for value in transform.params] for transform in transforms]
    return [[step for step in steps if step is not None] for steps in product(*choices)]


@dataclass(frozen=True)
class _Interpolated:
    """A resize with ttach's interpolation; it does not change places with flips, as "nearest" is not symmetric."""

    interpolation: str
    align_corners: bool | None
    mirrored = partial = False

    def size(self, size: Size) -> Size:
        raise NotImplementedError

    def apply(self, image: Tensor) -> Tensor:
        return self._resized(image, self.size((image.shape[-2], image.shape[-1])))

    def undo(self, out: Tensor, size: Size, image_size: Size, fill: str) -> Tensor:
        return self._resized(out, size)

    def commuted(self, symmetry: Symmetry) -> None:
        return None

    def _resized(self, x: Tensor, size: Size) -> Tensor:
        return F.interpolate(x, size=size, mode=self.interpolation, align_corners=self.align_corners)


@dataclass(frozen=True)
class _TtachScale(_Interpolated):
    """One scale of `ttach.Scale`."""

    scale: float

    def size(self, size: Size) -> Size:
        return max(1, int(size[0] * self.scale)), max(1, int(size[1] * self.scale))

    def __str__(self) -> str:
        return f"ttach.Scale({self.scale:g}, {self.interpolation})"


@dataclass(frozen=True)
class _TtachResize(_Interpolated):
    """One size of `ttach.Resize`."""

    target: Size

    def size(self, size: Size) -> Size:
        return self.target

    def __str__(self) -> str:
        return f"ttach.Resize({self.target[0]}, {self.target[1]}, {self.interpolation})"


class _Resizing(Protocol):
    """What `ttach.Scale` and `ttach.Resize` know."""

    interpolation: str
    align_corners: bool | None
    original_size: Size | None  # of Resize


def _step(transform: object, value: object) -> Step | None:
    """The step of a transform with one of its parameters; None where it leaves the image as it is."""
    name = type(transform).__name__
    if not type(transform).__module__.startswith("ttach.") or name not in _READERS:
        raise ValueError(f"{type(transform).__module__}.{name} cannot be a view: {HELP}; write others as segkit's text")
    step: Step | None = _READERS[name](transform, value)
    return step


def _quarter_turns(transform: object, angle: float) -> Step | None:
    """One angle of `ttach.Rotate90`."""
    if angle % 90:
        raise ValueError(
            f"ttach.Rotate90 got the angle {angle}; expected multiples of 90 (for others: 'rotate({angle})')"
        )
    turns = int(angle) // 90 % 4
    return Symmetry(False, turns) if turns else None


def _scale(transform: _Resizing, scale: float) -> Step | None:
    """One scale of `ttach.Scale`."""
    if not scale > 0:
        raise ValueError(f"ttach.Scale got {scale}; expected a scale above 0")
    return None if scale == 1 else _TtachScale(transform.interpolation, transform.align_corners, scale)


def _resize(transform: _Resizing, size: Size) -> Step | None:
    """One size of `ttach.Resize`."""
    if transform.original_size is not None and tuple(size) == tuple(transform.original_size):
        return None
    return _TtachResize(transform.interpolation, transform.align_corners, (int(size[0]), int(size[1])))


_READERS: dict[str, Any] = {
    "HorizontalFlip": lambda _, apply: SYMMETRIES["hflip"] if apply else None,
    "VerticalFlip": lambda _, apply: SYMMETRIES["vflip"] if apply else None,
    "Rotate90": _quarter_turns,
    "Scale": _scale,
    "Resize": _resize,
    "Multiply": lambda _, factor: None if factor == 1 else Multiply(factor),
    "Add": lambda _, value: None if value == 0 else Add(value),
}
