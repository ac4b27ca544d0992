"""Mixed: a dataset whose samples are, in part, made of two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from segkit.data.mixing import MIXES, TENSORS, as_shares
from segkit.data.normalise import GREY, IMAGE_MAX, TARGET_MAX, normalise
from segkit.data.sample import one_to_float
from segkit.files import nearest


class Mixable(Protocol):
    """A dataset of {"image", "target"}."""

    def __len__(self) -> int:
        """How many samples."""

    def __getitem__(self, index: int, /) -> Mapping[str, Any]:
        """One sample."""


class Mixed(Dataset[dict[str, Any]]):
    """A dataset whose samples are, in part, mixed with other ones of it.

    Samples are as those of `data`. Whether, with which and how one is mixed is drawn from (seed, epoch, index) alone,
    in the worker and not in the batch: any number of workers or processes, and a run that is resumed, see the same
    samples. Each image is normalised by itself first; the other one comes as the epoch augments it.

    Args:
        data: `SegmentationData`, `Crops`, or any dataset of {"image", "target"}.
        mix: A name of MIXES, or a callable of their kind, such as functools.partial(mixup, alpha=0.2).
        share: Share of the samples that are mixed, 0 to 1.
        seed: Of the draws.

    Raises:
        ValueError: For an unknown mix, a share outside [0, 1], or fewer than two samples.
    """

    def __init__(self, data: Mixable, mix: str | Callable[..., Any], *, share: float = 0.5, seed: int = 0) -> None:
        if isinstance(mix, str) and mix not in MIXES:
            raise ValueError(f"mix {mix!r}: {nearest(mix, MIXES)}")
        if not 0 <= share <= 1:
            raise ValueError(f"share={share}: expected a share of the samples in [0, 1]")
        if len(data) < 2:
            raise ValueError(f"{len(data)} samples: expected at least two, to be mixed")
        self.data, self.share, self.seed, self.epoch = data, float(share), seed, 0
        self.mix = MIXES[mix] if isinstance(mix, str) else mix
        self.ids = getattr(data, "ids", None)
        self.image_spec, self.in_channels = getattr(data, "image_spec", GREY), getattr(data, "in_channels", None)

    def __len__(self) -> int:
        return len(self.data)

    def set_epoch(self, epoch: int) -> None:
        """Transform and mix as in this epoch from now on.

        Args:
            epoch: From 0.
        """
        self.epoch = epoch
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)

    def fingerprint(self) -> dict[str, Any]:
        """What decides the samples.

        Returns:
            {name: value}; a run that is resumed needs them unchanged.
        """
        before = self.data.fingerprint() if hasattr(self.data, "fingerprint") else {"data": self.data}
        return {**before, "mix": self.mix, "mix_share": self.share, "mix_seed": self.seed}

    def raw(self, index: int) -> dict[str, Any]:
        """One sample as `fit` takes it.

        Args:
            index: Of the sample.

        Returns:
            The sample, image normalised, target as `data` has it, or in float where it was faded.
        """
        sample = self._sample(index)
        generator = np.random.default_rng([self.seed, self.epoch, index, 2])  # 2: augmentation and crops have their own
        if generator.random() >= self.share:
            return _as_share(sample)
        partner = int(generator.integers(len(self) - 1))
        pair = sample, self._sample(partner + (partner >= index))
        one, other = ({name: p[name][None] for name in TENSORS if name in p} for p in pair)
        if TARGET_MAX in sample:
            one, other = ({**p, TARGET_MAX: 255} for p in (one, other))
        mixed = self.mix(one, other, generator=generator)
        return sample | {name: mixed[name][0] for name in TENSORS if name in mixed}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return one_to_float(self.raw(index), self.image_spec, self.in_channels)

    def _sample(self, index: int) -> dict[str, Any]:
        sample = dict(self.data.raw(index) if hasattr(self.data, "raw") else self.data[index])
        if sample.pop(IMAGE_MAX, None):
            sample["image"] = normalise(sample["image"][None], self.image_spec, self.in_channels)[0]
        return sample


def _as_share(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample that is not mixed, of the type that mixed ones have."""
    if TARGET_MAX in sample or sample["target"].is_floating_point():
        return sample
    return sample | {"target": as_shares(sample["target"][None])[0]}
