"""What of a teacher's predictions may serve as labels, and the labels on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from numbers import Integral
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from segkit.ensemble.blending import agree
from segkit.files import read_json, replacing, write_json
from segkit.geometry import resize
from segkit.predictions import PredictionStore
from segkit.thresholds import PerClass, per_class

Kind = Literal["soft", "hard"]
COLUMNS = ("image", "class", "cells", "confidence", "agreement", "kept", "why")


class Selection:
    """Which classes of which images are labelled, and why the others are not; made by select().

    table: a row for each image and class with COLUMNS: cells of the mask at the stores' grid, confidence and agreement
    in [0, 1] (agreement is NaN of one store), kept, and why: "kept", "unsure", "disagreement" or "cap".
    """

    def __init__(self, stores: Sequence[PredictionStore], table: pd.DataFrame, thresholds: Mapping[str, float]) -> None:
        self.stores, self.table, self.thresholds = tuple(stores), table, dict(thresholds)
        self.classes = stores[0].classes
        self.grid = _finest(stores)
        kept = table[table["kept"]]
        self.ids: tuple[str, ...] = tuple(dict.fromkeys(kept["image"]))
        """Images of which at least one class is kept."""
        self._kept = set(zip(kept["image"], kept["class"]))

    @property
    def summary(self) -> pd.DataFrame:
        """A row a class: how many images, of how many it is kept, the medians, and how many each rule left out."""
        rows = []
        for cls, part in self.table.groupby("class", sort=False):
            why = part["why"].value_counts()
            counts = {reason: int(why.get(reason, 0)) for reason in ("unsure", "disagreement", "cap")}
            medians = {name: float(part[name].median()) for name in ("confidence", "agreement")}
            rows.append({"class": cls, "images": len(part), "kept": int(part["kept"].sum()), **medians, **counts})
        return pd.DataFrame(rows)

    def label(self, image: str, *, kind: Kind = "soft", ignore: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
        """(target, weight), both float32 (C, h, w) at the stores' finest grid.

        target: the mean probability of the stores ("soft"), or 1 above the class's threshold ("hard"). weight: 0 for a
        class that is not kept, in cells where two stores' masks differ, and around an edge, where the probability is
        nearer to the threshold than `ignore`; else 1. KeyError for an image that is not selected.
        """
        if kind not in ("soft", "hard"):
            raise ValueError(f"kind={kind!r}: soft or hard is wanted")
        if not 0 <= ignore < 0.5:
            raise ValueError(f"ignore={ignore}: a distance of probabilities in [0, .5) is wanted; 0 ignores none")
        if image not in self.ids:
            raise KeyError(f"image {image!r} is not selected; {len(self.ids)} others are")
        shape = (len(self.classes), *self.grid)
        target, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for channel, (cls, logits) in enumerate(_planes(self.stores, image, self.grid)):
            probs, masks = _read(self.stores, logits, self.thresholds[cls])
            target[channel] = probs if kind == "soft" else probs > self.thresholds[cls]
            if (image, cls) in self._kept:
                same = (masks == masks[0]).all(axis=0)
                weight[channel] = same & (np.abs(probs - self.thresholds[cls]) >= ignore)
        return target, weight

    def write(
        self, out: str | Path, *, kind: Kind = "soft", ignore: float = 0.2, learnt_from: Iterable[str] = (),
        persons: Mapping[str, str] | None = None,
    ) -> Labels:  # fmt: skip
        """Write the labels into the folder `out`, one file an image, and open them.

        kind, ignore: as in label(). learnt_from: the persons that the teacher learnt from; persons: {id: person} of the
        images: both are kept for guard(). ValueError where nothing is selected or `out` holds labels already.
        """
        out = Path(out)
        if not self.ids:
            raise ValueError(
                "no class of any image is sure enough to be a label: ask for less, or for a better teacher"
            )
        if (out / "labels.json").exists():
            raise ValueError(f"{out} holds pseudo-labels; remove it, or name another")
        for image in self.ids:
            target, weight = self.label(image, kind=kind, ignore=ignore)
            with replacing(out / f"{image}.npz") as part, part.open("wb") as handle:
                np.savez_compressed(
                    handle, target=np.rint(target * 255).astype(np.uint8), weight=weight.astype(np.uint8)
                )
        with replacing(out / "selection.csv") as part:
            self.table.to_csv(part, index=False, float_format="%.6g")
        people = sorted({persons[i] for i in self.ids}) if persons else []
        settings = {"kind": kind, "ignore": ignore, "thresholds": self.thresholds}
        said = {"labelled": people, "learnt_from": sorted(set(learnt_from)), **settings}
        write_json(out / "labels.json", {"ids": self.ids, "classes": self.classes, "grid": self.grid, **said})
        return Labels(out)


class Labels:
    """Pseudo-labels on disk. labels[id] -> (target uint8 (C, h, w) of 0..255, weight uint8 (C, h, w) of 0 and 1).

    .ids .classes .grid; .labelled and .learnt_from: persons, for guard(). ValueError where the folder holds none.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "labels.json").is_file():
            raise ValueError(f"{self.path} holds no pseudo-labels: pseudo.select(...).write writes them")
        found = read_json(self.path / "labels.json")
        self.ids: tuple[str, ...] = tuple(found["ids"])
        self.classes: tuple[str, ...] = tuple(found["classes"])
        self.grid: tuple[int, int] = (int(found["grid"][0]), int(found["grid"][1]))
        self.labelled: tuple[str, ...] = tuple(found["labelled"])
        self.learnt_from: tuple[str, ...] = tuple(found["learnt_from"])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, image: str) -> tuple[np.ndarray, np.ndarray]:
        if image not in self.ids:
            raise KeyError(f"{self.path} has no label of image {image!r}")
        with np.load(self.path / f"{image}.npz") as data:
            return data["target"], data["weight"]


