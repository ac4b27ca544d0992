"""Masks of exclusive classes as one array of class numbers, and back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from segkit.geometry.resize import coverage
from segkit.rle import Runs, at_least
from segkit.submission.names import Size

NO_RUNS = np.zeros((0, 2), np.int64)


def class_map(masks: Iterable[tuple[str, Runs]], size: Size | None, first: int) -> np.ndarray:
    """Class numbers of an image, 0 where no class is.

    Args:
        masks: (class, its mask at the image's size) in channel order, one in memory at a time.
        size: (height, width) of the map; None: the image's own. Where it is another than the image's, a pixel has
            the class that covers most of it, the background's 0 counted as one, the lower number in a tie.
        first: Number of the first class.

    Returns:
        int64, of `size`.

    Raises:
        ValueError: Where masks overlap, or know no shape.
    """
    taken = Runs(NO_RUNS)
    numbers = best = total = None
    for number, (cls, runs) in enumerate(masks, first):
        if runs.shape is None:
            raise ValueError(f"class {cls}: expected a mask that knows its shape; pass sizes")
        if shared := runs.intersection(taken):
            raise ValueError(f"class {cls}: {shared} pixels have another class too; a pixel has one class here")
        taken = at_least([taken, runs], 1)
        shape = runs.shape if size is None else size
        if numbers is None or best is None or total is None:
            numbers, best, total = np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        share = coverage(runs.mask(), shape)
        more = share > best
        numbers[more], best[more] = number, share[more]
        total += share
    if numbers is None or best is None or total is None:
        raise ValueError("expected a mask at least")
    numbers[1 - total > best - 1e-6 * (first > 0)] = 0
    return numbers


def mask_of(numbers: np.ndarray, number: int, size: Size | None) -> Runs:
    """The mask of one class number.

    Args:
        numbers: Class numbers, (h, w).
        number: The class's.
        size: (height, width) of the image: its pixels take the number they lie in; None: that of the map.

    Returns:
        The mask.
    """
    if size is None or size == numbers.shape:
        return Runs.from_mask(numbers == number)
    rows, columns = ((2 * np.arange(full) + 1) * n // (2 * full) for full, n in zip(size, numbers.shape))
    return Runs.from_mask((numbers == number)[rows[:, None], columns[None]])
