"""Scores of parts of the images, or of single classes, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from segkit.metrics.scores import Scores


def join(parts: Sequence[Scores], ids: Sequence[str]) -> Scores:
    """Put the scores of different images together.

    Args:
        parts: Scores of one metric, of the same classes.
        ids: All images, in the order wanted.

    Returns:
        The scores of all images.
    """
    found = replace(_joined(parts, axis=0), ids=tuple(image for part in parts for image in part.ids))
    return found.subset(ids)


def join_classes(columns: Mapping[str, Scores]) -> Scores:
    """Put the scores of different classes of the same images together.

    Args:
        columns: {class: scores that know it}, of one metric and the same images.

    Returns:
        The scores of these classes, in this order.
    """
    return replace(_joined([scores.select([cls]) for cls, scores in columns.items()], axis=1), classes=tuple(columns))


def _joined(found: Sequence[Scores], axis: int) -> Scores:
    """The arrays of all, one after another along an axis; the rest is that of the first."""
    targets = [one.target for one in found if one.target is not None]
    return replace(
        found[0],
        parts=tuple(np.concatenate(arrays, axis=axis) for arrays in zip(*(one.parts for one in found))),
        cells=np.concatenate([one.cells for one in found], axis=axis),
        target=np.concatenate(targets, axis=axis) if targets else None,
    )
