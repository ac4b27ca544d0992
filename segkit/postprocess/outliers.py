"""Masks of unexpected area or place: reported, not changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from segkit.masks import MaskSet, as_masks
from segkit.metrics import MasksLike
from segkit.rle import Runs

FEWEST = 4
"""Quartiles of fewer masks say nothing."""


class Flag(NamedTuple):
    """One mask that is unlike the reference's masks of its class.

    Attributes:
        image: Image id.
        cls: Class.
        kind: "area" (share of the image's pixels), "row" or "column" (centre, as a share of height or width), "absent"
            (empty, where no mask of the reference is) or "present" (not empty, where all of the reference are).
        value: What was measured.
        low: Least expected value.
        high: Largest expected value.
    """

    image: str
    cls: str
    kind: str
    value: float
    low: float
    high: float

    @property
    def what(self) -> str:
        """The finding without image and class."""
        if self.kind in ("absent", "present"):
            return f"{self.kind}, unlike in every reference image"
        return f"{self.kind} {self.value:.4g} is outside {self.low:.4g} to {self.high:.4g}"

    def __str__(self) -> str:
        return f"{self.image}, {self.cls}: {self.what}"


def flags(masks: MasksLike, reference: MasksLike, *, reach: float = 3.0) -> list[Flag]:
    """The masks of unexpected area or place; nothing is changed.

    Helps to find swapped or shifted masks in a submission that has no truth; a rare pose is flagged as well.

    Args:
        masks: A prediction: a MaskSet, or {image: {class: Runs or mask}}, whose images' sizes are known.
        reference: How masks should be, usually the truth of the training images; its classes are the ones judged.
        reach: A value is unexpected beyond the reference's quartiles by more than `reach` times their distance
            (Tukey's fences; areas in logarithms). A class with fewer than 4 masks in the reference that are not empty
            is judged by "absent" and "present" alone.

    Returns:
        Flags in the order of `masks`.

    Raises:
        ValueError: For a reach below 0, a class that `masks` lacks, or an image of unknown size (read CSVs with
            sizes=).

    Example:
        >>> square = np.zeros((8, 8), bool)
        >>> square[2:4, 2:4] = True
        >>> print(*flags({"new": {"Ulna": ~square}}, {i: {"Ulna": square} for i in "abcd"}), sep="; ")
        new, Ulna: area 0.9375 is outside 0.0625 to 0.0625; new, Ulna: row 0.5083 is outside ...
    """
    if not reach >= 0:
        raise ValueError(f"reach={reach}: expected 0 or more; 3 is usual")
    masks, reference = as_masks(masks), as_masks(reference)
    lacking = [c for c in reference.classes if c not in masks.classes]
    if lacking:
        raise ValueError(f"the masks have no class {', '.join(lacking)}, which the reference has")
    known = {cls: _Known(reference, cls, reach) for cls in reference.classes}
    found: list[Flag] = []
    for image in masks.ids:
        for cls in reference.classes:
            found += known[cls].judge(image, cls, _measures(masks, image, cls))
    return found


class _Known:
    """What the reference says about one class."""

    def __init__(self, reference: MaskSet, cls: str, reach: float) -> None:
        measured = [_measures(reference, image, cls) for image in reference.ids]
        there = [m for m in measured if m is not None]
        self.always, self.never = len(there) == len(measured) > 0, not there
        self.fences: dict[str, tuple[float, float]] = {}
        if len(there) >= FEWEST:
            for kind in there[0]:
                values = np.array([m[kind] for m in there])
                values = np.log(values) if kind == "area" else values
                first, third = np.quantile(values, [0.25, 0.75])
                low, high = first - reach * (third - first), third + reach * (third - first)
                self.fences[kind] = (np.exp(low), np.exp(high)) if kind == "area" else (low, high)

    def judge(self, image: str, cls: str, measured: dict[str, float] | None) -> list[Flag]:
        """The flags of one mask."""
        if measured is None:
            return [Flag(image, cls, "absent", 0.0, *self.fences.get("area", (0.0, 1.0)))] if self.always else []
        if self.never:
            return [Flag(image, cls, "present", measured["area"], 0.0, 0.0)]
        return [
            Flag(image, cls, kind, measured[kind], float(low), float(high))
            for kind, (low, high) in self.fences.items()
            if not low - SLACK <= measured[kind] <= high + SLACK
        ]


SLACK = 1e-9
"""Rounding is no finding."""


def _measures(masks: MaskSet, image: str, cls: str) -> dict[str, float] | None:
    """Area and centre of a mask as shares of its image; None where it is empty."""
    try:
        runs = masks[image][cls]
    except KeyError as error:
        raise ValueError(f"the masks lack image {image}, class {cls}: {error.args[0]}") from error
    if not runs:
        return None
    shape = runs.shape or masks.sizes.get(image)
    if shape is None:
        raise ValueError(
            f"image {image}, class {cls}: the image's size is unknown; give runs with_shape((H, W)), or "
            "read a CSV with sizes={image: (H, W)}"
        )
    row, column = _centre(runs, shape[1])
    return {"area": runs.area / (shape[0] * shape[1]), "row": row / shape[0], "column": column / shape[1]}


def _centre(runs: Runs, width: int) -> tuple[float, float]:
    """The mean (row, column) of the pixels' middles, from the runs alone."""
    edges: np.ndarray = runs.array
    whole, part = np.divmod(edges, width)
    rows = width * (whole * (whole - 1) // 2) + whole * part  # sum of i // width over i below the edge
    places = edges * (edges - 1) // 2  # sum of i
    area = runs.area
    row = int((rows[:, 1] - rows[:, 0]).sum())
    place = int((places[:, 1] - places[:, 0]).sum())
    return row / area + 0.5, (place - width * row) / area + 0.5
