"""Runs: a mask as its sorted runs, the doors in and out, and the algebra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rlemasklib import RLEMask

from segkit.rle.arrays import between, common, from_counts, join_touching, together, weighed
from segkit.rle.text import NO_RUNS, mend_text, parse, warn

EPSILON = 1e-4  # of the competition's Dice: (2I + 1e-4) / (A + B + 1e-4)


class Runs:
    """A mask as sorted runs of its row-major flattening: half-open int64 (n, 2), [start, end).

    Touching runs are joined, so equal masks have equal runs. `shape` (height, width) is optional; what needs it
    (mask(), post-processing) says so. Runs are values: no method changes one.

    >>> a, b = Runs([[0, 4]]), Runs([[2, 6]])
    >>> (a & b).array.tolist(), (a | b).area, (a - b).text()
    ([[2, 4]], 6, '1 2')
    """

    __slots__ = ("array", "shape")
    array: np.ndarray
    shape: tuple[int, int] | None

    def __init__(self, array: Any, shape: tuple[int, int] | None = None) -> None:
        given = np.asarray(array)
        if given.size and (given.ndim != 2 or given.shape[1] != 2 or not np.issubdtype(given.dtype, np.integer)):
            raise ValueError(f"integer runs of shape (n, 2) are wanted, got {given.dtype} {given.shape}")
        runs = np.array(given, dtype=np.int64).reshape(-1, 2)
        if runs.size:
            bad = np.flatnonzero(runs[:, 1] <= runs[:, 0])
            if bad.size:
                raise ValueError(f"run {bad[0]} is {runs[bad[0]].tolist()}: a run needs start < end")
            if runs[0, 0] < 0:
                raise ValueError(f"the first run starts at {runs[0, 0]}: runs start at 0 or later")
            bad = np.flatnonzero(runs[1:, 0] < runs[:-1, 1])
            if bad.size:
                a, b = runs[bad[0]].tolist(), runs[bad[0] + 1].tolist()
                kind = "unsorted" if b[0] < a[0] else "overlapping"
                raise ValueError(f"runs {bad[0]} and {bad[0] + 1} are {kind}: {a} then {b}")
            runs = join_touching(runs)
        self._set(runs, shape if shape is None else _as_shape(shape))
        if self.shape is not None and runs.size and runs[-1, 1] > self.shape[0] * self.shape[1]:
            raise ValueError(
                f"the last run ends at {runs[-1, 1]}, past the {self.shape[0] * self.shape[1]} pixels of {self.shape}"
            )

    def _set(self, runs: np.ndarray, shape: tuple[int, int] | None) -> None:
        runs.setflags(write=False)
        self.array, self.shape = runs, shape

    @classmethod
    def _trusted(cls, runs: np.ndarray, shape: tuple[int, int] | None) -> Runs:
        self = cls.__new__(cls)
        self._set(runs, shape)
        return self

    # -- doors ---------------------------------------------------------------------------------------------------
    @classmethod
    def from_mask(cls, mask: np.ndarray) -> Runs:
        """Runs of a (H, W) bool or integer mask, set where not zero."""
        mask = _as_mask(mask)
        counts = RLEMask.from_array(np.ascontiguousarray(mask).view(np.uint8).T).counts_view
        return cls._trusted(from_counts(counts), mask.shape)

    @classmethod
    def from_region(cls, mask: np.ndarray, top: int, left: int, shape: tuple[int, int]) -> Runs:
        """Runs in an image of `shape` whose mask is `mask` at (top, left) and empty elsewhere.

        >>> Runs.from_region(np.ones((2, 2), bool), 1, 1, (3, 3)).text()
        '5 2 8 2'
        """
        mask, shape = _as_mask(mask), _as_shape(shape)
        (height, width), (full_height, full_width) = mask.shape, shape
        if top < 0 or left < 0 or top + height > full_height or left + width > full_width:
            raise ValueError(f"a region {mask.shape} at ({top}, {left}) does not lie inside an image {shape}")
        if width == full_width:
            return cls._trusted(cls.from_mask(mask).array + top * full_width, shape)
        padded = np.zeros((height, width + 1), bool)  # the empty column keeps runs of neighbouring rows apart
        padded[:, :width] = mask
        runs = cls.from_mask(padded).array
        rows, columns = np.divmod(runs, width + 1)
        return cls._trusted((rows + top) * full_width + columns + left, shape)

    @classmethod
    def from_text(
        cls, text: str, shape: tuple[int, int] | None = None, *, start: int = 1, repair: bool = False
    ) -> Runs:
        """Runs of a row-major Kaggle text. ValueError names the bad token; None and NaN raise.

        repair: mend a text that is not whole, as segkit.rle.mend does, and warn (RepairWarning) of what was done.
        """
        shape = shape if shape is None else _as_shape(shape)
        if not repair:
            return cls._trusted(parse(text, start=start, shape=shape), shape)
        array, notes = mend_text(text, start=start, shape=shape)
        warn(notes, level=2)
        return cls._trusted(array, shape)

    # -- what comes out ------------------------------------------------------------------------------------------
    def text(self, *, start: int = 1) -> str:
        """Kaggle text, row-major; "" when empty."""
        pairs = self.array + start
        pairs[:, 1] -= pairs[:, 0]
        return ("%d " * pairs.size)[:-1] % tuple(pairs.ravel().tolist())  # twice as fast as a join of strings

    def mask(self, shape: tuple[int, int] | None = None) -> np.ndarray:
        """bool (H, W). ValueError where neither the runs nor the call know a shape, or the runs do not fit it."""
        if shape is not None:
            return self.with_shape(shape).mask()
        return self._rlemask(_known_shape(self, "mask()")).to_array().T.view(bool)

    def crop(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """bool (bottom - top, right - left): that part of mask(), without the rest. ValueError without a shape.

        >>> Runs([[1, 3], [4, 5]], (2, 3)).crop(0, 1, 2, 3).astype(int)
        array([[1, 1],
               [1, 0]])
        """
        height, width = _known_shape(self, "crop()")
        if not (0 <= top <= bottom <= height and 0 <= left <= right <= width):
            raise ValueError(f"({top}, {left}, {bottom}, {right}) does not lie inside an image {(height, width)}")
        low, high = top * width, bottom * width
        first, last = np.searchsorted(self.array[:, 1], low, side="right"), np.searchsorted(self.array[:, 0], high)
        rows = Runs._trusted(np.clip(self.array[first:last], low, high) - low, (bottom - top, width))
        return rows.mask()[:, left:right]

    def box(self) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right), half-open, of the smallest box that holds every pixel; None when empty.

        >>> Runs([[5, 7]], (3, 4)).box()
        (1, 1, 2, 3)
        """
        _, width = _known_shape(self, "box()")
        if not self:
            return None
        rows, columns = np.divmod(self.array - [0, 1], width)
        top, bottom = int(rows[0, 0]), int(rows[-1, 1]) + 1
        if (rows[:, 0] != rows[:, 1]).any():  # a run that goes on in the next row reaches both edges
            return top, 0, bottom, width
        return top, int(columns[:, 0].min()), bottom, int(columns[:, 1].max()) + 1

    def with_shape(self, shape: tuple[int, int]) -> Runs:
        """The same runs in an image of `shape`. ValueError where they do not fit, or are of another shape already."""
        if self.shape not in (None, _as_shape(shape)):
            raise ValueError(f"runs of an image {self.shape} mean nothing in an image {shape}")
        return Runs(self.array, shape)

    def transpose(self) -> Runs:
        """Runs of the transposed image: row-major of it is column-major of this one. ValueError without a shape.

        >>> Runs([[1, 4]], (2, 3)).transpose().array.tolist()
        [[1, 3], [4, 5]]
        """
        height, width = _known_shape(self, "transpose()")
        if not self:
            return Runs._trusted(self.array, (width, height))
        return Runs._trusted(from_counts(self._rlemask((height, width)).T.counts_view), (width, height))

    def _rlemask(self, shape: tuple[int, int]) -> RLEMask:
        """rlemasklib's column-major mask of the transposed image."""
        height, width = shape
        edges = between(self.array, height * width)
        counts = (edges[1:] - edges[:-1]).astype(np.uint32)
        return RLEMask.from_counts(counts, shape=(width, height), validate_sum=False)

    # -- algebra -------------------------------------------------------------------------------------------------
    @property
    def area(self) -> int:
        """Pixels set."""
        return int((self.array[:, 1] - self.array[:, 0]).sum())

    def intersection(self, other: Runs) -> int:
        """Pixels set in both, without building the common runs."""
        _same_shape(self, other)
        return common(self.array, other.array)

    def dice(self, other: Runs) -> float:
        """(2I + 1e-4) / (A + B + 1e-4): two empty masks agree (1.0)."""
        return (2 * self.intersection(other) + EPSILON) / (self.area + other.area + EPSILON)

    def iou(self, other: Runs) -> float:
        """(I + 1e-4) / (A + B - I + 1e-4): two empty masks agree (1.0)."""
        shared = self.intersection(other)
        return (shared + EPSILON) / (self.area + other.area - shared + EPSILON)

    def __and__(self, other: Runs) -> Runs:
        return at_least([self, other], 2)

    def __or__(self, other: Runs) -> Runs:
        return at_least([self, other], 1)

    def __sub__(self, other: Runs) -> Runs:
        shape = _same_shape(self, other)
        return Runs._trusted(weighed([self.array, other.array], [1, -1], 1), shape)

    def __invert__(self) -> Runs:
        """The pixels that are not set. ValueError without a shape."""
        height, width = shape = _known_shape(self, "the complement")
        edges = between(self.array, height * width).reshape(-1, 2)
        return Runs._trusted(edges[edges[:, 1] > edges[:, 0]], shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Runs) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    # -- connected parts -----------------------------------------------------------------------------------------
    def components(
        self, *, connectivity: int = 8, keep: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> list[Runs]:
        """Connected parts, in the order of their first pixels. ValueError without a shape.

        connectivity: 8 (corners connect) or 4. keep: of the areas, (n,) pixels, which parts are wanted, (n,) bool: the
        others are not made.

        >>> [part.area for part in Runs([[0, 2], [3, 4], [6, 7]], (2, 4)).components(connectivity=4)]
        [2, 1, 1]
        """
        if connectivity not in (4, 8):
            raise ValueError(f"connectivity={connectivity!r}: 4 or 8 is wanted")
        shape = _known_shape(self, "components()")
        if not self:
            return []
        wanted = None if keep is None else lambda areas, boxes, centroids: keep(areas)
        return _parts(self._rlemask(shape), connectivity, wanted, shape)

    def holes(self, *, max_area: float | None = None) -> list[Runs]:
        """4-connected parts of the background that do not touch the image's edge, up to max_area pixels (None: all).

        ValueError without a shape.

        >>> [hole.array.tolist() for hole in Runs([[0, 4], [5, 9]], (3, 3)).holes()]
        [[[4, 5]]]
        """
        height, width = shape = _known_shape(self, "holes()")
        if not self:
            return []

        def inside(areas: np.ndarray, boxes: np.ndarray, centroids: np.ndarray) -> np.ndarray:
            top, left, high, wide = boxes.T  # x is the row here: the mask is the transposed image's
            found = (top > 0) & (left > 0) & (top + high < height) & (left + wide < width)
            return found if max_area is None else found & (areas <= max_area)

        return _parts(self._rlemask(shape).complement(inplace=True), 4, inside, shape)

    def __bool__(self) -> bool:
        return len(self.array) > 0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """np.asarray(runs) is its (n, 2) array, read-only unless it is copied."""
        return np.array(self.array, dtype=dtype) if copy or dtype not in (None, np.int64) else self.array

    def __repr__(self) -> str:
        return f"Runs({len(self.array)} runs, area {self.area}, shape {self.shape})"


def joined(parts: Sequence[Runs], shape: tuple[int, int] | None = None) -> Runs:
    """The pixels of masks that do not overlap one another, such as components and holes; of none, an empty mask.

    >>> joined([Runs([[4, 5]]), Runs([[0, 2]])]).array.tolist()
    [[0, 2], [4, 5]]
    """
    if len(parts) == 1:
        return parts[0]
    shape = _same_shape(*parts) or shape
    return Runs._trusted(together([part.array for part in parts]) if parts else NO_RUNS.copy(), shape)


def at_least(masks: Sequence[Runs], need: float, weights: Sequence[float] | None = None) -> Runs:
    """Pixels where the masks that are set weigh `need` or more: a vote. Weights default to 1 each, are >= 0.

    >>> at_least([Runs([[0, 4]]), Runs([[2, 6]]), Runs([[3, 9]])], 2).array.tolist()
    [[2, 6]]
    """
    if not masks:
        raise ValueError("a vote needs at least one mask")
    weights = [1.0] * len(masks) if weights is None else list(weights)
    if len(weights) != len(masks) or not all(w >= 0 for w in weights):
        raise ValueError(f"{len(masks)} masks want as many weights, none below 0; got {weights}")
    if not need > 0:
        raise ValueError(f"need={need}: a vote needs more than 0, or every pixel would pass")
    shape = _same_shape(*masks)
    return Runs._trusted(weighed([mask.array for mask in masks], weights, need), shape)


def _same_shape(*masks: Runs) -> tuple[int, int] | None:
    shapes = {mask.shape for mask in masks if mask.shape is not None}
    if len(shapes) > 1:
        raise ValueError(f"masks of different shapes cannot be combined: {sorted(shapes)}")
    return shapes.pop() if shapes else None


def _as_mask(mask: np.ndarray) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"a mask of shape (height, width) is wanted, got shape {mask.shape}")
    if mask.dtype == bool:
        return mask
    if not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f"a bool or integer mask is wanted, got {mask.dtype}; threshold it first, e.g. probs > 0.5")
    return mask != 0


def _as_shape(shape: Sequence[int]) -> tuple[int, int]:
    try:
        height, width = map(int, shape)
        if height >= 0 <= width and (height, width) == tuple(shape):
            return height, width
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"a shape (height, width) of integers is wanted, got {shape!r}")


def _known_shape(runs: Runs, what: str) -> tuple[int, int]:
    if runs.shape is None:
        raise ValueError(f"these runs have no shape, {what} needs it: pass runs.with_shape((height, width))")
    return runs.shape


def _parts(
    mask: RLEMask, connectivity: int, wanted: Callable[..., np.ndarray] | None, shape: tuple[int, int]
) -> list[Runs]:
    """Runs of the parts wanted, by (areas, boxes, centroids), in the order of their first pixels."""
    found = mask.connected_components(connectivity=connectivity, filter_fn=wanted)
    parts = [Runs._trusted(from_counts(part.counts_view), shape) for part in found]
    return sorted(parts, key=lambda part: int(part.array[0, 0])) if len(parts) > 1 else parts
