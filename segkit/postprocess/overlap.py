"""Pairs of classes that may not share pixels: of one image's masks, all classes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from segkit.files import nearest
from segkit.geometry import resize
from segkit.postprocess.steps import shape_of
from segkit.rle import Runs


def limit_overlap(
    masks: Mapping[str, Runs],
    *,
    pairs: Sequence[tuple[str, str]],
    logits: Mapping[str, np.ndarray] | None = None,
    allowed: float = 0,
) -> dict[str, Runs]:
    """Take the pixels that the classes of a pair share from one of the two; all other classes may overlap.

    Helps where two bones that never cover each other run together; harms where an image truly shows one through the
    other: on radiographs many pairs overlap.

    Args:
        masks: {class: Runs} of one image.
        pairs: (winner, loser), in the order they are worked off.
        logits: {class: low-resolution logits (h, w)}: then each shared pixel goes to the class that is more probable
            there at full resolution, of equals to the winner. None gives all to the winner.
        allowed: Number of shared pixels up to which a pair is left alone.

    Returns:
        {class: Runs}, all classes, in the order of `masks`.

    Raises:
        ValueError: For an unknown class, a class paired with itself, masks of different shapes or allowed < 0.

    Example:
        >>> limit_overlap({"a": Runs([[0, 4]], (1, 9)), "b": Runs([[2, 7]], (1, 9))}, pairs=[("a", "b")])["b"].text()
        '5 3'
    """
    if not allowed >= 0:
        raise ValueError(f"allowed={allowed}: expected a number of pixels, 0 or more")
    out = dict(masks)
    for first, second in pairs:
        for cls in (first, second):
            for what, known in (("mask", out), ("logits", out if logits is None else logits)):
                if cls not in known:
                    raise ValueError(f"the pair ({first}, {second}): no {what} of class {cls!r}; {nearest(cls, known)}")
        if first == second:
            raise ValueError(f"the pair ({first}, {second}) is one class: expected two")
        try:
            common = out[first] & out[second]
        except ValueError as error:
            raise ValueError(f"the pair ({first}, {second}): {error}") from error
        if not common or common.area <= allowed:
            continue
        if logits is not None:
            lost = _where_above(logits[second], logits[first], common)
            out[first] -= lost
            common -= lost
        out[second] -= common
    return out


def keep_apart(own: Mapping[str, Runs], changed: Mapping[str, Runs]) -> dict[str, Runs]:
    """Steps on exclusive classes must neither take pixels from another class nor share them.

    Args:
        own: {class: Runs} of one image; no two share pixels.
        changed: The same after steps.

    Returns:
        {class: Runs}: what a step adds is kept where it is nobody's, for the first class that adds it.

    Example:
        >>> own = {"a": Runs([[0, 2]], (1, 9)), "b": Runs([[4, 6]], (1, 9))}
        >>> changed = {"a": Runs([[0, 6]], (1, 9)), "b": Runs([[3, 5]], (1, 9))}
        >>> {cls: runs.text() for cls, runs in keep_apart(own, changed).items()}
        {'a': '1 4 6 1', 'b': '5 1'}
    """
    out = {cls: runs if runs is own[cls] else runs & own[cls] for cls, runs in changed.items()}
    for cls, runs in changed.items():
        if runs is own[cls] or not (added := runs - own[cls]):
            continue
        for other in out.values():
            added -= other
        out[cls] = out[cls] | added
    return out


def _where_above(logits: np.ndarray, other: np.ndarray, runs: Runs) -> Runs:
    """The pixels of `runs` where `logits` are strictly above `other`, upsampled in their box alone."""
    size = shape_of(runs)
    first, last = runs.array[:, 0], runs.array[:, 1] - 1
    top, bottom = int(first[0]) // size[1], int(last[-1]) // size[1] + 1
    left, right = int((first % size[1]).min()), int((last % size[1]).max()) + 1
    if (first // size[1] != last // size[1]).any():  # a run that goes on in the next row
        left, right = 0, size[1]
    box = (top, left, bottom, right)
    above = resize.upsample(logits, size, region=box) > resize.upsample(other, size, region=box)
    return runs & Runs.from_region(above, top, left, size)
