"""Refinement by a random walk: maps flow between pixels that belong together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from segkit.cam.seeds import Seeds

Offset = tuple[int, int]


class Affinity(NamedTuple):
    """Transitions of a random walk: from each pixel to one of a few around it.

    Attributes:
        weights: Shape (N, P, h, w), not negative, summing to 1 over P.
        offsets: P pairs (down, right), in pixels.
    """

    weights: Tensor
    offsets: tuple[Offset, ...]


def affinity(features: Tensor, *, radius: int = 5, power: float = 8.0) -> Affinity:
    """Compute AffinityNet's transitions: to similar pixels nearby, the pixel itself among them.

    A pair has the weight exp(-mean |difference|) ^ power. The authors walk 256 steps at stride 8. Memory: about
    3 radius^2 channels, never (h w)^2.

    Args:
        features: Shape (N, K, h, w), of a network trained with `affinity_loss`, or any others.
        radius: Largest distance of a pair, in pixels.
        power: Above 0; larger makes fewer transitions likely.

    Returns:
        The transitions, inside the frame only.

    Raises:
        ValueError: For radius below 1, power not above 0, or features of another shape.

    References:
        Ahn and Kwak, AffinityNet, CVPR 2018.
    """
    if features.ndim != 4 or not power > 0:
        raise ValueError(f"expected features (N, K, h, w) and power above 0, got {tuple(features.shape)} and {power}")
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    offsets = ((0, 0), *(other for one in _half_disc(radius) for other in (one, (-one[0], -one[1]))))
    similar = features.new_full((len(features), len(offsets), *features.shape[2:]), -math.inf)
    for channel, offset in zip(similar.unbind(1), offsets):
        here, there = _pairs(features, offset)
        _pairs(channel, offset)[0].copy_((here - there).abs().mean(1).mul(-power))
    return Affinity(similar.softmax(1), offsets)


def colour_affinity(
    image: Tensor, *, dilations: Sequence[int] = (1, 2, 4, 8, 12, 24), contrast: float = 0.1
) -> Affinity:
    """Compute transitions from the image alone, without training (pixel-adaptive refinement).

    From each pixel to its eight neighbours at each dilation, never to itself: the softmax of -|difference| / (contrast
    times the standard deviation around the pixel), the mean over channels. A pixel without neighbours stays. The
    authors walk 10 steps. Memory: 8 channels a dilation.

    Args:
        image: Shape (N, channels, H, W), grey or colour, at any scale of values.
        dilations: Distances of the neighbours, in pixels.
        contrast: Above 0; smaller makes edges stop more.

    Returns:
        The transitions, inside the frame only.

    Raises:
        ValueError: For dilations that are none, repeated or below 1, or contrast not above 0.

    Example:
        >>> step = colour_affinity(torch.tensor([[[[0.0, 0.0, 9.0]]]]), dilations=[1])
        >>> walk(torch.tensor([[[[1.0, 0.0, 0.0]]]]), step, steps=1).flatten()
        tensor([0., 1., 0.])

    References:
        Araslanov and Roth, Single-stage semantic segmentation from image labels, CVPR 2020.
    """
    if not dilations or min(dilations) < 1 or len(set(dilations)) < len(dilations):
        raise ValueError(f"expected dilations as different numbers of pixels, at least 1, got {dilations}")
    if image.ndim != 4 or not contrast > 0:
        raise ValueError(
            f"expected an image (N, c, H, W) and contrast above 0, got {tuple(image.shape)} and {contrast}"
        )
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    offsets = ((0, 0), *((d * y, d * x) for d in dilations for y, x in around))
    scale = contrast * _spread(image, offsets) + 1e-8
    similar = image.new_full((len(image), len(offsets), *image.shape[2:]), -math.inf)
    for channel, offset in zip(similar.unbind(1)[1:], offsets[1:]):
        here, there = _pairs(image, offset)
        _pairs(channel, offset)[0].copy_(((here - there).abs() / _pairs(scale, offset)[0]).mean(1).neg())
    alone = similar.amax(1) == -math.inf
    similar[:, 0].masked_fill_(alone, 0)
    return Affinity(similar.softmax(1), offsets)


def walk(maps: Tensor, affinity: Affinity, *, steps: int) -> Tensor:
    """Refine maps by a random walk: in each step a pixel becomes the weighted mean of those it goes to.

    Values stay between the smallest and the largest, and a map that is the same everywhere stays as it is. Walk on
    shares (`normalised`), and normalise the result again before seeds are made of it.

    Args:
        maps: Shape (N, C, h, w), of the affinity's size.
        affinity: Transitions.
        steps: Number of steps, 0 or more.

    Returns:
        Shape (N, C, h, w), float32 or wider.

    Raises:
        ValueError: For another size or negative steps.
    """
    weights, offsets = affinity
    if maps.ndim != 4 or len(maps) != len(weights) or maps.shape[2:] != weights.shape[2:]:
        raise ValueError(
            f"maps are {tuple(maps.shape)}, the affinity is of {len(weights)} images of {tuple(weights.shape[2:])}; "
            "resize one of them"
        )
    if steps < 0:
        raise ValueError(f"expected 0 or more steps, got {steps}")
    maps = maps.to(torch.promote_types(maps.dtype, weights.dtype), copy=True)
    for _ in range(steps):
        out = torch.zeros_like(maps)
        for weight, offset in zip(weights.split(1, 1), offsets):
            _pairs(out, offset)[0].addcmul_(_pairs(maps, offset)[1], _pairs(weight, offset)[0])
        maps = out
    return maps


def affinity_loss(features: Tensor, found: Seeds, *, radius: int = 5) -> Tensor:
    """Compute AffinityNet's loss: pixels of one class are to have similar features, others not.

    Pairs at most `radius` apart count where every class is known at both ends; they belong together where all classes
    agree. With a = exp(-mean |difference|) the loss is a quarter of the mean -log a of pairs of background, a quarter
    of that of pairs of the same classes, half of the mean -log(1 - a) of all others.

    Args:
        features: Shape (N, K, h, w), with gradients; `affinity` of them is what to walk on.
        found: `seeds` of that size.
        radius: Largest distance of a pair, in pixels.

    Returns:
        A scalar.

    Raises:
        ValueError: If features and seeds differ in size, or radius is below 1.

    References:
        Ahn and Kwak, AffinityNet, CVPR 2018.
    """
    target, weight = found
    if features.ndim != 4 or target.shape[2:] != features.shape[2:] or len(target) != len(features):
        raise ValueError(
            f"features are {tuple(features.shape)} and seeds {tuple(target.shape)}; make seeds from maps of that size"
        )
    target, known = target > 0, (weight > 0).all(1)
    totals, counts = [], []
    for offset in _half_disc(radius):
        here, there = _pairs(features, offset)
        apart = (here - there).abs().mean(1).float()
        both = torch.logical_and(*_pairs(known, offset))
        one, other = _pairs(target, offset)
        same, thing = (one == other).all(1), one.any(1)
        kinds = torch.stack([both & same & ~thing, both & same & thing, both & ~same])
        costs = torch.stack([apart, apart, -torch.log1p(1e-5 - torch.exp(-apart))])
        totals.append((costs * kinds).sum((1, 2, 3)))
        counts.append(kinds.sum((1, 2, 3)))
    means = torch.stack(totals).sum(0) / (torch.stack(counts).sum(0) + 1e-5)
    return means @ means.new_tensor([0.25, 0.25, 0.5])


def _half_disc(radius: int) -> list[Offset]:
    """One of each two opposite offsets at most `radius` long."""
    if radius < 1:
        raise ValueError(f"expected a radius of at least 1 pixel, got {radius}")
    reach = range(-radius, radius + 1)
    return [(y, x) for y in reach for x in reach if (y, x) > (0, 0) and y * y + x * x <= radius * radius]


def _pairs(x: Tensor, offset: Offset) -> tuple[Tensor, Tensor]:
    """Views of x, (..., h, w): the pixels whose other end lies in the frame, and those ends."""
    (rows, other_rows), (columns, other_columns) = (_span(side, by) for side, by in zip(x.shape[-2:], offset))
    return x[..., rows, columns], x[..., other_rows, other_columns]


def _span(side: int, by: int) -> tuple[slice, slice]:
    """Both ends of the pairs along one axis."""
    length, here, there = max(0, side - abs(by)), max(0, -by), max(0, by)
    return slice(here, here + length), slice(there, there + length)


def _spread(image: Tensor, offsets: Sequence[Offset]) -> Tensor:
    """The standard deviation among each pixel's neighbours in the frame, itself included; (N, c, H, W)."""
    total, square, count = torch.zeros_like(image), torch.zeros_like(image), torch.zeros_like(image[:1, :1])
    for offset in offsets:
        _pairs(total, offset)[0].add_(_pairs(image, offset)[1])
        _pairs(count, offset)[0].add_(1)
    mean = total / count
    for offset in offsets:
        here, there = _pairs(mean, offset)[0], _pairs(image, offset)[1]
        _pairs(square, offset)[0].add_((there - here).square())
    return (square / count).sqrt()
