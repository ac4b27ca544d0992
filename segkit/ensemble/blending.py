"""The weighted mean of stored logits, as a new store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segkit.ensemble.weights import Weights, shares
from segkit.files import digest
from segkit.geometry import resize
from segkit.predictions import PredictionStore


def blend(
    stores: Sequence[PredictionStore], weights: Weights = None, *, out: str | Path, ids: Sequence[str] | None = None
) -> PredictionStore:
    """The weighted mean of the stores' logits, as a new store, image by image.

    Logits of lower resolution are upsampled to the highest. Killed half-way, the same call goes on where it stopped:
    an image is complete or not `done`, and `out` keeps of what it is made in its attributes.

    Args:
        stores: At least one; all hold the same classes, and sizes that agree.
        weights: K numbers >= 0, or {class: K numbers} with "*" for the others; None for equal ones; normalised.
        out: Folder of the new store.
        ids: Images, written in all stores; default: those of the first.

    Returns:
        The new store.

    Raises:
        ValueError: If stores do not agree, weights are negative or of another number, or `out` is anything but this
            very blend begun before (other weights, other stores, predictions written again since).
        KeyError: If a store lacks an image; then nothing is written.
    """
    if not stores:
        raise ValueError("expected at least one store, got none")
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
                logits = np.stack([resize.upsample(one, finest) for one in logits])
            total += logits * weight[:, None, None]
        mean.write_logits(image, total)
    return mean


def agree(stores: Sequence[PredictionStore], ids: Sequence[str]) -> None:
    """Check that stores can be averaged.

    Args:
        stores: At least one.
        ids: Images that all must have written.

    Raises:
        ValueError: If classes, sizes or `exclusive` differ from the first store's.
        KeyError: If a store lacks an image.
    """
    first = stores[0]
    for store in stores[1:]:
        if store.classes != first.classes:
            raise ValueError(f"{store.path} and {first.path} differ in their classes or their order")
        if store.exclusive != first.exclusive:
            raise ValueError(
                f"{store.path} and {first.path} differ: the classes of one are exclusive, the other's are not"
            )
    for store in stores:
        done = store.done
        missing = [i for i in ids if i not in done]
        if missing:
            raise KeyError(f"{store.path} lacks {len(missing)} images: {', '.join(missing[:3])} ...")
        other = [i for i in ids if store.sizes[i] != first.sizes[i]]
        if other:
            raise ValueError(f"{store.path} and {first.path} differ in the size of {', '.join(other[:3])}")


def store_names(stores: Sequence[PredictionStore]) -> tuple[str, ...]:
    """What stores are called.

    Args:
        stores: The stores.

    Returns:
        The names of their files, or the paths where those repeat.
    """
    stems = [store.path.stem for store in stores]
    return tuple(stems if len(set(stems)) == len(stems) else [str(store.path) for store in stores])


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
            exclusive=first.exclusive,
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
