"""COCO's run lengths: {"size": [height, width], "counts": ...}, column by column, zeros first.

Three kinds of counts stand for the same numbers: a list (uncompressed), and text or bytes (compressed: differences to
the count before the last, 5 bits a character). They are read alike. Written so that pycocotools writes the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from segkit.rle._arrays import bounds, from_counts, join_touching
from segkit.rle._checks import as_shape, known_shape
from segkit.rle.runs import Runs

Counts = Literal["text", "bytes", "list"]


def to_coco(runs: Runs, *, counts: Counts = "text") -> dict[str, Any]:
    """COCO's run lengths of a mask.

    Args:
        runs: The mask, with a shape.
        counts: "text" (compressed, goes into JSON), "bytes" (compressed, as pycocotools.mask gives it) or "list"
            (uncompressed).

    Returns:
        {"size": [height, width], "counts": ...}.

    Raises:
        ValueError: For runs without a shape, or another kind of counts.

    Example:
        >>> to_coco(Runs([[1, 4]], (2, 3)), counts="list")
        {'size': [2, 3], 'counts': [1, 2, 1, 1, 1]}
    """
    if runs.shape is None:
        raise ValueError("COCO's run lengths need the image's shape: pass runs.with_shape((height, width))")
    if counts not in ("text", "bytes", "list"):
        raise ValueError(f"expected counts 'text', 'bytes' or 'list', got counts={counts!r}")
    height, width = runs.shape
    columns = runs.transpose().array
    edges = np.r_[0, columns.ravel(), height * width]
    numbers = np.diff(edges)
    if numbers[-1] == 0 and len(numbers) > 1:  # the mask ends with ones
        numbers = numbers[:-1]
    if counts == "list":
        return {"size": [height, width], "counts": numbers.tolist()}
    packed = _pack(numbers)
    return {"size": [height, width], "counts": packed if counts == "bytes" else packed.decode("ascii")}


def from_coco(value: Mapping[str, Any]) -> Runs:
    """Runs of COCO's run lengths.

    Args:
        value: {"size": [height, width], "counts": text, bytes or a list}.

    Returns:
        The mask, with its shape.

    Raises:
        ValueError: Where a key is missing, for polygons, counts that are negative or no integers, compressed counts
            that are cut off or hold another character, and counts that do not add up to the image's pixels.

    Example:
        >>> from_coco({"size": [2, 3], "counts": "121O0"}).text()
        '2 3'
    """
    return _runs(value, None)


def repaired_counts(value: Mapping[str, Any]) -> tuple[Runs, list[str]]:
    """What formats.repair_coco gives.

    Args:
        value: {"size": [height, width], "counts": text, bytes or a list}.

    Returns:
        The runs, and a note for each change.
    """
    notes: list[str] = []
    return _runs(value, notes), notes


def _runs(value: Mapping[str, Any], notes: list[str] | None) -> Runs:
    """Strict where there is no list for notes."""
    if not isinstance(value, Mapping) or not {"size", "counts"} <= set(value):
        got = f"the keys {sorted(map(str, value))}" if isinstance(value, Mapping) else type(value).__name__
        polygons = "; these are polygons: see segkit.geometry.polygons.rasterize" if isinstance(value, list) else ""
        raise ValueError(f"COCO run lengths have the keys 'size' and 'counts', got {got}{polygons}")
    height, width = as_shape(value["size"])
    counts = value["counts"]
    if isinstance(counts, (str, bytes)):
        numbers = _unpack(counts.encode() if isinstance(counts, str) else counts, notes)
    elif isinstance(counts, (Sequence, np.ndarray)):
        numbers = np.asarray(counts) if len(counts) else np.zeros(0, np.int64)
        if numbers.ndim != 1 or not np.issubdtype(numbers.dtype, np.integer):
            raise ValueError(f"COCO counts are a list of integers, got {numbers.dtype} of shape {numbers.shape}")
    else:
        raise ValueError(f"COCO counts are text, bytes or a list, got {type(counts).__name__}")
    if (numbers < 0).any():
        at = int(np.argmax(numbers < 0))
        raise ValueError(f"COCO count {at + 1} is {numbers[at]}: counts are 0 or more")
    total, pixels = sum(numbers.tolist()), height * width  # of Python's integers, which do not wrap
    if total != pixels:
        if notes is None:
            raise ValueError(f"COCO counts add up to {total}, an image of size {[height, width]} has {pixels}")
        if total < pixels:
            notes.append(f"took {pixels - total} pixels that no count covers, the last of {pixels}, as background")
        else:
            notes.append(f"cropped counts that add up to {total} at the image's {pixels} pixels")
    columns = np.minimum(from_counts(np.minimum(numbers, pixels)), pixels)
    columns = join_touching(columns[columns[:, 1] > columns[:, 0]])
    return Runs._trusted(np.ascontiguousarray(columns), (width, height)).transpose()


def box(runs: Runs) -> list[int]:
    """COCO's bounding box.

    Args:
        runs: A mask with a shape and a pixel at least.

    Returns:
        [x, y, width, height].
    """
    top, left, bottom, right = bounds(runs.array, known_shape(runs.shape, "a box")[1])
    return [left, top, right - left, bottom - top]


def _pack(numbers: np.ndarray) -> bytes:
    """Least bits first, 5 in a character from "0" on; 32 says that more follow, 16 of the last is the sign."""
    change = numbers.astype(np.int64)
    change[3:] -= numbers[1:-2]
    size = np.ones(len(change), np.int64)
    while (wide := (change >> (5 * size - 1)) != (change >> 63)).any():  # the rest is not mere sign yet
        size[wide] += 1
    number = np.repeat(np.arange(len(change)), size)
    place = np.arange(len(number)) - np.repeat(np.cumsum(size) - size, size)
    more = place < size[number] - 1
    return (((change[number] >> (5 * place)) & 31) + 32 * more + 48).astype(np.uint8).tobytes()


def _unpack(packed: bytes, notes: list[str] | None) -> np.ndarray:
    if not packed:
        return np.zeros(0, np.int64)
    codes = np.frombuffer(packed, np.uint8).astype(np.int64) - 48
    if ((codes < 0) | (codes > 63)).any():
        at = int(np.argmax((codes < 0) | (codes > 63)))
        raise ValueError(f"character {at + 1} of COCO's counts is {packed[at : at + 1]!r}, expected '0' to 'o'")
    ends = np.flatnonzero(codes < 32)
    if not len(ends) or ends[-1] != len(codes) - 1:
        if notes is None:
            raise ValueError("COCO's compressed counts are cut off: the last character says that more follow")
        notes.append("dropped a last count that is cut off")
        if not len(ends):
            return np.zeros(0, np.int64)
        codes = codes[: ends[-1] + 1]
    first = np.r_[0, ends[:-1] + 1]
    size = ends + 1 - first
    if size.max() > 12:
        raise ValueError(f"a number of COCO's compressed counts has {size.max()} characters: no image is that large")
    place = np.arange(len(codes)) - np.repeat(first, size)
    change = np.add.reduceat((codes & 31) << (5 * place), first)
    change -= np.where(codes[ends] & 16, np.int64(1) << (5 * size), 0)
    change[1::2] = np.cumsum(change[1::2])  # each is a difference to the count before the last,
    change[2::2] = np.cumsum(change[2::2])  # but the first three
    return change
