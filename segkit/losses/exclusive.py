"""Losses of exclusive classes: each pixel belongs to one class, and probabilities are a softmax over classes.

Targets are (N, C, H, W), one-hot or soft, and sum to 1 over the classes of each pixel that counts; class numbers
(N, H, W) are taken too. Pixels of weight 0 are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from segkit.files import nearest
from segkit.losses.base import Loss
from segkit.losses.inputs import OVERLAP_FORMS, TINY, LossInputs
from segkit.losses.maps import per_class
from segkit.losses.ranking import jaccard_gradient, worst_first

SUM_SLACK = 0.05  # rounding to 1/255 of many classes; overlapping classes are off by far more


class ExclusiveLoss(Loss):
    """A loss of softmax probabilities. A subclass says in `compute_exclusive` what it makes of them.

    Args:
        ignore_index: Number of the pixels that do not count, where targets are class numbers; None for 255 and -100.
        class_weights: Weight of each class, in channel order.

    Raises:
        ValueError: If class_weights are not one number per class, none negative, one positive; and in a call, if the
            targets of a pixel do not sum to 1.
    """

    def __init__(self, *, ignore_index: int | None = None, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(class_weights=class_weights)
        if ignore_index is not None and (isinstance(ignore_index, bool) or not isinstance(ignore_index, int)):
            raise ValueError(f"expected ignore_index to be a whole number, got {ignore_index!r}")
        self.ignore_index = ignore_index

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        _check_sums(inputs)
        return self.compute_exclusive(inputs)

    def compute_exclusive(self, inputs: LossInputs) -> Tensor:
        """The loss itself.

        Args:
            inputs: Logits, target and weights.

        Returns:
            Scalar.
        """
        raise NotImplementedError

    def mean_over_classes(self, terms: Tensor, size: Tensor, inputs: LossInputs, *, per_image: bool) -> Tensor:
        """`mean_with_absent_classes`, where an absent class costs the mean of -log(1 - p).

        Args:
            terms: Shape (N, C), or (1, C) over the batch.
            size: Sum of the target, in the shape of `terms`.
            inputs: Logits, target and weights.
            per_image: Terms are per image; otherwise over the batch.

        Returns:
            Scalar.
        """
        costs = -_log_others(inputs)
        absent = (costs if inputs.weight is None else costs * inputs.weight).sum((2, 3))
        return self.mean_with_absent_classes(terms, size, inputs, per_image=per_image, absent=absent)


class CrossEntropyLoss(ExclusiveLoss):
    """Cross-entropy of a softmax, the mean over pixels: that of `torch.nn.functional.cross_entropy`.

    Minimal at p = target without settings.

    Args:
        label_smoothing: e mixes targets with e / C of every class, 0 <= e < 1.
        ignore_index: Number of the pixels that do not count, where targets are class numbers; None for 255 and -100.
        class_weights: Factor of the pixels of each class, in channel order; the mean is divided by their sum.

    Raises:
        ValueError: For settings out of range.

    Example:
        >>> round(CrossEntropyLoss()(torch.zeros(1, 4, 2, 2), torch.ones(1, 2, 2, dtype=torch.int64)).item(), 4)
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
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing

    @override
    def compute_exclusive(self, inputs: LossInputs) -> Tensor:
        target, smoothing, classes = inputs.target, self.label_smoothing, inputs.raw_logits.shape[1]
        costs = -(target * (1 - smoothing) + smoothing / classes) * inputs.log_softmax
        counts = target
        if self.class_weights is not None:
            weights = per_class("class_weights", self.class_weights, costs, classes)[:, None, None]
            costs, counts = costs * weights, counts * weights
        if inputs.weight is not None:
            costs, counts = costs * inputs.weight, counts * inputs.weight
        return costs.sum() / counts.sum().clamp(min=TINY)


class SoftmaxDiceLoss(ExclusiveLoss):
    """1 - Dice of softmax probabilities, of each class of each image, then the mean.

    An absent class costs its mean -log(1 - p), as in `DiceLoss`.

    Args:
        form: What is summed, see `LossInputs.overlap_sums`: "squared" and "semimetric" are minimal at p = target for
            soft targets too, "plain" is not.
        per_image: Sum over each image; False sums over the batch.
        ignore_index: Number of the pixels that do not count, where targets are class numbers; None for 255 and -100.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For an unknown form.

    Example:
        >>> labels = torch.tensor([[[0, 1]]])
        >>> round(SoftmaxDiceLoss(form="plain")(torch.zeros(1, 2, 1, 2), labels).item(), 4)  # p = .5: 2 * .5 / (1 + 1)
        0.5
    """

    def __init__(
        self,
        *,
        form: str = "squared",
        per_image: bool = True,
        ignore_index: int | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_weights=class_weights)
        if form not in OVERLAP_FORMS:
            raise ValueError(f"no form {form!r} of SoftmaxDiceLoss; {nearest(form, OVERLAP_FORMS)}")
        self.form, self.per_image = form, per_image

    @override
    def compute_exclusive(self, inputs: LossInputs) -> Tensor:
        p, y = inputs.softmax, inputs.target
        shared = torch.minimum(p, y) if self.form == "semimetric" else p * y
        sizes = (p.square(), y.square()) if self.form == "squared" else (p, y)
        weighted = [m if inputs.weight is None else m * inputs.weight for m in (shared, *sizes)]
        sums = [m.sum((2, 3)) for m in weighted]
        intersection, prediction, target = sums if self.per_image else [s.sum(0, keepdim=True) for s in sums]
        terms = 1 - 2 * intersection / (prediction + target).clamp(min=TINY)
        return self.mean_over_classes(terms, target, inputs, per_image=self.per_image)


