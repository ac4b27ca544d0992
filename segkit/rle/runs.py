"""Runs: a mask as its sorted runs, from and to masks and text, and its connected parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from segkit.rle import _bridge as bridge
from segkit.rle._algebra import Algebra
from segkit.rle._arrays import between_rows, bounds, checked, placed
from segkit.rle._checks import as_mask, as_shape, known_shape
from segkit.rle._text import parse, repaired, warn, written


class Runs(Algebra):
    """A mask as sorted runs of its row-major flattening.

    Runs are values: no method changes one. Touching runs are joined, so equal masks have equal runs.

    Args:
        array: Half-open runs [start, end), integers of shape (n, 2), sorted and apart.
        shape: (height, width) of the image, where known; what needs it, such as mask(), says so.

    Raises:
        ValueError: For runs that are empty, unsorted, overlapping or end past the last pixel.

    Example:
        >>> a, b = Runs([[0, 4]]), Runs([[2, 6]])
        >>> (a & b).array.tolist(), (a | b).area, (a - b).text()
        ([[2, 4]], 6, '1 2')
    """

    __slots__ = ()

    def __init__(self, array: ArrayLike, shape: tuple[int, int] | None = None) -> None:
        shape = shape if shape is None else as_shape(shape)
        self._set(checked(array, shape), shape)

    # -- from masks and text -------------------------------------------------------------------------------------
    @classmethod
    def from_mask(cls, mask: np.ndarray) -> Runs:
        """Runs of a mask.

        Args:
            mask: (H, W) bool or integer, set where not zero.

        Returns:
            Its runs, of the mask's shape.
        """
        mask = as_mask(mask)
        return cls._trusted(bridge.encoded(mask), mask.shape)

    @classmethod
    def from_region(cls, mask: np.ndarray, top: int, left: int, shape: tuple[int, int]) -> Runs:
        """Runs of an image that is empty outside a region.

        Args:
            mask: (h, w) bool or integer, the region.
            top: The image's row where the region begins.
            left: Its column.
            shape: (height, width) of the image.

        Returns:
            The image's runs.

        Raises:
            ValueError: If the region does not lie inside the image.

        Example:
            >>> Runs.from_region(np.ones((2, 2), bool), 1, 1, (3, 3)).text()
            '5 2 8 2'
        """
        mask, shape = as_mask(mask), as_shape(shape)
        (height, width), (full_height, full_width) = mask.shape, shape
        if top < 0 or left < 0 or top + height > full_height or left + width > full_width:
            raise ValueError(f"a region {mask.shape} at ({top}, {left}) does not lie inside an image {shape}")
        if width == full_width:
            return cls._trusted(bridge.encoded(mask) + top * full_width, shape)
        padded = np.zeros((height, width + 1), bool)  # the empty column keeps runs of neighbouring rows apart
        padded[:, :width] = mask
        return cls._trusted(placed(bridge.encoded(padded), padded.shape, top, left, shape), shape)

    @classmethod
    def from_text(
        cls, text: str, shape: tuple[int, int] | None = None, *, start: int = 1, repair: bool = False
    ) -> Runs:
        """Runs of a row-major Kaggle text; for other layouts see segkit.rle.read_text.

        Args:
            text: "start length start length ...", "" for an empty mask.
            shape: (height, width), where known.
            start: Number of the first pixel, 1 or 0.
            repair: Repair a broken text as segkit.rle.repair does, and warn (RepairWarning) of what was done.

        Returns:
            The text's runs.

        Raises:
            ValueError: Names the bad token; None and NaN are no texts.
        """
        shape = shape if shape is None else as_shape(shape)
        if not repair:
            return cls._trusted(parse(text, start=start, shape=shape), shape)
        array, notes = repaired(text, start=start, shape=shape)
        warn(notes, level=2)
        return cls._trusted(array, shape)

    # -- to masks and text ---------------------------------------------------------------------------------------
    def text(self, *, start: int = 1) -> str:
        """Row-major Kaggle text, "" when empty.

        Args:
            start: Number of the first pixel, 1 or 0.

        Returns:
            "start length start length ...".
        """
        return written(self.array, start=start)

    def mask(self, shape: tuple[int, int] | None = None) -> np.ndarray:
        """The mask itself.

        Args:
            shape: (height, width), where the runs know none.

        Returns:
            Bool, (H, W).

        Raises:
            ValueError: If no shape is known, or the runs do not fit it.
        """
        if shape is not None:
            return self.with_shape(shape).mask()
        return bridge.decoded(self.array, known_shape(self.shape, "mask()"))

    def crop(self, top: int, left: int, bottom: int, right: int) -> np.ndarray:
        """A part of mask(), without making the rest.

        Args:
            top: First row.
            left: First column.
            bottom: Row after the last.
            right: Column after the last.

        Returns:
            Bool, (bottom - top, right - left).

        Raises:
            ValueError: Without a shape, or where the part does not lie inside the image.

        Example:
            >>> Runs([[1, 3], [4, 5]], (2, 3)).crop(0, 1, 2, 3).astype(int)
            array([[1, 1],
                   [1, 0]])
        """
        height, width = known_shape(self.shape, "crop()")
        if not (0 <= top <= bottom <= height and 0 <= left <= right <= width):
            raise ValueError(f"({top}, {left}, {bottom}, {right}) does not lie inside an image {(height, width)}")
        rows = between_rows(self.array, top, bottom, width)
        return bridge.decoded(rows, (bottom - top, width))[:, left:right]

    def box(self) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right), half-open, of the smallest box that holds every pixel; None when empty.

        Example:
            >>> Runs([[5, 7]], (3, 4)).box()
            (1, 1, 2, 3)
        """
        width = known_shape(self.shape, "box()")[1]
        return bounds(self.array, width) if self else None

    def with_shape(self, shape: tuple[int, int]) -> Runs:
        """The same runs in an image of a shape.

        Args:
            shape: (height, width).

        Returns:
            Runs that know their shape.

        Raises:
            ValueError: If they do not fit, or are of another shape already.
        """
        if self.shape not in (None, as_shape(shape)):
            raise ValueError(f"runs of an image {self.shape} mean nothing in an image {shape}")
        return Runs(self.array, shape)

    def transpose(self) -> Runs:
        """Runs of the transposed image: row-major of it is column-major of this one.

        Example:
            >>> Runs([[1, 4]], (2, 3)).transpose().array.tolist()
            [[1, 3], [4, 5]]
        """
        height, width = known_shape(self.shape, "transpose()")
        array = bridge.transposed(self.array, (height, width)) if self else self.array
        return Runs._trusted(array, (width, height))

    # -- connected parts -----------------------------------------------------------------------------------------
    def components(
        self, *, connectivity: int = 8, keep: Callable[[np.ndarray], np.ndarray] | None = None
    ) -> list[Runs]:
        """Connected parts, in the order of their first pixels.

        Args:
            connectivity: 8 (corners connect) or 4.
            keep: Of the parts' areas, (n,) pixels, which are made, (n,) bool; default all.

        Returns:
            One Runs a part, of this image's shape.

        Raises:
            ValueError: Without a shape, or for another connectivity.

        Example:
            >>> [part.area for part in Runs([[0, 2], [3, 4], [6, 7]], (2, 4)).components(connectivity=4)]
            [2, 1, 1]
        """
        if connectivity not in (4, 8):
            raise ValueError(f"expected connectivity 4 or 8, got connectivity={connectivity!r}")
        shape = known_shape(self.shape, "components()")
        parts = bridge.components(self.array, shape, connectivity, keep) if self else []
        return [Runs._trusted(part, shape) for part in parts]

    def holes(self, *, max_area: float | None = None) -> list[Runs]:
        """4-connected parts of the background that do not touch the image's edge.

        Args:
            max_area: Largest hole, in pixels; None: any.

        Returns:
            One Runs a hole, in the order of their first pixels.

        Raises:
            ValueError: Without a shape.

        Example:
            >>> [hole.array.tolist() for hole in Runs([[0, 4], [5, 9]], (3, 3)).holes()]
            [[[4, 5]]]
        """
        shape = known_shape(self.shape, "holes()")
        parts = bridge.holes(self.array, shape, max_area) if self else []
        return [Runs._trusted(part, shape) for part in parts]
