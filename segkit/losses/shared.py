"""The maths that losses share, computed once for a batch however many of them look at it."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FORMS = ("squared", "semimetric", "plain")


class Pair:
    """The logits and the target of a batch, and what follows from them, each computed on demand and once.

    logits, target: (N, C, H, W); target in [0, 1], hard or soft, of any number type or bool. Everything is
    float32 from here on (float64 where logits are), whatever precision the network ran in: sums over more
    than 65,504 pixels overflow in float16. Raises ValueError for other shapes and types.
    """

    def __init__(self, logits: Tensor, target: Tensor) -> None:
        if logits.ndim != 4 or logits.shape != target.shape:
            raise ValueError(
                f"logits are {tuple(logits.shape)} and target is {tuple(target.shape)}; both must be (N, C, H, W), "
                f"one channel per class"
            )
        if not logits.is_floating_point():
            raise ValueError(f"logits are {logits.dtype}; pass what the network returns, before any threshold")
        if target.dtype != torch.bool and not target.is_floating_point() and target.numel() and target.max() > 1:
            raise ValueError(f"target is {target.dtype} up to {target.max()}; scale it to [0, 1]")
        dtype = torch.promote_types(logits.dtype, torch.float32)
        self.logits = logits.to(dtype)
        self.target = target.to(dtype)
        self._sums: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    @cached_property
    def probs(self) -> Tensor:
        """sigmoid(logits), (N, C, H, W)."""
        return self.logits.sigmoid()

    @cached_property
    def cross_entropy(self) -> Tensor:
        """-y log p - (1 - y) log(1 - p) of every pixel, (N, C, H, W), exact for large logits."""
        return F.binary_cross_entropy_with_logits(self.logits, self.target, reduction="none")

    def sums(self, form: str) -> tuple[Tensor, Tensor, Tensor]:
        """What prediction and target have in common, and the size of either: three times (N, C).

        squared: sum p y, sum p^2, sum y^2 (Milletari et al., 2016). semimetric: sum min(p, y), sum p, sum y,
        the Dice semimetric losses of Wang et al., 2023, written without absolute values. plain: sum p y, sum
        p, sum y.
        """
        if form not in self._sums:
            p, y = self.probs, self.target
            if form == "squared":
                terms = (p * y, p.square(), y.square())
            elif form == "semimetric":
                terms = (torch.minimum(p, y), p, y)
            else:
                terms = (p * y, p, y)
            common, mine, theirs = (term.sum((2, 3)) for term in terms)
            self._sums[form] = (common, mine, theirs)
        return self._sums[form]


class Loss(nn.Module):
    """A loss of logits and target: subclasses say in `of` what they make of a `Pair`.

    `loss(logits, target)` -> scalar, float32 (float64 for float64 logits), also under autocast.
    """

    def of(self, pair: Pair) -> Tensor:
        raise NotImplementedError

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            return self.of(Pair(logits, target))
