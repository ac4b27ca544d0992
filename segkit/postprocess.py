"""Steps on one full-resolution mask, and the Pipeline that is tuned, saved as JSON and run by the submission.

Every step takes a bool (H, W) mask or Runs with a shape, gives back the same kind and leaves its input alone. Steps
work on runs, or on the box around the mask: never on 29 full-size arrays.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from segkit import grid
from segkit.files import nearest, plain, read_json, write_json
from segkit.rle import Runs, _from_counts, at_least
from segkit.thresholds import PerClass, per_class

Mask = TypeVar("Mask", np.ndarray, Runs)


def keep_largest(mask: Mask, *, k: int = 1) -> Mask:
    """Keep the k largest 8-connected components. Deletes truth where a class has more (finger-3's sesamoid bone).

    >>> keep_largest(np.array([[1, 1, 0, 1]], bool)).astype(int)
    array([[1, 1, 0, 0]])
    """
    if k < 1:
        raise ValueError(f"k={k}: at least 1 component is to be kept")

    def step(runs: Runs) -> Runs:
        parts = _components(runs)
        if len(parts) <= k:
            return runs
        parts.sort(key=lambda part: (-part.area, int(part.array[0, 0])))
        return at_least(parts[:k], 1)

    return _on_runs(mask, step)


def remove_small(mask: Mask, *, min_area: float) -> Mask:
    """Remove 8-connected components of fewer than min_area full-resolution pixels.

    >>> remove_small(np.array([[1, 1, 0, 1]], bool), min_area=2).astype(int)
    array([[1, 1, 0, 0]])
    """
    if not min_area >= 0:
        raise ValueError(f"min_area={min_area}: pixels, 0 or more, are wanted")

    def step(runs: Runs) -> Runs:
        parts = _components(runs)
        kept = [part for part in parts if part.area >= min_area]
        if len(kept) == len(parts):
            return runs
        return at_least(kept, 1) if kept else Runs(np.zeros((0, 2), np.int64), runs.shape)

    return _on_runs(mask, step)


def fill_holes(mask: Mask, *, max_area: float | None = None) -> Mask:
    """Fill 4-connected background regions that do not touch the image's edge, up to max_area pixels (None: all).

    >>> fill_holes(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)).all()
    np.True_
    """
    if max_area is not None and not max_area >= 0:
        raise ValueError(f"max_area={max_area}: pixels, 0 or more, or None are wanted")

    def step(runs: Runs) -> Runs:
        height, width = _shape(runs)
        holes: list[Runs] = []
        for hole in _components(_complement(runs), connectivity=4):
            first, last = hole.array[:, 0], hole.array[:, 1] - 1
            at_edge = (
                first[0] < width
                or last[-1] >= (height - 1) * width
                or bool((first % width == 0).any() or (last % width == width - 1).any())
            )
            if not at_edge and (max_area is None or hole.area <= max_area):
                holes.append(hole)
        return at_least([runs, *holes], 1) if holes else runs

    return _on_runs(mask, step)


def opening(mask: Mask, *, radius: int) -> Mask:
    """Erode, then dilate, by a disc: thin bridges and spurs go. What the image's edge cuts off is not missed there."""
    return _morphology(mask, radius, cv2.MORPH_OPEN)


def closing(mask: Mask, *, radius: int) -> Mask:
    """Dilate, then erode, by a disc: narrow gaps close, those between a mask and the image's edge too."""
    return _morphology(mask, radius, cv2.MORPH_CLOSE)


STEPS: dict[str, Callable[..., Any]] = {
    step.__name__: step for step in (keep_largest, remove_small, fill_holes, opening, closing)
}


