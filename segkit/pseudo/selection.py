"""Which of a teacher's predictions may serve as labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from numbers import Integral
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from segkit.ensemble.blending import agree
from segkit.files import replacing, write_json
from segkit.geometry.logits import sigmoid, threshold_logit
from segkit.geometry.resize import upsample
from segkit.predictions import PredictionStore
from segkit.pseudo.labels import Labels, file_name
from segkit.thresholds import PerClass, per_class

Kind = Literal["soft", "hard"]
COLUMNS = ("image", "class", "pixels", "confidence", "agreement", "kept", "why")


class Selection:
    """Which classes of which images are labelled, and why the others are not; made by `select`.

    Attributes:
        table: A row for each image and class: pixels of the mask at the stores' resolution, confidence and agreement in
            [0, 1] (agreement is NaN of one store), kept, and why: "kept", "unsure", "disagreement" or "cap".
        ids: Images of which at least one class is kept.
        classes: Names in channel order.
        grid: (h, w) of the finest store, at which labels are made.
        thresholds: {class: probability above which a pixel belongs to the mask}.
    """

    def __init__(self, stores: Sequence[PredictionStore], table: pd.DataFrame, thresholds: Mapping[str, float]) -> None:
        self.stores, self.table, self.thresholds = tuple(stores), table, dict(thresholds)
        self.classes = stores[0].classes
        self.grid = _finest(stores)
        kept = table[table["kept"]]
        self.ids: tuple[str, ...] = tuple(dict.fromkeys(kept["image"]))
        self._kept = set(zip(kept["image"], kept["class"]))

    @property
    def summary(self) -> pd.DataFrame:
        """A row a class: images, of how many it is kept, the medians, and how many each rule left out."""
        rows = []
        for cls, part in self.table.groupby("class", sort=False):
            why = part["why"].value_counts()
            counts = {reason: int(why.get(reason, 0)) for reason in ("unsure", "disagreement", "cap")}
            medians = {name: float(part[name].median()) for name in ("confidence", "agreement")}
            rows.append({"class": cls, "images": len(part), "kept": int(part["kept"].sum()), **medians, **counts})
        return pd.DataFrame(rows)

    def label(self, image: str, *, kind: Kind = "soft", ignore: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
        """Make the label of one image.

        Args:
            image: One of `ids`.
            kind: "soft", the mean probability of the stores, or "hard", 1 in the mask.
            ignore: Pixels around an edge are left out: those whose probability is nearer to the threshold, in [0, .5);
                of exclusive classes those where the two most probable classes are within twice this.

        Returns:
            (target, weight), both float32 (C, h, w) at the finest store's resolution. The weight is 0 for a class that
            is not kept, where the masks of two stores differ, and where pixels are ignored; else 1. Of exclusive
            classes all channels have one weight, 0 where the most probable class is not kept.

        Raises:
            KeyError: If the image is not selected.
            ValueError: For another kind, or ignore outside [0, .5).
        """
        if kind not in ("soft", "hard"):
            raise ValueError(f"expected kind 'soft' or 'hard', got {kind!r}")
        if not 0 <= ignore < 0.5:
            raise ValueError(f"expected ignore as a distance of probabilities in [0, .5), got {ignore}; 0 ignores none")
        if image not in self.ids:
            raise KeyError(f"image {image!r} is not selected; {len(self.ids)} others are")
        shape = (len(self.classes), *self.grid)
        target, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        mask, same = np.zeros(shape, bool), np.zeros(shape, bool)
        for channel, (cls, one) in enumerate(_predictions(self.stores, image, self.grid, self.thresholds)):
            target[channel] = one.probs if kind == "soft" else one.mask
            mask[channel], same[channel] = one.mask, (one.masks == one.masks[0]).all(axis=0)
            if (image, cls) in self._kept:
                weight[channel] = same[channel] & (one.margin >= ignore)
        if self.stores[0].exclusive:
            weight[:] = (weight * mask).sum(axis=0) * same.all(axis=0)
        return target, weight

    def write(
        self, out: str | Path, *, kind: Kind = "soft", ignore: float = 0.2, learnt_from: Iterable[str] = (),
        groups: Mapping[str, str] | None = None,
    ) -> Labels:  # fmt: skip
        """Write the labels into a folder, one file an image, and open them.

        Args:
            out: The folder.
            kind: As in `label`.
            ignore: As in `label`.
            learnt_from: Groups that the teacher was trained on, kept for `guard`.
            groups: {id: group} of the images, kept for `guard`.

        Returns:
            The labels.

        Raises:
            ValueError: If nothing is selected, or the folder holds labels already.
        """
        out = Path(out)
        if not self.ids:
            raise ValueError(
                "no class of any image is confident enough to be a label; ask for less, or take a better teacher"
            )
        if (out / "labels.json").exists():
            raise ValueError(f"{out} holds pseudo-labels already; remove it, or name another folder")
        for index, image in enumerate(self.ids):
            target, weight = self.label(image, kind=kind, ignore=ignore)
            with replacing(out / file_name(index)) as part, part.open("wb") as handle:
                np.savez_compressed(
                    handle, target=np.rint(target * 255).astype(np.uint8), weight=weight.astype(np.uint8)
                )
        with replacing(out / "selection.csv") as part:
            self.table.to_csv(part, index=False, float_format="%.6g")
        labelled = sorted({groups[image] for image in self.ids}) if groups else []
        settings = {"kind": kind, "ignore": ignore, "thresholds": self.thresholds}
        who = {"labelled": labelled, "learnt_from": sorted(set(learnt_from))}
        write_json(
            out / "labels.json", {"ids": self.ids, "classes": self.classes, "grid": self.grid, **who, **settings}
        )
        return Labels(out)


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

    Every setting is a value or {class: value} with "*". One image at a time is in memory.

    Args:
        stores: One teacher's predictions of images without truth, or those of several networks (folds, runs): the label
            is made of their mean logits.
        ids: Images; default all of the first store.
        confidence: Smallest soft Dice confidence of a mask, 2 * sum of p inside / (pixels inside + sum of p): the Dice
            that the probabilities themselves expect; of an empty mask 1 - the highest p. A logit at the end of the
            store's range counts as 0 or 1.
        agreement: Smallest mean Dice between the masks of each two stores, two empty ones agree; default .9 where there
            are several.
        thresholds: Probability above which a pixel belongs to the mask; of exclusive classes the most probable class
            wins, whatever it is.
        cap: Most images that show a class, the most confident: without it frequent and easy classes drown the others;
            and as many that do not show it, counted apart, as an empty mask is nearly always more confident.

    Returns:
        The selection.

    Raises:
        ValueError: For stores that do not fit each other, a setting out of range or for no class, and an agreement
            asked of one store.
        KeyError: For an image that a store lacks.

    Example:
        >>> import tempfile
        >>> place = f"{tempfile.mkdtemp()}/a.zarr"
        >>> store = PredictionStore.create(place, ids=["a"], classes=["x", "y"], sizes={"a": (8, 8)}, grid=(2, 2))
        >>> store["a"] = np.array([[[3.97, 3.97], [-3.97, -3.97]], [[0.1, 0.1], [-0.1, -0.1]]])
        >>> select(store).table[["class", "confidence", "why"]].round(2).values.tolist()
        [['x', 1.0, 'kept'], ['y', 0.52, 'unsure']]

    References:
        Borges et al., Soft Dice confidence, 2024.
    """
    stores = [stores] if isinstance(stores, PredictionStore) else list(stores)
    if not stores:
        raise ValueError("expected at least one store of a teacher's predictions, got none")
    if len(stores) == 1 and agreement is not None:
        raise ValueError(f"agreement={agreement}: one store agrees with nobody; pass several, or leave it out")
    classes, images = stores[0].classes, list(stores[0].ids if ids is None else ids)
    agree(stores, images)
    least_confidence = _shares("confidence", confidence, classes)
    least_agreement = _shares("agreement", 0.9 if agreement is None else agreement, classes)
    levels = _shares("thresholds", thresholds, classes)
    caps = per_class(cap, classes)
    if bad := [c for c in classes if caps[c] is not None and not (isinstance(caps[c], Integral) and caps[c] >= 1)]:
        raise ValueError(f"cap of {bad[0]}: expected at least 1 image, or None for all, got {caps[bad[0]]!r}")
    finest, rows = _finest(stores), []
    for image in images:
        for cls, one in _predictions(stores, image, finest, levels):
            pixels, confident, same = _measures(one)
            low = confident < least_confidence[cls]
            why = "unsure" if low else "disagreement" if same < least_agreement[cls] else "kept"
            rows.append([image, cls, pixels, confident, same, why == "kept", why])
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    kept = table[table["kept"]].sort_values(["confidence", "agreement"], ascending=False, kind="stable")
    for (name, _), part in kept.groupby(["class", kept["pixels"] > 0]):
        if (limit := caps[str(name)]) is not None:
            table.loc[part.index[limit:], "kept"] = False
            table.loc[part.index[limit:], "why"] = "cap"
    return Selection(stores, table, levels)


