"""The soft skeleton, with morphology whose gradient is cheap."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F


def soft_skeleton(maps: Tensor, *, iterations: int) -> Tensor:
    """Soft skeleton: what openings take away, erosion by erosion. Its gradient cannot be differentiated again.

    Args:
        maps: Values in [0, 1], shape (n, 1, H, W).
        iterations: Number of erosions.

    Returns:
        Shape (n, 1, H, W).

    Example:
        >>> bar = torch.zeros(1, 1, 5, 7)
        >>> bar[..., 1:4, 1:6] = 1
        >>> soft_skeleton(bar, iterations=1)[0, 0, 2].int()
        tensor([0, 0, 1, 1, 1, 0, 0], dtype=torch.int32)

    References:
        Shit et al., 2021.
    """
    eroded = _eroded(maps)
    skeleton = F.relu(maps - _dilated(eroded))
    for _ in range(iterations):
        maps, eroded = eroded, _eroded(eroded)
        new = F.relu(maps - _dilated(eroded))
        skeleton = skeleton + F.relu(new - skeleton * new)
    return skeleton


def _eroded(maps: Tensor) -> Tensor:
    """The least of each pixel's cross of five; the border does not erode."""
    return _apply(_Minimum, _apply(_ThreeAlongAxis, maps, 2, False), _apply(_ThreeAlongAxis, maps, 3, False))


def _dilated(maps: Tensor) -> Tensor:
    """The largest of each pixel's square of nine."""
    return _apply(_ThreeAlongAxis, _apply(_ThreeAlongAxis, maps, 2, True), 3, True)


class _Context(FunctionCtx):
    axis: int
    largest: bool
    saved_tensors: tuple[Tensor, ...]


class _Minimum(torch.autograd.Function):
    """The smaller of two maps; equal ones share the gradient."""

    @staticmethod
    def forward(ctx: _Context, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return torch.minimum(a, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return _split_gradient(grad, a, b, False)


class _ThreeAlongAxis(torch.autograd.Function):
    """Each pixel's largest or least neighbour along an axis, itself included.

    Pooling, or torch.maximum of slices, takes about ten times as long there and back.
    """

    @staticmethod
    def forward(ctx: _Context, maps: Tensor, axis: int, largest: bool) -> Tensor:
        choose = torch.maximum if largest else torch.minimum
        ctx.axis, ctx.largest = axis, largest
        two = choose(*_neighbours(maps, axis)) if maps.shape[axis] > 1 else maps
        ctx.save_for_backward(maps, two)
        if two is maps:
            return maps.clone()
        n = two.shape[axis]
        return torch.cat([two.narrow(axis, 0, 1), choose(*_neighbours(two, axis)), two.narrow(axis, n - 1, 1)], axis)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor, None, None]:
        maps, two = ctx.saved_tensors
        axis, n = ctx.axis, grad.shape[ctx.axis]
        if n == 1:
            return grad, None, None
        for source in (two, maps):
            inner = grad.narrow(axis, 1, n - 2) if source is two else grad
            first, last = _neighbours(source, axis)
            low, high = _split_gradient(inner, first, last, ctx.largest)
            total = torch.zeros_like(source)
            total.narrow(axis, 0, low.shape[axis]).copy_(low)
            total.narrow(axis, 1, high.shape[axis]).add_(high)
            if source is two:
                total.narrow(axis, 0, 1).add_(grad.narrow(axis, 0, 1))
                total.narrow(axis, n - 2, 1).add_(grad.narrow(axis, n - 1, 1))
            grad = total
        return grad, None, None


def _apply(function: type[torch.autograd.Function], *inputs: Tensor | int) -> Tensor:
    """`function.apply`, with a type."""
    result: Tensor = function.apply(*inputs)
    return result


def _neighbours(maps: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """All pixels but the last along an axis, and all but the first."""
    n = maps.shape[axis]
    return maps.narrow(axis, 0, n - 1), maps.narrow(axis, 1, n - 1)


def _split_gradient(grad: Tensor, a: Tensor, b: Tensor, largest: bool) -> tuple[Tensor, Tensor]:
    """What of a gradient goes to a and to b, where the larger or the smaller was chosen; half each where equal."""
    half = grad * 0.5
    more = (a - b if largest else b - a).sign_().mul_(half)
    return half + more, half - more
