"""Weighted sums of losses, with weights that may change while training, from dictionaries and from one line of text."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from segkit.losses.base import Loss
from segkit.losses.inputs import LossInputs
from segkit.losses.spec import LOSSES, parse_loss, parse_stages
from segkit.losses.statistics import Statistic

Schedule = Mapping[float, float] | Callable[[float], float]
Weight = float | Schedule


class WeightedSum(Loss):
    """Sum of losses times their weights. The sigmoid and the sums over pixels are computed once for all.

    Weights may be changed between calls; a loss that weighs 0 is computed for `.terms` alone, without a gradient.

    Args:
        terms: {loss: weight}. A loss is a name of `LOSSES`, a name with settings ("focal(gamma=3)"), or a module of
            (logits, target), and weight= where pixels have weights. A weight is a number; or stages, {fraction of
            training done: weight from there on}, 0 among the fractions; or a function of that fraction.

    Attributes:
        weights: {name: weight} at this moment.
        terms: {name: value} of every loss after a call, before its weight, detached.

    Raises:
        ValueError: For unknown names, for what is no loss, and for negative or all-zero weights.

    Example:
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
        if not isinstance(terms, Mapping):
            raise ValueError(
                f"expected {{loss: weight}}, as {{'bce': 1, 'dice': 1}}, got a {type(terms).__name__}; "
                f"losses.build reads 'bce + dice' too"
            )
        self.losses = nn.ModuleDict()
        self.weights: dict[str, float] = {}
        self.schedules: dict[str, Schedule] = {}
        for key, weight in terms.items():
            loss = parse_loss(key) if isinstance(key, str) else checked_loss(key)
            name = _name(loss, self.losses)
            self.losses[name] = loss
            if isinstance(weight, Mapping) or callable(weight):
                self.schedules[name] = _checked_schedule(weight, name)
                self.weights[name] = _at(weight, 0.0)
            else:
                self.weights[name] = _number(weight, name)
        for start in sorted({0.0, *(at for s in self.schedules.values() if isinstance(s, Mapping) for at in s)}):
            self.set_progress(start)
        self.set_progress(0.0)
        self.terms: dict[str, Tensor] = {}
        given = [loss.ignore_index for loss in self.losses.values() if isinstance(loss, Loss)]
        ignored = sorted({index for index in given if index is not None})
        if len(ignored) > 1:
            raise ValueError(f"expected one ignore_index for all losses of a sum, got {ignored}")
        self.ignore_index = ignored[0] if ignored else None

    def set_progress(self, progress: float) -> None:
        """Give every scheduled weight its value. `fit` calls it in each step.

        Args:
            progress: Fraction of training done, 0 to 1.

        Raises:
            ValueError: For another number, and where a weight becomes negative or all become 0.
        """
        if not 0 <= progress <= 1:
            raise ValueError(f"progress is a fraction of training between 0 and 1, got {progress}")
        for name, schedule in self.schedules.items():
            self.weights[name] = _at(schedule, progress)
        if not all(0 <= w < math.inf for w in self.weights.values()) or not any(self.weights.values()):
            raise ValueError(f"weights must be positive or zero, and one of them positive, got {self.weights}")

    @override
    def statistics(self) -> tuple[Statistic, ...]:
        members = (loss for loss in self.losses.values() if isinstance(loss, Loss))
        return tuple(dict.fromkeys(statistic for loss in members for statistic in loss.statistics()))

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        total = inputs.raw_logits.new_zeros((), dtype=inputs.dtype)
        if not all(weight >= 0 for weight in self.weights.values()):
            raise ValueError(f"weights must be positive or zero, got {self.weights}")
        self.terms = {}
        for name, loss in self.losses.items():
            weight = self.weights[name]
            with torch.set_grad_enabled(weight != 0 and torch.is_grad_enabled()):
                value = loss.compute(inputs) if isinstance(loss, Loss) else _foreign_value(loss, name, inputs)
            self.terms[name] = value.detach()
            if weight:
                total = total + weight * value
        return total

    @override
    def extra_repr(self) -> str:
        shown = {name: self.schedules.get(name, weight) for name, weight in self.weights.items()}
        return " + ".join(f"{weight} {name}" for name, weight in shown.items())


