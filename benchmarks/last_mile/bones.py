"""Hands to measure on: masks of 29 bones of real areas at 2048 x 2048, and what several networks might say of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.round_trip import phantoms
from competitions.handbone.facts import CLASSES, SIDE
from segkit.geometry import polygons
from segkit.masks import MaskSet, as_masks
from segkit.predictions import PredictionStore
from segkit.rle import Runs

SIZE = (SIDE, SIDE)
GRID = (512, 512)


class Hand(NamedTuple):
    """masks: bool (29, 2048, 2048); logits: of each model, float32 (29, 512, 512), of levels that a store keeps."""

    masks: np.ndarray
    logits: list[np.ndarray]


def hands(count: int, *, models: int) -> list[Hand]:
    """Phantom hands (rings only) and logits: the area coverage, blurred a little, with errors of a low frequency."""
    out = []
    for number, (rings, _) in enumerate(phantoms(count).values()):
        rng = np.random.default_rng(number)
        masks = np.stack([polygons.rasterize(rings[c], SIZE) for c in CLASSES]).astype(bool)
        soft = np.stack([polygons.rasterize(rings[c], SIZE, size=GRID, soft=True) for c in CLASSES])
        out.append(Hand(masks, [np.stack([_said(plane, rng) for plane in soft]) for _ in range(models)]))
    return out


def _said(plane: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    blurred = np.clip(cv2.GaussianBlur(plane, (0, 0), rng.uniform(0.8, 1.4)), 1e-4, 1 - 1e-4)
    noise = cv2.resize(rng.normal(0, 0.4, (64, 64)).astype(np.float32), GRID[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint((np.log(blurred / (1 - blurred)) + noise) * 32), -127, 127).astype(np.float32) / 32


def specked(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask with three specks and three holes of 3 to 9 pixels a side: what post-processing is for."""
    out = mask.copy()
    rows, columns = np.nonzero(mask)
    for value in (True, False) * 3:
        side = int(rng.integers(3, 10))
        at = int(rng.integers(len(rows)))
        top, left = rng.integers(0, SIDE - side, 2) if value else (rows[at], columns[at])
        out[top : top + side, left : left + side] = value
    return out


def stored(folder: Path, given: list[Hand], *, images: int, models: int) -> list[PredictionStore]:
    """A store for each model; image k is hand k modulo their number, under a name of its own."""
    ids = names(images)
    stores = []
    for model in range(models):
        store = PredictionStore.create(
            folder / f"model{model}.zarr",
            ids=ids,
            classes=CLASSES,
            sizes=dict.fromkeys(ids, SIZE),
            grid=GRID,
            scale=1 / 32,
        )
        for number, image in enumerate(ids):
            store[image] = given[number % len(given)].logits[model]
        stores.append(store)
    return stores


def names(images: int) -> list[str]:
    return [f"image{number:04}.png" for number in range(images)]


def truth(given: list[Hand], *, images: int) -> MaskSet:
    """The true masks under the names of `stored`."""
    runs = [{c: Runs.from_mask(m) for c, m in zip(CLASSES, hand.masks)} for hand in given]
    return as_masks({image: runs[number % len(given)] for number, image in enumerate(names(images))})
