"""Losses that weigh errors by how far they lie from the contour.

Distances are exact and Euclidean, between pixel centres and the contour half a pixel beside them, in shares of the
image's diagonal: a loss means the same at any resolution. Targets are taken as foreground above one half. Planes
without a contour (empty or full) cost their mean cross-entropy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segkit.losses.shared import ABSENT, Loss, Pair
from segkit.losses.statistics import Statistic


class BoundaryLoss(Loss):
    """The mean over pixels of the distance to the target's contour times |p - y| (Kervadec et al., 2019).

    That is the paper's integral of the signed distance over the prediction, plus the constant that makes a perfect hard
    mask cost 0, in shares of the diagonal. It says little where nothing is found yet: add it to an overlap loss, from
    the start with a small weight or later (`WeightedSum`). Not minimal at p = target for soft targets. The contour is
    the target's in ignored pixels too: what is unknown there should be 0.

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 1, 4)
    >>> x = torch.tensor([50.0, 50, 50, 50]).view(1, 1, 1, 4)  # two too many, .5 and 1.5 pixels out
    >>> round(BoundaryLoss()(x, y).item() * 17**0.5, 4)
    0.5
    """

    def __init__(self, *, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(class_weights=class_weights)

    def statistics(self) -> tuple[Statistic, ...]:
        return (ABSENT,)

    def of(self, pair: Pair) -> Tensor:
        hard = pair.target > 0.5
        distance, edged = signed_distances(hard)
        terms = pair.planes(distance.to(pair.probs) * (pair.probs - hard.to(pair.probs)))
        return self.mean(torch.where(edged, terms, pair.background), (pair.mass > 0).to(terms))


class HausdorffLoss(Loss):
    """The mean over pixels of (p - y)^2 (d_target^alpha + d_prediction^alpha) (Karimi and Salcudean, 2019).

    d: distances to the contours of the target and of the prediction above one half, in shares of the diagonal; the
    paper's alpha is 2, smaller ones care less for the farthest error. The prediction's distances are no part of the
    gradient, and 0 where it has no contour. It needs a distance transform of the prediction in each step. Add it to an
    overlap loss. Not minimal at p = target for soft targets. Ignored pixels: see `BoundaryLoss`.

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 1, 4)
    >>> x = torch.tensor([50.0, 50, 50, -50]).view(1, 1, 1, 4)  # one too many, .5 pixels from either contour
    >>> round(HausdorffLoss()(x, y).item() * 17, 4)  # 2 * .5^2 / 4 pixels
    0.125
    """

    def __init__(self, *, alpha: float = 2.0, class_weights: Sequence[float] | None = None) -> None:
        super().__init__(class_weights=class_weights)
        if not alpha > 0:
            raise ValueError(f"alpha must be positive, got {alpha}; the paper's is 2")
        self.alpha = alpha

    def statistics(self) -> tuple[Statistic, ...]:
        return (ABSENT,)

    def of(self, pair: Pair) -> Tensor:
        hard = pair.target > 0.5
        found = pair.probs.detach() > 0.5
        if pair.weight is not None:
            found = torch.where(pair.weight > 0, found, hard)  # what is predicted in ignored pixels has no contour
        own, edged = signed_distances(hard)
        other, _ = signed_distances(found, needed=edged)
        field = (own.abs() ** self.alpha + other.abs() ** self.alpha).to(pair.probs)
        terms = pair.planes((pair.probs - hard.to(pair.probs)).square() * field)
        return self.mean(torch.where(edged, terms, pair.background), (pair.mass > 0).to(terms))


def signed_distances(masks: Tensor, *, needed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distances to the contour of each plane, negative inside, in shares of the diagonal.

    masks: bool (N, C, H, W); needed: bool (N, C), other planes are left 0 -> float32 (N, C, H, W) on the masks' device,
    0 where there is no contour, and bool (N, C), where there is one. Computed on the CPU.

    >>> signed_distances(torch.tensor([[[[True, False, False, False]]]]))[0] * 17**0.5
    tensor([[[[-0.5000,  0.5000,  1.5000,  2.5000]]]])
    """
    planes = masks.flatten(0, 1).cpu().numpy()
    wanted = np.ones(len(planes), bool) if needed is None else needed.flatten().cpu().numpy()
    edged = np.array([bool(take) and 0 < np.count_nonzero(plane) < plane.size for plane, take in zip(planes, wanted)])
    distances = np.zeros(planes.shape, np.float32)
    for at in np.flatnonzero(edged):
        distances[at] = _distance(~planes[at])
        rows, columns = (_around(planes[at].any(axis)) for axis in (1, 0))
        distances[at, rows, columns] -= _distance(planes[at, rows, columns])  # a mask ends beside its bounding box
    distances -= 0.5 * np.sign(distances)
    distances /= math.hypot(*planes.shape[1:])
    shape, device = masks.shape, masks.device
    return torch.from_numpy(distances).view(shape).to(device), torch.from_numpy(edged).view(shape[:2]).to(device)


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The distance from each pixel of the mask to the nearest outside, 0 outside; (H, W) in pixels."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _around(hit: NDArray[np.bool_]) -> slice:
    """From one before the first hit to one after the last."""
    at = np.flatnonzero(hit)
    return slice(max(0, int(at[0]) - 1), int(at[-1]) + 2)
