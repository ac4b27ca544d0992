"""What a run is set up from: processes, device, seeds, and what its model files say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from segkit.files import plain
from segkit.training.config import TrainConfig

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def rank_and_world() -> tuple[int, int]:
    """Which of how many processes this one is, as torchrun says.

    Returns:
        (rank, processes).
    """
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def take_gpu(config: TrainConfig) -> bool:
    """Make this process's GPU the current one.

    Args:
        config: Of the run.

    Returns:
        Whether there is one.
    """
    cuda = torch.cuda.is_available() and config.accelerator in ("auto", "cuda", "gpu")
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    return cuda


def create_fabric(config: TrainConfig) -> Fabric:
    """Start the processes' connection, on the device and in the precision of the config.

    Args:
        config: Of the run.

    Returns:
        A launched Fabric.
    """
    from lightning_fabric import Fabric  # 4 s

    world, local = rank_and_world()[1], int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    precision: Any = config.precision
    fabric = Fabric(
        accelerator=config.accelerator, devices=local, num_nodes=world // local, precision=precision,
        strategy="ddp" if world > 1 else "auto",
    )  # fmt: skip
    fabric.launch()
    return fabric


def epoch_seed(*key: int) -> int:
    """A seed that nothing but the key decides.

    Args:
        key: Seed, epoch, rank.

    Returns:
        32 bits.
    """
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def metadata_of(data: object) -> dict[str, Any]:
    """What a model file says of its images and channels, where the data knows it.

    Args:
        data: What is trained on.

    Returns:
        Plain values: "classes", "in_channels", "size" and "image_spec" (see `ImageSpec.from_dict`).
    """
    found = {name: getattr(data, name, None) for name in ("classes", "in_channels", "size", "image_spec")}
    if found["image_spec"] is not None:
        found["image_spec"] = found["image_spec"].to_dict()
    return {name: plain(value) for name, value in found.items() if value is not None}
