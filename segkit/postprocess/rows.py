"""From stored logits to the rows of a submission, plane by plane."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from segkit.postprocess.pipeline import Pipeline
from segkit.predictions import PredictionStore

Rows = list[tuple[str, str, str]]


def rows(
    store: PredictionStore,
    pipeline: Pipeline | None = None,
    *,
    ids: Sequence[str] | None = None,
    workers: int | None = None,
) -> Iterator[tuple[str, str, str]]:
    """Rows (image, class, RLE text) of `pipeline` on the stored logits, in order: give them to submission.write.

    pipeline: thresholds and steps, default Pipeline(), .5 and none. ids: the images, default all of the store. Each
    mask is that of the whole plane upsampled to the image's size and cut, bit for bit, made from the box that can hold
    it alone; what is in memory is one image's logits for each of `workers` threads (default one a core), however many
    images and classes there are. KeyError for an image that the store has not; ValueError names image and class.

    >>> import tempfile, numpy as np
    >>> store = PredictionStore.create(f"{tempfile.mkdtemp()}/a.zarr", ids=["a"], classes=["x"], sizes={"a": (4, 4)},
    ...                                grid=(2, 2))
    >>> store["a"] = np.array([[[3.0, -3], [-3, -3]]])
    >>> list(rows(store))
    [('a', 'x', '1 2 5 2')]
    """
    pipeline = Pipeline() if pipeline is None else pipeline
    workers = os.cpu_count() or 1 if workers is None else workers

    def one(image: str) -> Rows:
        try:
            masks = pipeline.masks(dict(store.planes(image)), store.sizes[image])
        except ValueError as error:
            raise ValueError(f"{store.path}, image {image}: {error}") from error
        return [(image, cls, runs.text()) for cls, runs in masks.items()]

    waiting: deque[Future[Rows]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for image in store.ids if ids is None else ids:
            waiting.append(pool.submit(one, image))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
