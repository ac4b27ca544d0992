"""The base class of all losses."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from segkit.losses.inputs import CROSS_ENTROPY, TINY, LossInputs
from segkit.losses.labels import one_hot
from segkit.losses.maps import per_class
from segkit.losses.statistics import Statistic


class Loss(nn.Module):
    """A loss of logits and target. A subclass says in `compute` what it makes of `LossInputs`.

    Settings are attributes named as the constructor's parameters.

    Args:
        class_weights: Weight of each class in the mean over classes, in channel order; only their ratios matter.

    Raises:
        ValueError: If class_weights are not one number per class, none negative, one positive.
    """

    class_weights: tuple[float, ...] | None = None
    ignore_index: int | None = None

    def __init__(self, *, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if class_weights is not None:
            try:
                values = torch.as_tensor(class_weights, dtype=torch.float64)
            except (TypeError, ValueError, RuntimeError) as error:
                raise ValueError(f"class_weights must be one number a class, got {class_weights}") from error
            if values.ndim != 1 or not (values >= 0).all() or not (values > 0).any() or values.isinf().any():
                raise ValueError(f"class_weights must be one number a class, none negative, got {class_weights}")
            self.class_weights = tuple(values.tolist())

    def statistics(self) -> tuple[Statistic, ...]:
        """Sums over pixels that `compute` needs: a `WeightedSum` computes those of all its members in one pass.

        Returns:
            The statistics; () where there are none.
        """
        return ()

    def compute(self, inputs: LossInputs) -> Tensor:
        """The loss itself.

        Args:
            inputs: Logits, target and weights, with the sums of `statistics`.

        Returns:
            Scalar.
        """
        raise NotImplementedError

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute the loss of a batch, in float32 under autocast too.

        Args:
            logits: Raw logits, any floating point type, shape (N, C, H, W).
            target: Hard or soft, in [0, 1], any number type or bool, shape (N, C, H, W); or class numbers, integer,
                shape (N, H, W).
            weight: Weight of each pixel, shape (N, 1, H, W) or (N, C, H, W). A pixel of weight w counts as w pixels, an
                image of weight w as w images; 0 ignores a pixel. None for 1 everywhere.

        Returns:
            Scalar, float32 (float64 for float64 logits).

        Raises:
            ValueError: For other types, shapes or values.
        """
        if isinstance(target, Tensor) and target.ndim == 3 and isinstance(logits, Tensor) and logits.ndim == 4:
            target, valid = one_hot(target, logits.shape[1], ignore_index=self.ignore_index)
            weight = valid if weight is None else weight * valid
        with torch.autocast(logits.device.type if isinstance(logits, Tensor) else "cpu", enabled=False):
            inputs = LossInputs(logits, target, weight)
            inputs.compute_sums(self.statistics())
            return self.compute(inputs)

    def mean_with_absent_classes(
        self, terms: Tensor, size: Tensor, inputs: LossInputs, *, per_image: bool, absent: Tensor | None = None
    ) -> Tensor:
        """Mean of the terms of classes that are present and of the cross-entropy of classes that are not.

        Below one pixel, which soft targets and crops leave, a class is present by that fraction alone: an overlap with
        next to nothing says next to nothing, and one pixel of 1/255 must not switch off what an absent class costs.

        Args:
            terms: Shape (N, C), or (1, C) over the batch.
            size: Sum of the target as the loss measures it, in the shape of `terms`.
            inputs: Logits, target and weights.
            per_image: Terms are per image; otherwise over the batch.
            absent: What each class costs where it is absent, weighted sum over pixels, shape (N, C); None for its
                cross-entropy.

        Returns:
            Scalar.
        """
        sums = (inputs.sum(CROSS_ENTROPY) if absent is None else absent, inputs.weight_sum, inputs.num_valid)
        absent, weight_sum, num_valid = (x if per_image else x.sum(0, keepdim=True) for x in sums)
        pixels = size * num_valid / weight_sum.clamp(min=TINY)  # weights relative to their mean
        mixed = torch.lerp(absent / weight_sum.clamp(min=TINY), terms, pixels.clamp(max=1))
        terms = torch.where(pixels < 1, mixed, terms)  # the cross-entropy of infinite logits may be NaN: not taken here
        return self.mean(terms, weight_sum / num_valid.clamp(min=1))

    def mean(self, terms: Tensor, weights: Tensor) -> Tensor:
        """Weighted mean of terms, with `class_weights`.

        Args:
            terms: Shape (N, C), or (1, C) over the batch.
            weights: How often each term counts, in the shape of `terms`.

        Returns:
            Scalar; 0 where nothing counts.
        """
        if self.class_weights is not None:
            weights = weights * per_class("class_weights", self.class_weights, weights, weights.shape[1])
        return (terms * weights).sum() / weights.sum().clamp(min=TINY)

    @override
    def extra_repr(self) -> str:
        names = inspect.signature(type(self)).parameters
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names if hasattr(self, name))
