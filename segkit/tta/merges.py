"""Running merges: planes of views are taken in one at a time, and nothing but the result is held."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from segkit.files import nearest

NAMED = {"mean": 1.0, "gmean": 0.0, "max": math.inf}
"""Power means with a name, and their exponents."""


class Running(Protocol):
    """What is held of all views so far. Weights are told once a view, planes one by one."""

    def begin(self, weight: Tensor) -> None:
        """The next view counts this much: a number, or (h, w) with 0 where it saw nothing."""

    def take(self, channel: int, plane: Tensor) -> None:
        """One channel of the view, (N, h, w)."""

    def done(self) -> Tensor: ...


class PowerMean:
    """The weighted power mean (sum w x^p / sum w)^(1/p): p=1 the mean, 0 the geometric mean, inf the largest.

    Exponents other than 1 and inf are of values that are not negative; their sums are of logarithms, so that nothing
    under- or overflows.
    """

    def __init__(self, like: Tensor, exponent: float) -> None:
        self.exponent = exponent
        self.total = torch.full_like(like, 0.0 if exponent in (0, 1) else -math.inf)
        self.weight = self.weights = like.new_zeros(())

    def begin(self, weight: Tensor) -> None:
        self.weight = weight
        self.weights = self.weights + weight

    def take(self, channel: int, plane: Tensor) -> None:
        total, weight, p = self.total[:, channel], self.weight, self.exponent
        if p == 1:
            total.addcmul_(plane, weight)
        elif p == 0:
            total += torch.where(weight > 0, plane.log() * weight, 0)  # 0 * log 0 is none
        elif p == math.inf:
            torch.maximum(total, plane.masked_fill(weight == 0, -math.inf), out=total)
        else:
            power = torch.where(weight > 0, p * plane.log() + weight.log(), -math.inf)
            torch.logaddexp(total, power, out=total)

    def done(self) -> Tensor:
        if self.exponent == math.inf:
            return self.total
        if self.exponent == 1:
            return self.total.div_(self.weights)
        if self.exponent == 0:
            return self.total.div_(self.weights).exp_()
        return self.total.sub_(self.weights.log()).div_(self.exponent).exp_()


class Spread:
    """The weighted standard deviation over views (Welford's running form, as West 1979 weights it)."""

    def __init__(self, like: Tensor) -> None:
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)
        self.weight = self.weights = like.new_zeros(())

    def begin(self, weight: Tensor) -> None:
        self.weight = weight
        self.weights = self.weights + weight

    def take(self, channel: int, plane: Tensor) -> None:
        away = plane - self.mean[:, channel]
        step = away * (self.weight / self.weights)
        self.mean[:, channel] += step
        self.square[:, channel] += self.weight * away * (away - step)

    def done(self) -> Tensor:
        return self.square.div_(self.weights).clamp_(min=0).sqrt_()


class Entropy:
    """The entropy of the mean probability, in bits: 1 where nothing is known, 0 where all is sure."""

    def __init__(self, like: Tensor) -> None:
        self.mean = PowerMean(like, 1.0)

    def begin(self, weight: Tensor) -> None:
        self.mean.begin(weight)

    def take(self, channel: int, plane: Tensor) -> None:
        self.mean.take(channel, plane)

    def done(self) -> Tensor:
        out = self.mean.done()
        for channel in range(out.shape[1]):  # one at a time: logarithms make copies
            p = out[:, channel].clone()
            out[:, channel] = -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)) / math.log(2)
        return out


class OfProbs:
    """A running measure of probabilities, told of logits."""

    def __init__(self, running: Running) -> None:
        self.running = running

    def begin(self, weight: Tensor) -> None:
        self.running.begin(weight)

    def take(self, channel: int, plane: Tensor) -> None:
        self.running.take(channel, plane.sigmoid())

    def done(self) -> Tensor:
        return self.running.done()


UNCERTAINTIES: dict[str, Callable[[Tensor], Running]] = {"std": Spread, "entropy": Entropy}


def exponent(merge: str | float, domain: str, weighted: bool) -> float:
    """The exponent that a merge stands for; ValueError where it has no meaning in the domain."""
    if isinstance(merge, str) and merge not in NAMED:
        raise ValueError(f"no merge {merge!r}; {nearest(merge, NAMED)}, or the exponent of a power mean")
    if not isinstance(merge, (str, int, float)):
        raise ValueError(f"merge={merge!r}: {', '.join(NAMED)}, or the exponent of a power mean, is wanted")
    p = NAMED[merge] if isinstance(merge, str) else float(merge)
    if math.isnan(p) or p == -math.inf:
        raise ValueError(f"merge={merge}: a number, or inf, is wanted as the exponent of a power mean")
    if domain == "logits" and p not in (1, math.inf):
        raise ValueError(
            f"merge={merge!r} is of probabilities, and logits may be negative; let the model return probabilities with "
            "domain='probs', or for logits take merge='mean', their normalised geometric mean"
        )
    if p == math.inf and weighted:
        raise ValueError("merge='max' has no use for weights; leave them out")
    return p
