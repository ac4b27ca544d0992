"""Learning rates over the steps of a run. Call `.step()` after every optimiser step, not every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, *, warmup: int, total: int, floor: float = 0.0) -> LambdaLR:
    """Linear warm-up, then half a cosine down (Loshchilov, Hutter, 2017, without restarts).

    warmup, total: optimiser steps; floor: the share of the rate that is left after `total` steps. Steps 0 to
    warmup - 1 run at 1 / (warmup + 1), 2 / (warmup + 1) ... of the optimiser's rate, step `warmup` at the
    whole rate, and the last step still above the floor, so that no step is wasted. Every parameter group
    keeps its own rate. Raises ValueError unless 0 <= warmup < total and 0 <= floor <= 1.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = warmup_cosine(optimizer, warmup=1, total=3)
    >>> for _ in range(3):
    ...     print(round(schedule.get_last_lr()[0], 4))
    ...     optimizer.step()
    ...     schedule.step()
    0.5
    1.0
    0.5
    """
    return _after_warmup(optimizer, warmup, total, floor, lambda done: 0.5 * (1 + math.cos(math.pi * done)))


def poly(optimizer: Optimizer, *, warmup: int = 0, total: int, power: float = 0.9, floor: float = 0.0) -> LambdaLR:
    """Linear warm-up, then (1 - share done)^power, as DeepLab trains (Chen et al., TPAMI 2018).

    warmup, total, floor and errors as in `warmup_cosine`; power > 0.
    """
    if power <= 0:
        raise ValueError(f"power must be positive, got {power}")
    return _after_warmup(optimizer, warmup, total, floor, lambda done: (1 - done) ** power)


def _after_warmup(
    optimizer: Optimizer, warmup: int, total: int, floor: float, shape: Callable[[float], float]
) -> LambdaLR:
    """`shape` takes the share of the steps after warm-up that is done, 0 to 1, to the share of the rate."""
    if not 0 <= warmup < total:
        raise ValueError(f"warmup must be at least 0 and less than total, got warmup={warmup} and total={total} steps")
    if not 0 <= floor <= 1:
        raise ValueError(f"floor is a share of the learning rate, between 0 and 1, got {floor}")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return floor + (1 - floor) * shape(min(1.0, (step - warmup) / (total - warmup)))

    return LambdaLR(optimizer, factor)
