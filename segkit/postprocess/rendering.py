"""The one way from stored logits and a Pipeline to masks, for tuning, submission and report alike."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from segkit.ensemble.blending import agree
from segkit.ensemble.means import margin
from segkit.ensemble.weights import Blend
from segkit.masks import MaskSet
from segkit.postprocess.cache import MaskCache
from segkit.postprocess.logits import BlendLogits, ImageLogits
from segkit.postprocess.pipeline import Pipeline
from segkit.predictions import PredictionStore
from segkit.rle import Runs

Masks = Mapping[str, Runs]


def render(
    stores: PredictionStore | Sequence[PredictionStore] | MaskCache,
    pipeline: Pipeline | None = None,
    *,
    ids: Sequence[str] | None = None,
    workers: int | None = None,
) -> MaskSet:
    """The masks of a Pipeline on stored logits, at full resolution, made when they are asked for.

    Each mask is, bit for bit, that of the class map upsampled to the image's size, made from the box alone that can
    hold it. In memory is one image; where images are asked for in order, a few more are made ahead in threads.

    Args:
        stores: One store, the stores of a blend in the order of its weights, or a MaskCache of one store.
        pipeline: Thresholds, steps, blend; default: a threshold of .5, or the highest class of a
            store of exclusive classes, no steps, equal weights.
        ids: Images, in the order wanted; default: all of the (first) store.
        workers: Threads; default: one a core; 1 makes nothing ahead.

    Returns:
        The masks; submission.write takes them.

    Raises:
        ValueError: If stores do not agree, the Pipeline has thresholds where classes are exclusive, or a setting does
            not fit the classes; later, with the image.
        KeyError: If a store lacks an image; of one store later, if it has not been written.

    Example:
        >>> import tempfile, numpy as np
        >>> store = PredictionStore.create(f"{tempfile.mkdtemp()}/a.zarr", ids=["a"], classes=["x"],
        ...                                sizes={"a": (4, 4)}, grid=(2, 2))
        >>> store["a"] = np.array([[[3.0, -3], [-3, -3]]])
        >>> render(store)["a"]["x"].text()
        '1 2 5 2'
    """
    if isinstance(stores, MaskCache):
        listed = [stores.store]
    else:
        listed = [stores] if isinstance(stores, PredictionStore) else list(stores)
    if not listed:
        raise ValueError("expected at least one store, got none")
    first = listed[0]
    chosen = Pipeline(exclusive=first.exclusive) if pipeline is None else pipeline
    if first.exclusive and not chosen.exclusive:
        raise ValueError(f"{first.path}: its classes are exclusive; expected a Pipeline with exclusive=True")
    if chosen.classes != first.classes:
        chosen = chosen.with_classes(first.classes)
    images = first.ids if ids is None else tuple(ids)
    if unknown := [image for image in images if image not in first]:
        raise KeyError(f"{first.path} has no image {unknown[0]!r}; it has {len(first)} others")
    if len(listed) > 1:
        agree(listed, images)
    read = stores.logits if isinstance(stores, MaskCache) else _reader(listed, chosen.blend)

    def make(image: str) -> Masks:
        try:
            return chosen.run(read(image))
        except ValueError as error:
            raise ValueError(f"{first.path}, image {image}: {error}") from error

    ahead = _ReadAhead(make, images, os.cpu_count() or 1 if workers is None else workers)
    sizes = {image: first.sizes[image] for image in images}
    return MaskSet(images, first.classes, lambda image, cls: ahead(image)[cls], sizes=sizes, name=str(first.path))


def _reader(stores: Sequence[PredictionStore], blend: Blend | None) -> Callable[[str], ImageLogits]:
    """logits(image) of one store, or of several under a blend."""
    first = stores[0]
    if len(stores) == 1 and blend is None:
        return lambda image: ImageLogits(dict(first.planes(image)), first.sizes[image])
    blend = Blend() if blend is None else blend
    shares, slack = blend.shares(first.classes, len(stores)), margin(stores, blend.domain)
    return lambda image: BlendLogits(stores, image, shares, blend.domain, slack)


class _ReadAhead:
    """The masks of whole images, the last few kept; where images come in order, the next ones are made in threads."""

    def __init__(self, make: Callable[[str], Masks], ids: Sequence[str], workers: int) -> None:
        self._make, self._ids, self._workers = make, tuple(ids), workers
        self._place = {image: place for place, image in enumerate(ids)}
        self._made: dict[int, Future[Masks]] = {}
        self._last: int | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def __call__(self, image: str) -> Masks:
        place = self._place[image]
        mine: Future[Masks] | None = None
        with self._lock:
            in_order = self._last is not None and place == self._last + 1
            if place not in self._made:
                self._made[place] = mine = Future()
            if in_order and self._workers > 1:
                self._make_ahead(place)
            self._last = place
            found = self._made[place]
            while len(self._made) > 4 * self._workers + 2:
                del self._made[next(other for other in self._made if other != place)]
        if mine is not None:
            try:
                mine.set_result(self._make(image))
            except BaseException as error:
                mine.set_exception(error)
        return found.result()

    def _make_ahead(self, place: int) -> None:
        self._pool = self._pool or ThreadPoolExecutor(self._workers)
        for later in range(place + 1, min(place + 2 * self._workers, len(self._ids))):
            if later not in self._made:
                self._made[later] = self._pool.submit(self._make, self._ids[later])
