"""One loss for networks with several outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.outputs import Output, main_logits, named_outputs

WEIGHTS = {"aux": 0.4, "deep": 1.0, "cls": 0.5}  # of the outputs that networks of segkit.models have


class DeepSupervision(nn.Module):
    """The loss of the main output plus weighted ones of the others.

    Every network of `segkit.models` is understood: `fit` wraps its loss in this. For an output smaller than the target,
    the target is averaged down over areas, in proportion to the pixels' weights: losses that take soft targets then
    judge it by what it can express. An output (N, C) says whether a class is present at all, and costs its
    cross-entropy against the largest target of its class map, except where nobody knows: a class that is not seen and
    of which pixels are ignored.

    Args:
        loss: Any module or function of (logits, target), or (logits, target, weight=) where pixels have weights.
        weights: {name of another output: its weight}; None for `WEIGHTS`.
        falloff: Factor of an output for each halving of its side (each quarter of its area), where there are several
            outputs under one name, or a bare sequence.

    Attributes:
        terms: After a call, the terms of the main output, and each other output's own loss by name, detached.

    Raises:
        ValueError: For what is no loss, and for negative weights or falloff.

    Example:
        >>> from segkit.losses import BCELoss
        >>> loss = DeepSupervision(BCELoss(), weights={"aux": 0.5})
        >>> output = {"out": torch.zeros(1, 1, 4, 4), "aux": torch.zeros(1, 1, 2, 2)}
        >>> round(loss(output, torch.ones(1, 1, 4, 4)).item(), 4)  # 1.5 log 2
        1.0397

    References:
        Lee et al., 2015; Zhao et al., 2017; the falloff of one half is nnU-Net's.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        *,
        weights: Mapping[str, float] | None = None,
        falloff: float = 0.5,
    ) -> None:
        super().__init__()
        if not callable(loss) or isinstance(loss, type):
            raise ValueError(f"a loss is a module or a function of (logits, target), got {loss!r}; see losses.build")
        self.loss = loss
        self.weights = dict(WEIGHTS if weights is None else weights)
        self.falloff = falloff
        if min(self.weights.values(), default=0) < 0 or falloff < 0:
            raise ValueError(f"weights and falloff must not be negative, got {self.weights} and {falloff}")
        self.terms: dict[str, Tensor] = {}

    def set_progress(self, progress: float) -> None:
        """Pass on how much of training is done, for weights that change.

        Args:
            progress: Fraction of training done, 0 to 1.
        """
        if hasattr(self.loss, "set_progress"):
            self.loss.set_progress(progress)

    def forward(self, output: Output, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Compute the loss of all outputs.

        Args:
            output: What a network returns (`segkit.models.outputs`): a tensor (N, C, H, W); a dictionary with "out" or
                "logits"; or a sequence, the largest first. Other outputs are (N, C, h, w), or (N, C) for presence.
            target: Shape (N, C, H, W).
            weight: Weight of each pixel, shape (N, 1, H, W) or (N, C, H, W); None for 1 everywhere.

        Returns:
            Scalar.

        Raises:
            ValueError: For outputs without a weight, larger than the target, or, in a sequence, than the first.
        """
        outputs = list(self._outputs(output, target))
        total, terms = torch.zeros((), device=target.device), {}
        for name, factor, logits in reversed(outputs):  # the main one last: its terms remain
            if logits.ndim == 2:
                value = _presence(logits, target, weight, name)
            else:
                value = self.loss(logits, *_at_size(target, weight, logits, name))
            total = total + factor * value
            terms[name] = value.detach()
        main = dict(getattr(self.loss, "terms", {}))
        self.terms = main | {name: terms[name] for name, _, _ in outputs[1:]}
        return total

    def _outputs(self, output: Output, target: Tensor) -> Iterator[tuple[str, float, Tensor]]:
        """Name, weight and logits of each output, the main one first."""
        others = named_outputs(output)
        main = main_logits(output)
        del others["out"]
        bare = not isinstance(output, Tensor | Mapping)
        yield "out", 1.0, main
        for name, values in others.items():
            factor = 1.0 if bare and name == "deep" else self.weights.get(name)
            if factor is None:
                raise ValueError(f"output {name!r} has no weight; pass weights={{{name!r}: ...}}, 0 to leave it out")
            if not factor:
                continue
            if isinstance(values, Tensor):
                yield name, factor, values
                continue
            for level, logits in enumerate(values):
                if bare and _area(logits) > _area(main):
                    raise ValueError(
                        f"output {level + 1} is {tuple(logits.shape[2:])}, larger than the first, "
                        f"{tuple(main.shape[2:])}; the main output comes first: reverse the sequence"
                    )
                halvings = math.log2(_area(target) / _area(logits)) / 2
                yield f"{name}_{level + 1}", factor * self.falloff**halvings, logits

    @override
    def extra_repr(self) -> str:
        inner = "" if isinstance(self.loss, nn.Module) else f"loss={self.loss!r}, "
        return f"{inner}weights={self.weights}, falloff={self.falloff}"


def _area(maps: Tensor) -> int:
    """Pixels of a map (N, C, H, W)."""
    return maps.shape[2] * maps.shape[3]


def _presence(logits: Tensor, target: Tensor, weight: Tensor | None, name: str) -> Tensor:
    """Cross-entropy of each class being anywhere in an image, the mean of those of which that is known."""
    if logits.shape != target.shape[:2]:
        raise ValueError(
            f"output {name!r} is {tuple(logits.shape)}; expected {tuple(target.shape[:2])}, whether each class is "
            f"present; pass weights={{{name!r}: 0}} to leave it out"
        )
    valid = torch.ones_like(target, dtype=torch.bool) if weight is None else (weight > 0).expand_as(target)
    present = (target * valid).amax((2, 3))  # soft: the edge of a thin bone is no absence
    counts = ((present > 0.5) | valid.flatten(2).all(2)).to(torch.float32)
    if weight is not None:  # an image of weight w counts as w images
        counts = counts * weight.expand_as(target).sum((2, 3), dtype=torch.float32) / valid.sum((2, 3)).clamp(min=1)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    costs = F.binary_cross_entropy_with_logits(logits, present.to(logits.dtype), reduction="none")
    return (costs * counts).sum() / counts.sum().clamp(min=1e-12)


def _at_size(target: Tensor, weight: Tensor | None, logits: Tensor, name: str) -> tuple[Tensor, ...]:
    """Target and weight, if any, averaged down to the size of the logits."""
    size = tuple(logits.shape[2:])
    if size == tuple(target.shape[-2:]):
        return (target,) if weight is None else (target, weight)
    if size[0] > target.shape[2] or size[1] > target.shape[3]:
        raise ValueError(
            f"output {name!r} is {size} and the target {tuple(target.shape[2:])}; an output may not be larger"
        )
    target = target.to(torch.promote_types(logits.dtype, torch.float32))
    if weight is None:
        return (F.interpolate(target, size, mode="area"),)
    weight = weight.to(target.dtype)
    small = F.interpolate(weight, size, mode="area")
    total = F.interpolate(target * weight, size, mode="area")
    return total / small.expand_as(total).clamp(min=1e-12), small
