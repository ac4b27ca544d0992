"""Rotation, scale, shift and bending, drawn once and applied alike to an image, to masks and to polygons.

Polygons are moved as points and rasterised afterwards: a mask is then drawn, never resampled, and thirty of them cost
what their outlines cost. Coordinates are low-resolution pixels by the half-pixel convention: pixel (column, row) has
its centre at (column + 0.5, row + 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from segkit.geometry.polygons import Polygon, parts

WAVES = 4
"""Bending is a sum of so many half waves along each side."""
TOLERANCE = 1 / 32
"""Low-resolution pixels between a bent edge and the straight edges that stand for it, at most."""

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Warp:
    """One geometric transform of a sample; made by `warp`.

    Attributes:
        size: (h, w) at network resolution.
        matrix: float64 (2, 3); where a point (x, y, 1) goes before it is bent.
        waves: float64 (2, WAVES, WAVES), amplitudes in pixels of the field d = (dx, dy) that bends: what shows at q
            comes from q + d(q). None does not bend.
        steepest: The largest change of d from one pixel to the next, below 1.
    """

    size: Size
    matrix: np.ndarray
    waves: np.ndarray | None = None
    steepest: float = 0.0

    def image(self, image: np.ndarray) -> np.ndarray:
        """Move an image: bilinear, black where nothing was.

        Args:
            image: uint8 or float32, shape (h, w) or (h, w, channels).

        Returns:
            A new array of the same dtype and shape.

        Raises:
            ValueError: If the image has another size than the warp.
        """
        if image.shape[:2] != self.size or image.ndim not in (2, 3):
            raise ValueError(f"expected an image of size {self.size}, for which the warp was drawn, got {image.shape}")
        resample = self._resampler()
        if image.ndim == 2 or image.shape[2] in (3, 4):
            return resample(image)
        return np.stack([resample(np.ascontiguousarray(channel)) for channel in np.moveaxis(image, 2, 0)], axis=2)

    def _resampler(self) -> Callable[[np.ndarray], np.ndarray]:
        """image() of 1, 3 or 4 channels, which OpenCV moves alike; of 2 it rounds places, more it does not take."""
        back = cv2.invertAffineTransform(self.matrix)
        height, width = self.size
        if self.waves is None:
            back[:, 2] += back[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV counts from the centre of the first pixel
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            return lambda image: cv2.warpAffine(image, back, (width, height), flags=flags)
        columns, rows = _waves(np.arange(width) + 0.5, width), _waves(np.arange(height) + 0.5, height)
        dx, dy = (rows @ wave @ columns.T for wave in self.waves)
        dx += np.arange(width) + 0.5
        dy += np.arange(height)[:, None] + 0.5
        maps = [(row[0] * dx + row[1] * dy + (row[2] - 0.5)).astype(np.float32) for row in back]
        return lambda image: cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR)

    def masks(self, target: np.ndarray) -> np.ndarray:
        """Resample masks as an image is: for masks of which no outline is at hand.

        Args:
            target: uint8 (C, h, w) of coverage. Empty channels cost nothing.

        Returns:
            A new array of the same shape.
        """
        out = np.zeros_like(target)
        for channel, before in zip(out, target):
            if before.any():
                channel[:] = self.image(before)
        return out

    def points(self, points: np.ndarray) -> np.ndarray:
        """Move points.

        Args:
            points: (n, 2) of (x, y) in low-resolution pixels, the corner of the first is (0, 0).

        Returns:
            float64 (n, 2); right to a thousandth of a pixel where the warp bends.
        """
        moved = _as_points(points) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return moved if self.waves is None else self._bent(moved)

    def polygons(self, polygons: Sequence[Polygon], shape: Size) -> list[tuple[np.ndarray, ...]]:
        """Move polygons of the full image.

        Where the warp bends, long edges get points in between, so that straight edges stay within TOLERANCE
        low-resolution pixels of the curve.

        Args:
            polygons: Outlines, or outlines with holes, as `segkit.geometry.polygons.rasterize` takes them.
            shape: (H, W) of the full image, which is stretched over the warp's size before and after.

        Returns:
            For each polygon its outline and its holes, float64 (n, 2), in pixels of the full image.
        """
        scale = np.array([self.size[1] / shape[1], self.size[0] / shape[0]])
        split = [parts(polygon) for polygon in polygons]
        moved = [
            (_as_points(part) + 0.5) * scale @ self.matrix[:, :2].T + self.matrix[:, 2]
            for polygon in split
            for part in polygon
        ]
        if self.waves is not None and moved:
            moved = [_subdivided(part, self._longest) for part in moved]
            ends = np.cumsum([len(part) for part in moved])[:-1]
            moved = np.split(self._bent(np.concatenate(moved)), ends)
        moved_parts = iter(part / scale - 0.5 for part in moved)
        return [tuple(islice(moved_parts, len(polygon))) for polygon in split]

    def _bent(self, there: np.ndarray) -> np.ndarray:
        """The q with q + d(q) = there, by iteration: d is a contraction."""
        assert self.waves is not None
        q, gone = there, math.inf
        while gone * self.steepest > 1e-3 * (1 - self.steepest):
            columns, rows = _waves(q[:, 0], self.size[1]), _waves(q[:, 1], self.size[0])
            field = np.stack([((rows @ wave) * columns).sum(axis=1) for wave in self.waves], axis=1)
            before, q = q, there - field
            gone = float(np.abs(q - before).max(initial=0.0))
        return q

    @property
    def _longest(self) -> float:
        """Pixels of a straight edge that is bent by TOLERANCE at most.

        A chord of length l misses a curve by l^2 / 8 times its curvature, and a sum of WAVES half waves whose slope is
        `steepest` has, along any line, no more curvature than Bernstein's inequality allows.
        """
        curvature = math.sqrt(2) * math.pi * WAVES / min(self.size) * self.steepest / (1 - self.steepest) ** 3
        return math.sqrt(8 * TOLERANCE / curvature)


def warp(
    size: Size,
    *,
    shape: Size | None = None,
    rotate: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    bend: float = 0.0,
    generator: np.random.Generator | None = None,
) -> Warp:
    """Make a transform: rotated and scaled about the centre, shifted, then bent.

    Args:
        size: (h, w) at network resolution.
        shape: (H, W) of the image that is stretched over it, so that a rotation is one of the image and not of what
            the stretching made of it; default `size`.
        rotate: Degrees, clockwise as one looks at it.
        scale: Above 1 enlarges.
        shift: Shares of the width and of the height, to the right and down.
        bend: The share by which lengths change at most, locally, in [0, 0.8]: a smooth random field of half waves that
            leaves the sides of the frame in place, drawn from `generator`.
        generator: Source of the bend.

    Returns:
        The transform.

    Raises:
        ValueError: If a number is outside its range, or for a bend without a generator.

    Example:
        >>> warp((4, 4), rotate=90).points(np.array([[2.0, 0.5]])).round(6).tolist()
        [[3.5, 2.0]]
        >>> square = np.array([[0, 0], [9, 0], [9, 9]])
        >>> warp((4, 4), shift=(0.25, 0)).polygons([square], (20, 20))[0][0].round(6).tolist()
        [[5.0, 0.0], [14.0, 0.0], [14.0, 9.0]]
    """
    height, width = (int(side) for side in size)
    if min(height, width) < 1 or not scale > 0 or not np.isfinite([rotate, scale, *shift]).all():
        raise ValueError(f"expected a scale above 0 and finite numbers, got {size=}, {rotate=}, {scale=}, {shift=}")
    if not 0 <= bend <= 0.8:
        raise ValueError(f"expected bend in [0, 0.8], got {bend}; beyond, it would fold the image over itself")
    if bend and generator is None:
        raise ValueError("a bend is drawn at random: pass generator=np.random.default_rng(seed)")
    stretch = np.diag([width, height] / np.array((shape or size)[::-1], np.float64))
    angle = math.radians(rotate)
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    turn = stretch @ turn @ np.linalg.inv(stretch)
    centre = np.array([width, height]) / 2
    matrix = np.column_stack([turn, centre - turn @ centre + np.multiply(shift, [width, height])])
    waves = None if not bend or generator is None else _drawn((height, width), bend, generator)
    return Warp((height, width), matrix, waves, bend)


def _as_points(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"expected points (x, y) of shape (points, 2), got {points.shape}")
    return points


def _drawn(size: Size, bend: float, generator: np.random.Generator) -> np.ndarray:
    """Amplitudes of a field whose derivative is `bend` where it is largest."""
    number = np.arange(1, WAVES + 1)
    waves = generator.standard_normal((2, WAVES, WAVES)) / (number**2 + number[:, None] ** 2)
    at = np.linspace(0, 1, 16 * WAVES + 1)
    sines, slopes = np.sin(np.pi * at[:, None] * number), np.cos(np.pi * at[:, None] * number) * np.pi * number
    across = [sines @ wave @ slopes.T / size[1] for wave in waves]
    down = [slopes @ wave @ sines.T / size[0] for wave in waves]
    return waves * (bend / np.sqrt(sum(part**2 for part in [*across, *down])).max())


def _waves(at: np.ndarray, side: int) -> np.ndarray:
    """float64 (n, WAVES): the half waves at n places along a side; 0 at its ends."""
    angle = np.pi / side * at
    waves, twice = [np.zeros_like(angle), np.sin(angle)], 2 * np.cos(angle)
    while len(waves) <= WAVES:  # sin((k + 1) x) = 2 cos(x) sin(k x) - sin((k - 1) x): one sine and one cosine for all
        waves.append(twice * waves[-1] - waves[-2])
    return np.stack(waves[1:], axis=1)


def _subdivided(outline: np.ndarray, longest: float) -> np.ndarray:
    """The closed outline with points in between, so that no edge is longer; its own points stay."""
    edges = np.roll(outline, -1, axis=0) - outline
    pieces = np.maximum(np.ceil(np.hypot(edges[:, 0], edges[:, 1]) / longest), 1).astype(int)
    if pieces.max() == 1:
        return outline
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    share = (np.arange(len(first)) - first) / np.repeat(pieces, pieces)
    return np.repeat(outline, pieces, axis=0) + share[:, None] * np.repeat(edges, pieces, axis=0)
