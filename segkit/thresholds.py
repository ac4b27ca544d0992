"""Exact Dice curves: every image, class and cut in one streamed pass at full resolution.

Mean Dice separates by class, so the best thresholds need no search: 255 cuts, one histogram of all pixels and one of
the true ones, and the optimum is read off. (Sampling 29 thresholds recovers 0 to 29 % of that gain.)
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from segkit.files import replacing
from segkit.geometry import resize
from segkit.masks import MaskSet, as_masks, true_runs
from segkit.predictions import LEVELS, PredictionStore
from segkit.rle import EPSILON, Runs

CODES = 2 * LEVELS + 2
"""A pixel's code is how many of the 255 cuts it lies above."""

PerClass = float | Mapping[str, float]


def per_class(setting: Any, classes: Sequence[str]) -> dict[str, Any]:
    """A value, or {"Pisiform": 0.3, "*": 0.5}, as {class: value} for every class. ValueError for unknown names.

    >>> per_class({"b": 1, "*": 0}, ("a", "b"))
    {'a': 0, 'b': 1}
    """
    if not isinstance(setting, Mapping):
        return dict.fromkeys(classes, setting)
    unknown = [name for name in setting if name != "*" and name not in classes]
    if unknown:
        raise ValueError(f"setting for {unknown}: no such class; there are {', '.join(classes)}")
    missing = [name for name in classes if name not in setting and "*" not in setting]
    if missing:
        raise ValueError(f"no setting for {missing}; name them or give a default under '*'")
    return {name: setting.get(name, setting.get("*")) for name in classes}


def probabilities(thresholds: Any, classes: Sequence[str]) -> dict[str, float]:
    """per_class() of thresholds. ValueError names a class whose threshold is no number in [0, 1]."""
    found = per_class(thresholds, classes)
    for cls, threshold in found.items():
        if isinstance(threshold, bool) or not isinstance(threshold, (int, float, np.number)) or not 0 <= threshold <= 1:
            raise ValueError(f"class {cls}: a threshold is a probability in [0, 1], got {threshold!r}")
    return found


