"""Sums over pixels, all of a batch's at once, with one analytic gradient.

`pixel_sums` adds any number of statistics up over every plane in two passes over the inputs (one forward, one
backward), block by block, so that intermediate maps stay in the processor's cache: nothing but the inputs is kept for
the backward pass. What a loss makes of the sums, N x C numbers each, is left to autograd.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from segkit.losses.statistics import Pixels, Statistic

BLOCK = {"cpu": 1 << 18}  # pixels of a block: its maps fit a cache, and threads have enough to share; GPUs want more
LARGE_BLOCK = 1 << 24


def pixel_sums(logits: Tensor, target: Tensor, weight: Tensor | None, statistics: Sequence[Statistic]) -> Tensor:
    """The weighted sum over pixels of each statistic in each plane: (K, N, C) in float32 (float64 for such logits).

    logits, target: (N, C, H, W); weight: None or (N, C, H, W). The gradient reaches logits by the analytic path;
    where it is wanted for target or weight too, or twice, autograd goes through `plain_sums`; so does torch.compile,
    which fuses whole maps by itself.
    """
    if torch.compiler.is_compiling() or target.requires_grad or (weight is not None and weight.requires_grad):
        return plain_sums(logits, target, weight, statistics)
    sums: Tensor = _Sums.apply(logits, target, weight, tuple(statistics))
    return sums


def plain_sums(logits: Tensor, target: Tensor, weight: Tensor | None, statistics: Sequence[Statistic]) -> Tensor:
    """As `pixel_sums`, written as one would, over whole maps: what the analytic path is tested against."""
    px = Pixels(logits, target)
    return torch.stack([_total(statistic.value(px), weight) for statistic in statistics])


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, weight: Tensor | None, statistics: tuple[Statistic, ...]
    ) -> Tensor:
        ctx.save_for_backward(logits, target, weight)
        ctx.statistics = statistics
        dtype = torch.promote_types(logits.dtype, torch.float32)
        sums = torch.zeros(len(statistics), *logits.shape[:2], dtype=dtype, device=logits.device)
        for where in blocks(logits):
            px, part = _part(logits, target, weight, where)
            for own, statistic in zip(sums[:, *where[:2]], statistics):
                own += _total(statistic.value(px), part)
        return sums

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        logits, target, weight = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the slope is to be differentiated again
            sums = plain_sums(logits, target, weight, ctx.statistics)
            (again,) = torch.autograd.grad(sums, logits, grad, create_graph=True)
            return again, None, None, None
        slope = torch.empty_like(logits)
        for where in blocks(logits):
            px, part = _part(logits, target, weight, where)
            by_prob, by_logit = None, None
            for statistic, factor in zip(ctx.statistics, grad[:, *where[:2], None, None]):
                own = statistic.slope(px)
                if own is None:
                    continue
                if statistic.by_logit:
                    by_logit = own * factor if by_logit is None else by_logit.addcmul_(own, factor)
                else:
                    by_prob = own * factor if by_prob is None else torch.addcmul(by_prob, own, factor)
            if by_prob is None:
                total = px.probs.new_zeros(()) if by_logit is None else by_logit
            elif by_logit is None:
                total = by_prob * px.steepness
            else:
                total = by_logit.addcmul_(by_prob, px.steepness)
            slope[where] = total if part is None else total * part
        return slope, None, None, None


def blocks(like: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    """Parts of (N, C, H, W) small enough to work on at once, each in one piece of memory where the whole is.

    Some images; else some classes of one, or rows of a class; in channels_last, rows of all classes.
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
) -> tuple[Pixels, Tensor | None]:
    """One block in the logits' layout: elementwise work over two layouts is several times slower."""
    channels = where[1], logits.shape[1]
    px = Pixels(logits[where], target[where], channels)
    if px.target.stride() != px.logits.stride():
        px = Pixels(px.logits, torch.empty_like(px.logits).copy_(px.target), channels)
    return px, None if weight is None else weight[where].to(px.dtype)


def _total(values: Tensor, weight: Tensor | None) -> Tensor:
    return (values if weight is None else values * weight).sum((2, 3))
