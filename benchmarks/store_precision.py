"""What a PredictionStore must keep: representations of logits on disk, compared with float32.

    python -m benchmarks.store_precision --data $SEGKIT_DATA/streets [--steps 400] [--logits FOLDER]

Trains one small U-Net on street scenes with three heads of 11 classes: softmax (cross-entropy), sigmoid (BCE), and
sigmoid with pos_weight=100, which pushes the best thresholds of rare classes towards 1. Then writes its logits of a
drive that it has not seen through every representation and compares masks at full resolution with those of float32.
Last, phantom hands: logits of the area coverage, blurred as networks blur it, at a quarter of the resolution.
--logits keeps the logits, so that a second call measures without training. "x 2" are the same logits, doubled: those of
a network trained for longer are that large.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numcodecs import zstd
from torch.nn import functional as F

from benchmarks.round_trip import phantoms
from competitions.handbone.facts import CLASSES as BONES
from competitions.handbone.facts import SIDE
from segkit import models
from segkit.geometry import label_map, polygons, resize
from segkit.rle import Runs

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
RARE = ("pole", "sign", "pedestrian", "bicyclist")
IGNORE = 11
THRESHOLDS = np.arange(-12, 12, 1 / 32)  # logits
GRID = (144, 192)
HEADS = ("softmax", "sigmoid", "sigmoid, pos_weight 100")
Encode = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""float32 logits (C, h, w) -> what lies on disk, and the float32 logits that come back."""


