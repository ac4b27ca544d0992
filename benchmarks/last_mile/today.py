"""What people run today, in the way of their notebooks: whole arrays at full resolution, a loop over classes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from pycocotools import mask as coco  # type: ignore[import-untyped]
from torch.nn import functional as F

from segkit.rle import EPSILON


def encode(mask: np.ndarray) -> str:
    """The starter kit's way: flatten, zeros around it (a list of ints, which makes all of it int64), differences."""
    flat = np.concatenate([[0], mask.flatten(), [0]])
    edges = np.where(flat[1:] != flat[:-1])[0] + 1
    edges[1::2] -= edges[::2]
    return " ".join(str(edge) for edge in edges)


def decode(text: str, size: tuple[int, int]) -> np.ndarray:
    """The starter kit's way: a slice of ones for each pair."""
    flat = np.zeros(size[0] * size[1], np.uint8)
    numbers = [int(token) for token in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2]):
        flat[start - 1 : start - 1 + length] = 1
    return flat.reshape(size)


def coco_encode(masks: np.ndarray) -> list[dict]:
    return coco.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))


def coco_decode(encoded: list[dict]) -> np.ndarray:
    return coco.decode(encoded)


def probs(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 (classes, H, W): interpolate, then sigmoid."""
    full = F.interpolate(torch.from_numpy(logits)[None], size=size, mode="bilinear", align_corners=False)
    return torch.sigmoid(full)[0].numpy()


def rows(logits: np.ndarray, size: tuple[int, int], threshold: float = 0.5) -> list[str]:
    return [encode(mask) for mask in probs(logits, size) > threshold]


def dice(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(classes,) Dice of bool masks."""
    return np.array(
        [
            (2 * np.logical_and(mask, target).sum() + EPSILON) / (mask.sum() + target.sum() + EPSILON)
            for mask, target in zip(masks, truth)
        ]
    )


def sweep(logits: np.ndarray, truth: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(thresholds, classes) Dice of one image: upsampled once, cut again and again."""
    full = probs(logits, truth.shape[1:])
    return np.stack([dice(full > threshold, truth) for threshold in thresholds])


def threshold_trial(logits: np.ndarray, truth: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(classes,) Dice of one image in one trial: from the stored logits to full resolution."""
    return dice(probs(logits, truth.shape[1:]) > thresholds[:, None, None], truth)


def blend_trial(logits: Sequence[np.ndarray], truth: np.ndarray, weights: np.ndarray, threshold: float) -> np.ndarray:
    """(classes,) Dice of one image in one trial: the weighted mean of full-size probabilities."""
    mean = np.zeros(truth.shape, np.float32)
    for plane, weight in zip(logits, weights / weights.sum()):
        mean += np.float32(weight) * probs(plane, truth.shape[1:])
    return dice(mean > threshold, truth)


def clever_blend_trial(
    logits: Sequence[np.ndarray], truth: np.ndarray, weights: np.ndarray, threshold: float
) -> np.ndarray:
    """The same of the mean of the logits, taken at the network's grid and upsampled once: few do this."""
    mean = sum(np.float32(w) * plane for w, plane in zip(weights / weights.sum(), logits))
    return dice(probs(np.asarray(mean, np.float32), truth.shape[1:]) > threshold, truth)


def clean(mask: np.ndarray, *, min_area: int) -> np.ndarray:
    """Specks away, the largest part kept, holes filled, by OpenCV on the full mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count > 1:
        areas = stats[1:, cv2.CC_STAT_AREA]
        largest = 1 + int(areas.argmax())
        mask = labels == largest if areas.max() >= min_area else np.zeros_like(mask)
    padded = np.pad(mask.astype(np.uint8), 1)
    cv2.floodFill(padded, None, (0, 0), 2)
    return padded[1:-1, 1:-1] != 2


def vote(paths: Sequence[Path], size: tuple[int, int], need: int, out: Path) -> None:
    """Decode all, add up, cut, encode, of submissions in the same order."""
    tables = []
    for path in paths:
        with path.open(newline="") as handle:
            tables.append(list(csv.DictReader(handle)))
    with out.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["image_name", "class", "rle"])
        for together in zip(*tables):
            total = np.zeros(size, np.uint8)
            for row in together:
                total += decode(row["rle"], size)
            writer.writerow([together[0]["image_name"], together[0]["class"], encode(total >= need)])
