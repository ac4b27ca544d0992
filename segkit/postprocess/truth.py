"""The truth of a store's images, read once for many Pipelines."""

from __future__ import annotations

from collections.abc import Sequence

from segkit.masks import MaskSet, as_masks, true_runs
from segkit.metrics import MasksLike
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.thresholds import images_of_both


def truth_of(store: PredictionStore, truth: MasksLike, ids: Sequence[str] | None = None) -> MaskSet:
    """The true masks of a store's images and classes, in the store's order; each is read once and kept.

    Args:
        store: Predictions.
        truth: True masks.
        ids: Images; default: all of the store that the truth has.

    Returns:
        The masks, of the sizes that the store says.

    Raises:
        ValueError: If the truth has none of the images, or lacks an image or a class; later, with image and class, if
            a mask is of another size than its image.
    """
    truth = as_masks(truth)
    if lacking := [cls for cls in store.classes if cls not in truth.classes]:
        raise ValueError(f"the truth has no class {', '.join(lacking)}")
    images = tuple(images_of_both(store, truth) if ids is None else ids)
    if unknown := [image for image in images if image not in truth or image not in store]:
        raise ValueError(f"{len(unknown)} images of ids= are not in both store and truth: {', '.join(unknown[:3])} ...")
    known: dict[tuple[str, str], Runs] = {}

    def load(image: str, cls: str) -> Runs:
        if (image, cls) not in known:
            known[image, cls] = true_runs(truth, image, cls, store.sizes[image], of=store.path)
        return known[image, cls]

    sizes = {image: store.sizes[image] for image in images}
    return MaskSet(images, store.classes, load, sizes=sizes, name=truth.name, ignore=truth.ignore)
