"""The logits of one image as a Pipeline asks for them: what lies above a threshold, and which class is highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segkit.ensemble.means import class_map, level_of, runs_above, weighted_sum
from segkit.ensemble.weights import Domain
from segkit.geometry import argmax_runs, resize
from segkit.predictions import PredictionStore
from segkit.rle import Runs


class ImageLogits:
    """One image's logits at the network's resolution.

    Args:
        maps: {class: float (h, w) logits}.
        size: (H, W) of the image.
    """

    def __init__(self, maps: Mapping[str, np.ndarray], size: tuple[int, int]) -> None:
        self._maps, self.size, self.classes = maps, size, tuple(maps)

    def class_map(self, cls: str) -> np.ndarray:
        """The logits of a class.

        Args:
            cls: A class.

        Returns:
            Float (h, w).
        """
        return self._maps[cls]

    def above(self, cls: str, threshold: float) -> Runs:
        """The full-resolution pixels of a class whose probability is strictly above a threshold.

        Args:
            cls: A class.
            threshold: Probability.

        Returns:
            Runs with the image's shape.
        """
        return resize.runs_above(self.class_map(cls), self.size, threshold)

    def argmax(self, offsets: Mapping[str, float]) -> dict[str, Runs]:
        """The full-resolution pixels where each class is the highest; of equals the first class.

        Args:
            offsets: {class: what is added to its logits}.

        Returns:
            {class: Runs with the image's shape}; together they are the whole image.
        """
        return argmax_runs({cls: self.class_map(cls) for cls in self.classes}, self.size, offsets=offsets)


class BlendLogits(ImageLogits):
    """One image's logits in several stores, averaged at full resolution where a threshold is asked for.

    Args:
        stores: Stores that agree.
        image: Its id.
        shares: {class: float32 (K,) normalised weights}.
        domain: What is averaged.
        slack: See ensemble.means.margin().
    """

    def __init__(
        self,
        stores: Sequence[PredictionStore],
        image: str,
        shares: Mapping[str, np.ndarray],
        domain: Domain,
        slack: float,
    ) -> None:
        self.size, self.classes = stores[0].sizes[image], stores[0].classes
        self._stores, self._shares, self._domain, self._slack = stores, shares, domain, slack
        self._levels = [store.levels(image) for store in stores]

    def class_map(self, cls: str) -> np.ndarray:
        """The blend of a class at the highest resolution of the stores.

        Args:
            cls: A class.

        Returns:
            float32 (h, w), in the blend's domain.
        """
        maps = self._of_stores(cls)
        finest = max((one.shape for one in maps), key=lambda shape: shape[0] * shape[1])
        full = [one if one.shape == finest else resize.upsample(one, (finest[0], finest[1])) for one in maps]
        return weighted_sum(full, self._shares[cls])

    def above(self, cls: str, threshold: float) -> Runs:
        """As ImageLogits.above(), of the weighted sum at full resolution.

        Args:
            cls: A class.
            threshold: Probability.

        Returns:
            Runs with the image's shape.
        """
        level = level_of(threshold, self._domain)
        return runs_above(self._of_stores(cls), self.size, level, self._shares[cls], self._slack)

    def _of_stores(self, cls: str) -> list[np.ndarray]:
        """What is averaged of a class: float32 (h, w) of each store."""
        channel = self.classes.index(cls)
        return [class_map(store, levels[channel], self._domain) for store, levels in zip(self._stores, self._levels)]
