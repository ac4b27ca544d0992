"""Logits and target of a batch, and the maps that follow from them, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class LazyTensor:
    """Property that is computed once; torch.compile cannot trace the lock of `functools.cached_property` (3.11).

    Args:
        compute: The decorated method.
    """

    def __init__(self, compute: Callable[[Any], Tensor]) -> None:
        self.compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, owner: object, kind: type) -> Tensor:
        value = self.compute(owner)
        setattr(owner, self.compute.__name__, value)
        return value


class PixelMaps:
    """Maps of a batch, or of a part of it. Each is computed on demand, once.

    All maps are float32 (float64 where the logits are), whatever precision the network ran in.

    Args:
        logits: Floating point, shape (N, C, H, W).
        target: Any number type or bool, shape (N, C, H, W).
        channels: Slice of the classes that these channels are, and the number of all classes; None for all.

    Attributes:
        raw_logits: Logits as given.
        raw_target: Target as given.
        dtype: Type of the maps.
    """

    def __init__(self, logits: Tensor, target: Tensor, channels: tuple[slice, int] | None = None) -> None:
        self.raw_logits, self.raw_target = logits, target
        self.dtype = torch.promote_types(logits.dtype, torch.float32)
        self.channels = channels or (slice(None), logits.shape[1])

    def per_class(self, name: str, values: float | Sequence[float]) -> Tensor:
        """One number for each class of this part, to multiply maps by.

        Args:
            name: Name of the setting, for the error.
            values: One number, or one per class.

        Returns:
            Shape (C, 1, 1).

        Raises:
            ValueError: If there is another number of values than of classes.
        """
        part, classes = self.channels
        return per_class(name, values, self.logits, classes)[part, None, None]

    @LazyTensor
    def logits(self) -> Tensor:
        """Shape (N, C, H, W)."""
        return self.raw_logits.to(self.dtype)

    @LazyTensor
    def target(self) -> Tensor:
        """Shape (N, C, H, W)."""
        return self.raw_target.to(self.dtype)

    @LazyTensor
    def probs(self) -> Tensor:
        """Sigmoid of the logits, shape (N, C, H, W)."""
        return self.logits.sigmoid()

    @LazyTensor
    def cross_entropy(self) -> Tensor:
        """-y log p - (1 - y) log(1 - p), finite for any finite logit, shape (N, C, H, W)."""
        if torch.is_grad_enabled():
            return F.binary_cross_entropy_with_logits(self.logits, self.target, reduction="none")
        small = self.logits.abs().neg_().sigmoid_()  # -log(1 - small) = 2 artanh(small / (2 - small)), in less time
        log = small.div_(2 - small).atanh_()
        return self.logits.relu().addcmul_(self.logits, self.target, value=-1).add_(log, alpha=2)

    @LazyTensor
    def error(self) -> Tensor:
        """Probability minus target, p - y, shape (N, C, H, W)."""
        return self.probs - self.target

    @LazyTensor
    def sigmoid_slope(self) -> Tensor:
        """Slope of the sigmoid, p (1 - p), shape (N, C, H, W)."""
        return self.probs - self.probs.square()


def per_class(name: str, values: float | Sequence[float], like: Tensor, classes: int) -> Tensor:
    """Expand one number, or one per class, to one per class.

    Args:
        name: Name of the setting, for the error.
        values: One number, or one per class.
        like: Tensor whose dtype and device the result gets.
        classes: Number of classes, C.

    Returns:
        Shape (C,).

    Raises:
        ValueError: If there is another number of values than of classes.
    """
    given = torch.as_tensor(values, dtype=like.dtype, device=like.device)
    if given.ndim and len(given) != classes:
        raise ValueError(f"{name} has {len(given)} numbers but there are {classes} classes; give one a class")
    return given.expand(classes)
