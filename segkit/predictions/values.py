"""From what networks give to the levels that a store keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segkit.predictions.header import LEVELS

SLACK = 1e-4  # what rounding may push a probability past 0 or 1
SURE = 1e-12  # probabilities nearer to 0 or 1 are taken as this


def as_values(given: object, grid: tuple[int, int], classes: Sequence[str]) -> np.ndarray:
    """Floats without NaN, from an array or a tensor of any library.

    Args:
        given: Array, or tensor on any device and of any float type, shape (C, h, w).
        grid: (h, w) that is expected.
        classes: Names of the C channels.

    Returns:
        float array of shape (C, h, w).

    Raises:
        ValueError: If shape or type are others, or a value is NaN; names the class.
    """
    kind = getattr(given, "dtype", type(given).__name__)
    if hasattr(given, "detach"):  # a tensor, perhaps of a type that NumPy lacks, as bfloat16
        tensor: Any = given.detach().cpu()
        given = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    values, expected = np.asarray(given), (len(classes), *grid)
    if values.shape != expected or not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"expected float values of shape {expected}, got {kind} {values.shape}")
    if np.isnan(values).any():
        bad = [cls for cls, part in zip(classes, values) if np.isnan(part).any()]
        raise ValueError(f"NaN in class {', '.join(bad)}")
    return values


def from_probabilities(probabilities: np.ndarray, *, exclusive: bool) -> np.ndarray:
    """Logits of probabilities.

    Args:
        probabilities: Of a sigmoid, or, if classes are exclusive, of a softmax; float, any shape.
        exclusive: Whether the classes are.

    Returns:
        float64 of the same shape: log(p / (1 - p)), or log(p) of exclusive classes.

    Raises:
        ValueError: If a value lies outside [0, 1] by more than rounding.

    Example:
        >>> from_probabilities(np.array([0.5, 0.75]), exclusive=False).round(2).tolist()
        [0.0, 1.1]
    """
    values = probabilities.astype(np.float64)
    if values.size and (values.min() < -SLACK or values.max() > 1 + SLACK):
        raise ValueError(
            f"expected probabilities in [0, 1], got {values.min():.4g} to {values.max():.4g}; logits, perhaps?"
        )
    values = np.clip(values, SURE, 1 - SURE)
    return np.log(values) if exclusive else np.log(values) - np.log1p(-values)


def to_levels(logits: np.ndarray, *, scale: float, exclusive: bool) -> np.ndarray:
    """The levels of logits: logit / scale, rounded and cut to +-127; of exclusive classes the highest is 127.

    Args:
        logits: float, shape (C, h, w).
        scale: Logit per level.
        exclusive: Whether only differences between the classes of a pixel count.

    Returns:
        int8 of shape (C, h, w).

    Raises:
        ValueError: If classes are exclusive and the highest logit of a pixel is infinite.

    Example:
        >>> to_levels(np.array([[[1.0]], [[-2.0]]]), scale=1 / 16, exclusive=True).ravel().tolist()
        [127, 79]
    """
    values = logits.astype(np.float32)
    if exclusive:
        highest = values.max(axis=0)
        if not np.isfinite(highest).all():
            raise ValueError("the highest logit of a pixel is infinite")
        values = values - highest + np.float32(LEVELS * scale)
    return np.rint(np.clip(values * np.float32(1 / scale), -LEVELS, LEVELS)).astype(np.int8)
