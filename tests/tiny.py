"""A data set of a few squares on disk, in the competition's layout, and networks that fit it: small, fast, plain."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from segkit.samples import Samples

CLASSES = ("left", "right", "rare")
SWAPS = [("left", "right")]


def draw(root: Path, count: int = 4, *, size: int = 96, step: int = 0, rare: bool = True) -> None:
    """`count` images size x size, each image `step` pixels wider than the one before; "rare" is in every second."""
    for number in range(count):
        rng = np.random.default_rng(number)
        height, width = size, size + step * number
        x, y = 6 + rng.integers(0, 8, 2)
        side = size // 3
        rings = {
            "left": [[x, y], [x + side, y], [x + side, y + side], [x, y + side]],
            "right": [[x + side - 4, y + side], [x + 2 * side, y + side + 9], [x + side, y + 2 * side]],
        }
        if rare and number % 2:
            rings["rare"] = [[3, size - 12], [14, size - 12], [14, size - 2], [3, size - 2]]
        image = rng.integers(0, 30, (height, width)).astype(np.uint8)
        for grey, ring in zip((120, 180, 240), rings.values()):
            cv2.fillPoly(image, [np.array(ring, np.int32)], grey)
        folder = root / "train" / "DCM" / f"ID{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"image{number}.png"), image)
        annotations = [
            {"label": name, "points": np.array(ring).tolist(), "type": "poly_seg"} for name, ring in rings.items()
        ]
        target = root / "train" / "outputs_json" / f"ID{number:03d}" / f"image{number}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps({"annotations": annotations}))


def samples(root: Path, count: int = 4, **options: object) -> Samples:
    """What `draw` drew, as Samples."""
    draw(root, count, **options)  # type: ignore[arg-type]
    return Samples.from_folder(root, classes=CLASSES)


class TinyUNet(nn.Module):
    """Two levels, a norm and a dropout: everything a run has to bring back when it is resumed."""

    def __init__(self, classes: int = 3, *, norm: bool = True, dropout: float = 0.1, width: int = 8) -> None:
        super().__init__()
        self.down = _block(1, width, norm)
        self.deep = nn.Sequential(nn.MaxPool2d(2), *_block(width, width, norm), nn.Dropout(dropout))
        self.head = nn.Conv2d(2 * width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.down(image)
        coarse = nn.functional.interpolate(self.deep(fine), size=fine.shape[-2:])
        return self.head(torch.cat([fine, coarse], 1))


def _block(before: int, after: int, norm: bool) -> nn.Sequential:
    steps = [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after) if norm else nn.Identity(), nn.ReLU()]
    return nn.Sequential(*steps)


def network(seed: int = 0, **options: object) -> TinyUNet:
    """The same weights at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyUNet(**options)  # type: ignore[arg-type]


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    """Bit for bit."""
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
