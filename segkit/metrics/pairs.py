"""Walk through predictions and truth together, pixels that are to be ignored taken out of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from segkit.masks import MaskSet, as_masks, true_runs
from segkit.rle import Runs

MasksLike = MaskSet | Mapping[str, Mapping[str, Runs | np.ndarray]]
"""A MaskSet, or any {image: {class: Runs or mask}}."""


class Pair(NamedTuple):
    """The predicted and the true mask of one image and class.

    Attributes:
        image: Image id.
        cls: Class name.
        pred: Predicted mask without ignored pixels.
        truth: True mask without ignored pixels.
        ignore: The ignored pixels of the image; None where there are none.
    """

    image: str
    cls: str
    pred: Runs
    truth: Runs
    ignore: Runs | None

    @property
    def shape(self) -> tuple[int, int] | None:
        """(height, width) where one of the two masks knows it."""
        return self.truth.shape or self.pred.shape


def pairs(pred: MasksLike, truth: MasksLike) -> Iterator[Pair]:
    """Yield the pairs of every image and class of the truth, in its order.

    Args:
        pred: Predicted masks.
        truth: True masks. Where it has a method `ignore(id)` that returns Runs, those pixels are taken out of both.

    Yields:
        One Pair for each image and class.

    Raises:
        ValueError: If one of the two lacks an image or class, or if their masks differ in size. It names both.
    """
    pred, truth = as_masks(pred), as_masks(truth)
    ignored = getattr(truth, "ignore", None)
    for image in truth.ids:
        ignore = ignored(image) if ignored else None
        for cls in truth.classes:
            target = true_runs(truth, image, cls)
            try:
                mask = pred[image][cls]
            except KeyError as error:
                raise ValueError(f"the prediction lacks image {image}, class {cls}: {error.args[0]}") from error
            try:
                if ignore:
                    mask, target = mask - ignore, target - ignore
                if mask.shape and target.shape and mask.shape != target.shape:
                    mask.intersection(target)  # says what is wrong
            except ValueError as error:
                raise ValueError(f"image {image}, class {cls}: {error}") from error
            yield Pair(image, cls, mask, target, ignore)