class DiceCurves:
    """table (images, classes, cuts): Dice of each image and class at each cut; float32.

    thresholds: (cuts,) probabilities, evenly spaced in logits: the levels of the store; .5 is in the middle.
    """

    def __init__(self, ids: Sequence[str], classes: Sequence[str], thresholds: np.ndarray, table: np.ndarray) -> None:
        self.ids, self.classes = tuple(ids), tuple(classes)
        self.thresholds, self.table = np.asarray(thresholds, np.float64), np.asarray(table, np.float32)
        wanted = (len(self.ids), len(self.classes), len(self.thresholds))
        if self.table.shape != wanted:
            raise ValueError(f"a table of shape {wanted} (images, classes, cuts) is wanted, got {self.table.shape}")
        self._cuts = np.array([resize.logit(t) for t in self.thresholds])

    def snap(self, thresholds: PerClass) -> dict[str, float]:
        """The nearest cut (in logits) for every class."""
        return {c: float(self.thresholds[k]) for c, k in zip(self.classes, self._places(thresholds))}

    def _places(self, thresholds: PerClass) -> np.ndarray:
        wanted = np.array([resize.logit(t) for t in probabilities(thresholds, self.classes).values()])
        return np.abs(np.clip(wanted, *self._cuts[[0, -1]])[:, None] - self._cuts[None, :]).argmin(axis=1)

    def dice(self, thresholds: PerClass = 0.5) -> np.ndarray:
        """(images, classes) Dice at these thresholds, snapped to the cuts; microseconds."""
        return self.table[:, np.arange(len(self.classes)), self._places(thresholds)]

    def best(self, shrink: float = 0.0) -> dict[str, float]:
        """The thresholds of the highest mean Dice of each class: the exact optimum over the cuts.

        Where several cuts tie, the one nearest to .5. shrink in [0, 1] then moves each towards .5, in logits, to the
        nearest cut: so that dice() scores the very thresholds that a Pipeline runs.
        """
        if not 0.0 <= shrink <= 1.0:
            raise ValueError(f"shrink={shrink}: a number in [0, 1] is wanted")
        mean = self.table.mean(axis=0, dtype=np.float64)
        nearest_first = np.argsort(np.abs(self._cuts), kind="stable")
        top = nearest_first[mean[:, nearest_first].argmax(axis=1)]
        moved = np.abs(self._cuts[top][:, None] * (1.0 - shrink) - self._cuts[None, :]).argmin(axis=1)
        return {c: float(self.thresholds[k]) for c, k in zip(self.classes, moved)}

    def subset(self, ids: Iterable[str]) -> DiceCurves:
        """The curves of some images alone. ValueError for an unknown one or none at all."""
        place = {i: k for k, i in enumerate(self.ids)}
        ids = list(ids)
        unknown = [i for i in ids if i not in place]
        if unknown or not ids:
            raise ValueError(f"a subset of the {len(self.ids)} images is wanted, got {unknown[:3] or 'none'}")
        return DiceCurves(ids, self.classes, self.thresholds, self.table[[place[i] for i in ids]])

    def save(self, path: str | Path) -> None:
        """Write one .npz."""
        with replacing(path) as part, part.open("wb") as handle:
            np.savez_compressed(
                handle,
                ids=np.array(self.ids),
                classes=np.array(self.classes),
                thresholds=self.thresholds,
                table=self.table,
            )

    @classmethod
    def load(cls, path: str | Path) -> DiceCurves:
        """Read what save() wrote. ValueError names a file that is something else."""
        try:
            with np.load(path) as data:
                return cls(data["ids"].tolist(), data["classes"].tolist(), data["thresholds"], data["table"])
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is no file of Dice curves that DiceCurves.save wrote: {error}") from error

    def flat(self, within: float = 0.0005) -> dict[str, tuple[float, float]]:
        """{class: (low, high)} thresholds around the best between which mean Dice stays `within` of its top.

        A wide range means that the choice does not matter. ValueError for a negative `within`.
        """
        if not within >= 0:
            raise ValueError(f"within={within}: a loss of Dice, 0 or more, is wanted")
        mean = self.table.mean(axis=0, dtype=np.float64)
        ranges = {}
        for cls, curve, best in zip(self.classes, mean, self._places(self.best())):
            lower = np.flatnonzero(curve < curve.max() - within)
            low = int(lower[lower < best].max(initial=-1)) + 1
            high = int(lower[lower > best].min(initial=len(curve))) - 1
            ranges[cls] = float(self.thresholds[low]), float(self.thresholds[high])
        return ranges

    def plot(self, ax: Any = None) -> Any:
        """Where the curves are flat: a row for each class, the threshold on a logit axis. -> matplotlib Axes.

        A dot marks the optimum; the thick bar is where mean Dice is within .0005 of it, the thin one within .005.
        """
        if ax is None:
            from matplotlib.figure import Figure

            ax = Figure(figsize=(7, 1 + 0.24 * len(self.classes)), layout="constrained").subplots()
        narrow, wide, best = self.flat(0.0005), self.flat(0.005), self.best()
        for row, cls in enumerate(self.classes):
            for ends, width in ((wide[cls], 1.2), (narrow[cls], 5)):
                ax.plot([resize.logit(p) for p in ends], [row, row], linewidth=width, color="tab:blue")
            ax.plot(resize.logit(best[cls]), row, "o", markersize=4, color="black")
        ax.axvline(0.0, linewidth=0.8, color="grey", zorder=0)
        marks = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98]
        ax.set_xticks([resize.logit(p) for p in marks], [f"{p:g}" for p in marks])
        ax.set_yticks(range(len(self.classes)), self.classes)
        ax.invert_yaxis()
        ax.set_xlabel("threshold: best (dot), within .0005 (thick) and .005 (thin) mean Dice of it")
        return ax


def curves(store: PredictionStore, truth: MaskSet, *, workers: int | None = None) -> DiceCurves:
    """Dice of every image of `store` that `truth` has, every class, at every cut, at full resolution.

    Exact: each value is the Dice of upsample(plane) > cut against the truth. One plane at a time is in memory for
    each of `workers` threads (default: one a core). ValueError where no image or a class is missing in the truth.
    """
    truth = as_masks(truth)
    ids = images_of_both(store, truth)
    lacking = [c for c in store.classes if c not in truth.classes]
    if lacking:
        raise ValueError(f"the truth has no class {', '.join(lacking)}")

    def one(image: str) -> np.ndarray:
        levels, size = store.levels(image), store.sizes[image]
        targets = [true_runs(truth, image, cls, size, of=store.path) for cls in store.classes]
        return np.stack([_curve(levels[k], size, target) for k, target in enumerate(targets)])

    with ThreadPoolExecutor(workers) as pool:
        table = np.stack(list(pool.map(one, ids)))
    cuts = np.arange(-LEVELS, LEVELS + 1) * store.scale
    return DiceCurves(ids, store.classes, resize.sigmoid(cuts), table)


def images_of_both(store: PredictionStore, truth: MaskSet) -> list[str]:
    """The images of `store`, in its order, that `truth` has. ValueError where there are none: it shows both names."""
    ids = [i for i in store.ids if i in truth]
    if not ids:
        raise ValueError(
            f"{store.path}: none of its {len(store)} images ({store.ids[0]}, ...) is in the truth "
            f"({next(iter(truth), 'which is empty')}, ...); names must be equal, endings too"
        )
    return ids


