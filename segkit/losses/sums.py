"""Sums over pixels, all of a batch's at once, with one analytic gradient.

`pixel_sums` adds up any number of statistics over every class map in two passes over the inputs (one forward, one
backward), block by block, so that intermediate maps stay in the processor's cache. Nothing but the inputs is kept for
the backward pass. What a loss makes of the sums, N x C numbers each, is left to autograd.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from segkit.losses.maps import PixelMaps
from segkit.losses.statistics import Statistic

BLOCK = {"cpu": 1 << 18}  # pixels of a block: its maps fit a cache, and threads have enough to share; GPUs want more
LARGE_BLOCK = 1 << 24


def pixel_sums(logits: Tensor, target: Tensor, weight: Tensor | None, statistics: Sequence[Statistic]) -> Tensor:
    """Weighted sum over pixels of each statistic in each class map.

    The gradient reaches the logits by the analytic path. Autograd goes through `plain_sums` where a gradient by target
    or weight, or a second one, is asked for, and under torch.compile, which fuses whole maps by itself.

    Args:
        logits: Floating point, shape (N, C, H, W).
        target: Shape (N, C, H, W).
        weight: Shape (N, C, H, W), or None for 1 everywhere.
        statistics: What to sum, K of them.

    Returns:
        Float32 (float64 for such logits), shape (K, N, C).
    """
    if torch.compiler.is_compiling() or target.requires_grad or (weight is not None and weight.requires_grad):
        return plain_sums(logits, target, weight, statistics)
    sums: Tensor = _PixelSums.apply(logits, target, weight, tuple(statistics))
    return sums


def plain_sums(logits: Tensor, target: Tensor, weight: Tensor | None, statistics: Sequence[Statistic]) -> Tensor:
    """As `pixel_sums`, over whole maps and by autograd: what the analytic path is tested against.

    Args:
        logits: Floating point, shape (N, C, H, W).
        target: Shape (N, C, H, W).
        weight: Shape (N, C, H, W), or None for 1 everywhere.
        statistics: What to sum, K of them.

    Returns:
        Float32 (float64 for such logits), shape (K, N, C).
    """
    maps = PixelMaps(logits, target)
    return torch.stack([_total(statistic.value(maps), weight) for statistic in statistics])


class _Context(FunctionCtx):
    statistics: tuple[Statistic, ...]
    saved_tensors: tuple[Tensor, ...]


class _PixelSums(torch.autograd.Function):
    """The analytic path."""

    @staticmethod
    def forward(
        ctx: _Context, logits: Tensor, target: Tensor, weight: Tensor | None, statistics: tuple[Statistic, ...]
    ) -> Tensor:
        ctx.save_for_backward(logits, target, weight)  # type: ignore[arg-type]  # None may be saved
        ctx.statistics = statistics
        dtype = torch.promote_types(logits.dtype, torch.float32)
        sums = torch.zeros(len(statistics), *logits.shape[:2], dtype=dtype, device=logits.device)
        for where in blocks(logits):
            maps, part = _part(logits, target, weight, where)
            for total, statistic in zip(sums[:, *where[:2]], statistics):
                total += _total(statistic.value(maps), part)
        return sums

    @staticmethod
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor, None, None, None]:
        logits, target, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the slope is to be differentiated again
            sums = plain_sums(logits, target, weight, ctx.statistics)
            (again,) = torch.autograd.grad(sums, logits, grad, create_graph=True)
            return again, None, None, None
        slope = torch.empty_like(logits)
        for where in blocks(logits):
            maps, part = _part(logits, target, weight, where)
            by_prob, by_logit = None, None
            for statistic, factor in zip(ctx.statistics, grad[:, *where[:2], None, None]):
                one = statistic.slope(maps)
                if one is None:
                    continue
                if statistic.by_logit:
                    by_logit = one * factor if by_logit is None else by_logit.addcmul_(one, factor)
                else:
                    by_prob = one * factor if by_prob is None else torch.addcmul(by_prob, one, factor)
            if by_prob is None:
                total = maps.probs.new_zeros(()) if by_logit is None else by_logit
            elif by_logit is None:
                total = by_prob * maps.sigmoid_slope
            else:
                total = by_logit.addcmul_(by_prob, maps.sigmoid_slope)
            slope[where] = total if part is None else total * part
        return slope, None, None, None


def blocks(like: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    """Parts small enough to work on at once, each in one piece of memory where the whole is.

    Args:
        like: Shape (N, C, H, W).

    Yields:
        Slices of images, classes and rows: some images; else some classes of one, or rows of a class; in channels_last,
        rows of all classes.
    """
    n, c, h, w = like.shape
    size = BLOCK.get(like.device.type, LARGE_BLOCK)
    images, classes, rows = max(1, size // max(1, c * h * w)), c, h
    if c * h * w > size and like.is_contiguous(memory_format=torch.channels_last):
        rows = max(1, size // (c * w))
    elif c * h * w > size:
        classes, rows = max(1, size // (h * w)), min(h, max(1, size // w))
    for first in range(0, n, images):
        for channel in range(0, c, max(1, classes)):
            for top in range(0, h, max(1, rows)):
                yield slice(first, first + images), slice(channel, channel + classes), slice(top, top + rows)


def _part(
    logits: Tensor, target: Tensor, weight: Tensor | None, where: tuple[slice, slice, slice]
) -> tuple[PixelMaps, Tensor | None]:
    """One block in the logits' layout: elementwise work over two layouts is several times slower."""
    channels = where[1], logits.shape[1]
    maps = PixelMaps(logits[where], target[where], channels)
    if maps.target.stride() != maps.logits.stride():
        maps = PixelMaps(maps.logits, torch.empty_like(maps.logits).copy_(maps.target), channels)
    return maps, None if weight is None else weight[where].to(maps.dtype)


def _total(values: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted sum over pixels, (N, C, H, W) -> (N, C)."""
    return (values if weight is None else values * weight).sum((2, 3))
