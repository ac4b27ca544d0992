"""The Lovasz hinge: the Jaccard index itself, made convex, by ranking pixels by their error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from segkit.files import nearest
from segkit.losses.shared import ABSENT, TINY, Loss, Pair
from segkit.losses.statistics import Statistic

ERRORS = ("hinge", "probs")
LARGEST = 0x7FFFFFFF


class LovaszLoss(Loss):
    """The Lovasz extension of 1 - Jaccard over each class of each image, then the mean (Berman et al., 2018).

    errors: "hinge", the paper's for logits, 1 - x for foreground and 1 + x for background where positive; a soft
    target y sets its logit, cut to +-1, as the goal instead (|x - goal|, free beyond a cut goal), which gives the
    paper's for hard targets and 0 at p = y for soft ones; "probs", |y - p|, the Lovasz-Softmax of one class. The
    Jaccard gradient sums soft targets as they are. An absent class costs its mean cross-entropy, as in `DiceLoss`
    (by rank, only its one worst pixel would learn). per_image=False ranks over the batch first.

    Every plane is ranked by itself, in the memory of a few planes; pixels whose error is 0 have no gradient and are
    dropped before, so it gets faster while training.

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
    >>> x = torch.tensor([9.0, -1, -9, -9]).view(1, 1, 2, 2)  # one of two found: error 2 times (1 - Jaccard)
    >>> LovaszLoss()(x, y).item()
    1.0
    """

    def __init__(
        self, *, errors: str = "hinge", per_image: bool = True, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(class_weights=class_weights)
        if errors not in ERRORS:
            raise ValueError(f"no errors {errors!r} of LovaszLoss; {nearest(errors, ERRORS)}")
        self.errors = errors
        self.per_image = per_image

    def statistics(self) -> tuple[Statistic, ...]:
        return (ABSENT,)

    def of(self, pair: Pair) -> Tensor:
        given = pair.given_logits, pair.given_target, pair.weight, self.errors == "hinge", self.per_image
        if pair.given_target.requires_grad:
            raise ValueError("LovaszLoss gives the target no gradient; detach it")
        terms, sizes = _Lovasz.apply(*given)
        return self.present_or_absent(terms, sizes, pair, per_image=self.per_image)


class _Lovasz(torch.autograd.Function):
    """-> the loss of each plane and the size of its target, both (N, C), or (1, C) over the batch."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, weight: Tensor | None, hinge: bool, per_image: bool
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.promote_types(logits.dtype, torch.float32)
        wanted = ctx.needs_input_grad[0]
        slopes = torch.zeros_like(logits, dtype=dtype) if wanted else None
        shape = (len(logits) if per_image else 1, logits.shape[1])
        terms, sizes = (torch.zeros(shape, dtype=dtype, device=logits.device) for _ in range(2))
        for row, column, where in _planes(shape, per_image):
            x, y = logits[where].to(dtype), target[where].to(dtype)
            w = None if weight is None else weight[where].flatten()
            size = (y.flatten() if w is None else y.flatten() * w).sum()
            sizes[row, column] = size
            if not size:
                continue
            error, slope = _errors(x.flatten(), y.flatten(), hinge)
            wrong = (error <= 0).logical_not_()  # NaN too: it is to be seen
            places = (wrong if w is None else wrong & (w > 0)).nonzero().squeeze(1)
            places, error = _worst_first(places, error)
            gradient = jaccard_gradient(y.take(places), size, None if w is None else w.take(places))
            terms[row, column] = torch.dot(error, gradient)
            if slopes is not None:
                flat = torch.zeros_like(slope).index_copy_(0, places, gradient)
                slopes[where] = (flat * slope).view(x.shape)
        ctx.mark_non_differentiable(sizes)
        ctx.save_for_backward(slopes, None if hinge else logits)
        ctx.dtype = logits.dtype
        return terms, sizes

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None]:
        slopes, logits = ctx.saved_tensors
        if torch.is_grad_enabled() and logits is not None:  # |y - p| bends, and is to be differentiated again
            p = logits.to(slopes.dtype).sigmoid()
            steepness = p - p.square()
            slopes = slopes / steepness.detach().clamp(min=TINY) * steepness
        return (slopes * grad[:, :, None, None]).to(ctx.dtype), None, None, None, None


def jaccard_gradient(target: Tensor, size: Tensor, weight: Tensor | None = None) -> Tensor:
    """How much 1 - Jaccard grows with each further pixel that is wrong, the worst first.

    target: (n,) in [0, 1], sorted by descending error; size: the sum of the whole target, > 0; weight: (n,). The
    steps are written as quotients of positive sums: differences of neighbouring Jaccard values, as one finds
    elsewhere, lose all but one or two digits in float32.

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


def _worst_first(places: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """The places (n,), reordered by falling error, and the errors there; error: of all places, positive at these.

    NumPy sorts whole numbers many times faster than torch sorts anything on a CPU; the bits of positive float32
    numbers are ordered as the numbers are, so error and place are sorted as one number.
    """
    chosen = error if len(places) == len(error) else error.take(places)
    if chosen.device.type != "cpu" or chosen.dtype != torch.float32:
        order = chosen.argsort(descending=True, stable=True)
        return places[order], chosen[order]
    keys = ((LARGEST - chosen.view(torch.int32)).to(torch.int64) << 32).bitwise_or_(places)
    keys.numpy().sort()
    errors = (LARGEST - (keys >> 32)).to(torch.int32).view(torch.float32)
    return keys.bitwise_and_(0xFFFFFFFF), errors


def _planes(shape: tuple[int, int], per_image: bool) -> Iterator[tuple[int, int, tuple[slice, int]]]:
    """Where a plane's value goes, and which part of (N, C, H, W) it is made of."""
    for row in range(shape[0]):
        for column in range(shape[1]):
            yield row, column, (slice(row, row + 1) if per_image else slice(None), column)
