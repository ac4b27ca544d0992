"""Pairs of classes that may not share pixels: of one image's masks, all classes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segkit.files import nearest
from segkit.geometry import resize
from segkit.postprocess.steps import _shape
from segkit.rle import Runs


def limit_overlap(
    masks: Mapping[str, Runs],
    *,
    pairs: Sequence[tuple[str, str]],
    planes: Mapping[str, np.ndarray] | None = None,
    allowed: float = 0,
) -> dict[str, Runs]:
    """Take the pixels that the classes of a pair share from one of the two; all other classes may overlap.

    masks: {class: Runs} of one image; pairs: (winner, loser), in the order they are worked off. planes: {class:
    low-resolution logits (h, w)}, then each pixel goes to the class that is more probable there (of equals to the
    winner), at full resolution. allowed: pixels that a pair may share, then it is left alone.
    -> {class: Runs}, all classes, in the order of `masks`. ValueError for an unknown class, a class paired with itself,
    masks of different shapes or allowed < 0. Helps where two bones that never cover each other run together; harms
    where an image truly shows one through the other: on radiographs many pairs overlap.

    >>> limit_overlap({"a": Runs([[0, 4]], (1, 9)), "b": Runs([[2, 7]], (1, 9))}, pairs=[("a", "b")])["b"].text()
    '5 3'
    """
    if not allowed >= 0:
        raise ValueError(f"allowed={allowed}: pixels, 0 or more, are wanted")
    out = dict(masks)
    for first, second in pairs:
        for cls in (first, second):
            for what, known in (("mask", out), ("plane", out if planes is None else planes)):
                if cls not in known:
                    raise ValueError(f"the pair ({first}, {second}): no {what} of class {cls!r}; {nearest(cls, known)}")
        if first == second:
            raise ValueError(f"the pair ({first}, {second}) is one class: two are wanted")
        try:
            common = out[first] & out[second]
        except ValueError as error:
            raise ValueError(f"the pair ({first}, {second}): {error}") from error
        if not common or common.area <= allowed:
            continue
        if planes is not None:
            lost = _where_above(planes[second], planes[first], common)
            out[first] -= lost
            common -= lost
        out[second] -= common
    return out


def _where_above(plane: np.ndarray, other: np.ndarray, runs: Runs) -> Runs:
    """The pixels of `runs` where `plane` is strictly above `other`, upsampled in their box alone."""
    size = _shape(runs)
    first, last = runs.array[:, 0], runs.array[:, 1] - 1
    top, bottom = int(first[0]) // size[1], int(last[-1]) // size[1] + 1
    left, right = int((first % size[1]).min()), int((last % size[1]).max()) + 1
    if (first // size[1] != last // size[1]).any():  # a run that goes on in the next row
        left, right = 0, size[1]
    box = (top, left, bottom, right)
    above = resize.upsample(plane, size, region=box) > resize.upsample(other, size, region=box)
    return runs & Runs.from_region(above, top, left, size)
