"""Steps from one full-resolution mask to another: a bool (H, W) array or Runs with a shape in, the same kind out.

Inputs are left alone. Steps work on runs, or on the box around the mask: never on full-size arrays of all classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import cv2
import numpy as np

from segkit.rle import Runs, joined

Mask = TypeVar("Mask", np.ndarray, Runs)


def keep_largest(mask: Mask, *, k: int = 1) -> Mask:
    """Keep the k largest 8-connected components.

    Deletes truth where a class has more components (finger-3's sesamoid bone).

    Args:
        mask: Bool array (H, W), or Runs with a shape.
        k: Number of components to keep; of equal areas the first in reading order.

    Returns:
        Mask of the kind that was given.

    Raises:
        ValueError: If k is no integer of at least 1, or the mask has no shape.

    Example:
        >>> keep_largest(np.array([[1, 1, 0, 1]], bool)).astype(int)
        array([[1, 1, 0, 0]])
    """
    if not _is_integer(k) or k < 1:
        raise ValueError(f"k={k!r}: expected an integer of at least 1, the number of components to keep")

    def step(runs: Runs) -> Runs:
        parts = runs.components(keep=lambda areas: areas >= np.sort(areas)[-k:][0])  # more than k where areas are equal
        return joined(sorted(parts, key=lambda part: -part.area)[:k], runs.shape)

    return _on_runs(mask, step)


def remove_small(mask: Mask, *, min_area: float) -> Mask:
    """Remove small 8-connected components.

    Args:
        mask: Bool array (H, W), or Runs with a shape.
        min_area: Components of fewer full-resolution pixels are removed.

    Returns:
        Mask of the kind that was given.

    Raises:
        ValueError: If min_area is no number of at least 0, or the mask has no shape.

    Example:
        >>> remove_small(np.array([[1, 1, 0, 1]], bool), min_area=2).astype(int)
        array([[1, 1, 0, 0]])
    """
    if not _is_number(min_area) or not min_area >= 0:
        raise ValueError(f"min_area={min_area!r}: expected a number of pixels, 0 or more")

    def step(runs: Runs) -> Runs:
        return joined(runs.components(keep=lambda areas: areas >= min_area), runs.shape)

    return _on_runs(mask, step)


def fill_holes(mask: Mask, *, max_area: float | None = None) -> Mask:
    """Fill 4-connected background regions that do not touch the image's edge.

    Args:
        mask: Bool array (H, W), or Runs with a shape.
        max_area: Largest hole that is filled, in full-resolution pixels; None fills all.

    Returns:
        Mask of the kind that was given.

    Raises:
        ValueError: If max_area is neither None nor a number of at least 0, or the mask has no shape.

    Example:
        >>> fill_holes(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)).all()
        np.True_
    """
    if max_area is not None and (not _is_number(max_area) or not max_area >= 0):
        raise ValueError(f"max_area={max_area!r}: expected a number of pixels, 0 or more, or None")

    def step(runs: Runs) -> Runs:
        return joined([runs, *runs.holes(max_area=max_area)])

    return _on_runs(mask, step)


def opening(mask: Mask, *, radius: int) -> Mask:
    """Erode, then dilate, by a disc: thin bridges and spurs go.

    A mask that the image's edge cuts off keeps its corners there.

    Args:
        mask: Bool array (H, W), or Runs with a shape.
        radius: Of the disc, full-resolution pixels, at least 1.

    Returns:
        Mask of the kind that was given.

    Raises:
        ValueError: If radius is no integer of at least 1, or the mask has no shape.
    """
    return _morphology(mask, radius, cv2.MORPH_OPEN)


def closing(mask: Mask, *, radius: int) -> Mask:
    """Dilate, then erode, by a disc: narrow gaps close, also between a mask and the image's edge.

    Args:
        mask: Bool array (H, W), or Runs with a shape.
        radius: Of the disc, full-resolution pixels, at least 1.

    Returns:
        Mask of the kind that was given.

    Raises:
        ValueError: If radius is no integer of at least 1, or the mask has no shape.
    """
    return _morphology(mask, radius, cv2.MORPH_CLOSE)


def smooth(mask: Mask, *, radius: int) -> Mask:
    """Smooth the contour with a median filter: set where more than half of the disc around the pixel is.

    Straight edges stay, the image's edge neither eats nor adds, corners are rounded, and what is thinner than about
    the radius is gone, a small second component too. Helps where contours follow the network's resolution; harms
    classes of a few pixels.

    Args:
        mask: Bool array (H, W), or Runs with a shape.
        radius: Of the disc, full-resolution pixels, at least 1.

    Returns:
        Mask of the kind that was given.

    Raises:
        ValueError: If radius is no integer of at least 1, or the mask has no shape.

    Example:
        >>> smooth(np.array([[1, 1, 0, 1, 1], [1, 1, 1, 1, 1]], bool), radius=1).all()
        np.True_
    """
    disc = _disc(radius)

    def majority(box: np.ndarray) -> np.ndarray:
        pixels = cv2.filter2D(np.ones_like(box), cv2.CV_32F, disc, borderType=cv2.BORDER_CONSTANT)
        inside = cv2.filter2D(box, cv2.CV_32F, disc, borderType=cv2.BORDER_CONSTANT)
        return 2 * np.rint(inside) > np.rint(pixels)  # a large disc is summed by Fourier transform: counts again

    return _on_box(mask, 2 * radius + 1, majority)


STEPS: dict[str, Callable[..., Any]] = {
    step.__name__: step for step in (keep_largest, remove_small, fill_holes, opening, closing, smooth)
}
"""{name: step} of all steps on masks."""


def shape_of(runs: Runs) -> tuple[int, int]:
    """The shape of a mask.

    Args:
        runs: The mask.

    Returns:
        (H, W).

    Raises:
        ValueError: If the runs have none.
    """
    if runs.shape is None:
        raise ValueError("post-processing needs the image's shape: pass runs.with_shape((height, width))")
    return runs.shape


def _on_runs(mask: Mask, step: Callable[[Runs], Runs]) -> Mask:
    """`step` on the runs of a mask of either kind."""
    if isinstance(mask, Runs):
        shape_of(mask)
        return step(mask)
    return step(Runs.from_mask(mask)).mask()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _disc(radius: int) -> np.ndarray:
    """The disc of a radius, uint8. ValueError for a radius that is none."""
    if not _is_integer(radius) or radius < 1:
        raise ValueError(f"radius={radius!r}: expected an integer number of pixels, at least 1")
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def _morphology(mask: Mask, radius: int, operation: int) -> Mask:
    disc = _disc(radius)
    return _on_box(mask, 2 * radius + 1, lambda box: cv2.morphologyEx(box, operation, disc))


def _on_box(mask: Mask, margin: int, step: Callable[[np.ndarray], np.ndarray]) -> Mask:
    """`step` on the uint8 box around the mask, `margin` wider on each side where the image goes on there."""

    def boxed(runs: Runs) -> Runs:
        height, width = shape_of(runs)
        found = runs.box()
        if found is None:
            return runs
        top, left, bottom, right = found
        top, bottom = max(top - margin, 0), min(bottom + margin, height)
        left, right = max(left - margin, 0), min(right + margin, width)
        box = np.ascontiguousarray(runs.crop(top, left, bottom, right)).view(np.uint8)
        return Runs.from_region(step(box), top, left, (height, width))

    return _on_runs(mask, boxed)
