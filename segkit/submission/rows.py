"""Masks as they are given, as rows (image, class, mask) in the order to write, one in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from segkit.masks import MaskSet, as_masks
from segkit.rle import Runs
from segkit.submission.names import Size

Rows = Iterable[tuple[str, str, Any]]
Masks = MaskSet | Mapping[str, Mapping[str, Any]] | Rows
SizesLike = Size | Mapping[str, Size] | None


def rows_of(masks: Masks, ids: Sequence[str] | None = None) -> Iterator[tuple[str, str, Any]]:
    """The rows of masks.

    Args:
        masks: A MaskSet, {image: {class: mask}}, or rows (image, class, mask) as they come.
        ids: The images to write, in order; rows that come must be of these, in this order.

    Yields:
        (image, class, mask).

    Raises:
        ValueError: Where an image of `ids` is missing, or rows come in another order.
    """
    if not isinstance(masks, Mapping):
        yield from masks if ids is None else _in_order(masks, ids)
        return
    masks = as_masks(masks)
    if ids is None:
        for image, cls in masks.rows:
            yield image, cls, masks[image][cls]
        return
    for image in ids:
        if image not in masks:
            raise ValueError(f"image {image} is asked for, but {masks.name or 'the masks'} have none of it")
        for cls in masks.classes:
            yield image, cls, masks[image][cls]


def _in_order(rows: Rows, ids: Sequence[str]) -> Iterator[tuple[str, str, Any]]:
    """The rows, which must be of these images in this order."""
    at = -1
    for row in rows:
        if at < 0 or row[0] != ids[at]:
            at += 1
            if at == len(ids) or row[0] != ids[at]:
                asked = f"image {ids[at]} next" if at < len(ids) else "no row more"
                raise ValueError(f"expected {asked}, as ids say, got image {row[0]}, class {row[1]}")
        yield row
    if at + 1 < len(ids):
        raise ValueError(f"{len(ids) - at - 1} images of ids have no row, image {ids[at + 1]} for one")


def as_runs(mask: object, size: Size | None = None) -> Runs:
    """A mask as Runs.

    Args:
        mask: Runs, a bool or integer array (H, W), or row-major 1-based RLE text.
        size: (height, width), where known.

    Returns:
        Runs, of that size.

    Raises:
        ValueError: For anything else, and for a mask that does not fit the size.
    """
    if isinstance(mask, str):
        return Runs.from_text(mask, size)
    if isinstance(mask, np.ndarray) and mask.ndim:
        mask = Runs.from_mask(mask)
    if not isinstance(mask, Runs):
        raise ValueError(f"expected Runs, an (H, W) mask or RLE text, got {type(mask).__name__}")
    return mask if size is None else mask.with_shape(size)


def size_of(sizes: SizesLike, image: str) -> Size | None:
    """The size of an image.

    Args:
        sizes: One (height, width) for all, {image: (height, width)}, or None.
        image: The image's id.

    Returns:
        (height, width), or None where it is not known.
    """
    if sizes is None:
        return None
    height, width = found if (found := sizes.get(image) if isinstance(sizes, Mapping) else sizes) else (-1, -1)
    return None if height < 0 else (int(height), int(width))
