"""Average precision of objects, as nuclei, salt and vessels were scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from segkit.masks import MaskSet
from segkit.metrics.base import Empty, check_choice
from segkit.metrics.kinds import MaskMetric
from segkit.metrics.pairs import Pair
from segkit.rle import Runs, at_least


@dataclass(frozen=True)
class AveragePrecision(MaskMetric):
    """Mean over IoU thresholds of hits / (hits + missed objects + false objects), image by image.

    Data Science Bowl 2018 and Sartorius count so. A predicted object hits a true one where their IoU is above the
    threshold; each is matched once, pairs of the highest IoU first. There is no confidence of an object, so it is not
    the AP of COCO. With objects="mask" the whole mask is one object: TGS Salt.

    Args:
        empty: What counts where the truth has no object, see `MaskMetric`.
        iou_thresholds: IoUs between 0 and 1.
        objects: "components": 8-connected parts of the class mask; where masks know their own objects (a method
            `objects(id, cls)`, see `ObjectMasks`), those, so that touching objects stay apart. "mask": the whole mask.

    Example:
        >>> truth = {"a": {"x": np.array([[1, 1, 0, 1, 1, 0, 0]])}}
        >>> guess = {"a": {"x": np.array([[1, 1, 0, 0, 0, 0, 1]])}}
        >>> round(AveragePrecision(iou_thresholds=(0.5,))(guess, truth), 4)  # one hit, one missed, one false
        0.3333
    """

    empty: Empty = "one"
    iou_thresholds: tuple[float, ...] = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    objects: Literal["components", "mask"] = "components"

    name: ClassVar[str] = "average_precision"

    def __post_init__(self) -> None:
        """Check the settings."""
        check_choice(self, "empty", ("one", "zero", "skip"))
        check_choice(self, "objects", ("components", "mask"))
        given = self.iou_thresholds
        if not isinstance(given, list | tuple) or not given or not all(_is_share(each) for each in given):
            raise ValueError(f"average_precision: expected iou_thresholds between 0 and 1, got {given!r}")
        object.__setattr__(self, "iou_thresholds", tuple(float(each) for each in given))

    def value(self, pair: Pair) -> float:
        """See `MaskMetric.value`.

        Args:
            pair: A predicted and a true mask, neither empty.

        Returns:
            The value.
        """
        pred, truth = ([pair.pred], [pair.truth]) if self.objects == "mask" else pair.objects()
        hits = matched_ious(pred, truth)
        found = [int((hits > threshold).sum()) for threshold in self.iou_thresholds]
        return float(np.mean([n / (len(pred) + len(truth) - n) for n in found]))


def matched_ious(pred: Sequence[Runs], truth: Sequence[Runs]) -> np.ndarray:
    """Match objects one to one, pairs of the highest IoU first.

    Args:
        pred: Predicted objects.
        truth: True objects.

    Returns:
        IoU of each matched pair, float64, falling.

    Example:
        >>> matched_ious([Runs([[0, 4]]), Runs([[4, 8]])], [Runs([[0, 8]])]).tolist()
        [0.5]
    """
    common = _intersections(pred, truth)
    rows, columns = np.nonzero(common)
    areas = np.array([each.area for each in pred], np.int64), np.array([each.area for each in truth], np.int64)
    shared = common[rows, columns]
    ious = shared / (areas[0][rows] + areas[1][columns] - shared)
    taken: tuple[set[int], set[int]] = set(), set()
    matched = []
    for at in np.argsort(-ious, kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
            matched.append(ious[at])
    return np.array(matched, np.float64)


def _intersections(a: Sequence[Runs], b: Sequence[Runs]) -> np.ndarray:
    """(len(a), len(b)) int64 common pixels; only objects whose pixels lie in the same range are looked at."""
    out = np.zeros((len(a), len(b)), np.int64)
    first = np.array([each.array[0, 0] for each in b], np.int64)
    last = np.array([each.array[-1, 1] for each in b], np.int64)
    for row, each in enumerate(a):
        near = np.flatnonzero((first < each.array[-1, 1]) & (last > each.array[0, 0]))
        out[row, near] = [each.intersection(b[int(column)]) for column in near]
    return out


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1


class ObjectMasks(MaskSet):
    """Masks that are given object by object: the class mask is their union, `objects` gives them apart.

    Args:
        objects: {image: {class: [Runs or mask of an object, ...]}}; every image names every class.

    Example:
        >>> touching = ObjectMasks({"a": {"x": [np.array([[1, 1, 0, 0]]), np.array([[0, 0, 1, 1]])]}})
        >>> touching["a"]["x"].area, len(touching.objects("a", "x"))
        (4, 2)
    """

    def __init__(self, objects: Mapping[str, Mapping[str, Sequence[Runs | np.ndarray]]]) -> None:
        """Keep the objects; masks become runs."""
        self._objects = {
            image: {cls: [m if isinstance(m, Runs) else Runs.from_mask(m) for m in masks] for cls, masks in row.items()}
            for image, row in objects.items()
        }
        classes = dict.fromkeys(cls for row in self._objects.values() for cls in row)
        super().__init__(self._objects, classes, self._union)

    def objects(self, image: str, cls: str) -> list[Runs]:
        """Give the objects of an image and class.

        Args:
            image: Image id.
            cls: Class name.

        Returns:
            A mask for each object.
        """
        return self._objects[image][cls]

    def _union(self, image: str, cls: str) -> Runs:
        found = self._objects[image][cls]
        return at_least(found, 1) if found else Runs([])
