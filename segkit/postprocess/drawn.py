"""The masks of many Pipelines on one store: what is cut at a threshold is drawn once and kept as runs."""

from __future__ import annotations

import numpy as np

from segkit.postprocess.pipeline import Pipeline
from segkit.predictions import PredictionStore
from segkit.rle import Runs


class Drawn:
    """masks(pipeline, image), as Pipeline.masks gives them. keep: thresholds of each image and class that are
    remembered, those asked for last."""

    def __init__(self, store: PredictionStore, *, keep: int = 8) -> None:
        self.store, self.keep = store, keep
        self._known: dict[tuple[str, str], dict[float, Runs]] = {}

    def masks(self, pipeline: Pipeline, image: str) -> dict[str, Runs]:
        """The final masks of one image."""
        store, planes, found = self.store, _Planes(self.store, image), {}
        for cls in store.classes:
            if pipeline.cut(cls) is not None:
                found[cls] = pipeline.drawn(planes[cls], store.sizes[image], cls)
                continue
            level, known = pipeline.threshold(cls), self._known.setdefault((image, cls), {})
            if level in known:
                known[level] = known.pop(level)  # asked for last
            else:
                known[level] = pipeline.drawn(planes[cls], store.sizes[image], cls)
                if len(known) > self.keep:
                    del known[next(iter(known))]
            found[cls] = known[level]
        by_logits = any(pair["by_logits"] for pair in pipeline.overlaps)
        return pipeline.finish(found, {cls: planes[cls] for cls in store.classes} if by_logits else None)


class _Planes:
    """An image's logits by class, read when the first is asked for."""

    def __init__(self, store: PredictionStore, image: str) -> None:
        self.store, self.image = store, image
        self._read: np.ndarray | None = None

    def __getitem__(self, cls: str) -> np.ndarray:
        if self._read is None:
            self._read = self.store[self.image]
        plane: np.ndarray = self._read[self.store.classes.index(cls)]
        return plane
