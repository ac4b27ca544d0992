"""Learning rates over the steps of a run. Call `.step()` after every optimiser step, not every epoch.

All are torch schedulers with shares of each parameter group's own rate: LinearLR and LambdaLR, as torch's
CosineAnnealingLR and PolynomialLR know one floor for all groups, or none. The tests compare each with torch's
SequentialLR of LinearLR and CosineAnnealingLR or PolynomialLR, with OneCycleLR and with SWALR.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LinearLR, LRScheduler

from segkit.files import nearest


def warmup_cosine(optimizer: Optimizer, *, warmup: int, total: int, floor: float = 0.0) -> LRScheduler:
    """Linear warm-up, then half a cosine down.

    Steps 0 to warmup - 1 run at 1 / (warmup + 1), 2 / (warmup + 1) ... of the optimiser's rate, step `warmup` at the
    whole rate, and the last step still above the floor, so that no step is wasted. Every parameter group keeps its own
    rate.

    Args:
        optimizer: Whose rates are scheduled.
        warmup: Optimiser steps of warm-up, a whole number below `total`.
        total: Optimiser steps of the run.
        floor: Share of the rate, in [0, 1], that is left after `total` steps.

    Returns:
        A torch scheduler; its state dict resumes it.

    Raises:
        ValueError: Unless 0 <= warmup < total are whole numbers and 0 <= floor <= 1.

    Example:
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

    References:
        Loshchilov and Hutter, SGDR, ICLR 2017, without restarts.
    """
    return _after_warmup(optimizer, warmup, total, floor, _half_cosine)


def poly(optimizer: Optimizer, *, warmup: int = 0, total: int, power: float = 0.9, floor: float = 0.0) -> LRScheduler:
    """Linear warm-up, then (1 - share done)^power, as DeepLab trains.

    Args:
        optimizer: Whose rates are scheduled.
        warmup: Steps of warm-up, as in `warmup_cosine`.
        total: Steps of the run.
        power: Above 0.
        floor: Share of the rate that is left at the end.

    Returns:
        A torch scheduler.

    Raises:
        ValueError: As `warmup_cosine`, and for a power that is not above 0.

    References:
        Chen et al., DeepLab, TPAMI 2018.
    """
    if not 0 < power < math.inf:
        raise ValueError(f"power must be a number above 0, got {power}")
    return _after_warmup(optimizer, warmup, total, floor, lambda done: (1 - done) ** power)


def constant(optimizer: Optimizer, *, warmup: int = 0) -> LRScheduler:
    """Linear warm-up, then the whole rate for ever.

    Args:
        optimizer: Whose rates are scheduled.
        warmup: Steps of warm-up, a whole number.

    Returns:
        torch's LinearLR.

    Raises:
        ValueError: For a warm-up below 0 or no whole number.
    """
    _check_steps(warmup=warmup)
    return LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)


def one_cycle(
    optimizer: Optimizer, *, warmup: int, total: int, start: float = 0.04, floor: float = 4e-6
) -> LRScheduler:
    """Half a cosine up from `start` in `warmup` steps, then half a cosine down.

    Momentum is left as it is. torch's OneCycleLR over total + 1 steps has the same rates.

    Args:
        optimizer: Whose rates are scheduled; they are the highest.
        warmup: Steps up; .3 of total is usual: `round(0.3 * total)`.
        total: Steps of the run.
        start: Share of the rate at the first step, in [0, 1].
        floor: Share of the rate that is left at the end.

    Returns:
        A torch scheduler.

    Raises:
        ValueError: As `warmup_cosine`, and for a start outside [0, 1].

    References:
        Smith and Topin, Super-convergence, 2018.
    """
    if not 0 <= start <= 1:
        raise ValueError(f"expected start as a share of the learning rate in [0, 1], got {start}")
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
) -> LRScheduler:
    """The rate along which SWA averages: constant at the end, or in cycles.

    Linear warm-up, from the whole rate half a cosine to `high` at step `start`; from there on `high`, or with `cycle`
    again and again linearly from `high` to `low`: average the weights at the end of each cycle, after the steps
    start + cycle, start + 2 cycle ...

    Args:
        optimizer: Whose rates are scheduled.
        warmup: Steps of warm-up.
        total: Steps of the run.
        start: Step from which weights are averaged.
        high: Share of the rate at `start`.
        low: Share of the rate at the end of a cycle.
        cycle: Steps of a cycle; None stays at `high`.

    Returns:
        A torch scheduler; without a warm-up and cycles it is torch's SWALR.

    Raises:
        ValueError: Unless 0 <= warmup <= start < total, 0 <= low <= high <= 1 and cycle is at least 1.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> schedule = swa(optimizer, total=6, start=2, high=0.5, low=0.1, cycle=2)
        >>> [round(schedule.lr_lambdas[0](step), 2) for step in range(6)]
        [1.0, 0.75, 0.3, 0.1, 0.3, 0.1]

    References:
        Izmailov et al., Averaging weights leads to wider optima and better generalization, UAI 2018.
    """
    _check_steps(warmup=warmup, start=start, total=total, cycle=1 if cycle is None else cycle)
    if not warmup <= start < total:
        raise ValueError(f"expected 0 <= warmup <= start < total, got warmup={warmup}, start={start}, total={total}")
    if not 0 <= low <= high <= 1:
        raise ValueError(f"expected shares of the rate 0 <= low <= high <= 1, got low={low}, high={high}")
    if cycle is not None and cycle < 1:
        raise ValueError(f"expected a cycle of at least one step, got {cycle}")

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
) -> LRScheduler:  # fmt: skip
    """Make a schedule by its name, for a loop that knows all settings.

    Args:
        name: One of NAMES.
        optimizer: Whose rates are scheduled.
        warmup: Steps of warm-up.
        total: Steps of the run.
        floor: Share of the rate at the end of "cosine", "poly" and "one-cycle".
        start: Step from which "swa" and "swa-cyclic" average.
        high: Share of the rate there.
        cycle: Steps of a cycle of "swa-cyclic", which falls to a tenth of `high`.

    Returns:
        A torch scheduler.

    Raises:
        ValueError: For an unknown name, with its neighbours, and as the schedule itself.
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


