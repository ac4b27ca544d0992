"""Losses, forward and backward, beside smp's and beside the same formulas written apart: `python -m benchmarks.losses`.

Prints the median time of each (all take turns, so that a busy machine is busy for all), and how far
above its inputs a process rises that computes it once (Linux; one process each). "compiled" is torch.compile, where
there is a g++ for it; its first call, which compiles, is not timed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import psutil
import segmentation_models_pytorch as smp
import torch
from torch import Tensor
from torch.nn import functional as F

from segkit import losses

Loss = Callable[[Tensor, Tensor], Tensor]


def apart(logits: Tensor, target: Tensor) -> Tensor:
    """BCE + Dice + focal + Tversky as one writes them in plain torch, each by itself, all classes at once."""

    def overlap(alpha: float, beta: float) -> Tensor:
        p = logits.sigmoid()
        common = (p * target).sum((2, 3))
        excess, lack = (p * (1 - target)).sum((2, 3)), ((1 - p) * target).sum((2, 3))
        return (1 - common / (common + alpha * excess + beta * lack + 1e-7)).mean()

    cost = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = ((target - logits.sigmoid()).abs() ** 2 * cost).mean()
    return F.binary_cross_entropy_with_logits(logits, target) + overlap(0.5, 0.5) + focal + overlap(0.3, 0.7)


def contestants() -> dict[str, Loss]:
    four = [
        smp.losses.SoftBCEWithLogitsLoss(),
        smp.losses.DiceLoss("multilabel"),
        smp.losses.FocalLoss("multilabel"),
        smp.losses.TverskyLoss("multilabel", alpha=0.3, beta=0.7),
    ]
    ours = losses.build("bce + dice + focal + tversky(alpha=0.3, beta=0.7)")
    compiled = {"four: apart, compiled": torch.compile(apart), "four: segkit, compiled": torch.compile(ours)}
    return {
        "four: smp": lambda logits, target: sum(loss(logits, target) for loss in four),
        "four: apart": apart,
        "four: segkit": ours,
        **(compiled if shutil.which("g++") else {}),
        "bce + dice: segkit": losses.build("bce + dice"),
        "lovasz: smp": smp.losses.LovaszLoss("multilabel"),
        "lovasz: segkit": losses.build("lovasz"),
        **{f"{name}: segkit": losses.build(name) for name in losses.LOSSES if name != "lovasz"},
    }


def inputs(batch: int, classes: int, size: int) -> tuple[Tensor, Tensor]:
    """A blob of each class with soft edges, and the logits of a network that is halfway there."""
    draw = torch.Generator().manual_seed(0)
    at = torch.arange(size) / size
    logits, target = torch.empty(batch, classes, size, size), torch.empty(batch, classes, size, size)
    for image in range(batch):
        for cls in range(classes):  # plane by plane: what this takes on the way is not to be the peak
            top, left = (torch.rand(2, generator=draw) * 0.6 + 0.2).tolist()
            distance = ((at[:, None] - top) ** 2 + (at - left) ** 2).sqrt()
            target[image, cls] = ((0.12 - distance) * size + 0.5).clamp(0, 1)
            logits[image, cls] = (0.14 - distance) * 20 + torch.randn(distance.shape, generator=draw)
    return logits, target


def once(loss: Loss, logits: Tensor, target: Tensor) -> float:
    """Seconds of one forward and backward pass."""
    leaf = logits.requires_grad_()
    leaf.grad = None
    begun = perf_counter()
    loss(leaf, target).backward()
    return perf_counter() - begun


def peak(name: str, given: argparse.Namespace) -> float:
    """MB that a process of its own needs above its inputs."""
    sizes = ["--batch", given.batch, "--classes", given.classes, "--size", given.size, "--threads", given.threads]
    command = [sys.executable, "-m", "benchmarks.losses", "--peak", name, *map(str, sizes)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--classes", type=int, default=29)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="+", default=None, help="beginnings of names, such as four lovasz")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logits, target = inputs(given.batch, given.classes, given.size)
    chosen = {
        name: loss for name, loss in contestants().items() if given.only is None or name.startswith(tuple(given.only))
    }
    if given.peak:
        loss = contestants()[given.peak]
        once(loss, logits[:1, :1, :64, :64].detach().clone(), target[:1, :1, :64, :64].clone())  # what it imports
        before = psutil.Process().memory_info().rss
        once(loss, logits, target)
        status = Path("/proc/self/status").read_text().split()  # getrusage begins at the parent's peak
        print((int(status[status.index("VmHWM:") + 1]) * 1024 - before) / 2**20)
        return
    print(f"{given.batch} x {given.classes} x {given.size}^2, {given.threads} threads, median of {given.repeats}\n")
    times: dict[str, list[float]] = {name: [] for name in chosen}
    for turn in range(given.repeats + 1):
        for name, loss in chosen.items():
            seconds = once(loss, logits, target)
            if turn:  # the first only warms up
                times[name].append(seconds)
    print("| loss | forward and backward, ms | peak above the inputs, MB |\n|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {1000 * statistics.median(seconds):.0f} | {peak(name, given):.0f} |", flush=True)


if __name__ == "__main__":
    main()
