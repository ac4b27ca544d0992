"""Logits and probabilities."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def sigmoid(x: ArrayLike) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow.

    Args:
        x: Logits, any shape.

    Returns:
        Probabilities, float64, of the same shape.

    Example:
        >>> float(sigmoid(0.0))
        0.5
    """
    x = np.asarray(x, dtype=np.float64)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def logit(p: float) -> float:
    """log(p / (1 - p)).

    Args:
        p: Probability in [0, 1].

    Returns:
        The logit; -inf for 0 and inf for 1.

    Raises:
        ValueError: If `p` lies outside [0, 1].

    Example:
        >>> logit(0.5)
        0.0
    """
    p = float(p)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"expected a probability in [0, 1], got {p}")
    if p in (0.0, 1.0):
        return math.inf if p else -math.inf
    return math.log(p / (1.0 - p))


def threshold_logit(threshold: float) -> np.floating:
    """The logit that a probability threshold stands for.

    Args:
        threshold: Probability in [0, 1].

    Returns:
        float32 logit; pixels strictly above it belong to the mask.
    """
    return np.float32(logit(threshold))
