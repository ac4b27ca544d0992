"""Averages of weights: along a run (EMA, SWA), of checkpoints, and of those that help (greedy soup)."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segkit.checkpoints import State, load_weights, save_weights

__all__ = ["EMA", "SWA", "average", "greedy_soup", "load_weights", "save_weights", "update_bn"]

Checkpoint = Mapping[str, Tensor] | str | os.PathLike[str]


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
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
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


def average(checkpoints: Iterable[Checkpoint]) -> State:
    """The equal average of state dicts or of weight files, read one at a time and summed in float64.

    Floating-point entries, batch-norm statistics too, are averaged and keep their type; others (counters) are
    the last one's. Raises ValueError where there are none, or where names or shapes differ, naming the first.

    >>> average([{"w": torch.tensor([1.0])}, {"w": torch.tensor([2.0])}])
    {'w': tensor([1.5000])}
    """
    total: State = {}
    last: State = {}
    count = 0
    for checkpoint in checkpoints:
        state = _read(checkpoint)
        if count and (odd := _differences(last, state)):
            raise ValueError(f"checkpoint {count} differs from those before in {odd[0]!r}; average runs of one network")
        for name, value in state.items():
            if value.is_floating_point():
                total[name] = total[name] + value if count else value.to(torch.float64)
        last = state
        count += 1
    if not count:
        raise ValueError("no checkpoints to average; pass state dicts or paths of weight files")
    return {name: (total[name] / count).to(v.dtype) if name in total else v.clone() for name, v in last.items()}


def greedy_soup(checkpoints: Sequence[Checkpoint], score: Callable[[State], float]) -> State:
    """Average the checkpoints that help (Wortsman et al., 2022, "model soups").

    score: a state dict -> a number on held-out data, higher is better; it is called once for every checkpoint
    and once for every soup tried, at most twice their number. From the best one on, each is kept if the
    average with it scores higher than without. Comes back as a plain state dict; alone the best checkpoint if
    nothing helps.
    """
    if not checkpoints:
        raise ValueError("no checkpoints for a soup; pass state dicts or paths of weight files")
    scores = [score(_read(checkpoint)) for checkpoint in checkpoints]
    best, *others = sorted(range(len(checkpoints)), key=lambda i: -scores[i])
    chosen, record = [checkpoints[best]], scores[best]
    soup = average(chosen)
    for i in others:
        tried = average([*chosen, checkpoints[i]])
        if (result := score(tried)) > record:
            chosen, record, soup = [*chosen, checkpoints[i]], result, tried
    return soup


@torch.no_grad()
def update_bn(model: nn.Module, inputs: Iterable[Any]) -> None:
    """Estimate batch-norm statistics anew, in place, as the equal average over the batches of `inputs`.

    inputs: image tensors (N, in, H, W), or dictionaries with such an "image", as data loaders give them. Only
    batch norms are in training mode meanwhile, dropout is not. Averaged weights change what batch norms see:
    the authors of SWA require this, others report harm; score the model before and after. Raises ValueError
    where `inputs` is empty, with the model as it was.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not norms:
        return
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    device = next(model.parameters()).device
    seen = False
    try:
        model.eval()
        for norm in norms:
            norm.train()
        for batch in inputs:
            if not seen:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # torch's word for an equal average
            seen = True
            model((batch["image"] if isinstance(batch, Mapping) else batch).to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training
    if not seen:
        raise ValueError("no inputs to estimate batch-norm statistics from; pass batches of images")


def _copy(sources: Iterable[Tensor], targets: Iterable[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)


def _differences(a: State, b: State) -> list[str]:
    """Names that only one of two state dicts has, or that have another shape in the other."""
    return sorted(n for n in a.keys() | b.keys() if n not in a or n not in b or a[n].shape != b[n].shape)


def _read(checkpoint: Checkpoint) -> State:
    return dict(checkpoint) if isinstance(checkpoint, Mapping) else load_weights(checkpoint)
