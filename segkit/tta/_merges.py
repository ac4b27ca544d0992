"""Running merges: channels of views are added one at a time, and nothing but the result is held."""

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
    """A merge of the views so far."""

    def add_view(self, weight: Tensor) -> None:
        """Begin the next view; its weight is a number, or (h, w) with 0 where it saw nothing."""

    def add_channel(self, channel: int, values: Tensor) -> None:
        """Add one channel of the view, values (N, h, w)."""

    def result(self) -> Tensor:
        """Return the merge of all views, (N, C, h, w); called once, at the end."""


class PowerMean:
    """The weighted power mean (sum w x^p / sum w)^(1/p).

    Exponents other than 1 and inf are of values that are not negative; their sums are of logarithms, so that nothing
    under- or overflows.

    Args:
        like: A tensor of the result's shape, dtype and device.
        exponent: p: 1 the mean, 0 the geometric mean, inf the largest.
    """

    def __init__(self, like: Tensor, exponent: float) -> None:
        self.exponent = exponent
        self.total = torch.full_like(like, 0.0 if exponent in (0, 1) else -math.inf)
        self.weight = self.weights = like.new_zeros(())

    def add_view(self, weight: Tensor) -> None:
        self.weight = weight
        self.weights = self.weights + weight

    def add_channel(self, channel: int, values: Tensor) -> None:
        total, weight, p = self.total[:, channel], self.weight, self.exponent
        if p == 1:
            total.addcmul_(values, weight)
        elif p == 0:
            total += torch.where(weight > 0, values.log() * weight, 0)  # 0 * log 0 is none
        elif p == math.inf:
            torch.maximum(total, values.masked_fill(weight == 0, -math.inf), out=total)
        else:
            power = torch.where(weight > 0, p * values.log() + weight.log(), -math.inf)
            torch.logaddexp(total, power, out=total)

    def result(self) -> Tensor:
        if self.exponent == math.inf:
            return self.total
        if self.exponent == 1:
            return self.total.div_(self.weights)
        if self.exponent == 0:
            return self.total.div_(self.weights).exp_()
        return self.total.sub_(self.weights.log()).div_(self.exponent).exp_()


class StdDev:
    """The weighted standard deviation over views (Welford's running form, as West 1979 weights it).

    Args:
        like: A tensor of the result's shape, dtype and device.
    """

    def __init__(self, like: Tensor) -> None:
        self.mean, self.square = torch.zeros_like(like), torch.zeros_like(like)
        self.weight = self.weights = like.new_zeros(())

    def add_view(self, weight: Tensor) -> None:
        self.weight = weight
        self.weights = self.weights + weight

    def add_channel(self, channel: int, values: Tensor) -> None:
        away = values - self.mean[:, channel]
        step = away * (self.weight / self.weights)
        self.mean[:, channel] += step
        self.square[:, channel] += self.weight * away * (away - step)

    def result(self) -> Tensor:
        return self.square.div_(self.weights).clamp_(min=0).sqrt_()


class Entropy:
    """The entropy of the mean probability, in bits: 1 at one half, 0 at 0 and 1.

    Args:
        like: A tensor of the result's shape, dtype and device.
    """

    def __init__(self, like: Tensor) -> None:
        self.mean = PowerMean(like, 1.0)

    def add_view(self, weight: Tensor) -> None:
        self.mean.add_view(weight)

    def add_channel(self, channel: int, values: Tensor) -> None:
        self.mean.add_channel(channel, values)

    def result(self) -> Tensor:
        out = self.mean.result()
        for channel in range(out.shape[1]):  # one at a time: logarithms make copies
            p = out[:, channel].clone()
            out[:, channel] = -(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)) / math.log(2)
        return out


class OfProbs:
    """A running merge of probabilities that is given logits.

    Args:
        running: The merge.
    """

    def __init__(self, running: Running) -> None:
        self.running = running

    def add_view(self, weight: Tensor) -> None:
        self.running.add_view(weight)

    def add_channel(self, channel: int, values: Tensor) -> None:
        self.running.add_channel(channel, values.sigmoid())

    def result(self) -> Tensor:
        return self.running.result()


UNCERTAINTIES: dict[str, Callable[[Tensor], Running]] = {"std": StdDev, "entropy": Entropy}


def exponent(merge: str | float, domain: str, weighted: bool) -> float:
    """Return the exponent of a power mean that a merge stands for.

    Args:
        merge: A name of NAMED, or the exponent itself.
        domain: "logits" or "probs".
        weighted: Whether views have weights.

    Returns:
        The exponent, inf for "max".

    Raises:
        ValueError: For an unknown merge, or one without a meaning in the domain.
    """
    if isinstance(merge, str) and merge not in NAMED:
        raise ValueError(f"no merge {merge!r}; {nearest(merge, NAMED)}, or the exponent of a power mean")
    if not isinstance(merge, (str, int, float)):
        raise ValueError(f"expected merge {', '.join(NAMED)}, or the exponent of a power mean, got {merge!r}")
    p = NAMED[merge] if isinstance(merge, str) else float(merge)
    if math.isnan(p) or p == -math.inf:
        raise ValueError(f"merge={merge}: expected a number, or inf, as the exponent of a power mean")
    if domain == "logits" and p not in (1, math.inf):
        raise ValueError(
            f"merge={merge!r} is of probabilities, and logits may be negative; let the model return probabilities with "
            "domain='probs', or for logits take merge='mean', their normalised geometric mean"
        )
    if p == math.inf and weighted:
        raise ValueError("merge='max' does not use weights; leave them out")
    return p
