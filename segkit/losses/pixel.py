"""Losses that look at every pixel by itself: the mean over pixels, classes and images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from segkit.losses.shared import TINY, Loss, Pair
from segkit.losses.statistics import CrossEntropy, Focal, Statistic


class _Pixel(Loss):
    """The mean of one statistic over all pixels, weighted where they are."""

    statistic: Statistic

    def statistics(self) -> tuple[Statistic, ...]:
        return (self.statistic,)

    def of(self, pair: Pair) -> Tensor:
        return self.mean(pair.sum(self.statistic) / pair.mass.clamp(min=TINY), pair.mass)


class BCELoss(_Pixel):
    """Binary cross-entropy, the mean over pixels, classes and images.

    label_smoothing: e moves targets from {0, 1} to {e / 2, 1 - e / 2}, 0 <= e < 1; pos_weight: how many times
    a foreground pixel counts, one number or one a class. Minimal at p = target without either.

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
        self.statistic = CrossEntropy(label_smoothing, self.pos_weight)


class FocalLoss(_Pixel):
    """Focal loss |y - p|^gamma BCE(p, y), the mean over pixels, classes and images.

    For hard targets it is that of Lin et al., 2017; the distance to the target carries it over to soft ones
    (Li et al., 2020, "quality focal loss"), where it is zero at p = target. gamma: 0 is BCE, otherwise at
    least 1 (below, the gradient has a pole at p = target); alpha: weight of the foreground against 1 - alpha
    for the background.

    >>> x, y = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    >>> torch.isclose(FocalLoss()(x, y), 0.25 * BCELoss()(x, y)).item()
    True
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
        self.statistic = Focal(gamma, alpha)


class TopKLoss(Loss):
    """The mean cross-entropy of the hardest pixels of each class of each image (Wu, Shen, van den Hengel, 2016).

    share: of the plane's pixels that count, (0, 1], at least one; pixels that tie at the cut share what is left of
    it. threshold: pixels that give the truth a probability below it count as well, however many (online hard
    example mining, OHEM: Shrivastava, Gupta, Girshick, 2016); None leaves that out. per_image=False takes the
    hardest of a class over the whole batch. Pixels of weight 0 are never among them. Costs are counted above the
    least that a target allows, its entropy (0 for hard ones), so that what is uncertain is not taken for hard;
    with that it is minimal at p = target, where it is 0.

    >>> x = torch.tensor([4.0, 4, 4, 0]).view(1, 1, 2, 2)
    >>> round(TopKLoss(share=0.25)(x, torch.ones(1, 1, 2, 2)).item(), 4)
    0.6931
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

    def of(self, pair: Pair) -> Tensor:
        costs = self._flat(pair.cross_entropy - entropy(pair.target))
        weight = None if pair.weight is None else self._flat(pair.weight)
        with torch.no_grad():
            chosen = self._chosen(costs, weight)
        if weight is not None:
            chosen = chosen * weight
        counts = chosen.sum(2)
        return self.mean((costs * chosen).sum(2) / counts.clamp(min=TINY), (counts > 0).to(costs))

    def _flat(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H W), or (1, C, N H W) over the batch."""
        return maps.flatten(2) if self.per_image else maps.transpose(0, 1).flatten(1)[None]

    def _chosen(self, costs: Tensor, weight: Tensor | None) -> Tensor:
        """How much of each pixel is taken, 0 to 1."""
        pixels = costs.shape[2]
        counted = torch.full(costs.shape[:2], pixels, device=costs.device) if weight is None else (weight > 0).sum(2)
        if weight is not None:
            costs = costs.masked_fill(weight == 0, -1.0)
        wanted = (counted * self.share).ceil().clamp(min=1, max=pixels).long()
        most = math.ceil(pixels * self.share)
        cut = costs.topk(most, dim=2).values.gather(2, (wanted - 1).clamp(max=most - 1)[..., None])
        above, at = costs > cut, costs == cut
        left = (wanted[..., None] - above.sum(2, keepdim=True)) / at.sum(2, keepdim=True)
        chosen = above + at * left.to(costs)
        if self.threshold is not None:
            chosen = chosen.maximum((costs > -math.log(self.threshold)).to(costs))
        return chosen if weight is None else chosen * (weight > 0)


def entropy(target: Tensor) -> Tensor:
    """The least cross-entropy that a target in [0, 1] allows, 0 where it is hard: the same shape and type."""
    return torch.special.entr(target) + torch.special.entr(1 - target)