class SoftmaxLovaszLoss(ExclusiveLoss):
    """Lovasz-Softmax: the Lovasz extension of 1 - Jaccard with errors |y - p|.

    The mean over the classes that are present in an image, below one pixel of soft target by that fraction, then over
    images; through the softmax the absent classes go down as those go up. Every class map is ranked by itself.

    Args:
        per_image: Rank in each image; False ranks over the batch.
        ignore_index: Number of the pixels that do not count, where targets are class numbers; None for 255 and -100.
        class_weights: Weight of each class in the mean, in channel order.

    Example:
        >>> labels = torch.tensor([[[0, 1]]])
        >>> round(SoftmaxLovaszLoss()(torch.zeros(1, 2, 1, 2), labels).item(), 4)
        0.5

    References:
        Berman, Rannen Triki, Blaschko, 2018.
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
    def compute_exclusive(self, inputs: LossInputs) -> Tensor:
        errors = self._rows((inputs.target - inputs.softmax).abs())
        targets = self._rows(inputs.target.detach())
        weights = None if inputs.weight is None else self._rows(inputs.weight)
        terms, sizes = [], []
        for row, (error, y) in enumerate(zip(errors, targets)):
            w = None if weights is None else weights[row]
            size = (y if w is None else y * w).sum()
            counted = (error.detach() <= 0).logical_not_() if w is None else w > 0
            places, _ = worst_first(counted.nonzero().squeeze(1), error.detach())
            gradient = jaccard_gradient(y.take(places), size, None if w is None else w.take(places))
            terms.append(torch.dot(error.take(places), gradient))
            sizes.append(size)
        shape = (-1, inputs.raw_logits.shape[1])
        weight_sum, num_valid = (
            x if self.per_image else x.sum(0, keepdim=True) for x in (inputs.weight_sum, inputs.num_valid)
        )
        mean_weight = weight_sum / num_valid.clamp(min=1)
        present = (torch.stack(sizes).view(shape) / mean_weight.clamp(min=TINY)).clamp(max=1)
        if self.class_weights is not None:
            present = present * per_class("class_weights", self.class_weights, present, present.shape[1])
        count = present.sum(1).clamp(min=TINY)
        images = (torch.stack(terms).view(shape) * present).sum(1) / count
        weights = (mean_weight * present).sum(1) / count
        return (images * weights).sum() / weights.sum().clamp(min=TINY)

    def _rows(self, maps: Tensor) -> Tensor:
        """(N C, pixels), or (C, pixels of the batch)."""
        return maps.flatten(2).flatten(0, 1) if self.per_image else maps.transpose(0, 1).flatten(1)


def _log_others(inputs: LossInputs) -> Tensor:
    """log(1 - p) of the softmax, (N, C, H, W), without losing what is left of 1 where p is near it."""
    logits = inputs.logits
    if logits.shape[1] == 1:
        return torch.zeros_like(logits)  # nothing else can be there
    first = F.one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1).bool()
    others = logits.masked_fill(first, -torch.inf).logsumexp(1, keepdim=True) - logits.logsumexp(1, keepdim=True)
    return torch.where(first, others, torch.log1p(-inputs.softmax.masked_fill(first, 0.0)))


def _check_sums(inputs: LossInputs) -> None:
    """ValueError where targets of pixels that count do not sum to 1; some pixels are looked at, on the CPU alone."""
    if torch.compiler.is_compiling() or inputs.raw_target.device.type != "cpu":
        return
    every = max(1, int((inputs.raw_target[0, 0].numel() / 4096) ** 0.5))
    sums = inputs.raw_target.detach()[:, :, ::every, ::every].sum(1, dtype=torch.float32)
    off = (sums - 1).abs() > SUM_SLACK
    if inputs.weight is not None:
        off &= (inputs.weight[:, :, ::every, ::every] > 0).any(1)
    if off.any():
        raise ValueError(
            f"the target of a pixel sums to {sums[off][0]:.3g} over the classes; expected 1, as classes are exclusive: "
            "give pixels without a class weight 0, or take a loss of overlapping classes, as bce and dice"
        )
