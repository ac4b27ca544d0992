"""Weighted sums of losses, with weights that may change while training, from dictionaries and from one line of text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from segkit.losses.shared import Loss, Pair
from segkit.losses.spec import LOSSES, named, stages
from segkit.losses.statistics import Statistic

Weight = float | Mapping[float, float] | Callable[[float], float]


class WeightedSum(Loss):
    """The sum of losses times their weights. The sigmoid and the sums over pixels are computed once for all.

    terms: {loss: weight}; a loss is a name of `LOSSES`, a name with settings ("focal(gamma=3)") or a module
    that takes (logits, target), and weight= where there is one. A weight is a number; or stages, {share of training
    done: weight from there on}, 0 among the shares; or a function of that share. `set_progress` moves on, which
    `fit` does in each step. After a call `.terms` holds every loss's own value, before its weight, detached;
    `.weights` may be changed between calls; what weighs 0 is computed for `.terms` alone. Raises ValueError for
    unknown names, negative or all-zero weights.

    >>> loss = WeightedSum({"bce": 0.3, "dice": {0: 0.7, 0.6: 0.9}})
    >>> total = loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    >>> {name: round(value.item(), 4) for name, value in loss.terms.items()}
    {'bce': 0.6931, 'dice': 0.2}
    >>> loss.set_progress(0.75)
    >>> loss.weights
    {'bce': 0.3, 'dice': 0.9}
    """

    def __init__(self, terms: Mapping[Any, Weight]) -> None:
        super().__init__()
        self.losses = nn.ModuleDict()
        self.weights: dict[str, float] = {}
        self.schedules: dict[str, Mapping[float, float] | Callable[[float], float]] = {}
        for key, weight in terms.items():
            loss = named(key) if isinstance(key, str) else key
            if not isinstance(loss, nn.Module):
                raise ValueError(f"{loss!r} is no loss: a name, or a module of (logits, target), is wanted")
            name = _name(loss, self.losses)
            self.losses[name] = loss
            if isinstance(weight, Mapping) or callable(weight):
                self.schedules[name] = _checked(weight, name)
                self.weights[name] = _at(weight, 0.0)
            else:
                self.weights[name] = _number(weight, name)
        for share in sorted({0.0, *(at for s in self.schedules.values() if isinstance(s, Mapping) for at in s)}):
            self.set_progress(share)
        self.set_progress(0.0)
        self.terms: dict[str, Tensor] = {}

    def set_progress(self, share: float) -> None:
        """Give every scheduled weight its value when this share of training, 0 to 1, is done."""
        if not 0 <= share <= 1:
            raise ValueError(f"progress is a share of training between 0 and 1, got {share}")
        for name, schedule in self.schedules.items():
            self.weights[name] = _at(schedule, share)
        if not all(0 <= w < math.inf for w in self.weights.values()) or not any(self.weights.values()):
            raise ValueError(f"weights must be positive or zero, and one of them positive, got {self.weights}")

    def statistics(self) -> tuple[Statistic, ...]:
        members = (loss for loss in self.losses.values() if isinstance(loss, Loss))
        return tuple(dict.fromkeys(statistic for loss in members for statistic in loss.statistics()))

    def of(self, pair: Pair) -> Tensor:
        total = pair.given_logits.new_zeros((), dtype=pair.dtype)
        if not all(weight >= 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be positive or zero, got {self.weights}")
        self.terms = {}
        for name, loss in self.losses.items():
            weight = self.weights[name]
            with torch.set_grad_enabled(weight != 0 and torch.is_grad_enabled()):
                value = _value(loss, pair)
            self.terms[name] = value.detach()
            if weight:
                total = total + weight * value
        return total

    def extra_repr(self) -> str:
        shown = {name: self.schedules.get(name, weight) for name, weight in self.weights.items()}
        return " + ".join(f"{weight} {name}" for name, weight in shown.items())


def build(spec: str | Mapping[Any, Weight] | nn.Module) -> nn.Module:
    """A loss from what a config can say: "dice", "0.3*bce + 0.7*dice", "bce + tversky(alpha=0.3, beta=0.7)"; stages,
    "0.3*bce + 0.7*dice; 0.6: 0.1*bce + 0.9*dice", the second sum from 60 % of training on; or a dictionary as
    `WeightedSum` takes it. A module comes back as it is. ValueError for what cannot be read.

    >>> build("0.3*bce + 0.7*dice").weights
    {'bce': 0.3, 'dice': 0.7}
    >>> build("dise")
    Traceback (most recent call last):
    ValueError: no loss 'dise'; did you mean dice or cldice? Known: ...
    """
    if isinstance(spec, nn.Module):
        return spec
    if isinstance(spec, Mapping):
        return WeightedSum(spec)
    if not isinstance(spec, str):
        raise ValueError(f"a loss is built from text, a dictionary or a module, got {spec!r}")
    (_, first), *later = found = stages(spec)
    if later:
        names = dict.fromkeys(name for _, terms in found for name in terms)
        return WeightedSum({name: {start: terms.get(name, 0.0) for start, terms in found} for name in names})
    if list(first.values()) == [1.0]:
        return named(*first)
    return WeightedSum(dict(first))


def _value(loss: nn.Module, pair: Pair) -> Tensor:
    if isinstance(loss, Loss):
        return loss.of(pair)
    options = {} if pair.weight is None else {"weight": pair.weight}
    value: Tensor = loss(pair.logits, pair.target, **options)
    return value


def _checked(
    schedule: Mapping[float, float] | Callable[[float], float], name: str
) -> Mapping[float, float] | Callable[[float], float]:
    if callable(schedule):
        return schedule
    steps = dict(sorted((_number(share, name), _number(weight, name)) for share, weight in schedule.items()))
    if 0 not in steps or max(steps) >= 1 or min(steps) < 0:
        raise ValueError(f"{name}: the stages {schedule} must begin at shares of training in [0, 1), the first at 0")
    return steps


def _number(value: object, name: str) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"the weight of {name} is {value!r}; a number, stages or a function are wanted") from None


def _at(schedule: Mapping[float, float] | Callable[[float], float], share: float) -> float:
    if callable(schedule):
        return float(schedule(share))
    return next(weight for start, weight in sorted(schedule.items(), reverse=True) if start <= share)


def _name(loss: nn.Module, taken: nn.ModuleDict) -> str:
    """Its name in `LOSSES`, else its class's name; numbered from the second of its kind on."""
    name = next((name for name, kind in LOSSES.items() if type(loss) is kind), type(loss).__name__)
    same = sum(re.fullmatch(rf"{name}(_\d+)?", other) is not None for other in taken)
    return f"{name}_{same + 1}" if same else name
