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
        masks: All predicted and all true masks.
    """

    image: str
    cls: str
    pred: Runs
    truth: Runs
    ignore: Runs | None
    masks: tuple[MaskSet, MaskSet]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image. ValueError where neither the masks nor the truth know them."""
        shape = self.truth.shape or self.pred.shape or self.masks[1].sizes.get(self.image)
        if shape is None:
            raise ValueError(f"image {self.image}, class {self.cls}: expected masks that know their image's size")
        return shape

    def objects(self) -> tuple[list[Runs], list[Runs]]:
        """Predicted and true objects: what `objects(id, cls)` of the masks gives, else 8-connected parts."""
        return self._objects(self.masks[0], self.pred), self._objects(self.masks[1], self.truth)

    def _objects(self, masks: MaskSet, mask: Runs) -> list[Runs]:
        own = getattr(masks, "objects", None)
        if own is None:
            return mask.with_shape(self.shape).components()
        found = [each - self.ignore if self.ignore else each for each in own(self.image, self.cls)]
        return [each for each in found if each]


def pairs(pred: MasksLike, truth: MasksLike) -> Iterator[Pair]:
    """Yield the pairs of every image and class of the truth, in its order.

    Args:
        pred: Predicted masks.
        truth: True masks. Pixels of `truth.ignore(id)` are taken out of both.

    Yields:
        One Pair for each image and class.

    Raises:
        ValueError: If one of the two lacks an image or class, or if their masks differ in size. It names both.
    """
    pred, truth = as_masks(pred), as_masks(truth)
    for image in truth.ids:
        ignore = truth.ignore(image)
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
            yield Pair(image, cls, mask, target, ignore, (pred, truth))