def select(
    stores: PredictionStore | Sequence[PredictionStore],
    *,
    ids: Sequence[str] | None = None,
    confidence: PerClass = 0.9,
    agreement: PerClass | None = None,
    thresholds: PerClass = 0.5,
    cap: int | Mapping[str, int | None] | None = None,
) -> Selection:
    """Choose, class by class, the images whose predictions may serve as labels.

    stores: one teacher's predictions of images without truth, or those of several networks (folds, runs): the label is
    made of their mean logits. ids: default all of the first. All knobs are a value or {class: value} with "*".

    confidence: least soft Dice confidence of a mask, 2 * sum of p inside / (cells inside + sum of p): the Dice that the
    probabilities themselves expect (Borges and others, 2024); of an empty mask 1 - the highest p. A logit at the end of
    the store's range is as sure as it can say, 0 or 1. agreement: least mean Dice between the masks of each two stores,
    two empty ones agree; default .9 where there are several. cap: at most so many images that show a class, the most
    confident: without it frequent and easy classes drown the others; and at most as many that do not show it, which
    are counted apart, as an empty mask is nearly always surer than a mask that is there.

    One image at a time is in memory. ValueError for stores that do not agree, a knob out of range or for no class, and
    an agreement asked of one store; KeyError for an image that a store lacks.

    >>> import tempfile
    >>> place = f"{tempfile.mkdtemp()}/a.zarr"
    >>> store = PredictionStore.create(place, ids=["a"], classes=["x", "y"], sizes={"a": (8, 8)}, grid=(2, 2))
    >>> store["a"] = np.array([[[3.97, 3.97], [-3.97, -3.97]], [[0.1, 0.1], [-0.1, -0.1]]])
    >>> select(store).table[["class", "confidence", "why"]].round(2).values.tolist()
    [['x', 1.0, 'kept'], ['y', 0.52, 'unsure']]
    """
    stores = [stores] if isinstance(stores, PredictionStore) else list(stores)
    if not stores:
        raise ValueError("at least one store of a teacher's predictions is wanted")
    if len(stores) == 1 and agreement is not None:
        raise ValueError(f"agreement={agreement}: one store agrees with nobody; pass several, or leave it out")
    classes, images = stores[0].classes, list(stores[0].ids if ids is None else ids)
    agree(stores, images)
    sure = _shares("confidence", confidence, classes)
    alike = _shares("agreement", 0.9 if agreement is None else agreement, classes)
    cuts = _shares("thresholds", thresholds, classes)
    most = per_class(cap, classes)
    if bad := [c for c in classes if most[c] is not None and not (isinstance(most[c], Integral) and most[c] >= 1)]:
        raise ValueError(f"cap of {bad[0]}: {most[bad[0]]!r}; at least 1 image, or None for all, is wanted")
    finest, rows = _finest(stores), []
    for image in images:
        for cls, logits in _planes(stores, image, finest):
            probs, masks = _read(stores, logits, cuts[cls])
            cells, certain, same = _measures(probs, masks, cuts[cls])
            why = "unsure" if certain < sure[cls] else "disagreement" if same < alike[cls] else "kept"
            rows.append([image, cls, cells, certain, same, why == "kept", why])
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    kept = table[table["kept"]].sort_values(["confidence", "agreement"], ascending=False, kind="stable")
    for (name, _), part in kept.groupby(["class", kept["cells"] > 0]):
        if (limit := most[str(name)]) is not None:
            table.loc[part.index[limit:], "kept"] = False
            table.loc[part.index[limit:], "why"] = "cap"
    return Selection(stores, table, cuts)


def _measures(probs: np.ndarray, masks: np.ndarray, threshold: float) -> tuple[int, float, float]:
    """Cells, confidence and agreement of one plane."""
    mask = probs > threshold
    cells = int(mask.sum())
    certain = 2 * float(probs[mask].sum()) / (cells + float(probs.sum())) if cells else 1 - float(probs.max())
    pairs = [(int((a & b).sum()), int(a.sum()) + int(b.sum())) for a, b in combinations(masks, 2)]
    same = float(np.mean([2 * common / both if both else 1.0 for common, both in pairs])) if pairs else float("nan")
    return cells, certain, same


def _planes(stores: Sequence[PredictionStore], image: str, size: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """(class, float32 (K, h, w) logits of each store at one grid), class by class."""
    for planes in zip(*(store.planes(image) for store in stores)):
        yield (
            planes[0][0],
            np.stack([plane if plane.shape == size else resize.upsample(plane, size) for _, plane in planes]),
        )


def _read(stores: Sequence[PredictionStore], logits: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The mean's probabilities (h, w), 0 or 1 where its logit is at the end of what the stores hold, and each store's
    mask (K, h, w)."""
    mean, end = logits.mean(axis=0), float(np.mean([store.saturation for store in stores]))
    probs = resize.sigmoid(mean).astype(np.float32)
    probs[mean <= -end], probs[mean >= end] = 0.0, 1.0
    return probs, logits > resize.threshold_logit(threshold)


def _finest(stores: Sequence[PredictionStore]) -> tuple[int, int]:
    return max((store.grid for store in stores), key=lambda g: g[0] * g[1])


def _shares(name: str, setting: PerClass, classes: Sequence[str]) -> dict[str, float]:
    found = per_class(setting, classes)
    for cls, value in found.items():
        if not (isinstance(value, (int, float, np.number)) and 0 <= value <= 1):
            raise ValueError(f"{name}={value!r} for class {cls}: a number in [0, 1] is wanted")
    return {cls: float(value) for cls, value in found.items()}
