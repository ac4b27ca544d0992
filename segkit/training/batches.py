"""Which images a step sees, and how they reach the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from segkit.data.normalise import GREY, TARGET_MAX, to_float

Batch = dict[str, Tensor]


class TrainingData(Protocol):
    """A dataset of {"image", "target"} or (image, target); see `fit` for what else it may have."""

    def __len__(self) -> int:
        """How many samples."""

    def __getitem__(self, index: int, /) -> object:
        """One sample."""


class EpochBatchSampler(Sampler[list[tuple[int, int]]]):
    """The batches of a whole run, as lists of (epoch, index): nothing but (seed, epoch) decides.

    One sampler for all epochs lets workers read ahead across their ends. An incomplete last batch is left out (each
    epoch shuffles anew); a set smaller than a batch is one batch.

    Args:
        count: Images.
        batch_size: Images of one batch over all processes together; this one takes its share.
        epochs: The epochs to come.
        seed: Decides the order, with the epoch.
        rank: This process.
        world: Processes.

    Raises:
        ValueError: If a batch cannot be shared out evenly, or there are fewer images than processes.
    """

    def __init__(self, count: int, *, batch_size: int, epochs: range, seed: int, rank: int = 0, world: int = 1) -> None:
        if batch_size < 1 or batch_size % world:
            raise ValueError(f"batch_size={batch_size}: expected a multiple of the {world} processes")
        if count < world:
            raise ValueError(f"{count} training images for {world} processes: expected at least one each")
        self.count, self.epochs, self.seed, self.rank, self.world = count, epochs, seed, rank, world
        self.batch_size = min(batch_size, count // world * world)
        self.per_epoch = count // self.batch_size

    def order(self, epoch: int) -> list[int]:
        """All images, shuffled for an epoch.

        Args:
            epoch: From 0.

        Returns:
            Every index once.
        """
        return np.random.default_rng([self.seed, epoch]).permutation(self.count).tolist()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        share = self.batch_size // self.world
        for epoch in self.epochs:
            order = self.order(epoch)
            for batch in range(self.per_epoch):
                first = batch * self.batch_size + self.rank * share
                yield [(epoch, index) for index in order[first : first + share]]

    def __len__(self) -> int:
        return self.per_epoch * len(self.epochs)


class EpochDataset(Dataset[Any]):
    """A dataset indexed by (epoch, index), so that the epoch reaches workers with each index.

    Args:
        data: A dataset of {"image", "target"} or of (image, target); see `fit`.

    Raises:
        ValueError: If `data` is a DataLoader, or cannot be indexed.
    """

    def __init__(self, data: TrainingData) -> None:
        if isinstance(data, DataLoader):
            raise ValueError("expected a dataset, got a DataLoader: pass loader.dataset, fit makes the batches")
        if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise ValueError(f"expected a dataset with a length and indices, got a {type(data).__name__}")
        self.data = data
        self.get = data.raw if hasattr(data, "raw") else data.__getitem__

    def __getitem__(self, at: tuple[int, int]) -> dict[str, Any]:
        epoch, index = at
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)
        sample = self.get(index)
        if isinstance(sample, (tuple, list)) and len(sample) == 2:
            sample = {"image": sample[0], "target": sample[1]}
        if not isinstance(sample, Mapping) or "image" not in sample or "target" not in sample:
            got = ", ".join(map(str, sample)) if isinstance(sample, Mapping) else f"a {type(sample).__name__}"
            raise ValueError(f'sample {index}: expected {{"image", "target"}} or (image, target), got {got}')
        _check_target(sample, index)
        return {"index": index, **sample}


def _check_target(sample: Mapping[str, Any], index: int) -> None:
    """Integer masks of other people's datasets are 0 and 1; one of 0 and 255 would be learned as 255."""
    image, target = sample["image"], sample["target"]
    if TARGET_MAX in sample or not isinstance(target, Tensor) or target.is_floating_point() or not target.numel():
        return
    if target.ndim == getattr(image, "ndim", 0) and int(target.max()) > 1:
        raise ValueError(
            f"sample {index}: the target is {target.dtype} up to {int(target.max())}; expected 0 and 1: pass "
            "(mask > 0), class numbers as (h, w) to a loss that takes them, or one channel per class"
        )


def make_loader(data: TrainingData, sampler: EpochBatchSampler, *, workers: int, pin_memory: bool) -> DataLoader[Any]:
    """Load the batches of a sampler.

    Args:
        data: See `EpochDataset`.
        sampler: Which samples, in which order.
        workers: Processes; they are spawned, so a script needs `if __name__ == "__main__":`.
        pin_memory: For fast copies to a GPU.

    Returns:
        The loader.
    """
    return DataLoader(
        EpochDataset(data),
        batch_sampler=sampler,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=_one_thread if workers else None,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # its own: starting workers draws nothing from the run's
    )


def _one_thread(worker: int) -> None:
    """A worker uses one core; torch sees to itself."""
    cv2.setNumThreads(0)


def to_device(batch: Batch, device: torch.device, data: object, *, channels_last: bool) -> Batch:
    """Bring a batch to the device, as floats.

    Args:
        batch: As `make_loader` gives it.
        device: Where to.
        data: What it comes from: its `image_spec` and `in_channels` say how raw images are normalised.
        channels_last: Memory layout of the images.

    Returns:
        {"image", "target"}, and "weight" where there is one; "index" as it came.
    """
    moved = {
        name: value.to(device, non_blocking=True) if name in ("image", "target", "weight") else value
        for name, value in batch.items()
    }
    out = to_float(moved, getattr(data, "image_spec", GREY), getattr(data, "in_channels", None))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return out | {"image": out["image"].contiguous(memory_format=layout)}
