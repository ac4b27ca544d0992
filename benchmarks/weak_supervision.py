"""From image labels to masks: `python -m benchmarks.weak_supervision`, about two minutes a seed on one core.

Grey images of 64 x 64 px: discs of three classes, told apart by their stripes (across, down, both), and a plain disc
that is none, on a noisy ground. A small classifier learns which classes an image has, with Puzzle-CAM's loss or
without; its maps over views are refined by a walk along the image's greys, and cut; a small U-Net learns from seeds of
the refined maps, known pixels only. Prints the mean Dice over images, and the classes in them, of 64 other images: maps
are told which classes an image has, networks see the image alone. Where to cut is chosen on 24 further images with
masks. Beside it what the best threshold of the grey values gives, and the same network with all masks. --picture FILE
draws the stages.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit import cam, losses, models
from segkit.files import replacing
from segkit.report.palette import class_colours

CLASSES = ("across", "down", "both")
SIDE = 64
CUTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
GREYS = [k / 10 for k in range(-10, 21)]


class Shapes(NamedTuple):
    """image (N, 1, 64, 64), about 0 on average; labels (N, 3) and masks (N, 3, 64, 64) of 0 and 1."""

    image: Tensor
    labels: Tensor
    masks: Tensor


def draw(count: int, *, seed: int) -> Shapes:
    """One or two discs an image, of different classes, and a plain one that is none, apart from each other."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    images = random.normal(0.3, 0.06, (count, 1, SIDE, SIDE)).astype(np.float32)
    masks = np.zeros((count, len(CLASSES), SIDE, SIDE), np.float32)
    across, down = np.sin(np.pi * y / 2), np.sin(np.pi * x / 2)
    waves = (across, down, across * down * 1.4)
    for image, planes in zip(images[:, 0], masks):
        taken = np.zeros((SIDE, SIDE), bool)
        for c in (*random.permutation(len(CLASSES))[: random.integers(1, 3)], None):
            while True:
                radius = random.uniform(8, 14)
                top, left = random.uniform(radius, SIDE - radius, 2)
                disc = (y - top) ** 2 + (x - left) ** 2 <= radius**2
                if not (disc & taken).any():
                    break
            taken |= cv2.dilate(disc.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            image[disc] += random.uniform(0.2, 0.35)
            if c is not None:
                planes[c] = disc
                image[disc] += 0.12 * waves[c][disc]
    return Shapes(torch.from_numpy(images - 0.4) * 4, torch.from_numpy(masks.max((2, 3))), torch.from_numpy(masks))


def classifier(shapes: Shapes, *, steps: int, puzzle: bool) -> cam.Classifier:
    """Learned from images and labels alone; Puzzle-CAM's alpha grows over the first half."""
    widths = (1, 16, 32, 64)
    layers: list[nn.Module] = []
    for before, after, stride in zip(widths, widths[1:], (1, 2, 2)):
        layers += [nn.Conv2d(before, after, 3, padding=1, stride=stride), nn.BatchNorm2d(after), nn.ReLU()]
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
    model = cam.Classifier(nn.Sequential(*layers), channels=64, classes=len(CLASSES))

    def loss(chosen: Tensor, share: float) -> Tensor:
        image, labels = shapes.image[chosen], shapes.labels[chosen]
        if puzzle:
            return cam.puzzle(model.maps, image, labels, alpha=4 * min(1.0, 2 * share))
        return F.binary_cross_entropy_with_logits(model(image), labels)

    _train(model, len(shapes.image), loss, steps=steps)
    return model


def shares(model: cam.Classifier, shapes: Shapes) -> Tensor:
    """Class activation maps over views, in [0, 1]."""
    maps = partial(cam.cam, model, layer="features", head="head")
    return cam.normalised(cam.over_views(maps, shapes.image, views="hflip, scale(1.5)"), shapes.labels)


def refined(maps: Tensor, shapes: Shapes, *, steps: int = 10) -> Tensor:
    """Walked along the greys, in [0, 1] again."""
    step = cam.colour_affinity(shapes.image, dilations=(1, 2, 4, 8))
    return cam.normalised(cam.walk(maps, step, steps=steps), shapes.labels)


def segmenter(image: Tensor, found: cam.Seeds, *, steps: int) -> nn.Module:
    """A small U-Net, learned from what is known."""
    model = models.create("unet", classes=CLASSES, width=0.125, prior=0.05)
    loss = losses.build("bce + dice")

    def of(chosen: Tensor, share: float) -> Tensor:
        return loss(model(image[chosen]), found.target[chosen], found.weight[chosen])

    _train(model, len(image), of, steps=steps)
    return model


def dice(masks: Tensor, shapes: Shapes) -> float:
    """The mean over images and the classes that are in them."""
    both = 2 * (masks * shapes.masks).sum((2, 3))
    values = both / (masks.sum((2, 3)) + shapes.masks.sum((2, 3))).clamp(min=1)
    return float(values[shapes.labels > 0].mean())


def best_cut(maps: Tensor, shapes: Shapes) -> float:
    """The share to cut at."""
    return max(CUTS, key=lambda cut: dice((maps > cut).float(), shapes))


def best_grey(shapes: Shapes) -> float:
    """The grey to cut at, where no map is asked."""
    return max(GREYS, key=lambda cut: dice(_greys(shapes, cut), shapes))


def _train(model: nn.Module, count: int, loss: Callable[[Tensor, float], Tensor], *, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        loss(torch.randperm(count)[:16], step / steps).backward()
        optimizer.step()
        schedule.step()
    model.eval()


def _greys(shapes: Shapes, cut: float) -> Tensor:
    """Each class of an image wherever it is brighter than that."""
    return (shapes.image > cut) * shapes.labels[..., None, None]


class Stages(NamedTuple):
    """What a run made of the held-out images: a Dice for each row of the table, and masks of the stages to look at."""

    dice: dict[str, float]
    test: Shapes
    pictures: dict[str, Tensor]


def run(*, images: int = 192, steps: int = 150, seed: int = 0) -> Stages:
    """The whole way; images: to train on; steps: of the classifiers, the networks take twice as many."""
    torch.manual_seed(seed)
    train, chosen_on, test = (draw(n, seed=3 * seed + k) for k, n in enumerate((images, 24, 64)))
    scores: dict[str, float] = {}
    pictures: dict[str, Tensor] = {}
    scores["best threshold of the grey values"] = dice(_greys(test, best_grey(chosen_on)), test)
    for name, puzzle in (("", False), (", Puzzle", True)):
        model = classifier(train, steps=steps, puzzle=puzzle)
        for kind in ("CAM", "CAM, walked"):
            maps = [shares(model, part) for part in (train, chosen_on, test)]
            if kind == "CAM, walked":
                maps = [refined(m, part) for m, part in zip(maps, (train, chosen_on, test))]
            cut = best_cut(maps[1], chosen_on)
            pictures[kind] = (maps[2] > cut).float()
            scores[kind + name] = dice(pictures[kind], test)
    found = cam.seeds(maps[0], train.labels, foreground=min(cut + 0.1, 1.0), background=max(cut - 0.1, 0.0))
    for name, seeds in (
        ("U-Net of these seeds", found),
        ("U-Net of all masks", cam.Seeds(train.masks, torch.ones_like(train.masks))),
    ):
        network = segmenter(train.image, seeds, steps=2 * steps)
        with torch.no_grad():
            pictures[name] = (network(test.image) > 0).float()
        scores[name] = dice(pictures[name], test)
    return Stages(scores, test, pictures)


def picture(stages: Stages, *, count: int = 4, scale: int = 2) -> np.ndarray:
    """A row an image: image, CAM, walked, U-Net, truth; uint8 (h, w, 3), BGR."""
    planes = [
        None,
        *(stages.pictures[name] for name in ("CAM", "CAM, walked", "U-Net of these seeds")),
        stages.test.masks,
    ]
    rows = []
    for n in range(count):
        grey = stages.test.image[n, 0].numpy()
        grey = ((grey - grey.min()) / np.ptp(grey) * 255).astype(np.uint8)
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        rows.append(np.hstack([_coloured(grey, None if masks is None else masks[n].numpy()) for masks in planes]))
    return np.vstack(rows)


def _coloured(grey: np.ndarray, masks: np.ndarray | None) -> np.ndarray:
    out = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR).astype(np.float32)
    for mask, colour in zip(() if masks is None else masks, class_colours(CLASSES).values()):
        inside = cv2.resize(mask, grey.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        out[inside] = 0.4 * out[inside] + 0.6 * np.array([int(colour[k : k + 2], 16) for k in (5, 3, 1)], np.float32)
    return cv2.copyMakeBorder(out, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=192, help="to train on")
    parser.add_argument("--steps", type=int, default=150, help="of the classifiers; the networks take twice as many")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--picture", type=Path, help="of the first seed's stages: FILE.jpg or FILE.png")
    given = parser.parse_args()
    found = [run(images=given.images, steps=given.steps, seed=seed) for seed in given.seed]
    print(f"| Dice of 64 held-out images | {' | '.join(f'seed {seed}' for seed in given.seed)} |")
    print(f"|---|{'---:|' * len(found)}")
    for name in found[0].dice:
        print(f"| {name} | {' | '.join(f'{stages.dice[name]:.3f}' for stages in found)} |")
    if given.picture:
        with replacing(given.picture) as part:
            part.write_bytes(
                cv2.imencode(given.picture.suffix, picture(found[0]), [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()
            )


if __name__ == "__main__":
    main()
