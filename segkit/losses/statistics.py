"""What is summed over pixels: functions of one pixel's logit and target, each with its slope."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class once:
    """functools.cached_property without its lock of Python 3.11, which torch.compile cannot see through."""

    def __init__(self, make: Callable[[Any], Tensor]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    def __get__(self, owner: Any, kind: type) -> Tensor:
        made = self.make(owner)
        setattr(owner, self.make.__name__, made)
        return made


class Pixels:
    """Logits and target of a batch or of a part of it, and what follows from them, each computed on demand and once.

    Everything is float32 from here on (float64 where logits are), whatever precision the network ran in.
    channels: which of how many classes these are; None for all.
    """

    def __init__(self, logits: Tensor, target: Tensor, channels: tuple[slice, int] | None = None) -> None:
        self.given_logits, self.given_target = logits, target
        self.dtype = torch.promote_types(logits.dtype, torch.float32)
        self.channels = channels or (slice(None), logits.shape[1])

    def per_class(self, name: str, values: float | Sequence[float]) -> Tensor:
        """One number for each class, to multiply maps by: (C, 1, 1). ValueError where they are not as many."""
        mine, classes = self.channels
        return per_class(name, values, self.logits, classes)[mine, None, None]

    @once
    def logits(self) -> Tensor:
        """(N, C, H, W)."""
        return self.given_logits.to(self.dtype)

    @once
    def target(self) -> Tensor:
        """(N, C, H, W)."""
        return self.given_target.to(self.dtype)

    @once
    def probs(self) -> Tensor:
        """sigmoid(logits), (N, C, H, W)."""
        return self.logits.sigmoid()

    @once
    def cross_entropy(self) -> Tensor:
        """-y log p - (1 - y) log(1 - p) of every pixel, (N, C, H, W), finite for any finite logit."""
        if torch.is_grad_enabled():
            return F.binary_cross_entropy_with_logits(self.logits, self.target, reduction="none")
        small = self.logits.abs().neg_().sigmoid_()  # -log(1 - small) = 2 artanh(small / (2 - small)), in less time
        log = small.div_(2 - small).atanh_()
        return self.logits.relu().addcmul_(self.logits, self.target, value=-1).add_(log, alpha=2)

    @once
    def excess(self) -> Tensor:
        """p - y, (N, C, H, W)."""
        return self.probs - self.target

    @once
    def steepness(self) -> Tensor:
        """p (1 - p), the slope of the sigmoid, (N, C, H, W)."""
        return self.probs - self.probs.square()


@dataclass(frozen=True)
class Statistic:
    """What is summed over pixels: `value`, and its `slope` by the probability, or by the logit where it says so."""

    by_logit = False

    def value(self, px: Pixels) -> Tensor:
        """(N, C, H, W)."""
        raise NotImplementedError

    def slope(self, px: Pixels) -> Tensor | None:
        """(N, C, H, W), or what broadcasts to it; None where predictions do not matter."""
        raise NotImplementedError


@dataclass(frozen=True)
class CrossEntropy(Statistic):
    """Binary cross-entropy, with smoothed targets and weighted foreground where asked for."""

    by_logit = True
    smoothing: float = 0.0
    pos_weight: float | tuple[float, ...] | None = None

    def _plain(self) -> bool:
        return not self.smoothing and self.pos_weight is None

    def _smoothed(self, px: Pixels) -> Tensor:
        return px.target * (1 - self.smoothing) + self.smoothing / 2

    def _weight(self, px: Pixels) -> Tensor:
        return px.per_class("pos_weight", 1.0 if self.pos_weight is None else self.pos_weight)

    def value(self, px: Pixels) -> Tensor:
        if self._plain():
            return px.cross_entropy
        return F.binary_cross_entropy_with_logits(
            px.logits, self._smoothed(px), pos_weight=self._weight(px), reduction="none"
        )

    def slope(self, px: Pixels) -> Tensor:
        if self._plain():
            return px.excess
        y = self._smoothed(px)
        return self._weight(px) * y * (px.probs - 1) + (1 - y) * px.probs


@dataclass(frozen=True)
class Focal(Statistic):
    """|p - y|^gamma times the cross-entropy, foreground times alpha and background times 1 - alpha."""

    by_logit = True
    gamma: float = 2.0
    alpha: float | None = None

    def _balanced(self, value: Tensor, px: Pixels) -> Tensor:
        return value if self.alpha is None else value * (1 - self.alpha + (2 * self.alpha - 1) * px.target)

    def value(self, px: Pixels) -> Tensor:
        power = px.excess.square() if self.gamma == 2 else px.excess.abs().pow(self.gamma)
        return self._balanced(power * px.cross_entropy, px)

    def slope(self, px: Pixels) -> Tensor:
        d = px.excess
        if self.gamma == 0:
            return self._balanced(d, px)
        power = d if self.gamma == 2 else d.sign() * d.abs().pow(self.gamma - 1)  # of |d|, one lower, with d's sign
        return self._balanced(power * d.square().addcmul_(px.steepness, px.cross_entropy, value=self.gamma), px)


@dataclass(frozen=True)
class Product(Statistic):
    """p y: what prediction and target have in common."""

    def value(self, px: Pixels) -> Tensor:
        return px.probs * px.target

    def slope(self, px: Pixels) -> Tensor:
        return px.target


@dataclass(frozen=True)
class Smaller(Statistic):
    """min(p, y): what they have in common, so measured that nothing is above p = y."""

    def value(self, px: Pixels) -> Tensor:
        return torch.minimum(px.probs, px.target)

    def slope(self, px: Pixels) -> Tensor:
        return 0.5 - 0.5 * px.excess.sign()


@dataclass(frozen=True)
class Predicted(Statistic):
    """p, or p squared."""

    power: int = 1

    def value(self, px: Pixels) -> Tensor:
        return px.probs if self.power == 1 else px.probs.square()

    def slope(self, px: Pixels) -> Tensor:
        return px.probs.new_ones(()) if self.power == 1 else 2 * px.probs


@dataclass(frozen=True)
class Present(Statistic):
    """y, or y squared."""

    power: int = 1

    def value(self, px: Pixels) -> Tensor:
        return px.target if self.power == 1 else px.target.square()

    def slope(self, px: Pixels) -> None:
        return None


def per_class(name: str, values: float | Sequence[float], like: Tensor, classes: int) -> Tensor:
    """A number for each class, from one number or one a class: (C,), of like's type. ValueError for others."""
    given = torch.as_tensor(values, dtype=like.dtype, device=like.device)
    if given.ndim and len(given) != classes:
        raise ValueError(f"{name} has {len(given)} numbers but there are {classes} classes; give one a class")
    return given.expand(classes)
