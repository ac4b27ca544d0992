"""Losses of shape: whether thin things hang together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from typing_extensions import override

from segkit.losses.base import Loss
from segkit.losses.inputs import CROSS_ENTROPY, TINY, LossInputs
from segkit.losses.skeleton import soft_skeleton
from segkit.losses.statistics import Statistic

CHUNK = {"cpu": 1 << 18}  # pixels whose skeletons are differentiated at once: some 80 bytes each and iteration
LARGE_CHUNK = 1 << 21


class ClDiceLoss(Loss):
    """1 - centerline Dice: do the skeletons lie inside the masks, both ways.

    The paper adds it to a Dice loss, with up to half of the weight ("0.5*dice + 0.5*cldice"); alone it does not say how
    wide anything is. Targets are foreground above one half, so it is not minimal at p = target for soft targets. Class
    maps whose target has no skeleton (empty, or full) cost their mean cross-entropy. Skeletons are those of the whole
    target, ignored pixels too: what is unknown there should be 0. Only a few class maps at a time keep what their
    gradient needs; it is computed again for the backward pass.

    Args:
        iterations: Of the soft skeleton: at least the radius in pixels of the thickest structure, at the network's
            size; thicker ones are judged by their corners.
        smooth: Pixels added to both sums of a ratio, as in the paper's code.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For settings out of range.

    Example:
        >>> y = torch.zeros(1, 1, 5, 5)
        >>> y[0, 0, 2] = 1  # a line, its own skeleton
        >>> x = torch.where(y > 0, 50.0, -50.0)
        >>> x[0, 0, 2, 2] = -50  # broken: precision 1, sensitivity (4 + 1) / (5 + 1)
        >>> round(ClDiceLoss()(x, y).item(), 4)  # 1 - 2 (5 / 6) / (1 + 5 / 6)
        0.0909

    References:
        Shit et al., 2021.
    """

    def __init__(
        self, *, iterations: int = 5, smooth: float = 1.0, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(class_weights=class_weights)
        if iterations < 1 or iterations != int(iterations):
            raise ValueError(f"iterations must be a whole number, at least 1, got {iterations}")
        if not 0 <= smooth < math.inf:
            raise ValueError(f"smooth must not be negative, got {smooth}")
        self.iterations = int(iterations)
        self.smooth = smooth

    @override
    def statistics(self) -> tuple[Statistic, ...]:
        return (CROSS_ENTROPY,)

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        n, c, h, w = inputs.raw_logits.shape
        hard = inputs.target > 0.5
        present = (hard.flatten(2).any(2) & ~hard.flatten(2).all(2)).flatten().nonzero().squeeze(1)
        y, p = (maps.reshape(n * c, 1, h, w)[present] for maps in (hard.to(inputs.dtype), inputs.probs))
        weight = torch.ones_like(y)
        if inputs.weight is not None:  # relative to the mean, so that `smooth` is in pixels whatever the image weighs
            relative = inputs.weight / inputs.mean_weight.clamp(min=TINY)[:, :, None, None]
            weight = relative.reshape(n * c, 1, h, w)[present]
            p = torch.where(weight > 0, p, y)  # a prediction in ignored pixels has no skeleton
        size = max(1, CHUNK.get(y.device.type, LARGE_CHUNK) // (h * w))
        with torch.no_grad():
            skeleton = torch.cat([soft_skeleton(part, iterations=self.iterations) for part in y.split(size)]) * weight
        costs = [
            checkpoint(self._costs, *part, use_reentrant=False, preserve_rng_state=False)
            for part in zip(*(maps.split(size) for maps in (p, y, skeleton, weight)))
        ]
        absent = inputs.mean_cross_entropy.flatten()
        costs_or_absent = torch.where(skeleton.sum((1, 2, 3)) > 0, torch.cat(costs), absent[present])
        terms = absent.index_copy(0, present, costs_or_absent)
        return self.mean(terms.view(n, c), inputs.mean_weight)

    def _costs(self, p: Tensor, y: Tensor, skeleton: Tensor, weight: Tensor) -> Tensor:
        """1 - clDice of each class map, (n,)."""
        predicted = soft_skeleton(p, iterations=self.iterations) * weight
        precision = _ratio(predicted * y, predicted, self.smooth)
        sensitivity = _ratio(skeleton * p, skeleton, self.smooth)
        return 1 - 2 * precision * sensitivity / (precision + sensitivity).clamp(min=TINY)


def _ratio(part: Tensor, whole: Tensor, smooth: float) -> Tensor:
    """Sum of a part over the sum of the whole, of each map."""
    return (part.sum((1, 2, 3)) + smooth) / (whole.sum((1, 2, 3)) + smooth).clamp(min=TINY)
