"""Turns, scales, shifts and bends, drawn once and applied alike to an image, to masks and to an annotation's rings.

Rings are moved as points and rasterised afterwards : a mask is then drawn, never resampled, and thirty
of them cost what their outlines cost. Coordinates are cells of the network's grid by the half-pixel convention: cell
(column, row) has its centre at (column + 0.5, row + 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

WAVES = 4
"""Bending is a sum of so many half waves along each side."""
TOLERANCE = 1 / 32
"""Cells between a bent edge and the chain of straight ones that stands for it, at most."""

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Warp:
    """One geometry on a grid; made by `warp`.

    size: (h, w) of the grid. matrix: float64 (2, 3), where a point (x, y, 1) goes before it is bent. waves: float64
    (2, WAVES, WAVES), amplitudes in cells of the field d = (dx, dy) that bends: what shows at q comes from q + d(q);
    None does not bend. steepest: the largest change of d from one cell to the next, below 1.
    """

    size: Size
    matrix: np.ndarray
    waves: np.ndarray | None = None
    steepest: float = 0.0

    def image(self, image: np.ndarray) -> np.ndarray:
        """uint8 (h, w) as it looks afterwards: bilinear, black where nothing was. ValueError for another size."""
        if image.shape != self.size:
            raise ValueError(f"a warp of a grid {self.size} got an image {image.shape}; draw it for that size")
        back = cv2.invertAffineTransform(self.matrix)
        height, width = self.size
        if self.waves is None:
            back[:, 2] += back[:, :2].sum(axis=1) / 2 - 0.5  # OpenCV counts from the centre of the first cell
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            return cv2.warpAffine(image, back, (width, height), flags=flags)
        columns, rows = _waves(np.arange(width) + 0.5, width), _waves(np.arange(height) + 0.5, height)
        dx, dy = (rows @ wave @ columns.T for wave in self.waves)
        dx += np.arange(width) + 0.5
        dy += np.arange(height)[:, None] + 0.5
        maps = [(row[0] * dx + row[1] * dy + (row[2] - 0.5)).astype(np.float32) for row in back]
        return cv2.remap(image, maps[0], maps[1], cv2.INTER_LINEAR)

    def masks(self, target: np.ndarray) -> np.ndarray:
        """uint8 (C, h, w) of coverage, resampled as an image is: for masks without rings. Empty planes cost nothing."""
        out = np.zeros_like(target)
        for plane, before in zip(out, target):
            if before.any():
                plane[:] = self.image(before)
        return out

    def points(self, points: np.ndarray) -> np.ndarray:
        """Where points (n, 2) of (x, y) in cells go: float64 (n, 2), a thousandth of a cell right where it bends."""
        there = _as_points(points) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return there if self.waves is None else self._bent(there)

    def rings(self, rings: Sequence[np.ndarray], shape: Size) -> list[np.ndarray]:
        """Rings (n, 2) of (x, y) in pixels of the full image, moved: float64, as `polygons.rasterize` takes them.

        shape: (H, W) of the full image, over which the grid is stretched before and after. Where it bends, long edges
        get points in between, so that the chain stays within TOLERANCE cells of the curve.
        """
        if not rings:
            return []
        cells = np.array([self.size[1] / shape[1], self.size[0] / shape[0]])
        moved = [(_as_points(ring) + 0.5) * cells @ self.matrix[:, :2].T + self.matrix[:, 2] for ring in rings]
        if self.waves is not None:
            moved = [_subdivided(ring, self._longest) for ring in moved]
            ends = np.cumsum([len(ring) for ring in moved])[:-1]
            moved = np.split(self._bent(np.concatenate(moved)), ends)
        return [ring / cells - 0.5 for ring in moved]

    def _bent(self, there: np.ndarray) -> np.ndarray:
        """q with q + d(q) = there, by iteration: d is a contraction."""
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
        """Cells of a straight edge that is bent by TOLERANCE at most.

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
    """One geometry: turned and scaled about the centre, shifted, then bent.

    size: (h, w) of the grid; shape: (H, W) of the image that is stretched over it, so that a turn is a turn of the
    image and not of what the stretching made of it (default: size). rotate: degrees, clockwise as one looks at it;
    scale: above 1 enlarges; shift: shares of the width and of the height, to the right and down. bend: by what share
    lengths change at most, locally, in [0, 0.8]: a smooth random field of half waves that leaves the frame's sides in
    place, drawn from generator. ValueError for numbers outside these ranges and for a bend without a generator.

    >>> warp((4, 4), rotate=90).points(np.array([[2.0, 0.5]])).round(6).tolist()
    [[3.5, 2.0]]
    >>> warp((4, 4), shift=(0.25, 0)).rings([np.array([[0, 0], [9, 0], [9, 9]])], (20, 20))[0].round(6).tolist()
    [[5.0, 0.0], [14.0, 0.0], [14.0, 9.0]]
    """
    height, width = (int(side) for side in size)
    if min(height, width) < 1 or not scale > 0 or not np.isfinite([rotate, scale, *shift]).all():
        raise ValueError(f"size={size}, rotate={rotate}, scale={scale}, shift={shift}: a scale above 0 and finite "
                         "numbers are wanted")  # fmt: skip
    if not 0 <= bend <= 0.8:
        raise ValueError(f"bend={bend}: a share in [0, 0.8] is wanted; beyond, a bend would fold the image over itself")
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
        raise ValueError(f"points (x, y) of shape (points, 2) are wanted, got {points.shape}")
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


def _subdivided(ring: np.ndarray, longest: float) -> np.ndarray:
    """The closed ring with points in between, so that no edge is longer; its own points stay."""
    edges = np.roll(ring, -1, axis=0) - ring
    parts = np.maximum(np.ceil(np.hypot(edges[:, 0], edges[:, 1]) / longest), 1).astype(int)
    if parts.max() == 1:
        return ring
    first = np.repeat(np.cumsum(parts) - parts, parts)
    share = (np.arange(len(first)) - first) / np.repeat(parts, parts)
    return np.repeat(ring, parts, axis=0) + share[:, None] * np.repeat(edges, parts, axis=0)
