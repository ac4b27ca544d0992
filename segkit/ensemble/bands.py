"""The band of an image: the values of the pixels that a blend can change, and where bands are kept."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from segkit.ensemble.means import active_region, class_map
from segkit.ensemble.weights import Domain
from segkit.files import replacing
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.rle import Runs

STRIP = 2**19
"""Pixels of one store that are upsampled at a time while a band is made."""

Band = tuple[np.ndarray, np.ndarray]
"""float32 (K, n) values, class by class, in each the true pixels first; int64 (classes, 5) counts: see make_band()."""


class BandCache:
    """Keeps bands: in the folder `cache`, found again there; without one in memory up to `memory` bytes, and those
    that come after in a temporary folder that goes with the cache."""

    def __init__(self, cache: str | Path | None, memory: int) -> None:
        self.cache, self.left = None if cache is None else Path(cache), memory
        self._spill: Path | None = None
        self._numbers, self._lock = itertools.count(), threading.Lock()

    def keep(self, made: Callable[[], Band], key: Callable[[], str]) -> tuple[np.ndarray | Path, np.ndarray]:
        """The values, or the .npy file that has them, and the counts."""
        if self.cache is not None:
            values, counts = (self.cache / f"{key()}.{what}.npy" for what in ("values", "counts"))
            if not (counts.exists() and values.exists()):
                for path, array in zip((values, counts), made()):
                    with replacing(path) as part, part.open("wb") as handle:
                        np.save(handle, array)
            return values, np.load(counts)
        band, sure = made()
        with self._lock:
            self.left -= band.nbytes
            if self.left >= 0:
                return band, sure
            if self._spill is None:
                self._spill = Path(tempfile.mkdtemp(prefix="segkit-blend-"))
                weakref.finalize(self, shutil.rmtree, self._spill, True)
            path = self._spill / f"{next(self._numbers)}.npy"
        np.save(path, band)
        return path, sure


def make_band(
    stores: Sequence[PredictionStore],
    every: Sequence[np.ndarray],
    size: tuple[int, int],
    targets: Sequence[Runs],
    domain: Domain,
    below: np.floating,
    above: np.floating,
) -> Band:
    """One image: float32 (K, n) values of the band, class by class, in each the true pixels first; and its counts.

    every: int8 (C, h, w) levels of each store. counts: int64 (classes, 5): pixels surely kept, those of them that are
    true, true pixels at all, true pixels of the band, pixels of the band.
    """
    values, counts = [np.zeros((len(stores), 0), np.float32)], np.zeros((len(targets), 5), np.int64)
    for channel, target in enumerate(targets):
        counts[channel, 2] = target.area
        one = [class_map(store, levels[channel], domain) for store, levels in zip(stores, every)]
        box = active_region(one, size, below)
        if box is None:
            continue
        top, left, bottom, right = box
        mask = target.crop(top, left, bottom, right)
        found: dict[bool, list[np.ndarray]] = {True: [], False: []}
        step = max(1, STRIP // (right - left))
        for start in range(top, bottom, step):
            end = min(start + step, bottom)
            full = [resize.upsample(p, size, region=(start, left, end, right)) for p in one]
            least, most = full[0].copy(), full[0].copy()
            for value in full[1:]:
                np.minimum(least, value, out=least)
                np.maximum(most, value, out=most)
            sure, true = least > above, mask[start - top : end - top]
            counts[channel, :2] += np.count_nonzero(sure), np.count_nonzero(sure & true)
            band = (most > below) & ~sure
            for kind, part in ((True, band & true), (False, band & ~true)):
                at = np.flatnonzero(part)
                found[kind].append(np.stack([value.ravel()[at] for value in full]))
        counts[channel, 3] = sum(part.shape[1] for part in found[True])
        counts[channel, 4] = counts[channel, 3] + sum(part.shape[1] for part in found[False])
        values += found[True] + found[False]
    return np.concatenate(values, axis=1), counts


def band_key(
    stores: Sequence[PredictionStore],
    every: Sequence[np.ndarray],
    size: tuple[int, int],
    targets: Sequence[Runs],
    settings: tuple,
) -> str:
    """A name for all that the band of one image is made of: what has changed has another name."""
    heads = [[store.scale, *store.grid] for store in stores], [len(target.array) for target in targets]
    hashed = hashlib.blake2b(repr((settings, size, heads)).encode(), digest_size=16)
    for levels in every:
        hashed.update(np.ascontiguousarray(levels).data)
    for target in targets:
        hashed.update(np.ascontiguousarray(target.array).data)
    return hashed.hexdigest()
