"""Averages of weights along a run: exponential (EMA) and equal (SWA), on torch.optim.swa_utils."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import swa_utils

Tensors = tuple[Tensor, ...] | list[Tensor]


class _Average(swa_utils.AveragedModel):
    """An AveragedModel in eval mode, without gradients, that averages half precision in float32."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.multi_avg_fn = self._in_place
        self.eval().requires_grad_(False)
        tensors: list[Tensor] = [*self.module.parameters(), *self.module.buffers()]
        for tensor in tensors:
            if tensor.dtype in (torch.float16, torch.bfloat16):
                tensor.data = tensor.data.float()  # small steps would be rounded away

    def _in_place(self, averaged: Tensors, current: Tensors, _: Tensor | int) -> None:
        """What torch calls; the number of updates is read on the CPU, as reading it on a GPU would wait for it."""
        same_dtype: Tensors = [new.to(old.dtype) for old, new in zip(averaged, current, strict=True)]
        self._average(averaged, same_dtype, int(self.n_averaged))

    def _average(self, averaged: Tensors, current: Tensors, count: int) -> None:
        """Take `current` into the average of `count` models, in place."""
        raise NotImplementedError

    def update(self, model: nn.Module) -> None:
        """Add a model to the average; buffers are copied.

        Args:
            model: The model that trains. It may be wrapped or compiled: parameters are matched in order.

        Raises:
            ValueError: If its parameters do not fit the averaged ones.
        """
        averaged, current = list(self.module.parameters()), list(model.parameters())
        if [p.shape for p in averaged] != [p.shape for p in current]:
            raise ValueError(
                f"the model has {len(current)} parameters that do not fit the {len(averaged)} averaged ones; "
                f"update with the model the average was made for"
            )
        self.update_parameters(model)


class EMA(_Average):
    """Exponential moving average of the parameters.

    Call `.update(model)` after every optimiser step; validate and save `.module`. `state_dict()` and
    `load_state_dict()` resume it.

    Args:
        model: The model that trains; copied.
        decay: Share of the average that an update keeps, in [0, 1).
        warmup: Keep only (1 + n) / (10 + n) after n updates early on, so that the initial weights do not stay.

    Attributes:
        module: The averaged model, in eval mode.

    Raises:
        ValueError: If decay is outside [0, 1).

    Example:
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
        self.decay, self.warmup = decay, warmup
        self.n_averaged += 1  # the initial weights count as the first average

    def _average(self, averaged: Tensors, current: Tensors, count: int) -> None:
        kept = min(self.decay, count / (9 + count)) if self.warmup else self.decay
        swa_utils.get_ema_multi_avg_fn(kept)(averaged, current, count)


class SWA(_Average):
    """Stochastic weight averaging: the equal mean of all models it was updated with.

    Call `.update(model)` once an epoch (or a cycle) in the last part of a run with a constant or cyclic rate; validate
    and save `.module`. Batch norms may need `update_bn` afterwards: measure both.

    Args:
        model: The model that trains; copied.

    Attributes:
        module: The averaged model, in eval mode.

    References:
        Izmailov et al., Averaging weights leads to wider optima and better generalization, UAI 2018.
    """

    def _average(self, averaged: Tensors, current: Tensors, count: int) -> None:
        swa_utils.get_swa_multi_avg_fn()(averaged, current, count)
