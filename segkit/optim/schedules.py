"""Learning rates over the steps of a run. Call `.step()` after every optimiser step, not every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from segkit.files import nearest


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
    return _after_warmup(optimizer, warmup, total, floor, _half_cosine)


def poly(optimizer: Optimizer, *, warmup: int = 0, total: int, power: float = 0.9, floor: float = 0.0) -> LambdaLR:
    """Linear warm-up, then (1 - share done)^power, as DeepLab trains (Chen et al., TPAMI 2018).

    warmup, total, floor and errors as in `warmup_cosine`; power > 0.
    """
    if not 0 < power < math.inf:
        raise ValueError(f"power must be a number above 0, got {power}")
    return _after_warmup(optimizer, warmup, total, floor, lambda done: (1 - done) ** power)


def constant(optimizer: Optimizer, *, warmup: int = 0) -> LambdaLR:
    """Linear warm-up in `warmup` steps, then the whole rate for ever. ValueError for a warm-up below 0."""
    if not 0 <= warmup < math.inf:
        raise ValueError(f"warmup must be at least 0 steps, got {warmup}")
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (warmup + 1)))


def one_cycle(optimizer: Optimizer, *, warmup: int, total: int, start: float = 0.04, floor: float = 4e-6) -> LambdaLR:
    """Half a cosine up from `start` in `warmup` steps, half a cosine down (Smith and Topin, 2018, "super-convergence").

    start, floor: shares of the optimiser's rate, which is the highest; warmup, total and errors as in
    `warmup_cosine`, .3 of total is usual. Momentum is left as it is. torch's OneCycleLR over total + 1 steps has the
    same rates.
    """
    if not 0 <= start <= 1:
        raise ValueError(f"start is a share of the learning rate, between 0 and 1, got {start}")
    return _after_warmup(
        optimizer, warmup, total, floor, _half_cosine, lambda done: start + (1 - start) * (1 - _half_cosine(done))
    )


def swa(
    optimizer: Optimizer,
    *,
    warmup: int = 0,
    total: int,
    start: int,
    high: float = 0.5,
    low: float = 0.05,
    cycle: int | None = None,
) -> LambdaLR:
    """The rate that SWA averages along (Izmailov et al., 2018): high to the end, or in cycles.

    Linear warm-up, from the whole rate half a cosine to `high` at step `start`; from there on `high`, or with cycle=n
    again and again in n steps linearly from `high` to `low`: average the weights at the end of each cycle, after the
    steps start + n, start + 2 n ... high, low: shares of the optimiser's rate. ValueError unless 0 <= warmup <=
    start < total, 0 <= low <= high <= 1 and cycle is at least 1.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = swa(optimizer, total=6, start=2, high=0.5, low=0.1, cycle=2)
    >>> [round(schedule.lr_lambdas[0](step), 2) for step in range(6)]
    [1.0, 0.75, 0.3, 0.1, 0.3, 0.1]
    """
    if not 0 <= warmup <= start < total:
        raise ValueError(f"0 <= warmup <= start < total is wanted, got warmup={warmup}, start={start}, total={total}")
    if not 0 <= low <= high <= 1:
        raise ValueError(f"shares of the rate 0 <= low <= high <= 1 are wanted, got low={low}, high={high}")
    if cycle is not None and cycle < 1:
        raise ValueError(f"cycle={cycle}: at least one step is wanted")

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if step < start:
            return high + (1 - high) * _half_cosine((step - warmup) / (start - warmup))
        if cycle is None:
            return high
        return high - (high - low) * ((step - start) % cycle + 1) / cycle

    return LambdaLR(optimizer, factor)


def create(
    name: str, optimizer: Optimizer, *, warmup: int, total: int, floor: float = 0.0, start: int = 0, high: float = 0.5,
    cycle: int = 1,
) -> LambdaLR:  # fmt: skip
    """A schedule of `NAMES` with these settings, for a loop that knows it by name; see each one's own function.

    warmup, total, start, cycle: steps. floor: of "cosine", "poly" and "one-cycle". start, high: of "swa" and
    "swa-cyclic"; cycle: of "swa-cyclic", which falls to a tenth of high. ValueError for an unknown name.
    """
    if name == "constant":
        return constant(optimizer, warmup=warmup)
    if name in FALLING:
        return FALLING[name](optimizer, warmup=warmup, total=total, floor=floor)
    if name not in NAMES:
        raise ValueError(f"no schedule {name!r}; {nearest(name, NAMES)}")
    settings: dict[str, Any] = {"cycle": cycle, "low": high / 10} if name == "swa-cyclic" else {"low": 0.0}
    return swa(optimizer, warmup=min(warmup, start), total=total, start=start, high=high, **settings)


def _half_cosine(done: float) -> float:
    """From 1 down to 0 while `done` goes from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * done))


def _after_warmup(
    optimizer: Optimizer,
    warmup: int,
    total: int,
    floor: float,
    shape: Callable[[float], float],
    rise: Callable[[float], float] | None = None,
) -> LambdaLR:
    """`shape` takes the share of the steps after warm-up that is done, 0 to 1, to the share of the rate.

    `rise` does so for the share of the warm-up that is done, from 0; without it the warm-up is linear and its first
    step counts.
    """
    if not 0 <= warmup < total:
        raise ValueError(f"warmup must be at least 0 and less than total, got warmup={warmup} and total={total} steps")
    if not 0 <= floor <= 1:
        raise ValueError(f"floor is a share of the learning rate, between 0 and 1, got {floor}")

    def factor(step: int) -> float:
        if step < warmup:
            return rise(step / warmup) if rise else (step + 1) / (warmup + 1)
        return floor + (1 - floor) * shape(min(1.0, (step - warmup) / (total - warmup)))

    return LambdaLR(optimizer, factor)


FALLING: dict[str, Callable[..., LambdaLR]] = {"cosine": warmup_cosine, "poly": poly, "one-cycle": one_cycle}
NAMES = (*FALLING, "constant", "swa", "swa-cyclic")
