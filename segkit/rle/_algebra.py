"""What can be asked of runs without their pixels: areas, overlaps, unions, differences."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import DTypeLike

from segkit.rle._arrays import between, common, weighed
from segkit.rle._checks import known_shape, same_shape

EPSILON = 1e-4  # of the competition's Dice: (2I + 1e-4) / (A + B + 1e-4)


class Algebra:
    """The algebra of Runs: `array`, half-open int64 (n, 2), read-only, and `shape`, (height, width) or None."""

    __slots__ = ("array", "shape")
    array: np.ndarray
    shape: tuple[int, int] | None

    def _set(self, runs: np.ndarray, shape: tuple[int, int] | None) -> None:
        runs.setflags(write=False)
        self.array, self.shape = runs, shape

    @classmethod
    def _trusted(cls, runs: np.ndarray, shape: tuple[int, int] | None) -> Self:
        """Runs that are known to be sorted, apart and inside."""
        self = cls.__new__(cls)
        self._set(runs, shape)
        return self

    @property
    def area(self) -> int:
        """Pixels set."""
        return int((self.array[:, 1] - self.array[:, 0]).sum())

    def intersection(self, other: Self) -> int:
        """Pixels set in both, without building the common runs.

        Args:
            other: Runs of the same image.

        Returns:
            Their number.
        """
        same_shape((self.shape, other.shape))
        return common(self.array, other.array)

    def dice(self, other: Self) -> float:
        """(2I + 1e-4) / (A + B + 1e-4): two empty masks agree (1.0).

        Args:
            other: Runs of the same image.

        Returns:
            Dice, 0 to 1.
        """
        return (2 * self.intersection(other) + EPSILON) / (self.area + other.area + EPSILON)

    def iou(self, other: Self) -> float:
        """(I + 1e-4) / (A + B - I + 1e-4): two empty masks agree (1.0).

        Args:
            other: Runs of the same image.

        Returns:
            Intersection over union, 0 to 1.
        """
        shared = self.intersection(other)
        return (shared + EPSILON) / (self.area + other.area - shared + EPSILON)

    def __and__(self, other: Self) -> Self:
        return self._weighed(other, [1, 1], 2)

    def __or__(self, other: Self) -> Self:
        return self._weighed(other, [1, 1], 1)

    def __sub__(self, other: Self) -> Self:
        return self._weighed(other, [1, -1], 1)

    def _weighed(self, other: Self, weights: list[float], need: float) -> Self:
        shape = same_shape((self.shape, other.shape))
        return self._trusted(weighed([self.array, other.array], weights, need), shape)

    def __invert__(self) -> Self:
        """The pixels that are not set. ValueError without a shape."""
        height, width = shape = known_shape(self.shape, "the complement")
        edges = between(self.array, height * width).reshape(-1, 2)
        return self._trusted(edges[edges[:, 1] > edges[:, 0]], shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Algebra) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def __bool__(self) -> bool:
        return len(self.array) > 0

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """np.asarray(runs) is its (n, 2) array, read-only unless it is copied."""
        return np.array(self.array, dtype=dtype) if copy or dtype not in (None, np.int64) else self.array

    def __repr__(self) -> str:
        return f"Runs({len(self.array)} runs, area {self.area}, shape {self.shape})"
