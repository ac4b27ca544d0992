"""Losses that weigh errors by how far they lie from the contour.

Distances are exact and Euclidean, between pixel centres and the contour half a pixel beside them, as a fraction of the
image's diagonal: a loss means the same at any resolution. Targets are foreground above one half. Class maps without a
contour (empty or full) cost their mean cross-entropy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from segkit.losses.base import Loss
from segkit.losses.inputs import CROSS_ENTROPY, LossInputs
from segkit.losses.statistics import Statistic


class _Contour(Loss):
    """Mean over pixels of a cost that depends on distances to contours."""

    @override
    def statistics(self) -> tuple[Statistic, ...]:
        return (CROSS_ENTROPY,)

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        hard = inputs.target > 0.5
        distance, has_contour = signed_distances(hard)
        costs = inputs.mean_over_pixels(self._costs(inputs, hard, distance, has_contour))
        return self.mean(torch.where(has_contour, costs, inputs.mean_cross_entropy), inputs.mean_weight)

    def _costs(self, inputs: LossInputs, hard: Tensor, distance: Tensor, has_contour: Tensor) -> Tensor:
        """Cost of each pixel, (N, C, H, W); distance: to the target's contour, where it has one."""
        raise NotImplementedError


class BoundaryLoss(_Contour):
    """Mean over pixels of the distance to the target's contour times |p - y|.

    That is the paper's integral of the signed distance over the prediction, plus the constant that makes a perfect hard
    mask cost 0, as a fraction of the diagonal. It says little where nothing is found yet: add it to an overlap loss,
    from the start with a small weight or later (`WeightedSum`). Not minimal at p = target for soft targets. The contour
    is the target's in ignored pixels too: what is unknown there should be 0.

    Args:
        class_weights: Weight of each class in the mean, in channel order.

    Example:
        >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 1, 4)
        >>> x = torch.tensor([50.0, 50, 50, 50]).view(1, 1, 1, 4)  # two too many, .5 and 1.5 pixels out
        >>> round(BoundaryLoss()(x, y).item() * 17**0.5, 4)
        0.5

    References:
        Kervadec et al., 2019.
    """

    @override
    def _costs(self, inputs: LossInputs, hard: Tensor, distance: Tensor, has_contour: Tensor) -> Tensor:
        return distance.to(inputs.probs) * (inputs.probs - hard.to(inputs.probs))


class HausdorffLoss(_Contour):
    """Mean over pixels of (p - y)^2 (d_target^alpha + d_prediction^alpha).

    d are the distances to the contours of the target and of the prediction above one half, as a fraction of the
    diagonal. The prediction's distances are no part of the gradient, and 0 where it has no contour. It needs a distance
    transform of the prediction in each step. Add it to an overlap loss. Not minimal at p = target for soft targets.
    Ignored pixels: see `BoundaryLoss`.

    Args:
        alpha: The paper's is 2; smaller ones care less for the farthest error.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: If alpha is not positive.

    Example:
        >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 1, 4)
        >>> x = torch.tensor([50.0, 50, 50, -50]).view(1, 1, 1, 4)  # one too many, .5 pixels from either contour
        >>> round(HausdorffLoss()(x, y).item() * 17, 4)  # 2 * .5^2 / 4 pixels
        0.125

    References:
        Karimi, Salcudean, 2019.
    """

    def __init__(self, *, alpha: float = 2.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(class_weights=class_weights)
        if not alpha > 0:
            raise ValueError(f"alpha must be positive, got {alpha}; the paper's is 2")
        self.alpha = alpha

    @override
    def _costs(self, inputs: LossInputs, hard: Tensor, distance: Tensor, has_contour: Tensor) -> Tensor:
        found = inputs.probs.detach() > 0.5
        if inputs.weight is not None:
            found = torch.where(inputs.weight > 0, found, hard)  # a prediction in ignored pixels has no contour
        other, _ = signed_distances(found, needed=has_contour)
        field = (distance.abs() ** self.alpha + other.abs() ** self.alpha).to(inputs.probs)
        return (inputs.probs - hard.to(inputs.probs)).square() * field


def signed_distances(masks: Tensor, *, needed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distances to the contour of each class map, negative inside, computed on the CPU.

    Args:
        masks: Bool, shape (N, C, H, W).
        needed: Bool, shape (N, C): maps to compute, others are left 0; None for all.

    Returns:
        Distances as a fraction of the diagonal, float32, shape (N, C, H, W), 0 where there is no contour; and whether
        there is one, bool, shape (N, C). Both on the masks' device.

    Example:
        >>> signed_distances(torch.tensor([[[[True, False, False, False]]]]))[0] * 17**0.5
        tensor([[[[-0.5000,  0.5000,  1.5000,  2.5000]]]])
    """
    maps = masks.flatten(0, 1).cpu().numpy()
    chosen = np.ones(len(maps), bool) if needed is None else needed.flatten().cpu().numpy()
    has_contour = np.array([bool(take) and 0 < np.count_nonzero(each) < each.size for each, take in zip(maps, chosen)])
    distances = np.zeros(maps.shape, np.float32)
    for at in np.flatnonzero(has_contour):
        distances[at] = _distance(~maps[at])
        rows, columns = (_around(maps[at].any(axis)) for axis in (1, 0))
        distances[at, rows, columns] -= _distance(maps[at, rows, columns])  # a mask ends beside its bounding box
    distances -= 0.5 * np.sign(distances)
    distances /= math.hypot(*maps.shape[1:])
    shape, device = masks.shape, masks.device
    return torch.from_numpy(distances).view(shape).to(device), torch.from_numpy(has_contour).view(shape[:2]).to(device)


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The distance from each pixel of the mask to the nearest outside, 0 outside; (H, W) in pixels."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _around(hit: NDArray[np.bool_]) -> slice:
    """From one before the first hit to one after the last."""
    at = np.flatnonzero(hit)
    return slice(max(0, int(at[0]) - 1), int(at[-1]) + 2)
