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
    """Where a walker goes next: from each pixel to one of a few around it.

    weights: (N, P, h, w), not negative, summing to 1 over P; offsets: P times (down, right), in pixels.
    """

    weights: Tensor
    offsets: tuple[Offset, ...]


def affinity(features: Tensor, *, radius: int = 5, power: float = 8.0) -> Affinity:
    """AffinityNet's transitions (Ahn and Kwak, CVPR 2018): to alike pixels nearby, itself among them.

    features: (N, K, h, w), of a network that learned from `affinity_loss`, or any others. A pair at most `radius`
    pixels apart weighs exp(-mean |difference|) ^ power; there is nobody outside the frame. The authors walk 256 steps
    at stride 8. Memory: about 3 radius^2 planes, never (h w)^2. ValueError for radius below 1 or power not above 0.
    """
    if features.ndim != 4 or not power > 0:
        raise ValueError(f"features (N, K, h, w) and power above 0 are wanted, got {tuple(features.shape)}, {power}")
    features = features.to(torch.promote_types(features.dtype, torch.float32))
    offsets = ((0, 0), *(other for one in _half_disc(radius) for other in (one, (-one[0], -one[1]))))
    alike = features.new_full((len(features), len(offsets), *features.shape[2:]), -math.inf)
    for plane, offset in zip(alike.unbind(1), offsets):
        here, there = _pairs(features, offset)
        _pairs(plane, offset)[0].copy_((here - there).abs().mean(1).mul(-power))
    return Affinity(alike.softmax(1), offsets)


def colour_affinity(
    image: Tensor, *, dilations: Sequence[int] = (1, 2, 4, 8, 12, 24), contrast: float = 0.1
) -> Affinity:
    """Transitions from the image alone, without training (pixel-adaptive refinement: Araslanov and Roth, CVPR 2020).

    image: (N, channels, H, W), grey or colour, at any scale of values. From each pixel to its eight neighbours at each
    dilation, never to itself: the softmax of -|difference| / (contrast x the standard deviation around the pixel), the
    mean over channels. There is nobody outside the frame; a pixel that is alone stays. The authors walk 10 steps.
    Memory: 8 planes a dilation. ValueError for dilations that are none, repeated or below 1, or contrast not above 0.

    >>> step = colour_affinity(torch.tensor([[[[0.0, 0.0, 9.0]]]]), dilations=[1])
    >>> walk(torch.tensor([[[[1.0, 0.0, 0.0]]]]), step, steps=1).flatten()
    tensor([0., 1., 0.])
    """
    if not dilations or min(dilations) < 1 or len(set(dilations)) < len(dilations):
        raise ValueError(f"dilations={dilations}: different numbers of pixels, at least 1, are wanted")
    if image.ndim != 4 or not contrast > 0:
        raise ValueError(f"an image (N, c, H, W) and contrast above 0 are wanted, got {tuple(image.shape)}, {contrast}")
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    offsets = ((0, 0), *((d * y, d * x) for d in dilations for y, x in around))
    scale = contrast * _spread(image, offsets) + 1e-8
    alike = image.new_full((len(image), len(offsets), *image.shape[2:]), -math.inf)
    for plane, offset in zip(alike.unbind(1)[1:], offsets[1:]):
        here, there = _pairs(image, offset)
        _pairs(plane, offset)[0].copy_(((here - there).abs() / _pairs(scale, offset)[0]).mean(1).neg())
    alone = alike.amax(1) == -math.inf
    alike[:, 0].masked_fill_(alone, 0)
    return Affinity(alike.softmax(1), offsets)


def walk(maps: Tensor, affinity: Affinity, *, steps: int) -> Tensor:
    """Maps after so many steps: each pixel becomes, each time, the mean of those it goes to by their weights.

    maps: (N, C, h, w), of the affinity's size -> the same, float32 or wider. Values stay between the smallest and the
    largest, and a plane that is the same everywhere stays as it is. Let maps be shares (`normalised`), and normalise
    again what is walked before it is cut. ValueError for another size or negative steps.
    """
    weights, offsets = affinity
    if maps.ndim != 4 or len(maps) != len(weights) or maps.shape[2:] != weights.shape[2:]:
        raise ValueError(
            f"maps are {tuple(maps.shape)}, the affinity is of {len(weights)} images of {tuple(weights.shape[2:])}; "
            "resize one of them"
        )
    if steps < 0:
        raise ValueError(f"steps={steps}: 0 or more are wanted")
    maps = maps.to(torch.promote_types(maps.dtype, weights.dtype), copy=True)
    for _ in range(steps):
        out = torch.zeros_like(maps)
        for weight, offset in zip(weights.split(1, 1), offsets):
            _pairs(out, offset)[0].addcmul_(_pairs(maps, offset)[1], _pairs(weight, offset)[0])
        maps = out
    return maps


def affinity_loss(features: Tensor, found: Seeds, *, radius: int = 5) -> Tensor:
    """AffinityNet's loss (Ahn and Kwak, CVPR 2018): pixels of one class are to have alike features, others not.

    features: (N, K, h, w), with gradients; found: `seeds` of that size. Pairs at most `radius` apart count where every
    class is known at both ends; they belong together where all classes agree. -> a scalar: with a = exp(-mean
    |difference|), a quarter of the mean -log a of pairs of background, a quarter of that of pairs of the same classes,
    half of the mean -log(1 - a) of all others. Gradients reach the features; `affinity` of them is what to walk on.
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
        raise ValueError(f"radius={radius}: at least 1 pixel is wanted")
    reach = range(-radius, radius + 1)
    return [(y, x) for y in reach for x in reach if (y, x) > (0, 0) and y * y + x * x <= radius * radius]


def _pairs(x: Tensor, offset: Offset) -> tuple[Tensor, Tensor]:
    """Views of x, (..., h, w): the pixels whose other end lies in the frame, and those ends."""
    (rows, other_rows), (columns, other_columns) = (_span(side, by) for side, by in zip(x.shape[-2:], offset))
    return x[..., rows, columns], x[..., other_rows, other_columns]


def _span(side: int, by: int) -> tuple[slice, slice]:
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