def read(data: Path, split: str, prefix: tuple[str, ...], every: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """RGB images and label maps of every n-th file of some drives."""
    images, labels = [], []
    for path in sorted(p for p in (data / split).iterdir() if p.name.startswith(prefix))[::every]:
        image, label = cv2.imread(str(path)), cv2.imread(str(data / f"{split}annot" / f"{path.stem}.png"), -1)
        assert image is not None
        assert label is not None
        images.append(image[..., ::-1])
        labels.append(label)
    return images, labels


def as_batch(images: list[np.ndarray]) -> torch.Tensor:
    small = np.stack([resize.resize_image(np.ascontiguousarray(i), GRID) for i in images])
    return torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1


def train(data: Path, steps: int) -> torch.nn.Module:
    """A U-Net on EfficientNet-Lite0 with three heads."""
    torch.manual_seed(0)
    images, labels = read(data, "train", ("0006R0", "0016E5"), 2)
    inputs = as_batch(images)
    sampled = np.stack([cv2.resize(m, GRID[::-1], interpolation=cv2.INTER_NEAREST_EXACT) for m in labels])
    targets = torch.from_numpy(sampled).long()
    model = models.create(
        "unet", encoder="tu-tf_efficientnet_lite0", weights="imagenet", in_channels=3, classes=3 * len(CLASSES)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    draw, begin = np.random.default_rng(0), time.perf_counter()
    for step in range(steps):
        chosen = draw.choice(len(inputs), 4, replace=False)
        x, y = inputs[chosen], targets[chosen]
        if step % 2:
            x, y = x.flip(3), y.flip(2)
        softmax, sigmoid, weighted = model(x).split(len(CLASSES), dim=1)
        counts = (y != IGNORE)[:, None].float()
        hard = F.one_hot(y, IGNORE + 1)[..., :IGNORE].permute(0, 3, 1, 2).float()
        loss = F.cross_entropy(softmax, y, ignore_index=IGNORE) + (
            F.binary_cross_entropy_with_logits(sigmoid, hard, counts.expand_as(hard))
            + F.binary_cross_entropy_with_logits(
                weighted, hard, counts.expand_as(hard), pos_weight=torch.full((len(CLASSES), 1, 1), 100.0)
            )
            / 20
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            print(f"step {step}, loss {loss.item():.3f}, {time.perf_counter() - begin:.0f} s", flush=True)
    return model.eval()


def predict(model: torch.nn.Module, images: list[np.ndarray]) -> np.ndarray:
    """float32 (images, 3 heads, C, h, w)."""
    with torch.inference_mode():
        parts = [model(as_batch([image])) for image in images]
    return torch.cat(parts).view(len(images), 3, len(CLASSES), *GRID).float().numpy()


def levels(scale: float) -> Encode:
    """int8 levels of one scale."""
    return lambda x: _scaled(x, scale)


def below_highest(scale: float) -> Encode:
    """int8 levels below the highest class of each pixel, which is 127."""
    return lambda x: _scaled(x - x.max(axis=0) + np.float32(127 * scale), scale)


def companded(largest: float, knee: float) -> Encode:
    """int8 with steps that grow with the logit: fine around 0, wide enough for `largest`."""
    factor = 127 / np.arcsinh(largest / knee)

    def encode(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kept = np.clip(np.rint(np.arcsinh(x / knee) * factor), -127, 127).astype(np.int8)
        return kept, (np.sinh(kept / factor) * knee).astype(np.float32)

    return encode


def float16(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.astype(np.float16), x.astype(np.float16).astype(np.float32)


def _scaled(x: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    kept = np.rint(np.clip(x / np.float32(scale), -127, 127)).astype(np.int8)
    return kept, kept.astype(np.float32) * np.float32(scale)


PLAIN: dict[str, Encode] = {
    "float16": float16,
    "int8, 1/32": levels(1 / 32),
    "int8, 1/16": levels(1 / 16),
    "int8, 1/8": levels(1 / 8),
    "int8, companded to 16": companded(16, 1),
}
EXCLUSIVE = PLAIN | {
    "int8 below the highest, 1/32": below_highest(1 / 32),
    "int8 below the highest, 1/16": below_highest(1 / 16),
    "int8 below the highest, 1/8": below_highest(1 / 8),
}


def kilobytes(kept: list[np.ndarray]) -> float:
    """Size on disk of one image, one zstd chunk each as in a store."""
    codec = zstd.Zstd(level=0)
    return sum(len(codec.encode(np.ascontiguousarray(k))) for k in kept) / len(kept) / 1024


def softmax_rows(logits: np.ndarray, labels: list[np.ndarray], name: str) -> None:
    """Argmax of every representation against that of float32."""
    count, size = len(CLASSES), labels[0].shape
    print(f"\n{name}: std {logits.std():.2f}, highest {logits.max():.1f}, lowest {logits.min():.1f}\n")
    print("| kept as | argmax changes | mean IoU | difference | KiB an image |\n|---|---|---|---|---|")
    exact = [label_map(x, size) for x in logits]
    reference = None
    for title, encode in {"float32": lambda x: (x, x), **EXCLUSIVE}.items():
        kept, back = zip(*(encode(x) for x in logits))
        found = [label_map(x, size) for x in back]
        changed = np.mean([a != b for a, b in zip(found, exact)])
        table = np.zeros((count, count), np.int64)
        for got, true in zip(found, labels):
            known = true != IGNORE
            table += np.bincount(true[known].astype(int) * count + got[known], minlength=count**2).reshape(count, -1)
        iou = float(np.mean(np.diag(table) / (table.sum(0) + table.sum(1) - np.diag(table))))
        reference = iou if reference is None else reference
        size_kb = kilobytes(list(kept))
        print(f"| {title} | {changed:.3%} | {iou:.5f} | {iou - reference:+.5f} | {size_kb:.0f} |", flush=True)


def sigmoid_rows(logits: np.ndarray, labels: list[np.ndarray], name: str) -> None:
    """Pooled Dice at the best threshold of each class, of every representation against float32."""
    size, best = labels[0].shape, {}
    print(f"\n{name}: std {logits.std():.2f}, highest {logits.max():.1f}, lowest {logits.min():.1f}\n")
    exact = [[resize.upsample(m, size) > 0 for m in x] for x in logits]
    for title, encode in {"float32": lambda x: (x, x), **PLAIN}.items():
        kept, back = zip(*(encode(x) for x in logits))
        counts, changed = np.zeros((2, len(CLASSES), len(THRESHOLDS) + 1)), 0.0
        for number, (x, true) in enumerate(zip(back, labels)):
            known = true != IGNORE
            for c, class_map in enumerate(x):
                full = resize.upsample(class_map, size)
                changed += np.mean((full > 0) != exact[number][c]) / len(CLASSES) / len(labels)
                passed = np.searchsorted(THRESHOLDS, full[known])
                for row, part in enumerate((passed, passed[true[known] == c])):
                    counts[row, c] += np.bincount(part, minlength=len(THRESHOLDS) + 1)
        above, hit = counts[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:]
        dice = 2 * hit / np.maximum(above + counts[1].sum(axis=1)[:, None], 1)
        best[title] = dice.max(axis=1)
        loss = best[title] - best["float32"]
        worst = f"{CLASSES[loss.argmin()]} {loss.min():+.5f}"
        if title == "float32":
            at = resize.sigmoid(THRESHOLDS[dice.argmax(axis=1)])
            rare = ", ".join(f"{cls} {at[CLASSES.index(cls)]:.4f}" for cls in RARE)
            print(f"Best thresholds of rare classes: {rare}\n")
            print(
                "| kept as | pixels that change at .5 | mean of best Dice | difference | worst class | KiB an image |"
            )
            print("|---|---|---|---|---|---|")
        print(
            f"| {title} | {changed:.4%} | {best[title].mean():.5f} | {loss.mean():+.5f} | {worst} | "
            f"{kilobytes(list(kept)):.0f} |",
            flush=True,
        )


def hand_rows(count: int, side: int, blurs: tuple[float, ...] = (0, 0.5, 1)) -> None:
    """Dice of phantom hands at threshold .5; blur: standard deviation in low-resolution pixels."""
    size = (SIDE, SIDE)
    dice: dict[str, list[list[float]]] = {"float32": [[] for _ in blurs]} | {t: [[] for _ in blurs] for t in PLAIN}
    for outlines, _ in phantoms(count).values():
        masks = [Runs.from_mask(polygons.rasterize(outlines[c], size)) for c in BONES]
        soft = [polygons.rasterize(outlines[c], size, size=(side, side), soft=True) for c in BONES]
        for column, blur in enumerate(blurs):
            probs = np.stack([cv2.GaussianBlur(m, (0, 0), blur) if blur else m for m in soft]).clip(1e-4, 1 - 1e-4)
            logits = np.log(probs / (1 - probs))
            for title, cells in dice.items():
                back = PLAIN[title](logits)[1] if title in PLAIN else logits
                cells[column] += [resize.runs_above(m, size, 0.5).dice(t) for m, t in zip(back, masks)]
    print(f"\nphantom hands, {count} of {SIDE} x {SIDE}, logits {side} x {side}, Dice at .5\n")
    print(f"| kept as | {' | '.join(f'blur {b}' for b in blurs)} |\n|---|{'---|' * len(blurs)}")
    for title, found in dice.items():
        print(f"| {title} | {' | '.join(f'{np.mean(cell):.5f}' for cell in found)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--logits", type=Path)
    given = parser.parse_args()
    images, labels = read(given.data, "test", ("Seq05V",), 4)
    kept = given.logits / "logits.npy" if given.logits else None
    if kept is not None and kept.exists():
        logits = np.load(kept)
    else:
        logits = predict(train(given.data, given.steps), images)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, logits)
    print(f"{len(images)} images, logits {GRID[0]} x {GRID[1]}, masks {labels[0].shape[0]} x {labels[0].shape[1]}")
    for factor in (1, 2):
        softmax_rows(logits[:, 0] * factor, labels, f"softmax x {factor}")
    for head in (1, 2):
        sigmoid_rows(logits[:, head], labels, HEADS[head])
    hand_rows(4, 256)


if __name__ == "__main__":
    main()
