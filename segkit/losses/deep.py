"""One loss for networks with several outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Output = Tensor | Mapping[str, Any] | Sequence[Tensor]

WEIGHTS = {"aux": 0.4, "deep": 1.0, "cls": 0.5}  # of the outputs that networks of segkit.models have


class DeepSupervision(nn.Module):
    """The loss of the main output plus weighted ones of the others (Lee et al., 2015; Zhao et al., 2017).

    Every network of `segkit.models` is understood: `fit` wraps its loss in this.

    loss: any of (logits, target), or (logits, target, weight=) where weights of pixels are given. weights: what the
    other outputs count, by name. Of several outputs under one name, or of a bare sequence, each counts `falloff` times
    less for each halving of its side (nnU-Net halves); the first of a bare sequence is the main one.

    The module takes (output, target, weight=None); output: a tensor, a dictionary with "out" or a sequence, (N, C, h,
    w) each. For an output smaller than the target, the target is averaged down over areas, in proportion to the
    pixels' weights: losses that take soft targets then judge it by what it can express. An output (N, C) says whether
    a class is there at all, and costs its cross-entropy against the largest target of its plane, but where nobody
    knows: a class that is not seen, of which pixels are ignored. After a call `.terms` holds those of the main output,
    and each other output's own loss by name. ValueError for outputs without a weight, or larger than the target.

    >>> from segkit.losses import BCELoss
    >>> loss = DeepSupervision(BCELoss(), weights={"aux": 0.5})
    >>> output = {"out": torch.zeros(1, 1, 4, 4), "aux": torch.zeros(1, 1, 2, 2)}
    >>> round(loss(output, torch.ones(1, 1, 4, 4)).item(), 4)  # 1.5 log 2
    1.0397
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        *,
        weights: Mapping[str, float] | None = None,
        falloff: float = 0.5,
    ) -> None:
        super().__init__()
        if not callable(loss):
            raise ValueError(f"a loss is a module or a function of (logits, target), got {loss!r}; see losses.build")
        self.loss = loss
        self.weights = dict(WEIGHTS if weights is None else weights)
        self.falloff = falloff
        if min(self.weights.values(), default=0) < 0 or falloff < 0:
            raise ValueError(f"weights and falloff must not be negative, got {self.weights} and {falloff}")
        self.terms: dict[str, Tensor] = {}

    def set_progress(self, share: float) -> None:
        """Pass on how much of training is done, for weights that change."""
        if hasattr(self.loss, "set_progress"):
            self.loss.set_progress(share)

    def forward(self, output: Output, target: Tensor, weight: Tensor | None = None) -> Tensor:
        outputs = list(self._outputs(output, target.shape[2]))
        total, terms = torch.zeros((), device=target.device), {}
        for name, factor, logits in reversed(outputs):  # the main one last: its terms are to stay
            if logits.ndim == 2:
                value = _presence(logits, target, weight)
            else:
                value = self.loss(logits, *_at_size(target, weight, logits, name))
            total = total + factor * value
            terms[name] = value.detach()
        main = dict(getattr(self.loss, "terms", {}))
        self.terms = main | {name: terms[name] for name, _, _ in outputs[1:]}
        return total

    def _outputs(self, output: Output, height: int) -> Iterator[tuple[str, float, Tensor]]:
        """Name, weight and logits of each output, the main one first."""
        if isinstance(output, Tensor):
            yield "out", 1.0, output
            return
        if not len(output):
            raise ValueError("no output; a tensor, a dictionary with 'out' or a sequence is wanted")
        if not isinstance(output, Mapping):
            output, weights = {"out": output[0], "deep": output[1:]}, {"deep": 1.0}
        else:
            weights = self.weights
        if "out" not in output:
            raise ValueError(f"outputs are {', '.join(output)}; the main one must be named 'out'")
        yield "out", 1.0, output["out"]
        for name, values in output.items():
            if name == "out":
                continue
            if name not in weights:
                raise ValueError(f"output {name!r} has no weight; pass weights={{{name!r}: ...}}, 0 to leave it out")
            if not weights[name]:
                continue
            if isinstance(values, Tensor):
                yield name, weights[name], values
                continue
            if not isinstance(values, Sequence):
                raise ValueError(f"output {name!r} is {type(values).__name__}; a tensor or a list of them is wanted")
            for level, logits in enumerate(values):
                yield f"{name}_{level + 1}", weights[name] * self.falloff ** math.log2(height / logits.shape[2]), logits

    def extra_repr(self) -> str:
        own = "" if isinstance(self.loss, nn.Module) else f"loss={self.loss!r}, "
        return f"{own}weights={self.weights}, falloff={self.falloff}"


def _presence(logits: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """The cross-entropy of each class being anywhere in an image, the mean of those of which that is known."""
    counts = torch.ones_like(target, dtype=torch.bool) if weight is None else (weight > 0).expand_as(target)
    there = (target * counts).amax((2, 3))  # soft: the edge of a thin bone is no absence
    known = (there > 0.5) | counts.flatten(2).all(2)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    costs = F.binary_cross_entropy_with_logits(logits, there.to(logits.dtype), reduction="none")
    return (costs * known).sum() / known.sum().clamp(min=1)


def _at_size(target: Tensor, weight: Tensor | None, logits: Tensor, name: str) -> tuple[Tensor, ...]:
    """Target and weight, if any, averaged down to the size of the logits."""
    size = tuple(logits.shape[2:])
    if size == tuple(target.shape[2:]):
        return (target,) if weight is None else (target, weight)
    if size[0] > target.shape[2] or size[1] > target.shape[3]:
        raise ValueError(
            f"output {name!r} is {size} and the target {tuple(target.shape[2:])}; an output may not be larger"
        )
    target = target.to(torch.promote_types(logits.dtype, torch.float32))
    if weight is None:
        return (F.interpolate(target, size, mode="area"),)
    counts = weight.to(target.dtype)
    small = F.interpolate(counts, size, mode="area")
    total = F.interpolate(target * counts, size, mode="area")
    return total / small.expand_as(total).clamp(min=1e-12), small