def _check_steps(**steps: object) -> None:
    """ValueError for what is no whole number of steps: a share of the run would silently be none."""
    for name, value in steps.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ValueError(
                f"expected {name} as a whole number of optimiser steps, got {value!r}; for a share of the run pass "
                f"round(share * total)"
            )
        if int(value) < 0:
            raise ValueError(f"expected {name} of at least 0 steps, got {value}")


def _after_warmup(
    optimizer: Optimizer,
    warmup: int,
    total: int,
    floor: float,
    shape: Callable[[float], float],
    rise: Callable[[float], float] | None = None,
) -> LRScheduler:
    """`shape` takes the share of the steps after warm-up that is done, 0 to 1, to the share of the rate.

    `rise` does so for the share of the warm-up that is done, from 0; without it the warm-up is linear and its first
    step counts.
    """
    _check_steps(warmup=warmup, total=total)
    if warmup >= total:
        raise ValueError(f"expected a warmup of fewer steps than total, got warmup={warmup} and total={total}")
    if not 0 <= floor <= 1:
        raise ValueError(f"expected floor as a share of the learning rate in [0, 1], got {floor}")

    def factor(step: int) -> float:
        if step < warmup:
            return rise(step / warmup) if rise else (step + 1) / (warmup + 1)
        return floor + (1 - floor) * shape(min(1.0, (step - warmup) / (total - warmup)))

    return LambdaLR(optimizer, factor)


FALLING: dict[str, Callable[..., LRScheduler]] = {"cosine": warmup_cosine, "poly": poly, "one-cycle": one_cycle}
NAMES = (*FALLING, "constant", "swa", "swa-cyclic")