class _Prediction(NamedTuple):
    """One class of one image: probabilities, mask and distance from the decision (h, w), and each store's mask."""

    probs: np.ndarray
    mask: np.ndarray
    margin: np.ndarray
    masks: np.ndarray


def _measures(one: _Prediction) -> tuple[int, float, float]:
    """Pixels, confidence and agreement."""
    pixels = int(one.mask.sum())
    inside, total = float(one.probs[one.mask].sum()), float(one.probs.sum())
    confident = 2 * inside / (pixels + total) if pixels else 1 - float(one.probs.max())
    pairs = [(int((a & b).sum()), int(a.sum()) + int(b.sum())) for a, b in combinations(one.masks, 2)]
    same = float(np.mean([2 * common / both if both else 1.0 for common, both in pairs])) if pairs else float("nan")
    return pixels, confident, same


def _predictions(
    stores: Sequence[PredictionStore], image: str, size: tuple[int, int], thresholds: Mapping[str, float]
) -> Iterator[tuple[str, _Prediction]]:
    """(class, what the stores predict), class by class, at one resolution."""
    channels = zip(*(store.planes(image) for store in stores))
    if stores[0].exclusive:
        yield from _exclusive_predictions(stores[0].classes, [_at_size(group, size) for group in channels])
        return
    end = float(np.mean([store.saturation for store in stores]))
    for group in channels:
        cls, logits = group[0][0], _at_size(group, size)
        mean = logits.mean(axis=0)
        probs = sigmoid(mean).astype(np.float32)
        probs[mean <= -end], probs[mean >= end] = 0.0, 1.0  # the ends of what the stores hold
        level = thresholds[cls]
        yield cls, _Prediction(probs, probs > level, np.abs(probs - level), logits > threshold_logit(level))


