"""Weighted means of stored predictions: as a new store, or as full-resolution masks.

What "the blend" of a pixel is, bit for bit: weights are normalised in float64 and rounded to float32; the planes of the
stores (float32) are upsampled to full resolution by resize.upsample; 0 + w1 * v1 + w2 * v2 + ... is added up in float32
in the order of the stores; the pixel is kept where that is strictly above the cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segkit.files import digest
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.predictions import LEVELS, PredictionStore
from segkit.rle import Runs
from segkit.thresholds import PerClass, per_class

Domain = Literal["logits", "probs"]
Weights = Sequence[float] | np.ndarray | Mapping[str, Any] | None
"""K numbers, {class: K numbers} with "*" for the others, or None for equal ones."""


def blend(
    stores: Sequence[PredictionStore], weights: Weights = None, *, out: str | Path, ids: Sequence[str] | None = None
) -> PredictionStore:
    """The weighted mean of the stores' logits, as a new store at `out`, image by image.

    weights: K numbers >= 0, or {class: K numbers} with "*" for the others; default equal; normalised. Stores must hold
    the same classes; ids: images, written in all stores, default those of the first; logits of coarser grids are
    upsampled to the finest. Killed half-way, the same call goes on where it stopped: an image is whole or not `done`,
    and `out` keeps of what it is made in its attributes.
    ValueError for stores that do not agree, weights that are negative or of another number, and an `out` that is
    anything but this blend begun before (other weights, other stores, predictions written again since); KeyError for
    an image that one of them lacks; then nothing is written.
    """
    if not stores:
        raise ValueError("a blend needs at least one store")
    first = stores[0]
    share = shares(weights, first.classes, len(stores))
    images = first.ids if ids is None else tuple(ids)
    agree(stores, images)
    finest = max((store.grid for store in stores), key=lambda g: g[0] * g[1])
    mean = _begin(Path(out), stores, share, finest, images)
    done = mean.done
    for image in images:
        if image in done:
            continue
        total = np.zeros((len(first.classes), *finest), np.float32)
        for store, weight in zip(stores, share.T):
            logits = store[image]
            if store.grid != finest:
                logits = np.stack([resize.upsample(plane, finest) for plane in logits])
            total += logits * weight[:, None, None]
        mean[image] = total
    return mean


def _begin(
    out: Path, stores: Sequence[PredictionStore], share: np.ndarray, finest: tuple[int, int], images: Sequence[str]
) -> PredictionStore:
    """The store at `out` where it was begun as this very blend, else a new one."""
    first = stores[0]
    sizes = {image: first.sizes[image] for image in images}
    made = {
        "weights": {cls: row.tolist() for cls, row in zip(first.classes, share)},
        "stores": [store.stamp(images) for store in stores],
        "images": digest([images, sizes]),
    }
    if not out.exists():
        return PredictionStore.create(
            out,
            ids=images,
            classes=first.classes,
            sizes=sizes,
            grid=finest,
            scale=first.scale,
            attributes={"blend": made},
        )
    mean = PredictionStore.open(out)
    was = mean.attributes.get("blend")
    if was is None:
        raise ValueError(f"{out} is there and is no blend; remove it, or name another")
    if was != made:
        weights = was["stores"] == made["stores"] and was["images"] == made["images"]
        what = "with other weights" if weights else "of other stores, or of what they held before it was written again"
        raise ValueError(f"{out} was blended {what}; remove it, or name another")
    return mean


def blended(
    stores: Sequence[PredictionStore],
    weights: Weights = None,
    thresholds: PerClass = 0.5,
    *,
    domain: Domain = "logits",
) -> MaskSet:
    """The masks of a blend at full resolution, made when asked for: the very ones that BlendSpace.dice scores.

    weights: K numbers >= 0, normalised, or {class: K numbers} with "*"; thresholds: a probability, or one a class.
    domain: what is averaged, logits or probabilities. Images are those of the first store; give the result to
    submission.write through [(i, c, m[i][c]) for i in m for c in m.classes]. Errors are those of blend().
    """
    if not stores:
        raise ValueError("a blend needs at least one store")
    first = stores[0]
    agree(stores, first.ids)
    share = dict(zip(first.classes, shares(weights, first.classes, len(stores))))
    cuts = {c: cut(t, domain) for c, t in per_class(thresholds, first.classes).items()}
    slack = margin(stores, domain)

    @lru_cache(maxsize=1)
    def of(image: str) -> list[np.ndarray]:
        return [store.levels(image) for store in stores]

    def load(image: str, cls: str) -> Runs:
        channel, size = first.classes.index(cls), first.sizes[image]
        one = [plane(store, levels[channel], domain) for store, levels in zip(stores, of(image))]
        box = active_region(one, size, np.float32(cuts[cls] - slack))
        if box is None:
            return Runs(np.zeros((0, 2), np.int64), size)
        total = weighted_sum([resize.upsample(p, size, region=box) for p in one], share[cls])
        return Runs.from_region(total > cuts[cls], box[0], box[1], size)

    return MaskSet(first.ids, first.classes, load, sizes=first.sizes)


def weighted_sum(values: Sequence[np.ndarray] | np.ndarray, weights: np.ndarray) -> np.ndarray:
    """0 + w1 * v1 + w2 * v2 + ..., all float32, in this order; what weighs nothing is not looked at."""
    total = np.zeros(values[0].shape, np.float32)
    part = np.empty_like(total)
    for value, weight in zip(values, weights):
        if weight:
            total += np.multiply(value, weight, out=part)
    return total


def normalised(weights: Any, count: int) -> np.ndarray:
    """(count,) float64 weights that add up to 1; equal ones for None. ValueError for what cannot be that."""
    try:
        share = np.full(count, 1.0) if weights is None else np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        share = np.zeros(0)
    if share.shape != (count,) or not (share >= 0).all() or not 0 < share.sum() < np.inf:
        raise ValueError(f"{count} stores want as many weights >= 0, not all 0; got {weights}")
    return share / share.sum()


def shares(weights: Weights, classes: Sequence[str], count: int) -> np.ndarray:
    """(classes, count) float32 normalised weights of each class."""
    if not isinstance(weights, Mapping):
        return np.tile(normalised(weights, count).astype(np.float32), (len(classes), 1))
    out = []
    for cls, setting in per_class(weights, classes).items():
        try:
            out.append(normalised(setting, count))
        except ValueError as error:
            raise ValueError(f"class {cls}: {error}") from error
    return np.array(out).astype(np.float32)


def plane(store: PredictionStore, levels: np.ndarray, domain: Domain) -> np.ndarray:
    """float32 (h, w) of what is averaged, from one class of store.levels(image): a whole image is much to convert."""
    logits = levels.astype(np.float32) * np.float32(store.scale)
    return logits if domain == "logits" else resize.sigmoid(logits).astype(np.float32)


def cut(threshold: float, domain: Domain) -> np.floating:
    """The float32 value that a blend must exceed at this threshold. ValueError outside [0, 1], or another domain."""
    if domain not in ("logits", "probs"):
        raise ValueError(f"domain={domain!r}: logits or probs is wanted")
    in_logits = resize.cut(threshold)
    return in_logits if domain == "logits" else np.float32(threshold)


def margin(stores: Sequence[PredictionStore], domain: Domain) -> float:
    """How far rounding can carry a blend out of the range of its values, four times over.

    K products, K sums and K weights, each rounded by at most 2**-24 of the largest value.
    """
    largest = max(LEVELS * store.scale for store in stores) if domain == "logits" else 1.0
    return (len(stores) + 4) * 2**-22 * largest


def active_region(one: Sequence[np.ndarray], size: tuple[int, int], level: np.floating) -> resize.Region | None:
    """The box outside which no plane is above `level`; None where none is anywhere."""
    boxes = [box for p in one if (box := resize.active_region(p, size, level)) is not None]
    if not boxes:
        return None
    top, left, bottom, right = zip(*boxes)
    return min(top), min(left), max(bottom), max(right)


def agree(stores: Sequence[PredictionStore], ids: Sequence[str]) -> None:
    """ValueError where classes or sizes differ from the first store's, KeyError where one lacks an image."""
    first = stores[0]
    for store in stores[1:]:
        if store.classes != first.classes:
            raise ValueError(f"{store.path} and {first.path} differ in their classes or their order")
    for store in stores:
        done = store.done
        missing = [i for i in ids if i not in done]
        if missing:
            raise KeyError(f"{store.path} lacks {len(missing)} images: {', '.join(missing[:3])} ...")
        other = [i for i in ids if store.sizes[i] != first.sizes[i]]
        if other:
            raise ValueError(f"{store.path} and {first.path} differ in the size of {', '.join(other[:3])}")
