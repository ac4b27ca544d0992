"""Weights of stores: what they may be, normalised, and moved towards equal ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segkit.files import nearest, plain
from segkit.thresholds import per_class

Domain = Literal["logits", "probs"]
Weights = Sequence[float] | np.ndarray | Mapping[str, Any] | None
"""K numbers, {class: K numbers} with "*" for the others, or None for equal ones."""


@dataclass(frozen=True)
class Blend:
    """How several stores are averaged: the part of a Pipeline that one store does not need.

    Args:
        weights: K numbers >= 0, one a store, or {class: K numbers} with "*" for the others; None for equal ones.
        domain: What is averaged, "logits" or "probs".
        stores: Names of the stores in the order of the weights, such as their paths; () where they are not known.

    Raises:
        ValueError: If a weight is no number >= 0, all are 0, or their number is not that of the stores.

    Example:
        >>> Blend([3, 1]).shares(("a", "b"), 2)["b"].tolist()
        [0.75, 0.25]
    """

    weights: Weights = None
    domain: Domain = "logits"
    stores: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.domain not in ("logits", "probs"):
            raise ValueError(f"blend, domain={self.domain!r}: expected logits or probs")
        if not isinstance(self.stores, (list, tuple)) or not all(isinstance(name, str) for name in self.stores):
            raise ValueError(f"blend: expected stores as a list of names, got {self.stores!r}")
        by_class = isinstance(self.weights, Mapping)
        for cls, row in self.weights.items() if isinstance(self.weights, Mapping) else [("", self.weights)]:
            if row is not None or by_class:
                _check_row(row, f"blend, class {cls}" if by_class else "blend", len(self.stores))
        object.__setattr__(self, "weights", plain(self.weights))
        object.__setattr__(self, "stores", tuple(self.stores))

    def shares(self, classes: Sequence[str], count: int) -> dict[str, np.ndarray]:
        """The normalised weights of each class.

        Args:
            classes: All classes, in channel order.
            count: Number of stores.

        Returns:
            {class: float32 (count,) weights that add up to 1}.

        Raises:
            ValueError: If the weights are of another number of stores, or of other classes.
        """
        if self.stores and len(self.stores) != count:
            raise ValueError(f"the blend has {len(self.stores)} stores ({', '.join(self.stores)}), got {count}")
        return dict(zip(classes, shares(self.weights, classes, count)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as from_dict() takes them."""
        return {"weights": self.weights, "domain": self.domain, "stores": list(self.stores)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Blend:
        """Read what to_dict() gave.

        Args:
            content: Plain values.

        Returns:
            The blend.

        Raises:
            ValueError: For an unknown key, or a value that a Blend refuses.
        """
        known = ("weights", "domain", "stores")
        if not isinstance(content, Mapping):
            raise ValueError(f"blend: expected settings by name, got {content!r}")
        for key in content:
            if key not in known:
                raise ValueError(f"blend: no setting {key!r}; {nearest(str(key), known)}")
        return cls(**content)


def normalised(weights: Sequence[float] | np.ndarray | None, count: int) -> np.ndarray:
    """Weights that add up to 1.

    Args:
        weights: `count` numbers >= 0, not all 0; None for equal ones.
        count: Number of stores.

    Returns:
        float64 (count,).

    Raises:
        ValueError: If they are of another number, negative, all 0 or not finite.
    """
    try:
        share = np.full(count, 1.0) if weights is None else np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        share = np.zeros(0)
    if share.shape != (count,) or not (share >= 0).all() or not 0 < share.sum() < np.inf:
        raise ValueError(f"expected {count} weights >= 0, not all 0, one a store, got {weights}")
    return share / share.sum()


def shares(weights: Weights, classes: Sequence[str], count: int) -> np.ndarray:
    """The normalised weights of each class.

    Args:
        weights: As Blend's.
        classes: All classes, in channel order.
        count: Number of stores.

    Returns:
        float32 (classes, count); each row adds up to 1.

    Raises:
        ValueError: For weights that are none, with the class.
    """
    if not isinstance(weights, Mapping):
        return np.tile(normalised(weights, count).astype(np.float32), (len(classes), 1))
    out = []
    for cls, setting in per_class(weights, classes).items():
        try:
            out.append(normalised(setting, count))
        except ValueError as error:
            raise ValueError(f"class {cls}: {error}") from error
    return np.array(out).astype(np.float32)


def shrunk(weights: Mapping[str, np.ndarray], shrink: float) -> dict[str, np.ndarray]:
    """Weights moved towards equal ones.

    Args:
        weights: {class: (K,) weights}.
        shrink: In [0, 1]: 0 leaves them (normalised), 1 makes them equal.

    Returns:
        {class: float64 (K,) weights that add up to 1}.

    Raises:
        ValueError: If shrink is outside [0, 1], or weights are negative or all 0.

    Example:
        >>> shrunk({"a": np.array([3, 1])}, 0.5)["a"]
        array([0.625, 0.375])
    """
    if not 0.0 <= shrink <= 1.0:
        raise ValueError(f"shrink={shrink}: expected a number in [0, 1]")
    out = {}
    for cls, row in weights.items():
        try:
            out[cls] = (1.0 - shrink) * normalised(row, len(row)) + shrink / len(row)
        except ValueError as error:
            raise ValueError(f"class {cls}: {error}") from error
    return out


def _check_row(row: object, where: str, count: int) -> None:
    """ValueError where a row is no list of weights, or one of another number of stores."""
    numbers = list(row) if isinstance(row, (list, tuple, np.ndarray)) else []
    plain_numbers = all(isinstance(n, (int, float, np.number)) and not isinstance(n, bool) for n in numbers)
    if not numbers or not plain_numbers or not all(0 <= n < math.inf for n in numbers) or not sum(numbers) > 0:
        raise ValueError(f"{where}: expected a list of weights >= 0, not all 0, got {row!r}")
    if count and len(numbers) != count:
        raise ValueError(f"{where}: expected {count} weights, one a store, got {len(numbers)}")
