"""Many Pipelines on one store: what a threshold or an argmax gives is made once and kept as runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from segkit.postprocess.logits import ImageLogits
from segkit.predictions import PredictionStore
from segkit.rle import Runs

T = TypeVar("T")


class MaskCache:
    """A store whose masks at a threshold, and whose argmax, are made once: render() takes it in place of the store.

    Args:
        store: The store.
        keep: Thresholds of each image and class that are remembered, those asked for last.
    """

    def __init__(self, store: PredictionStore, *, keep: int = 8) -> None:
        self.store, self.keep = store, keep
        self._known: dict[tuple[str, ...], dict[object, Any]] = {}

    def logits(self, image: str) -> ImageLogits:
        """The logits of an image, read when the first mask is made that is not known.

        Args:
            image: Its id.

        Returns:
            What a Pipeline runs on.
        """
        return _Remembered(self, image)

    def remember(self, place: tuple[str, ...], key: object, make: Callable[[], T]) -> T:
        """What `make` gives, made once for a key at a place.

        Args:
            place: An image, or an image and a class.
            key: What is remembered there, such as a threshold.
            make: Called where it is not known.

        Returns:
            What `make` gave.
        """
        known = self._known.setdefault(place, {})
        if key in known:
            known[key] = known.pop(key)  # asked for last
        else:
            known[key] = make()
            if len(known) > self.keep:
                del known[next(iter(known))]
        found: T = known[key]
        return found


class _Remembered(ImageLogits):
    """An image's logits that look into a MaskCache first."""

    def __init__(self, cache: MaskCache, image: str) -> None:
        self.size, self.classes = cache.store.sizes[image], cache.store.classes
        self._cache, self._image = cache, image
        self._read: ImageLogits | None = None

    def class_map(self, cls: str) -> np.ndarray:
        return self._logits().class_map(cls)

    def above(self, cls: str, threshold: float) -> Runs:
        return self._cache.remember((self._image, cls), threshold, lambda: self._logits().above(cls, threshold))

    def argmax(self, offsets: Mapping[str, float]) -> dict[str, Runs]:
        key = tuple(offsets.items())
        return dict(self._cache.remember((self._image,), key, lambda: self._logits().argmax(offsets)))

    def _logits(self) -> ImageLogits:
        if self._read is None:
            store = self._cache.store
            self._read = ImageLogits(dict(zip(store.classes, store[self._image])), self.size)
        return self._read
