"""Losses of exclusive classes: every pixel has one class, and logits go through a softmax.

Targets are those of all segkit losses, (N, C, H, W), one-hot or soft; a class index (N, H, W) is accepted too. What is
ignored has weight 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from segkit.losses.base import Loss
from segkit.losses.inputs import TINY, LossInputs
from segkit.losses.maps import per_class
from segkit.losses.ranking import jaccard_gradient


class _Softmax(Loss):
    """A loss of softmax probabilities."""

    def __init__(self, *, ignore_index: int | None = None, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(class_weights=class_weights)
        self.ignore_index = ignore_index

    @override
    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        if isinstance(target, Tensor) and isinstance(logits, Tensor) and target.ndim == 3 and logits.ndim == 4:
            target, weight = _one_hot(target, weight, logits.shape[1], self.ignore_index)
        return super().forward(logits, target, weight)


class CrossEntropyLoss(_Softmax):
    """Cross-entropy of the softmax, the mean over all pixels of the batch.

    Args:
        label_smoothing: Share of the target that is spread over all classes, in [0, 1).
        ignore_index: Of targets of class indices: pixels that count nowhere.
        class_weights: Weight of each class, in channel order; pixels of a class count that often.

    Raises:
        ValueError: For label_smoothing outside [0, 1).

    Example:
        >>> x = torch.zeros(1, 4, 2, 2)
        >>> round(CrossEntropyLoss()(x, torch.zeros(1, 2, 2, dtype=torch.long)).item(), 4)  # log 4
        1.3863
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        ignore_index: int | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_weights=class_weights)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing}: expected a share in [0, 1)")
        self.label_smoothing = label_smoothing

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        log_probs, _, target, weight = _maps(inputs)
        mass = target.sum(1, keepdim=True)
        target = torch.lerp(target, mass / target.shape[1], self.label_smoothing)
        if self.class_weights is not None:
            target = (
                target
                * per_class("class_weights", self.class_weights, target[:, :, 0, 0], target.shape[1])[..., None, None]
            )
        cost = -(target * log_probs).sum(1, keepdim=True) * weight
        return cost.sum() / (target.sum(1, keepdim=True) * weight).sum().clamp(min=TINY)


class SoftmaxDiceLoss(_Softmax):
    """1 - Dice of the softmax, for each class of each image, then the mean.

    Squared denominators make it minimal at p = target for soft targets. A class that an image lacks costs the mean of
    -log(1 - p), so that it pushes back as hard as in cross-entropy; below one pixel both are mixed.

    Args:
        per_image: One Dice per image; False sums over the batch first.
        ignore_index: Of targets of class indices: pixels that count nowhere.
        class_weights: Weight of each class in the mean, in channel order.

    Example:
        >>> y = torch.tensor([[[0, 0], [1, 1]]])
        >>> x = 50 * F.one_hot(y, 2).permute(0, 3, 1, 2).float()
        >>> SoftmaxDiceLoss()(x, y).item()
        0.0

    References:
        Milletari, Navab, Ahmadi, 2016.
    """

    def __init__(
        self,
        *,
        per_image: bool = True,
        ignore_index: int | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_weights=class_weights)
        self.per_image = per_image

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        _, probs, target, weight = _maps(inputs)

        def total(values: Tensor) -> Tensor:
            sums = (values * weight).sum((2, 3))
            return sums if self.per_image else sums.sum(0, keepdim=True)

        common, size = total(probs * target), total(target)
        terms = 1 - 2 * common / (total(probs.square()) + total(target.square())).clamp(min=TINY)
        count = total(torch.ones_like(probs))
        absent = total(-torch.log1p(-probs.clamp(max=1 - 1e-6))) / count.clamp(min=TINY)
        mean_weight = inputs.mean_weight if self.per_image else inputs.mean_weight.mean(0, keepdim=True)
        pixels = size / mean_weight.clamp(min=TINY)
        terms = torch.where(pixels < 1, torch.lerp(absent, terms, pixels.clamp(max=1)), terms)
        return self.mean(terms, mean_weight * (count > 0))


class SoftmaxLovaszLoss(_Softmax):
    """Lovasz-Softmax: the Jaccard index made convex, over the classes that an image has, then the mean.

    Args:
        ignore_index: Of targets of class indices: pixels that count nowhere.
        class_weights: Weight of each class in the mean, in channel order.

    Example:
        >>> y = torch.tensor([[[0, 0], [1, 1]]])
        >>> x = 50 * F.one_hot(y, 2).permute(0, 3, 1, 2).float()
        >>> round(SoftmaxLovaszLoss()(x, y).item(), 6)
        0.0

    References:
        Berman, Rannen Triki, Blaschko, 2018.
    """

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        _, probs, target, weight = _maps(inputs)
        terms, present = torch.zeros_like(inputs.mean_weight), torch.zeros_like(inputs.mean_weight)
        rows = []
        for image in range(len(probs)):
            valid = weight[image, 0].flatten() > 0
            share = weight[image, 0].flatten()[valid]
            for channel in range(probs.shape[1]):
                y, p = target[image, channel].flatten()[valid], probs[image, channel].flatten()[valid]
                size = (y * share).sum()
                if not size > 0:
                    continue
                error, order = (y - p).abs().sort(descending=True)
                rows.append(torch.dot(error, jaccard_gradient(y[order], size, share[order])))
                present[image, channel] = 1
        if rows:
            terms = terms.masked_scatter(present.bool(), torch.stack(rows))
        return self.mean(terms, inputs.mean_weight * present)


SOFTMAX_LOSSES: dict[str, type[Loss]] = {
    "cross_entropy": CrossEntropyLoss,
    "softmax_dice": SoftmaxDiceLoss,
    "softmax_lovasz": SoftmaxLovaszLoss,
}
"""By the names that `build` reads; for classes that exclude one another."""


def _maps(inputs: LossInputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(log probabilities, probabilities, target) of shape (N, C, H, W) and weights (N, 1, H, W), in float32 or more."""
    dtype = torch.promote_types(inputs.raw_logits.dtype, torch.float32)
    log_probs = inputs.raw_logits.to(dtype).log_softmax(1)
    target = inputs.raw_target.to(dtype)
    weight = torch.ones_like(log_probs[:, :1]) if inputs.weight is None else inputs.weight[:, :1].to(dtype)
    return log_probs, log_probs.exp(), target, weight


def _one_hot(
    target: Tensor, weight: Tensor | None, classes: int, ignore_index: int | None
) -> tuple[Tensor, Tensor | None]:
    """A target of class indices as channels, and the weight without what is ignored."""
    if target.is_floating_point():
        raise ValueError(f"target is {target.dtype} {tuple(target.shape)}: expected class indices, or (N, C, H, W)")
    known = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
    wrong = known & ((target < 0) | (target >= classes))
    if not torch.compiler.is_compiling() and bool(wrong.any()):
        odd = int(target[wrong][0])
        raise ValueError(f"target has class {odd}, expected 0 to {classes - 1}; ignore_index={odd} leaves it out")
    channels = F.one_hot(target.long().clamp(0, classes - 1), classes).permute(0, 3, 1, 2) * known[:, None]
    if ignore_index is None:
        return channels, weight
    return channels, known[:, None].float() if weight is None else weight * known[:, None]
