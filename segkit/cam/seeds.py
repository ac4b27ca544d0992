"""From maps to pseudo-masks: pixels of a class, pixels of none, and pixels left out of the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from segkit.files import nearest
from segkit.thresholds import PerClass, per_class

CONFLICTS = ("ignore", "smaller", "allow")


class Seeds(NamedTuple):
    """Targets and weights as losses take them, both float32 (N, C, H, W).

    Attributes:
        target: 1 where a class is.
        weight: 0 where it is unknown.
    """

    target: Tensor
    weight: Tensor


def normalised(maps: Tensor, labels: Tensor) -> Tensor:
    """Divide the positive part of each map by its maximum.

    Args:
        maps: Float, shape (N, C, h, w).
        labels: Shape (N, C), 1 where an image has the class.

    Returns:
        Shares in [0, 1], shape (N, C, h, w); 0 in classes that an image does not have and in maps that are nowhere
        positive.

    Raises:
        ValueError: For other shapes, and labels other than 0 and 1.

    Example:
        >>> normalised(torch.tensor([[[[-1.0, 1.0, 4.0]]]]), torch.ones(1, 1)).flatten()
        tensor([0.0000, 0.2500, 1.0000])

    References:
        Ahn and Kwak, AffinityNet, CVPR 2018.
    """
    present = _labels(maps, labels)
    maps = maps.clamp(min=0)
    return maps / maps.amax((2, 3), keepdim=True).clamp(min=1e-5) * present[..., None, None]


def seeds(
    shares: Tensor,
    labels: Tensor,
    *,
    foreground: PerClass = 0.4,
    background: PerClass = 0.1,
    conflict: str = "ignore",
    classes: Sequence[str] | None = None,
) -> Seeds:
    """Make targets with weights, each class for itself, from maps and from which classes an image has.

    A class that an image has is there where its share is above `foreground`, is not there where it is at or below
    `background`, and has weight 0 in between. A class that the image does not have is nowhere, with weight 1.

    Args:
        shares: Shape (N, C, H, W), as `normalised` makes them.
        labels: Shape (N, C), 1 where an image has the class.
        foreground: Threshold of the foreground, a number or {class: number} with "*".
        background: Threshold of the background, likewise.
        conflict: "allow": classes may overlap. Else a pixel above the foreground of one class alone is background of
            all others, and one above that of several has weight 0 in those ("ignore"), or belongs to the class with the
            fewest such pixels in the image, of equals the first ("smaller").
        classes: Names in channel order, where thresholds are given by class.

    Returns:
        Targets and weights.

    Raises:
        ValueError: For shapes that do not fit, shares outside [0, 1], a background above its foreground.

    Example:
        >>> found = seeds(torch.tensor([[[[0.0, 0.3, 0.9]]]]), torch.ones(1, 1))
        >>> found.target.flatten().tolist(), found.weight.flatten().tolist()
        ([0.0, 0.0, 1.0], [1.0, 0.0, 1.0])

    References:
        Kolesnikov and Lampert, Seed, expand and constrain, ECCV 2016.
    """
    if conflict not in CONFLICTS:
        raise ValueError(f"no conflict={conflict!r}; {nearest(conflict, CONFLICTS)}")
    present = _labels(shares, labels)[..., None, None]
    low, high = _thresholds(shares, background, foreground, classes)
    claimed = (shares > high) & (present > 0)
    target, known = claimed, claimed | (shares <= low) | (present == 0)
    if conflict != "allow":
        count = claimed.sum(1, keepdim=True)
        if conflict == "smaller":
            areas = claimed.sum((2, 3), keepdim=True)
            first = torch.where(claimed, areas, torch.iinfo(areas.dtype).max).argmin(1, keepdim=True)
            target = torch.zeros_like(claimed).scatter_(1, first, 1) & claimed
            known = known | (count > 0)
        else:
            target = claimed & (count == 1)
            known = torch.where(claimed, target, known | (count == 1))
    return Seeds(target.float(), known.float())


def as_logits(
    shares: Tensor,
    labels: Tensor,
    *,
    foreground: PerClass = 0.4,
    background: PerClass = 0.1,
    confidence: float = 0.9,
    classes: Sequence[str] | None = None,
) -> Tensor:
    """Convert maps to logits, for a PredictionStore and all that reads one, `pseudo.select` among it.

    A straight line for each class: a share at `foreground` has the probability `confidence`, one at `background` has
    1 - confidence. Classes may overlap.

    Args:
        shares: As for `seeds`.
        labels: As for `seeds`.
        foreground: As for `seeds`.
        background: As for `seeds`.
        confidence: Probability at the foreground's threshold, in (0.5, 1).
        classes: As for `seeds`.

    Returns:
        Logits, shape (N, C, H, W); -16 in classes that an image does not have.

    Raises:
        ValueError: As `seeds`, for `confidence` outside (0.5, 1), and where background and foreground are the same.

    Example:
        >>> as_logits(torch.tensor([[[[0.1, 0.25, 0.4]]]]), torch.ones(1, 1)).sigmoid().flatten()
        tensor([0.1000, 0.5000, 0.9000])
    """
    if not 0.5 < confidence < 1:
        raise ValueError(f"expected confidence as a probability in (0.5, 1), got {confidence}")
    present = _labels(shares, labels)[..., None, None]
    low, high = _thresholds(shares, background, foreground, classes)
    if bool((low == high).any()):
        raise ValueError("background and foreground are the same; logits need room between them")
    logits = (2 * shares - low - high) / (high - low) * math.log(confidence / (1 - confidence))
    return torch.where(present > 0, logits, -16.0)


def _labels(maps: Tensor, labels: Tensor) -> Tensor:
    """(N, C), in the maps' type."""
    if not isinstance(labels, Tensor):
        raise ValueError(f"expected labels as a tensor (N, C) of 0 and 1, got a {type(labels).__name__}")
    if maps.ndim != 4 or not maps.is_floating_point() or labels.shape != maps.shape[:2]:
        raise ValueError(
            f"expected float maps (N, C, H, W) and labels (N, C), got {maps.dtype} {tuple(maps.shape)} and "
            f"{tuple(labels.shape)}"
        )
    if bool(((labels != 0) & (labels != 1)).any()):
        raise ValueError("expected labels of 1 and 0, which classes an image has, got other values")
    return labels.to(maps.device, maps.dtype)


def _thresholds(
    shares: Tensor, background: PerClass, foreground: PerClass, classes: Sequence[str] | None
) -> tuple[Tensor, Tensor]:
    """Background and foreground of each class, (C, 1, 1)."""
    if shares.numel() and not bool((shares >= 0).all() & (shares <= 1).all()):
        raise ValueError(
            f"expected shares in [0, 1], got {shares.min()} to {shares.max()}; pass maps through normalised first"
        )
    names = [str(c) for c in range(shares.shape[1])] if classes is None else list(classes)
    if len(names) != shares.shape[1]:
        raise ValueError(f"maps have {shares.shape[1]} channels but {len(names)} classes are named")
    levels = [list(per_class(setting, names).values()) for setting in (background, foreground)]
    for name, low, high in zip(names, *levels):
        if not 0 <= low <= high <= 1:
            raise ValueError(f"class {name}: expected 0 <= background <= foreground <= 1, got {low} and {high}")
    low, high = (torch.tensor(level, dtype=shares.dtype, device=shares.device)[:, None, None] for level in levels)
    return low, high
