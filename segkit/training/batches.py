"""Which images a step sees, and how they reach the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from segkit.data.dataset import normalise

Batch = dict[str, Tensor]


class Plan(Sampler[list[tuple[int, int]]]):
    """The batches of a whole run, as lists of (epoch, index): nothing but (seed, epoch) decides.

    count: images; batch_size: images of one batch over all processes together, of which this one (rank of
    world) takes its share; epochs: range of epochs to come. An incomplete last batch is left out (each epoch
    shuffles anew); a set smaller than a batch is one batch. One plan for all epochs lets workers read ahead
    across their ends. ValueError where a batch cannot be shared out evenly.
    """

    def __init__(self, count: int, *, batch_size: int, epochs: range, seed: int, rank: int = 0, world: int = 1) -> None:
        if batch_size < 1 or batch_size % world:
            raise ValueError(f"batch_size={batch_size}: a multiple of the {world} processes is wanted")
        if count < world:
            raise ValueError(f"{count} training images for {world} processes: at least one each is wanted")
        self.count, self.epochs, self.seed, self.rank, self.world = count, epochs, seed, rank, world
        self.batch_size = min(batch_size, count // world * world)
        self.per_epoch = count // self.batch_size

    def order(self, epoch: int) -> list[int]:
        """All images, shuffled for this epoch."""
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


class ByEpoch(Dataset[Any]):
    """A dataset indexed by (epoch, index), so that the epoch reaches workers with each index, in whatever process."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.get = data.raw if hasattr(data, "raw") else data.__getitem__

    def __getitem__(self, at: tuple[int, int]) -> Any:
        epoch, index = at
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)
        return self.get(index)


def loader(data: Any, plan: Plan, *, workers: int, pin_memory: bool) -> DataLoader[Any]:
    """Batches as planned. Workers are spawned (a script that asks for some needs `if __name__ == "__main__":`)."""
    return DataLoader(
        ByEpoch(data),
        batch_sampler=plan,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        worker_init_fn=one_thread if workers else None,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # its own: starting workers draws nothing from the run's
    )


def one_thread(worker: int) -> None:
    """A worker uses one core; torch sees to itself."""
    cv2.setNumThreads(0)


def to_device(batch: Batch, device: torch.device, *, in_channels: int, channels_last: bool) -> tuple[Tensor, Tensor]:
    """Float image and target on the device; what comes in uint8 (SegmentationData.raw) is made float there."""
    image = batch["image"].to(device, non_blocking=True)
    target = batch["target"].to(device, non_blocking=True)
    if image.dtype == torch.uint8:
        image = normalise(image, in_channels)
    if target.dtype == torch.uint8:
        target = target.float().div_(255)  # in place: fresh memory is what costs here
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return image.contiguous(memory_format=layout), target


def image_names(data: Any, indices: Sequence[int]) -> list[str]:
    """Image ids where the data has items, else the indices."""
    items = getattr(data, "items", None)
    return [items[i].id if items is not None else str(i) for i in indices]
