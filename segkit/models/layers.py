"""What networks written by hand share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def widths(plan: Sequence[int], width: float) -> list[int]:
    """The channels of `plan` times `width`, at least one each. ValueError where width is not a number above 0.

    >>> widths((64, 128), 0.25)
    [16, 32]
    """
    if not 0 < width < math.inf:
        raise ValueError(f"width multiplies the channels, got {width}; 1.0 is the paper's, 0.5 half of them")
    return [max(1, round(channels * width)) for channels in plan]


def whole_numbers(name: str, given: Sequence[int], *, usual: Sequence[int]) -> tuple[int, ...]:
    """`given` as a tuple; ValueError unless it holds whole numbers of at least 1, as `usual` does.

    >>> whole_numbers("rates", [6, 12], usual=(6, 12, 18, 24))
    (6, 12)
    """
    right = isinstance(given, Sequence) and all(type(number) is int and number > 0 for number in given)
    if not right or not len(given):
        raise ValueError(f"{name}={given!r} but whole numbers of at least 1 are wanted, as {tuple(usual)}")
    return tuple(given)


def he_normal(body: nn.Module) -> None:
    """Start convolutions from a normal of variance 2 / fan-in (He et al., ICCV 2015), biases at zero, in place.

    Without it a dozen ReLUs in a row and no batch norm do not train.
    """
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Autocast off where `x` lies; some devices, as the one without memory, have none and raise if asked."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
