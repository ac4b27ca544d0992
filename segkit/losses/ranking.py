"""The Lovasz hinge: the Jaccard index itself, made convex, by ranking pixels by their error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from typing_extensions import override

from segkit.files import nearest
from segkit.losses.base import Loss
from segkit.losses.inputs import CROSS_ENTROPY, TINY, LossInputs
from segkit.losses.statistics import Statistic

ERRORS = ("hinge", "probs")
INT32_MAX = 0x7FFFFFFF


class LovaszLoss(Loss):
    """Lovasz extension of 1 - Jaccard over each class of each image, then the mean.

    The Jaccard gradient sums soft targets as they are. An absent class costs its mean cross-entropy, as in `DiceLoss`
    (by rank, only its one worst pixel would learn). Every class map is ranked by itself, in the memory of a few maps;
    pixels whose error is 0 have no gradient and are dropped first, so it gets faster while training.

    Args:
        errors: "hinge", the paper's for logits: 1 - x for foreground and 1 + x for background where positive. A soft
            target y sets its logit, clipped to +-1, as the goal instead (|x - goal|, free beyond a clipped goal), which
            gives the paper's for hard targets and 0 at p = y for soft ones. "probs": |y - p|, the Lovasz-Softmax of one
            class.
        per_image: Rank in each image; False ranks over the batch.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For unknown errors, and for a target that requires a gradient.

    Example:
        >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
        >>> x = torch.tensor([9.0, -1, -9, -9]).view(1, 1, 2, 2)  # one of two found: error 2 times (1 - Jaccard)
        >>> LovaszLoss()(x, y).item()
        1.0

    References:
        Berman, Rannen Triki, Blaschko, 2018.
    """

    def __init__(
        self, *, errors: str = "hinge", per_image: bool = True, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(class_weights=class_weights)
        if errors not in ERRORS:
            raise ValueError(f"no errors {errors!r} of LovaszLoss; {nearest(errors, ERRORS)}")
        self.errors = errors
        self.per_image = per_image

    @override
    def statistics(self) -> tuple[Statistic, ...]:
        return (CROSS_ENTROPY,)

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        if inputs.raw_target.requires_grad:
            raise ValueError("LovaszLoss gives the target no gradient; detach it")
        terms, sizes = _Lovasz.apply(
            inputs.raw_logits, inputs.raw_target, inputs.weight, self.errors == "hinge", self.per_image
        )
        return self.mean_with_absent_classes(terms, sizes, inputs, per_image=self.per_image)


class _Context(FunctionCtx):
    dtype: torch.dtype
    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]


class _Lovasz(torch.autograd.Function):
    """-> the loss of each class map and the size of its target, both (N, C), or (1, C) over the batch."""

    @staticmethod
    def forward(
        ctx: _Context, logits: Tensor, target: Tensor, weight: Tensor | None, hinge: bool, per_image: bool
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        slopes = torch.zeros_like(logits, dtype=dtype) if ctx.needs_input_grad[0] else None
        shape = (len(logits) if per_image else 1, logits.shape[1])
        terms, sizes = (torch.zeros(shape, dtype=dtype, device=logits.device) for _ in range(2))
        for row, column, where in _class_maps(shape, per_image):
            x, y = logits[where].to(dtype), target[where].to(dtype)
            w = None if weight is None else weight[where].flatten()
            size = (y.flatten() if w is None else y.flatten() * w).sum()
            sizes[row, column] = size
            if not size:
                continue
            error, slope = _errors(x.flatten(), y.flatten(), hinge)
            wrong = (error <= 0).logical_not_()  # NaN too: it must not be hidden
            places = (wrong if w is None else wrong & (w > 0)).nonzero().squeeze(1)
            places, error = worst_first(places, error)
            gradient = jaccard_gradient(y.take(places), size, None if w is None else w.take(places))
            terms[row, column] = torch.dot(error, gradient)
            if slopes is not None:
                flat = torch.zeros_like(slope).index_copy_(0, places, gradient)
                slopes[where] = (flat * slope).view(x.shape)
        ctx.mark_non_differentiable(sizes)
        ctx.save_for_backward(slopes, None if hinge else logits)  # type: ignore[arg-type]  # None may be saved
        ctx.dtype = logits.dtype
        return terms, sizes

    @staticmethod
    def backward(ctx: _Context, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
        slopes, logits = ctx.saved_tensors
        if torch.is_grad_enabled() and logits is not None:  # |y - p| is curved, and differentiated again
            p = logits.to(slopes.dtype).sigmoid()
            sigmoid_slope = p - p.square()
            slopes = slopes / sigmoid_slope.detach().clamp(min=TINY) * sigmoid_slope
        return (slopes * grad[:, :, None, None]).to(ctx.dtype), None, None, None, None


def jaccard_gradient(target: Tensor, size: Tensor, weight: Tensor | None = None) -> Tensor:
    """How much 1 - Jaccard grows with each further pixel that is wrong, the worst first.

    The steps are written as quotients of positive sums: differences of neighbouring Jaccard values, as one finds
    elsewhere, lose all but one or two digits in float32.

    Args:
        target: Values in [0, 1], sorted by descending error, shape (n,).
        size: Sum of the whole target, positive scalar.
        weight: Weights of the pixels, shape (n,); None for 1.

    Returns:
        Shape (n,).

    Example:
        >>> jaccard_gradient(torch.tensor([1.0, 0.0, 1.0]), torch.tensor(2.0))
        tensor([0.5000, 0.1667, 0.3333])
    """
    inside = target if weight is None else target * weight
    outside = (1 - target) if weight is None else (1 - target) * weight
    left = (size - inside.cumsum(0)).clamp(min=0)  # of the target, not yet wrong
    union = (size + outside.cumsum(0)).clamp(min=TINY)
    before = torch.cat([size.clamp(min=TINY)[None], union[:-1]])
    return inside / before + left * outside / (union * before)


def _errors(x: Tensor, y: Tensor, hinge: bool) -> tuple[Tensor, Tensor]:
    """The error of each pixel and its slope by the logit, both (n,)."""
    if not hinge:
        p = x.sigmoid()
        return (p - y).abs(), (p - y).sign() * (p - p.square())
    within = y.clamp(0.25, 0.75)  # logits of +-1.1
    goal = (within / (1 - within)).log().clamp_(-1, 1)
    beyond = x - goal
    error = torch.maximum(beyond * (goal < 1), -beyond * (goal > -1))
    return error, beyond.sign()


def worst_first(places: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Sort places by falling error.

    NumPy sorts whole numbers many times faster than torch sorts anything on a CPU; the bits of positive float32
    numbers are ordered as the numbers are, so error and place are sorted as one number.

    Args:
        places: Indices into `error`, shape (n,).
        error: Errors of all places, 0 or more at these, shape (m,).

    Returns:
        The places in that order, and the errors there, both of shape (n,).
    """
    chosen = error if len(places) == len(error) else error.take(places)
    if chosen.device.type != "cpu" or chosen.dtype != torch.float32:
        order = chosen.argsort(descending=True, stable=True)
        return places[order], chosen[order]
    keys = ((INT32_MAX - chosen.view(torch.int32)).to(torch.int64) << 32).bitwise_or_(places)
    keys.numpy().sort()
    errors = (INT32_MAX - (keys >> 32)).to(torch.int32).view(torch.float32)
    return keys.bitwise_and_(0xFFFFFFFF), errors


def _class_maps(shape: tuple[int, int], per_image: bool) -> Iterator[tuple[int, int, tuple[slice, int]]]:
    """Where the value of a class map goes, and which part of (N, C, H, W) the map is."""
    for row in range(shape[0]):
        for column in range(shape[1]):
            yield row, column, (slice(row, row + 1) if per_image else slice(None), column)