def _exclusive_predictions(classes: Sequence[str], logits: Sequence[np.ndarray]) -> Iterator[tuple[str, _Prediction]]:
    """The same for exclusive classes; logits (stores, h, w) of each class."""
    every = np.stack(logits, axis=1)
    mean = every.mean(axis=0)
    odds = np.exp(mean - mean.max(axis=0))
    probs = odds / odds.sum(axis=0)
    margin = np.subtract(*np.sort(probs, axis=0)[:-3:-1]) / 2 if len(probs) > 1 else probs[0] / 2
    winner, winners = mean.argmax(axis=0), every.argmax(axis=1)
    for channel, cls in enumerate(classes):
        yield cls, _Prediction(probs[channel], winner == channel, margin, winners == channel)


def _at_size(group: Sequence[tuple[str, np.ndarray]], size: tuple[int, int]) -> np.ndarray:
    """float32 (stores, h, w) logits of one class."""
    return np.stack([logits if logits.shape == size else upsample(logits, size) for _, logits in group])


def _finest(stores: Sequence[PredictionStore]) -> tuple[int, int]:
    """(h, w) of the store with most pixels."""
    return max((store.grid for store in stores), key=lambda grid: grid[0] * grid[1])


def _shares(name: str, setting: PerClass, classes: Sequence[str]) -> dict[str, float]:
    """{class: value}, checked to lie in [0, 1]."""
    values = per_class(setting, classes)
    for cls, value in values.items():
        if not (isinstance(value, (int, float, np.number)) and 0 <= value <= 1):
            raise ValueError(f"{name}={value!r} for class {cls}: expected a number in [0, 1]")
    return {cls: float(value) for cls, value in values.items()}
