"""What losses sum over pixels: functions of one pixel's logit and target, each with its slope."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from segkit.losses.maps import PixelMaps


@dataclass(frozen=True)
class Statistic:
    """Function of a pixel that a loss sums over the image.

    Attributes:
        by_logit: `slope` is by the logit; otherwise by the probability.
    """

    by_logit = False

    def value(self, maps: PixelMaps) -> Tensor:
        """The function at every pixel.

        Args:
            maps: Logits and target.

        Returns:
            Shape (N, C, H, W).
        """
        raise NotImplementedError

    def slope(self, maps: PixelMaps) -> Tensor | None:
        """Its derivative at every pixel.

        Args:
            maps: Logits and target.

        Returns:
            Shape (N, C, H, W) or what broadcasts to it; None where predictions do not matter.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class CrossEntropySum(Statistic):
    """Binary cross-entropy.

    Args:
        smoothing: Moves hard targets to smoothing / 2 and 1 - smoothing / 2.
        pos_weight: Factor of foreground pixels, one number or one per class.
    """

    by_logit = True
    smoothing: float = 0.0
    pos_weight: float | tuple[float, ...] | None = None

    def _plain(self) -> bool:
        return not self.smoothing and self.pos_weight is None

    def _smoothed(self, maps: PixelMaps) -> Tensor:
        return maps.target * (1 - self.smoothing) + self.smoothing / 2

    def _pos_weight(self, maps: PixelMaps) -> Tensor:
        return maps.per_class("pos_weight", 1.0 if self.pos_weight is None else self.pos_weight)

    @override
    def value(self, maps: PixelMaps) -> Tensor:
        if self._plain():
            return maps.cross_entropy
        return F.binary_cross_entropy_with_logits(
            maps.logits, self._smoothed(maps), pos_weight=self._pos_weight(maps), reduction="none"
        )

    @override
    def slope(self, maps: PixelMaps) -> Tensor:
        if self._plain():
            return maps.error
        y = self._smoothed(maps)
        return self._pos_weight(maps) * y * (maps.probs - 1) + (1 - y) * maps.probs


@dataclass(frozen=True)
class FocalSum(Statistic):
    """|p - y|^gamma times the cross-entropy.

    Args:
        gamma: Exponent; 0 is cross-entropy.
        alpha: Factor of the foreground, 1 - alpha that of the background; None for neither.
    """

    by_logit = True
    gamma: float = 2.0
    alpha: float | None = None

    def _balanced(self, value: Tensor, maps: PixelMaps) -> Tensor:
        return value if self.alpha is None else value * (1 - self.alpha + (2 * self.alpha - 1) * maps.target)

    @override
    def value(self, maps: PixelMaps) -> Tensor:
        power = maps.error.square() if self.gamma == 2 else maps.error.abs().pow(self.gamma)
        return self._balanced(power * maps.cross_entropy, maps)

    @override
    def slope(self, maps: PixelMaps) -> Tensor:
        d = maps.error
        if self.gamma == 0:
            return self._balanced(d, maps)
        power = d if self.gamma == 2 else d.sign() * d.abs().pow(self.gamma - 1)  # of |d|, one lower, with d's sign
        slope = d.square().addcmul_(maps.sigmoid_slope, maps.cross_entropy, value=self.gamma)
        return self._balanced(power * slope, maps)


@dataclass(frozen=True)
class ProductSum(Statistic):
    """p y, the usual soft intersection."""

    @override
    def value(self, maps: PixelMaps) -> Tensor:
        return maps.probs * maps.target

    @override
    def slope(self, maps: PixelMaps) -> Tensor:
        return maps.target


@dataclass(frozen=True)
class MinSum(Statistic):
    """min(p, y), a soft intersection that is largest in relation to both sums at p = y."""

    @override
    def value(self, maps: PixelMaps) -> Tensor:
        return torch.minimum(maps.probs, maps.target)

    @override
    def slope(self, maps: PixelMaps) -> Tensor:
        return 0.5 - 0.5 * maps.error.sign()


@dataclass(frozen=True)
class PredictionSum(Statistic):
    """p, or p squared.

    Args:
        power: 1 or 2.
    """

    power: int = 1

    @override
    def value(self, maps: PixelMaps) -> Tensor:
        return maps.probs if self.power == 1 else maps.probs.square()

    @override
    def slope(self, maps: PixelMaps) -> Tensor:
        return maps.probs.new_ones(()) if self.power == 1 else 2 * maps.probs


@dataclass(frozen=True)
class TargetSum(Statistic):
    """y, or y squared.

    Args:
        power: 1 or 2.
    """

    power: int = 1

    @override
    def value(self, maps: PixelMaps) -> Tensor:
        return maps.target if self.power == 1 else maps.target.square()

    @override
    def slope(self, maps: PixelMaps) -> None:
        return None
