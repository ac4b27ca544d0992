"""From maps to pseudo-masks: what is surely a class, what surely is not, and what is not to be learned from."""

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
    """target: 1 where a class is; weight: 0 where nobody knows; both float32 (N, C, H, W), as losses take them."""

    target: Tensor
    weight: Tensor


def normalised(maps: Tensor, labels: Tensor) -> Tensor:
    """ReLU, then each plane by its own maximum: shares in [0, 1] (Ahn and Kwak, CVPR 2018).

    maps: (N, C, h, w); labels: (N, C), 1 where an image has the class; the planes of others become 0, and so does one
    that is nowhere positive. ValueError for other shapes and labels other than 0 and 1.

    >>> normalised(torch.tensor([[[[-1.0, 1.0, 4.0]]]]), torch.ones(1, 1)).flatten()
    tensor([0.0000, 0.2500, 1.0000])
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
    """Targets with weights, each class for itself, from maps in [0, 1] and from which classes an image has.

    shares: (N, C, H, W), as `normalised` makes them; labels: (N, C). A present class is there where its share lies
    above `foreground`, is not there where it lies at or below `background`, and counts for nothing (weight 0) in
    between. An absent class is nowhere, surely. Both are numbers, or {class: number} with "*" and classes= in channel
    order.

    conflict: where classes cannot overlap, a pixel above the foreground of one alone is background of all others, and
    one that several claim is, with "ignore", unknown to those, or with "smaller" the class's with the fewest such
    pixels in the image (Kolesnikov and Lampert, ECCV 2016; of equals the first). "allow": classes may overlap.

    Raises ValueError for shapes that do not fit, shares outside [0, 1], a background above its foreground.

    >>> found = seeds(torch.tensor([[[[0.0, 0.3, 0.9]]]]), torch.ones(1, 1))
    >>> found.target.flatten().tolist(), found.weight.flatten().tolist()
    ([0.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    """
    if conflict not in CONFLICTS:
        raise ValueError(f"no conflict={conflict!r}; {nearest(conflict, CONFLICTS)}")
    present = _labels(shares, labels)[..., None, None]
    low, high = _cuts(shares, background, foreground, classes)
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
    sure: float = 0.9,
    classes: Sequence[str] | None = None,
) -> Tensor:
    """Maps as logits, (N, C, H, W), for a PredictionStore and all that reads one, pseudo-labels among it.

    Arguments as for `seeds` (classes may overlap). A straight line for each class, so that a share at `foreground` has
    the probability `sure` and one at `background` has 1 - sure: who keeps what is surer than that keeps the seeds.
    Absent classes have logit -16. ValueError as for `seeds`, for `sure` outside (0.5, 1) and background = foreground.

    >>> as_logits(torch.tensor([[[[0.1, 0.25, 0.4]]]]), torch.ones(1, 1)).sigmoid().flatten()
    tensor([0.1000, 0.5000, 0.9000])
    """
    if not 0.5 < sure < 1:
        raise ValueError(f"sure={sure}: a probability in (0.5, 1) is wanted")
    present = _labels(shares, labels)[..., None, None]
    low, high = _cuts(shares, background, foreground, classes)
    if bool((low == high).any()):
        raise ValueError("background and foreground are the same; logits need room between them")
    logits = (2 * shares - low - high) / (high - low) * math.log(sure / (1 - sure))
    return torch.where(present > 0, logits, -16.0)


def _labels(maps: Tensor, labels: Tensor) -> Tensor:
    """(N, C), in the maps' type."""
    if not isinstance(labels, Tensor):
        raise ValueError(f"labels are a {type(labels).__name__}; a tensor (N, C) of 0 and 1 is wanted")
    if maps.ndim != 4 or not maps.is_floating_point() or labels.shape != maps.shape[:2]:
        raise ValueError(
            f"maps are {maps.dtype} {tuple(maps.shape)} and labels {tuple(labels.shape)}; floats (N, C, H, W) and "
            "(N, C) are wanted"
        )
    if bool(((labels != 0) & (labels != 1)).any()):
        raise ValueError("labels say which classes an image has, 1 or 0; other values came")
    return labels.to(maps.device, maps.dtype)


def _cuts(
    shares: Tensor, background: PerClass, foreground: PerClass, classes: Sequence[str] | None
) -> tuple[Tensor, Tensor]:
    """Background and foreground of each class, (C, 1, 1)."""
    if shares.numel() and not bool((shares >= 0).all() & (shares <= 1).all()):
        raise ValueError(f"shares reach from {shares.min()} to {shares.max()}; pass them through normalised first")
    names = [str(c) for c in range(shares.shape[1])] if classes is None else list(classes)
    if len(names) != shares.shape[1]:
        raise ValueError(f"maps have {shares.shape[1]} channels but {len(names)} classes are named")
    cuts = [list(per_class(setting, names).values()) for setting in (background, foreground)]
    for name, low, high in zip(names, *cuts):
        if not 0 <= low <= high <= 1:
            raise ValueError(f"class {name}: 0 <= background <= foreground <= 1 is wanted, got {low} and {high}")
    low, high = (torch.tensor(cut, dtype=shares.dtype, device=shares.device)[:, None, None] for cut in cuts)
    return low, high
