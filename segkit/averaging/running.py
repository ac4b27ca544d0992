"""Averages of weights along a run: exponential (EMA) and equal (SWA)."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class _Running:
    """A copy of a model whose parameters are an average along a run; buffers are those of the last update."""

    def __init__(self, model: nn.Module) -> None:
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.updates = 0
        tensors: list[Tensor] = [*self.module.parameters(), *self.module.buffers()]
        for tensor in tensors:
            if tensor.dtype in (torch.float16, torch.bfloat16):
                tensor.data = tensor.data.float()  # small steps would be rounded away

    def _share(self) -> float:
        """What the next model counts in the average, 0 to 1."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in `model` (it may be wrapped or compiled: parameters are matched in order)."""
        mine, theirs = list(self.module.parameters()), list(model.parameters())
        if [p.shape for p in mine] != [p.shape for p in theirs]:
            raise ValueError(
                f"the model has {len(theirs)} parameters that do not fit the {len(mine)} averaged ones; "
                f"update with the model the average was made for"
            )
        share = self._share()
        for own, other in zip(mine, theirs, strict=True):
            own.lerp_(other.to(own), share)
        _copy(model.buffers(), self.module.buffers())
        self.updates += 1

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Write the averaged parameters and the buffers into `model`."""
        _copy(self.module.parameters(), model.parameters())
        _copy(self.module.buffers(), model.buffers())

    def state_dict(self) -> dict[str, Any]:
        """Weights and the number of updates: plain tensors and an int, to resume from."""
        return {"updates": self.updates, "weights": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.module.load_state_dict(state["weights"])
        self.updates = int(state["updates"])


class EMA(_Running):
    """Exponential moving average of the parameters, `.module`; buffers are copied.

    decay: what is kept of the average at an update; warmup: early on keep only (1 + n) / (10 + n) after n
    updates, so that the average does not drag the initial weights along. Call `.update(model)` after every
    optimiser step, evaluate and save `.module`; `.copy_to(model)` writes it back. Raises ValueError unless 0
    <= decay < 1.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.zeros_(model.weight)
    >>> ema = EMA(model, decay=0.75, warmup=False)
    >>> _ = nn.init.ones_(model.weight)
    >>> ema.update(model)
    >>> ema.module.weight.item()
    0.25
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, warmup: bool = True) -> None:
        if not isinstance(decay, (int, float)) or not 0 <= decay < 1:
            raise ValueError(f"decay must be a number of at least 0 and below 1, got {decay!r}")
        super().__init__(model)
        self.decay = decay
        self.warmup = warmup

    def _share(self) -> float:
        return 1 - (min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay)


class SWA(_Running):
    """The equal average of all models it was shown, `.module` (Izmailov et al., 2018); buffers are copied.

    Call `.update(model)` once an epoch (or a cycle) in the last part of a run with a constant or cyclic rate.
    Batch norm may want `update_bn` afterwards: measure both.
    """

    def _share(self) -> float:
        return 1 / (self.updates + 1)


def _copy(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
