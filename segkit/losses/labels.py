"""Targets from class numbers, as label maps and other libraries have them."""

from __future__ import annotations

import torch
from torch import Tensor

IGNORED = (255, -100)  # what datasets and torch write into pixels that do not count


def one_hot(labels: Tensor, classes: int, *, ignore_index: int | None = None) -> tuple[Tensor, Tensor]:
    """Target and weight from a batch of label maps.

    Args:
        labels: Class numbers, integer, shape (N, H, W).
        classes: Number of classes, C.
        ignore_index: The number of pixels that do not count; None for 255 and -100.

    Returns:
        Target, bool, shape (N, C, H, W), empty where ignored; and weight, bool, shape (N, 1, H, W), False there.

    Raises:
        ValueError: If labels are not integers of that shape, or one is neither a class nor ignored.

    Example:
        >>> target, weight = one_hot(torch.tensor([[[0, 1, 255]]]), 2)
        >>> target.int().tolist(), weight.int().tolist()
        ([[[[1, 0, 0]], [[0, 1, 0]]]], [[[[1, 1, 0]]]])
    """
    if labels.ndim != 3 or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"expected class numbers, integer, of shape (N, H, W), got {labels.dtype} {tuple(labels.shape)}"
        )
    numbers = labels.to(torch.int64)
    ignored = torch.zeros_like(numbers, dtype=torch.bool)
    for value in IGNORED if ignore_index is None else (ignore_index,):
        ignored |= numbers == value
    unknown = ~ignored & ((numbers < 0) | (numbers >= classes))
    if not torch.compiler.is_compiling() and unknown.any():
        found = sorted(set(numbers[unknown].tolist()))[:3]
        raise ValueError(
            f"labels have {', '.join(map(str, found))}; expected 0 to {classes - 1} for {classes} classes; if that "
            f"marks pixels to ignore, pass ignore_index={found[0]}"
        )
    target = torch.zeros(len(numbers), classes, *numbers.shape[1:], dtype=torch.bool, device=numbers.device)
    target.scatter_(1, numbers.masked_fill(ignored, 0)[:, None], ~ignored[:, None])
    return target, ~ignored[:, None]