class Pipeline:
    """Thresholds and steps, for every class its own: the very object that tuning scores and submission runs.

    steps: (name, settings) in order; a setting is a value or {"Pisiform": 40, "*": 0}; the setting `skip` names
    classes that the step leaves alone. thresholds: a probability, or one for each class.

    >>> Pipeline([("remove_small", {"min_area": 2})])(Runs([[0, 1], [2, 4]], (1, 4)), "Ulna").text()
    '3 2'
    """

    def __init__(self, steps: Sequence[tuple[str, Mapping[str, Any]]] = (), *, thresholds: PerClass = 0.5) -> None:
        self.steps = [(name, plain(settings)) for name, settings in steps]  # as JSON gives them back
        self.thresholds = plain(thresholds) if isinstance(thresholds, Mapping) else float(thresholds)
        for name, settings in self.steps:
            if name not in STEPS:
                raise ValueError(f"no post-processing step {name!r}; {nearest(name, STEPS)}")
            known = set(inspect.signature(STEPS[name]).parameters) - {"mask"} | {"skip"}
            for key in settings:
                if key not in known:
                    raise ValueError(f"step {name} has no setting {key!r}; {nearest(key, known)}")
            if not isinstance(settings.get("skip", []), list):
                raise ValueError(f"step {name}: skip is a list of class names, got {settings['skip']!r}")

    def __call__(self, runs: Runs, cls: str) -> Runs:
        """The steps on one class's mask."""
        for name, settings in self.steps:
            if cls not in settings.get("skip", ()):
                chosen = {
                    key: per_class(_for_one(value, cls), (cls,))[cls]
                    for key, value in settings.items()
                    if key != "skip"
                }
                runs = STEPS[name](runs, **chosen)
        return runs

    def threshold(self, cls: str) -> float:
        """The probability that this class's pixels must exceed."""
        return float(per_class(_for_one(self.thresholds, cls), (cls,))[cls])

    def mask(self, plane: np.ndarray, size: tuple[int, int], cls: str) -> Runs:
        """Low-resolution logits (h, w) of one class -> its final full-resolution mask."""
        return self(grid.runs_above(plane, size, self.threshold(cls)), cls)

    def save(self, path: str | Path) -> None:
        """Write {"thresholds": ..., "steps": [[name, settings], ...]} as JSON."""
        write_json(path, {"thresholds": self.thresholds, "steps": self.steps})

    @classmethod
    def load(cls, path: str | Path) -> Pipeline:
        """Read what save() wrote. ValueError names the file."""
        content = read_json(path)
        try:
            steps = [(name, settings) for name, settings in content["steps"]]
            return cls(steps, thresholds=content["thresholds"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a saved Pipeline: {error}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and (self.steps, self.thresholds) == (
            other.steps,
            other.thresholds,
        )

    def __hash__(self) -> int:
        return hash(repr((self.steps, self.thresholds)))

    def __repr__(self) -> str:
        return f"Pipeline({self.steps!r}, thresholds={self.thresholds!r})"


def _for_one(setting: Any, cls: str) -> Any:
    """Of a per-class setting, what concerns one class."""
    return {k: v for k, v in setting.items() if k in (cls, "*")} if isinstance(setting, Mapping) else setting


def _on_runs(mask: Mask, step: Callable[[Runs], Runs]) -> Mask:
    if isinstance(mask, Runs):
        _shape(mask)
        return step(mask)
    return step(Runs.from_mask(mask)).mask()


def _shape(runs: Runs) -> tuple[int, int]:
    if runs.shape is None:
        raise ValueError("post-processing needs the image's shape: pass runs.with_shape((height, width))")
    return runs.shape


def _components(runs: Runs, connectivity: int = 8) -> list[Runs]:
    shape = _shape(runs)
    masks = runs._rlemask(shape).connected_components(connectivity=connectivity) if runs else []
    return [Runs._trusted(_from_counts(mask.counts_view), shape) for mask in masks]


def _complement(runs: Runs) -> Runs:
    height, width = _shape(runs)
    whole = Runs([[0, height * width]], (height, width)) if height * width else runs
    return whole - runs


def _morphology(mask: Mask, radius: int, operation: int) -> Mask:
    if radius < 1:
        raise ValueError(f"radius={radius}: at least 1 pixel is wanted")
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))

    def step(runs: Runs) -> Runs:
        if not runs:
            return runs
        height, width = _shape(runs)
        full = runs.mask()
        rows, columns = np.flatnonzero(full.any(axis=1)), np.flatnonzero(full.any(axis=0))
        margin = 2 * radius + 1
        top, bottom = max(int(rows[0]) - margin, 0), min(int(rows[-1]) + 1 + margin, height)
        left, right = max(int(columns[0]) - margin, 0), min(int(columns[-1]) + 1 + margin, width)
        box = np.ascontiguousarray(full[top:bottom, left:right]).view(np.uint8)
        return Runs.from_region(cv2.morphologyEx(box, operation, disc), top, left, (height, width))

    return _on_runs(mask, step)
