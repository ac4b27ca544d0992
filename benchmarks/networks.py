"""What each network costs: `python -m benchmarks.networks`, the table behind `segkit models` and docs/networks.md.

Every network of `segkit.models` for 21 classes and RGB, without options: parameters; GMAC (half of FlopCounterMode's
count: convolutions and matrix products) of one image of 512 x 512 in evaluation; and the peak memory of a training
step on one such image, in float32: weights, gradients, Adam's two moments, and what the forward and backward pass hold
at once. All three are computed on the meta device, where nothing is allocated and every tensor's life is still known;
what a library's convolutions borrow meanwhile is not in it.

--write stores the table in segkit/models/networks.json and in the page. --measure NAME ... runs real steps, each in a
process of its own, and prints the peak beside the computed one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from segkit import models
from segkit.cli.networks import HEADS, TABLE, cells
from segkit.files import write_atomic, write_json

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
SIZE = 512
CLASSES = 21


class Peak(TorchDispatchMode):
    """The most bytes that tensors held at once while the mode was on; storages that views share count once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.live: set[int] = set()

    def hold(self, tensor: Tensor) -> None:
        """Count the memory of `tensor` from now until nobody holds it."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.live:
            return
        self.live.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.live.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.hold(leaf)
        return out


@contextmanager
def on_meta() -> Iterator[None]:
    """Tensors without memory; smp reads drop rates off a linspace, so that one stays real."""
    linspace = torch.linspace
    torch.linspace = partial(linspace, device="cpu")
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.linspace = linspace


def step(model: torch.nn.Module, image: Tensor, target: Tensor) -> None:
    """Forward, loss and backward."""
    F.binary_cross_entropy_with_logits(model(image), target).backward()


def training_bytes(model: torch.nn.Module, *, in_channels: int = 3, classes: int = CLASSES, size: int = SIZE) -> int:
    """The computed peak of a training step on one image, of a model on the meta device."""
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    trained = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    image = torch.zeros(1, in_channels, size, size, device="meta")
    target = torch.zeros(1, classes, size, size, device="meta")
    with Peak() as peak:
        for tensor in (image, target):
            peak.hold(tensor)
        step(model.train(), image, target)
    return parameters + 2 * trained + peak.peak  # the gradients are in the peak


def words(name: str) -> dict[str, Any]:
    """What the registry says about `name`."""
    known = models.NETWORKS[name]
    return {
        "paper": str(known.paper),
        "year": known.paper.year,
        "encoder": known.encoder,
        "stride": known.stride,
        "weights": [*known.weights, *(["imagenet with an encoder"] if known.encoder_variant else [])],
        "good_for": known.good_for,
    }


def row(name: str) -> dict[str, Any]:
    """What `segkit models` says about `name`."""
    with on_meta():
        model = models.create(name, classes=CLASSES, in_channels=3).eval()
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            model(torch.zeros(1, 3, SIZE, SIZE))
        memory = training_bytes(model)
    return words(name) | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "gmac": round(counter.get_total_flops() / 2e9, 1),
        "memory_mb": round(memory / 2**20),
    }


def page(table: dict[str, dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [f"| {' | '.join(HEADS)} |", "|---|---:|---:|---:|---:|---:|---|---|"]
    lines += [f"| `{name}` | {' | '.join(cells(name, table[name])[1:])} |" for name in sorted(table)]
    return "\n".join(lines) + "\n"


def measure(name: str) -> None:
    """Run one real step of Adam and print the peak of this process, less what it held before."""
    import resource

    import segmentation_models_pytorch  # noqa: F401  libraries are there before anything is measured

    torch.manual_seed(0)
    step(torch.nn.Conv2d(3, CLASSES, 3, padding=1), torch.zeros(1, 3, 64, 64), torch.zeros(1, CLASSES, 64, 64))
    image, target = torch.randn(1, 3, SIZE, SIZE), torch.zeros(1, CLASSES, SIZE, SIZE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = models.create(name, classes=CLASSES, in_channels=3).train()
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(2):  # Adam's moments exist from the second on
        optimizer.zero_grad()
        step(model, image, target)
        optimizer.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{name}: measured {peak / 1024:.0f} MB, computed {row(name)['memory_mb']} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="store the table in segkit/models/networks.json")
    parser.add_argument("--measure", nargs="+", metavar="NAME", help="real steps on the CPU instead of the table")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        measure(given.alone)
        return
    if given.measure:
        for name in given.measure:
            subprocess.run([sys.executable, "-m", "benchmarks.networks", "--alone", name], check=True)
        return
    table = {}
    for name in models.names():
        table[name] = row(name)
        print(name, json.dumps(table[name]), flush=True)
    if given.write:
        write_json(TABLE, table)
        before, _, after = re.split("(?<=<!-- table -->\n)(.*)(?=<!-- end -->)", PAGE.read_text(), flags=re.DOTALL)
        write_atomic(PAGE, before + page(table) + after)


if __name__ == "__main__":
    main()