def _curve(levels: np.ndarray, size: tuple[int, int], target: Runs) -> np.ndarray:
    """(255,) Dice of one plane at each level. Level arithmetic: the scale is a power of two, so the bits agree."""
    every, true = np.zeros(CODES), np.zeros(CODES)  # code 0, above no cut, is never asked for
    box = resize.active_region(levels.astype(np.float32), size, np.float32(-LEVELS))
    if box is not None:
        value = resize.upsample(levels, size, region=box)
        # code k: strictly above the first k cuts -127, -126, ... of 255
        codes = (np.ceil(value, out=value) + np.float32(LEVELS)).astype(np.uint8)
        inside = target.crop(*box).view(np.uint8)
        every, true = _histogram(codes, None), _histogram(codes, inside)
    above = np.cumsum(every[::-1])[::-1][1:]
    common = np.cumsum(true[::-1])[::-1][1:]
    return (2 * common + EPSILON) / (above + target.area + EPSILON)


def _histogram(codes: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """(256,) pixels of each code; in strips, as OpenCV counts in float32, which is exact up to 2**24."""
    rows = max(1, 2**24 // codes.shape[1])
    total = np.zeros(CODES)
    for top in range(0, len(codes), rows):
        part = slice(top, top + rows)
        inside = None if mask is None else np.ascontiguousarray(mask[part])
        total += cv2.calcHist([codes[part]], [0], inside, [CODES], [0, CODES]).ravel()
    return total


SHRINKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Nested(NamedTuple):
    """A tuned setting's honest score: each image scored under the thresholds that other persons chose."""

    table: np.ndarray
    """(images, classes) held-out Dice."""
    shrink: float
    tuned: float
    held_out: float
    untuned: float


def nested(
    dice_curves: DiceCurves,
    groups: Mapping[str, str],
    *,
    k: int = 5,
    shrinks: Sequence[float] = SHRINKS,
) -> Nested:
    """Choose `shrink` by a nested, person-grouped check, and say what the whole choice is worth on persons unseen.

    The outer folds score: thresholds and shrink are chosen on the other persons alone (shrink by folds among them),
    then applied to the persons held out. The same choice on everybody gives `shrink` for use. shrink = 1 is .5 for
    every class: "no gain, no change" is one of the choices. groups: {id: person}.
    """
    ids = dice_curves.ids
    table = np.empty(dice_curves.table.shape[:2])
    for held, kept in person_folds(ids, groups, k):
        inner = dice_curves.subset([ids[i] for i in kept])
        thresholds = inner.best(choose_shrink(inner, groups, k=k, shrinks=shrinks))
        table[held] = dice_curves.subset([ids[i] for i in held]).dice(thresholds)
    shrink = choose_shrink(dice_curves, groups, k=k, shrinks=shrinks)
    tuned = dice_curves.dice(dice_curves.best(shrink))
    return Nested(
        table,
        shrink,
        float(tuned.mean()),
        float(table.mean()),
        float(dice_curves.dice(0.5).mean(dtype=np.float64)),
    )


def choose_shrink(
    dice_curves: DiceCurves, groups: Mapping[str, str], *, k: int = 5, shrinks: Sequence[float] = SHRINKS
) -> float:
    """The shrink whose thresholds score best on persons they were not chosen on; the largest of equals."""
    ids = dice_curves.ids
    total = dict.fromkeys(shrinks, 0.0)
    for held, kept in person_folds(ids, groups, k):
        inner, outer = (dice_curves.subset([ids[i] for i in part]) for part in (kept, held))
        for shrink in shrinks:
            total[shrink] += float(outer.dice(inner.best(shrink)).sum(dtype=np.float64))
    return max(shrinks, key=lambda s: (round(total[s] / len(ids) / len(dice_curves.classes), 9), s))


def person_folds(ids: Sequence[str], groups: Mapping[str, str], k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(held-out rows, other rows) of `ids` for each of at most k folds of whole persons."""
    if k < 2:
        raise ValueError(f"k={k}: at least 2 folds of persons are wanted, one is scored by what the others chose")
    missing = [i for i in ids if i not in groups]
    if missing:
        raise ValueError(f"{len(missing)} images have no group: {', '.join(missing[:3])} ...")
    persons = [groups[i] for i in ids]
    count = len(set(persons))
    if count < 2:
        raise ValueError(f"{count} person: a held-out check needs at least 2, a nested one 3")
    from sklearn.model_selection import GroupKFold  # a second to import, which a vote need not wait for

    splitter = GroupKFold(min(k, count), shuffle=True, random_state=0)
    return [(held, kept) for kept, held in splitter.split(np.zeros(len(ids)), groups=persons)]
