"""Which class the pixels of a class are taken for: the confusion matrix of exclusive classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segkit.masks import as_masks
from segkit.metrics.pairs import MasksLike, pairs
from segkit.rle import Runs, at_least

if TYPE_CHECKING:
    import pandas as pd

NO_CLASS = "(no class)"
"""The row and the column of pixels that have none of the classes."""


def confusion(pred: MasksLike, truth: MasksLike) -> pd.DataFrame:
    """Count the pixels of every true class by the class that is predicted for them, in run space.

    Args:
        pred: Predicted masks; a pixel has at most one class.
        truth: True masks, likewise; its images and classes are those that count, pixels of `truth.ignore(id)` do not.

    Returns:
        Pixels over all images, int64, true class x predicted class, `NO_CLASS` last in both. What is in no class in
        both is counted where the truth knows the image's size.

    Raises:
        ValueError: If the prediction lacks an image or class, a mask has another size, or a pixel has two classes.

    Example:
        >>> truth = {"a": {"cat": np.array([[1, 1, 0]]), "dog": np.array([[0, 0, 1]])}}
        >>> pred = {"a": {"cat": np.array([[1, 0, 0]]), "dog": np.array([[0, 1, 0]])}}
        >>> confusion(pred, truth).to_numpy().tolist()
        [[1, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    import pandas as pd

    truth = as_masks(truth)
    count = len(truth.classes)
    total = np.zeros((count + 1, count + 1), np.int64)
    for image in truth.ids:
        found = list(pairs(pred, truth.subset([image])))
        predicted, true = [pair.pred for pair in found], [pair.truth for pair in found]
        for name, masks in (("prediction", predicted), ("truth", true)):
            if sum(mask.area for mask in masks) != _union(masks):
                raise ValueError(f"image {image}: expected one class a pixel, got pixels of several in the {name}")
        table = np.array([[t.intersection(p) for p in predicted] for t in true], np.int64).reshape(count, count)
        total[:count, :count] += table
        total[:count, count] += np.array([t.area for t in true], np.int64) - table.sum(axis=1)
        total[count, :count] += np.array([p.area for p in predicted], np.int64) - table.sum(axis=0)
        if image in truth.sizes:
            height, width = truth.sizes[image]
            ignored = truth.ignore(image)
            total[count, count] += height * width - (ignored.area if ignored else 0) - _union([*predicted, *true])
    names = [*truth.classes, NO_CLASS]
    return pd.DataFrame(total, index=pd.Index(names, name="true"), columns=pd.Index(names, name="predicted"))


def _union(masks: list[Runs]) -> int:
    """Pixels that at least one mask covers."""
    return at_least(masks, 1).area if masks else 0
