"""Masks that are moved: resampled, or drawn from their moved rings: `python -m benchmarks.augmentation`.

A phantom hand. Prints median times on one thread (all take turns, so that a busy machine is busy for all), and how far
a cell on an edge is from the truth: the full mask asked at 64 places of the cell.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np

from competitions.handbone.phantom import draw
from segkit.geometry import draw_soft, polygons
from segkit.geometry.warp import Warp, warp
from segkit.samples import Samples

PLACES = 8
ROTATE, SCALE, SHIFT = 20.0, 1.05, (0.03, -0.02)


def drawn(rings: list[list[np.ndarray]], shape: tuple[int, int], size: tuple[int, int], moved: Warp) -> np.ndarray:
    """uint8 (C, h, w) of coverage, from the moved rings: as SegmentationData does it."""
    out = np.zeros((len(rings), *size), np.uint8)
    for plane, parts in zip(out, rings):
        draw_soft(plane, parts, shape, warp=moved)
    return out


def by_albumentations(masks: list[np.ndarray]) -> list[np.ndarray]:
    """An affine alike, linear, on a list of masks of the grid (faster than on an array with a channel each)."""
    affine = A.Affine(
        rotate=(ROTATE, ROTATE), scale=(SCALE, SCALE), translate_percent=SHIFT,
        interpolation=cv2.INTER_LINEAR, mask_interpolation=cv2.INTER_LINEAR, p=1.0,
    )  # fmt: skip
    return A.Compose([affine])(image=masks[0], masks=masks)["masks"]


def as_today(rings: list[list[np.ndarray]], shape: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """What training code does: every mask filled at full size, moved there, then resized with the image."""
    masks = np.zeros((len(rings), *shape), np.uint8)
    for mask, parts in zip(masks, rings):
        for ring in parts:
            cv2.fillPoly(mask, [ring.astype(np.int32)], 255)
    return np.stack([cv2.resize(m, size[::-1], interpolation=cv2.INTER_AREA) for m in by_albumentations(list(masks))])


def seen(mask: np.ndarray, size: tuple[int, int], moved: Warp) -> np.ndarray:
    """float32 (h, w): how much of each cell shows the full mask, asked at PLACES x PLACES places (affine alone)."""
    back = np.linalg.inv(moved.matrix[:, :2])
    fine = (np.arange(size[0] * PLACES) + 0.5) / PLACES, (np.arange(size[1] * PLACES) + 0.5) / PLACES
    y, x = fine[0][:, None] - moved.matrix[1, 2], fine[1] - moved.matrix[0, 2]
    column = np.floor((back[0, 0] * x + back[0, 1] * y) * (mask.shape[1] / size[1])).astype(np.int32)
    row = np.floor((back[1, 0] * x + back[1, 1] * y) * (mask.shape[0] / size[0])).astype(np.int32)
    inside = (row >= 0) & (row < mask.shape[0]) & (column >= 0) & (column < mask.shape[1])
    shown = np.where(inside, mask[row.clip(0, mask.shape[0] - 1), column.clip(0, mask.shape[1] - 1)], 0)
    return shown.reshape(size[0], PLACES, size[1], PLACES).mean(axis=(1, 3), dtype=np.float32)


def off(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance on the cells that an edge runs through."""
    edge = (truth > 0) & (truth < 1)
    return float(np.abs(found / 255 - truth)[edge].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="side of the grid")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    size = given.size, given.size
    with tempfile.TemporaryDirectory() as folder:
        root = draw(Path(folder), persons=1, test_persons=0, seed=0, workers=1)
        samples = Samples.from_folder(root)
        shape = samples.sizes[samples.ids[0]]
        rings = [list(region) for region in samples.regions(samples.ids[0]).values()]
    moved = warp(size, rotate=ROTATE, scale=SCALE, shift=SHIFT)
    bent = warp(size, rotate=ROTATE, scale=SCALE, shift=SHIFT, bend=0.15, generator=np.random.default_rng(0))
    masks = drawn(rings, shape, size, warp(size))
    ways: dict[str, Callable[[], object]] = {
        "filled and moved at full size, resized": lambda: as_today(rings, shape, size),
        "albumentations, a list of masks": lambda: by_albumentations(list(masks)),
        "Warp.masks": lambda: moved.masks(masks),
        "Warp.rings, drawn soft": lambda: drawn(rings, shape, size, moved),
        "Warp.masks, bent": lambda: bent.masks(masks),
        "Warp.rings, bent, drawn soft": lambda: drawn(rings, shape, size, bent),
        "drawn soft, not moved": lambda: drawn(rings, shape, size, warp(size)),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(given.repeats + 1):
        for name, way in ways.items():
            begun = perf_counter()
            way()
            if turn:  # the first only warms up
                times[name].append(perf_counter() - begun)
    truth = np.stack([seen(polygons.rasterize(r, shape), size, moved) for r in rings])
    found = {
        "Warp.masks": moved.masks(masks),
        "Warp.rings, drawn soft": drawn(rings, shape, size, moved),
    }
    print(f"{len(rings)} masks of {shape[0]} x {shape[1]} on a grid of {size[0]}^2, median of {given.repeats}\n")
    print("| way | ms | times faster than the first | off on an edge |\n|---|---|---|---|")
    first = statistics.median(next(iter(times.values())))
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        far = f"{off(found[name], truth):.3f}" if name in found else ""
        print(f"| {name} | {1000 * middle:.1f} | {first / middle:.1f} | {far} |")


if __name__ == "__main__":
    main()
