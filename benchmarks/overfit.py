"""Can it learn at all? `python -m benchmarks.overfit [NAME ...]`: each network against 4 phantom images it has seen.

29 bones at 128 px, hard targets, BCE + Dice, Adam; a network passes when its Dice over images and classes, measured in
evaluation mode at 128 px on the same 4 images, with batch norms re-estimated on them, reaches 0.9 within the bounded
number of steps. Above 0.5, where 100 steps brought less than 0.01, the rate is quartered, twice, and then it is given
up. Networks written by hand are narrowed as NARROW says; those that a library builds run as they are, untrained. A
context network begins with the front end that its authors train first. Prints a line of a Markdown table for each.

--ceilings prints what free logits at a stride, stretched bilinearly, reach on the same images when they are trained for
it alone: about the most that a network with such a head can. At stride 8 that is below 0.9 at 128 px; --side 256 gives
such a network the cells that one of stride 4 has at 128.
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from competitions.handbone.facts import CLASSES
from competitions.handbone.phantom import draw
from segkit import losses, models
from segkit.averaging import update_bn
from segkit.data import SegmentationData
from segkit.samples import Samples

SIDE = 128
GOAL = 0.9
LOOK = 20  # steps from one look at the Dice to the next
PATIENCE = 5  # looks without a gain
SLOWER = (0.25, 0.0625)  # of the rate, from the first and the second standstill on; at the third it is given up
NARROW = 0.25  # the width of what has one
WIDTHS = {"deconvnet": 0.125, "fcdensenet56": 1.0, "fcdensenet67": 0.5, "fcdensenet103": 0.5, "segnet_basic": 0.5}
OPTIONS = {
    "deeplabv1_largefov": {"dropout": 0.0}
}  # a quarter as wide, three dropouts of .5 leave .87 to learn by heart
FIRST = {"dilatednet_basic": "dilatednet_frontend", "dilatednet_context": "dilatednet_frontend"}
ENCODERS = {"dpt": "tu-vit_tiny_patch16_224"}


def images(side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Four phantom images (4, 1, side, side) and their masks (4, 29, side, side) of zeros and ones."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw(Path(folder) / "phantom", persons=2, test_persons=0, seed=0)
        data = SegmentationData(Samples.from_folder(drawn, classes=CLASSES), size=(side, side))
        samples: list[dict[str, Any]] = [data[i] for i in range(4)]
    return torch.stack([s["image"] for s in samples]), torch.stack([s["target"] for s in samples]).round()


def dice(logits: Tensor, target: Tensor) -> float:
    """The competition's Dice of logits > 0, mean over images and classes."""
    mask = (logits > 0).float()
    both, either = (mask * target).sum((2, 3)), mask.sum((2, 3)) + target.sum((2, 3))
    return ((2 * both + 1e-4) / (either + 1e-4)).mean().item()


def settings(name: str) -> dict[str, Any]:
    """How `name` is narrowed: its width, where it has one, or its encoder."""
    if name in ENCODERS:
        return {"encoder": ENCODERS[name]}
    takes = "width" in inspect.signature(models.NETWORKS[name].build).parameters
    return {"width": WIDTHS.get(name, NARROW)} if takes else {}


def overfit(name: str, image: Tensor, target: Tensor, *, steps: int, lr: float) -> str:
    """The row of the table: a network, after the one that its authors train first."""
    torch.manual_seed(0)
    narrow, begin, taken = settings(name) | OPTIONS.get(name, {}), time.perf_counter(), []
    model = models.create(name, classes=CLASSES, **narrow)
    if name in FIRST:
        front = models.create(FIRST[name], classes=CLASSES, **narrow)
        taken.append(learn(front, image, target, steps=steps, lr=lr)[0])
        model.encoder.load_state_dict(front.body.state_dict())
    last, best = learn(model, image, target, steps=steps, lr=lr)
    seconds = time.perf_counter() - begin
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    smaller = ", ".join(f"{key}={value}" for key, value in narrow.items()) or "-"
    shown = " + ".join(map(str, [*taken, last]))
    return f"| `{name}` | {smaller} | {millions:.1f} | {image.shape[-1]} | {shown} | {best:.3f} | {seconds:.0f} |"


def learn(model: nn.Module, image: Tensor, target: Tensor, *, steps: int, lr: float) -> tuple[int, float]:
    """Train in place until the goal, the last step or a standstill; -> steps taken, the best Dice."""
    loss, rates = losses.build("bce + dice"), iter(SLOWER)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    best, since = [0.0], 0  # the best so far at every look; the look since which the rate is what it is
    for step in range(1, steps + 1):
        model.train()
        optimizer.zero_grad()
        loss(model(image), target).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % LOOK:
            continue
        update_bn(model, [image])  # EfficientNets average over hundreds of steps: not the weights' fault
        with torch.no_grad():
            best.append(max(best[-1], dice(model.eval()(image), target)))
        if best[-1] >= GOAL:
            return step, best[-1]
        if best[-1] > 0.5 and len(best) - 1 - since >= PATIENCE and best[-1] - best[-1 - PATIENCE] < 0.01:
            slower = next(rates, None)
            if slower is None:
                return step, best[-1]
            optimizer.param_groups[0]["lr"], since = lr * slower, len(best) - 1
    return steps, best[-1]


def ceiling(stride: int, target: Tensor, *, steps: int = 400) -> float:
    """The Dice that logits at that stride reach, trained for it alone, stretched bilinearly to masks (4, 29, h, w)."""
    n, c, h, w = target.shape
    free = torch.zeros(n, c, h // stride, w // stride, requires_grad=True)
    loss, optimizer, best = losses.build("dice"), torch.optim.Adam([free], lr=1.0), 0.0
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        logits = F.interpolate(free, size=(h, w), mode="bilinear", align_corners=False)
        loss(logits, target).backward()
        optimizer.step()
        schedule.step()
        if step % LOOK == 0:
            best = max(best, dice(logits.detach(), target))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; default: all")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--side", type=int, default=SIDE, help="of the images, px")
    parser.add_argument("--ceilings", action="store_true", help="what each stride can draw, instead of networks")
    given = parser.parse_args()
    image, target = images(given.side)
    if given.ceilings:
        print(f"| stride at {given.side} px | ceiling |\n|---:|---:|")
        for stride in (2, 4, 8, 16, 32):
            print(f"| {stride} | {ceiling(stride, target):.3f} |", flush=True)
        return
    print(
        "| network | settings | params M | px | steps | Dice | seconds |\n|---|---|---:|---:|---:|---:|---:|",
        flush=True,
    )
    for name in given.names or models.names():
        print(overfit(name, image, target, steps=given.steps, lr=given.lr), flush=True)


if __name__ == "__main__":
    main()
