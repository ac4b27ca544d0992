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
    """Where bands are kept.

    Args:
        cache: Folder, where they are found again; None keeps them in memory.
        memory: Bytes that are kept in memory; the bands that come after lie in a temporary folder that goes with the
            cache.
    """

    def __init__(self, cache: str | Path | None, memory: int) -> None:
        self.cache, self.left = None if cache is None else Path(cache), memory
        self._spill: Path | None = None
        self._numbers, self._lock = itertools.count(), threading.Lock()

    def keep(self, made: Callable[[], Band], key: Callable[[], str]) -> tuple[np.ndarray | Path, np.ndarray]:
        """Keep a band.

        Args:
            made: Makes it, where it is not found.
            key: Its name in the folder.

        Returns:
            The values, or the .npy file that has them, and the counts.
        """
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
    ignore: Runs | None,
    domain: Domain,
    below: np.floating,
    above: np.floating,
) -> Band:
    """The band of one image.

    Args:
        stores: The stores.
        every: What store.levels() gives of each, (C, h, w).
        size: (H, W) of the image.
        targets: True runs of each class.
        ignore: Pixels that count nowhere.
        domain: What is averaged.
        below: A pixel whose values are all at or below it is never kept.
        above: A pixel whose values are all above it is always kept.

    Returns:
        float32 (K, n) values, class by class, in each the true pixels first; int64 (classes, 5) counts: pixels surely
        kept, those of them that are true, true pixels at all, true pixels of the band, pixels of the band.
    """
    values, counts = [np.zeros((len(stores), 0), np.float32)], np.zeros((len(targets), 5), np.int64)
    for channel, target in enumerate(targets):
        target = target if ignore is None else target - ignore
        counts[channel, 2] = target.area
        one = [class_map(store, levels[channel], domain) for store, levels in zip(stores, every)]
        box = active_region(one, size, below)
        if box is None:
            continue
        top, left, bottom, right = box
        mask = target.crop(top, left, bottom, right)
        counted = None if ignore is None else ~ignore.crop(top, left, bottom, right)
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
            band = (most > below) & ~sure
            if counted is not None:
                sure &= counted[start - top : end - top]
                band &= counted[start - top : end - top]
            counts[channel, :2] += np.count_nonzero(sure), np.count_nonzero(sure & true)
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
    ignore: Runs | None,
    settings: tuple[object, ...],
) -> str:
    """A name for all that a band is made of: what has changed has another name.

    Args:
        stores: As for make_band().
        every: As for make_band().
        size: As for make_band().
        targets: As for make_band().
        ignore: As for make_band().
        settings: What else it depends on.

    Returns:
        Hexadecimal digits.
    """
    targets = [*targets, ignore] if ignore else targets
    heads = [[store.scale, *store.grid] for store in stores], [len(target.array) for target in targets]
    hashed = hashlib.blake2b(repr((settings, size, heads)).encode(), digest_size=16)
    for levels in every:
        hashed.update(np.ascontiguousarray(levels).data)
    for target in targets:
        hashed.update(np.ascontiguousarray(target.array).data)
    return hashed.hexdigest()
