"""Losses that look at every pixel by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from segkit.losses.shared import Loss, Pair


class BCELoss(Loss):
    """Binary cross-entropy, the mean over pixels, classes and images.

    label_smoothing: e moves targets from {0, 1} to {e / 2, 1 - e / 2}, 0 <= e < 1; pos_weight: how many times
    a foreground pixel counts, one number or one a class. Minimal at p = target without pos_weight.

    >>> round(BCELoss()(torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)).item(), 4)
    0.6931
    """

    def __init__(self, *, label_smoothing: float = 0.0, pos_weight: float | Sequence[float] | None = None) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        weights = None if pos_weight is None else torch.as_tensor(pos_weight, dtype=torch.float32)
        if weights is not None and (weights.ndim > 1 or (weights <= 0).any()):
            raise ValueError(f"pos_weight must be positive, one number or one a class, got {pos_weight}")
        self.label_smoothing = label_smoothing
        self.pos_weight: Tensor | None
        self.register_buffer("pos_weight", weights, persistent=False)

    def of(self, pair: Pair) -> Tensor:
        if not self.label_smoothing and self.pos_weight is None:
            return pair.cross_entropy.mean()
        weight = self.pos_weight
        if weight is not None and weight.ndim:
            if len(weight) != pair.logits.shape[1]:
                raise ValueError(f"pos_weight has {len(weight)} numbers but there are {pair.logits.shape[1]} classes")
            weight = weight[:, None, None]
        if weight is not None:
            weight = weight.to(pair.logits)
        target = pair.target * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(pair.logits, target, pos_weight=weight)

    def extra_repr(self) -> str:
        return f"label_smoothing={self.label_smoothing}, pos_weight={self.pos_weight}"


class FocalLoss(Loss):
    """Focal loss |y - p|^gamma BCE(p, y), the mean over pixels, classes and images.

    For hard targets it is that of Lin et al., 2017; the distance to the target carries it over to soft ones
    (Li et al., 2020, "quality focal loss"), where it is zero at p = target. gamma: 0 is BCE, otherwise at
    least 1 (below, the gradient has a pole at p = target); alpha: weight of the foreground against 1 - alpha
    for the background.

    >>> x, y = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    >>> torch.isclose(FocalLoss()(x, y), 0.25 * BCELoss()(x, y)).item()
    True
    """

    def __init__(self, *, gamma: float = 2.0, alpha: float | None = None) -> None:
        super().__init__()
        if gamma != 0 and gamma < 1:
            raise ValueError(f"gamma must be 0 or at least 1, got {gamma}")
        if alpha is not None and not 0 < alpha < 1:
            raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
        self.gamma = gamma
        self.alpha = alpha

    def of(self, pair: Pair) -> Tensor:
        loss = (pair.target - pair.probs).abs().pow(self.gamma) * pair.cross_entropy
        if self.alpha is not None:
            loss = loss * (1 - self.alpha + (2 * self.alpha - 1) * pair.target)
        return loss.mean()

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, alpha={self.alpha}"
