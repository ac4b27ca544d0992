"""Losses that look at every pixel by itself: the mean over pixels, classes and images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from segkit.losses.base import Loss
from segkit.losses.inputs import TINY, LossInputs
from segkit.losses.statistics import CrossEntropySum, FocalSum, Statistic


class _PixelMean(Loss):
    """Weighted mean of one statistic over all pixels."""

    statistic: Statistic

    @override
    def statistics(self) -> tuple[Statistic, ...]:
        return (self.statistic,)

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        return self.mean(inputs.sum(self.statistic) / inputs.weight_sum.clamp(min=TINY), inputs.weight_sum)


class BCELoss(_PixelMean):
    """Binary cross-entropy, the mean over pixels, classes and images.

    Args:
        label_smoothing: e moves targets from {0, 1} to {e / 2, 1 - e / 2}, 0 <= e < 1.
        pos_weight: Factor of foreground pixels, one number or one per class.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For settings out of range.

    Example:
        >>> round(BCELoss()(torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)).item(), 4)
        0.6931
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        pos_weight: float | Sequence[float] | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(class_weights=class_weights)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        weights = None if pos_weight is None else torch.as_tensor(pos_weight, dtype=torch.float64)
        if weights is not None and (weights.ndim > 1 or not ((weights > 0) & weights.isfinite()).all()):
            raise ValueError(f"pos_weight must be positive, one number or one a class, got {pos_weight}")
        self.label_smoothing = label_smoothing
        self.pos_weight: float | tuple[float, ...] | None = None
        if weights is not None:
            self.pos_weight = tuple(weights.tolist()) if weights.ndim else weights.item()
        self.statistic = CrossEntropySum(label_smoothing, self.pos_weight)


class FocalLoss(_PixelMean):
    """Focal loss |y - p|^gamma BCE(p, y), the mean over pixels, classes and images.

    For hard targets it is the paper's; the distance to the target carries it over to soft ones ("quality focal loss"),
    where it is zero at p = target.

    Args:
        gamma: 0 is BCE; otherwise at least 1: below, the gradient has a pole at p = target.
        alpha: Weight of the foreground, 1 - alpha that of the background; None for neither.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For settings out of range.

    Example:
        >>> x, y = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
        >>> torch.isclose(FocalLoss()(x, y), 0.25 * BCELoss()(x, y)).item()
        True

    References:
        Lin et al., 2017; Li et al., 2020 (soft targets).
    """

    def __init__(
        self, *, gamma: float = 2.0, alpha: float | None = None, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(class_weights=class_weights)
        if gamma != 0 and not 1 <= gamma < math.inf:
            raise ValueError(f"gamma must be 0 or at least 1, got {gamma}")
        if alpha is not None and not 0 < alpha < 1:
            raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
        self.gamma = gamma
        self.alpha = alpha
        self.statistic = FocalSum(gamma, alpha)


class TopKLoss(Loss):
    """Mean cross-entropy of the hardest pixels of each class of each image.

    Costs are counted above the least that a target allows, its entropy (0 for hard ones), so that what is uncertain is
    not taken for hard; with that the loss is minimal at p = target, where it is 0. Pixels of weight 0 are never chosen.

    Args:
        share: Fraction of the class map's pixels that count, in (0, 1], at least one pixel; pixels that tie at the
            limit share what is left of it.
        threshold: Pixels that give the truth a probability below it count as well, however many (online hard example
            mining, OHEM); None leaves that out.
        per_image: Choose in each image; False chooses the hardest pixels of a class over the batch.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For settings out of range.

    Example:
        >>> x = torch.tensor([4.0, 4, 4, 0]).view(1, 1, 2, 2)
        >>> round(TopKLoss(share=0.25)(x, torch.ones(1, 1, 2, 2)).item(), 4)
        0.6931

    References:
        Wu, Shen, van den Hengel, 2016; Shrivastava, Gupta, Girshick, 2016 (OHEM).
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        threshold: float | None = None,
        per_image: bool = True,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(class_weights=class_weights)
        if not 0 < share <= 1:
            raise ValueError(f"share must be in (0, 1], got {share}")
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f"threshold must lie strictly between 0 and 1, got {threshold}")
        self.share = share
        self.threshold = threshold
        self.per_image = per_image

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        costs = self._flat(inputs.cross_entropy - entropy(inputs.target))
        weight = None if inputs.weight is None else self._flat(inputs.weight)
        with torch.no_grad():
            chosen = self._chosen(costs, weight)
        total = chosen.sum(2)
        sums = (inputs.weight_sum, inputs.num_valid)
        weight_sum, num_valid = (x if self.per_image else x.sum(0, keepdim=True) for x in sums)
        return self.mean((costs * chosen).sum(2) / total.clamp(min=TINY), weight_sum / num_valid.clamp(min=1))

    def _flat(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H W), or (1, C, N H W) over the batch."""
        return maps.flatten(2) if self.per_image else maps.transpose(0, 1).flatten(1)[None]

    def _chosen(self, costs: Tensor, weight: Tensor | None) -> Tensor:
        """How much of each pixel's weight is taken, from none to all of it."""
        pixels = costs.shape[2]
        if weight is None:
            most = math.ceil(pixels * self.share)
            count = costs.new_tensor(most)
            limit = costs.topk(most, dim=2).values[..., -1:]
        else:
            valid = (weight > 0).sum(2, keepdim=True)
            count = (valid * self.share).ceil() * (weight.sum(2, keepdim=True) / valid.clamp(min=1))
            ranked, order = costs.masked_fill(weight == 0, -1.0).sort(dim=2, descending=True)
            before = (weight.gather(2, order).cumsum(2) < count * (1 - 1e-6)).sum(2, keepdim=True)
            limit = ranked.gather(2, before.clamp(max=pixels - 1))
        weights = 1.0 if weight is None else weight
        above, at = (costs > limit) * weights, (costs == limit) * weights
        left = (count - above.sum(2, keepdim=True)) / at.sum(2, keepdim=True).clamp(min=TINY)
        chosen = above + at * left.to(costs)
        if self.threshold is not None:
            chosen = chosen.maximum((costs > -math.log(self.threshold)) * weights)
        return chosen.to(costs)


def entropy(target: Tensor) -> Tensor:
    """The least cross-entropy that a soft target allows.

    Args:
        target: Values in [0, 1], any shape.

    Returns:
        Same shape and type; 0 where the target is hard.
    """
    return torch.special.entr(target) + torch.special.entr(1 - target)