def build(spec: str | Mapping[Any, Weight] | nn.Module) -> nn.Module:
    """Build a loss from what a config can say.

    Args:
        spec: "dice"; "0.3*bce + 0.7*dice"; "bce + tversky(alpha=0.3, beta=0.7)"; stages, "0.3*bce + 0.7*dice;
            0.6: 0.1*bce + 0.9*dice", the second sum from 60 % of training on; a dictionary as `WeightedSum` takes it;
            or a module, which comes back as it is.

    Returns:
        Module of (logits, target, weight=None).

    Raises:
        ValueError: For what cannot be read.

    Example:
        >>> build("0.3*bce + 0.7*dice").weights
        {'bce': 0.3, 'dice': 0.7}
        >>> build("dise")
        Traceback (most recent call last):
        ValueError: no loss 'dise'; did you mean dice or cldice? Known: ...
    """
    if isinstance(spec, Mapping):
        return WeightedSum(spec)
    if not isinstance(spec, str):
        return checked_loss(spec)
    (_, first), *later = found = parse_stages(spec)
    if later:
        names = dict.fromkeys(name for _, terms in found for name in terms)
        return WeightedSum({name: {start: terms.get(name, 0.0) for start, terms in found} for name in names})
    if list(first.values()) == [1.0]:
        return parse_loss(*first)
    return WeightedSum(dict(first))


def checked_loss(given: object) -> nn.Module:
    """Check that something is a loss and not its class or its name.

    Args:
        given: What somebody passed as a loss.

    Returns:
        The module itself.

    Raises:
        ValueError: If it is no module.
    """
    if isinstance(given, type):
        raise ValueError(f"expected a loss, got the class {given.__name__}; write {given.__name__}()")
    if not isinstance(given, nn.Module):
        raise ValueError(f"expected a loss, as 'bce + dice' or a module of (logits, target), got {given!r}")
    return given


def _foreign_value(loss: nn.Module, name: str, inputs: LossInputs) -> Tensor:
    """The value of a module that is no `Loss`."""
    options = {} if inputs.weight is None else {"weight": inputs.weight}
    known = inspect.signature(loss.forward).parameters
    if options and "weight" not in known and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        raise ValueError(
            f"{name} takes ({', '.join(known)}), and this batch has weights of pixels; give its forward a weight= "
            f"of shape (N, C, H, W), or leave weights out"
        )
    value = loss(inputs.logits, inputs.target, **options)
    if not isinstance(value, Tensor) or value.ndim:
        came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} returned {came}; expected a scalar tensor, as with reduction='mean'")
    return value


def _checked_schedule(schedule: Schedule, name: str) -> Schedule:
    """Stages of numbers in ascending order; a function as it is."""
    if callable(schedule):
        return schedule
    steps = dict(sorted((_number(start, name), _number(weight, name)) for start, weight in schedule.items()))
    if 0 not in steps or max(steps) >= 1 or min(steps) < 0:
        raise ValueError(f"{name}: the stages {schedule} must begin at fractions of training in [0, 1), the first at 0")
    return steps


def _number(value: object, name: str) -> float:
    """A weight as float; ValueError for what is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"the weight of {name} is {value!r}; expected a number, stages or a function") from None


def _at(schedule: Schedule, progress: float) -> float:
    """The weight at this fraction of training."""
    if callable(schedule):
        return float(schedule(progress))
    return next(weight for start, weight in sorted(schedule.items(), reverse=True) if start <= progress)


def _name(loss: nn.Module, taken: nn.ModuleDict) -> str:
    """Its name in `LOSSES`, else its class's name; numbered from the second of its kind on."""
    name = next((name for name, kind in LOSSES.items() if type(loss) is kind), type(loss).__name__)
    same = sum(re.fullmatch(rf"{name}(_\d+)?", other) is not None for other in taken)
    return f"{name}_{same + 1}" if same else name
