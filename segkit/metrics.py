"""Dice as the competition counts it, and how sure one can be of it.

Everything derives from the table image x class: its mean over images, then classes, is the score.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from segkit.rle import Runs
from segkit.submission import Masks, as_masks

Empty = Literal["one", "zero", "skip"]
MasksLike = Masks | Mapping[str, Mapping[str, Runs | np.ndarray]]


class Interval(NamedTuple):
    """A mean with its 95 % interval (clustered by group), and how many groups and images stand behind it."""

    mean: float
    low: float
    high: float
    groups: int
    images: int


class Comparison(NamedTuple):
    """B minus A in mean Dice with its 95 % interval; `resolvable` is the smallest gain this data could show."""

    gain: float
    low: float
    high: float
    resolvable: float
    groups: int
    images: int


def dice_table(pred: MasksLike, truth: MasksLike, *, empty: Empty = "one") -> pd.DataFrame:
    """Dice of every image and class: a DataFrame, images down, classes across, in truth's order.

    pred, truth: Truth, a submission, or any {image: {class: Runs or mask}}.
    empty: what a pair counts whose truth is empty. "one" is the competition's (2I + 1e-4) / (A + B + 1e-4): an empty
    prediction scores 1, any other nearly 0. "zero" gives both 0, "skip" gives NaN (left out of means: "over the
    images that have the class"). ValueError names an image and class that the prediction lacks.
    """
    if empty not in ("one", "zero", "skip"):
        raise ValueError(f"empty={empty!r}: one, zero or skip is wanted")
    pred, truth = as_masks(pred), as_masks(truth)
    values = np.empty((len(truth.ids), len(truth.classes)))
    for row, image in enumerate(truth.ids):
        for column, cls in enumerate(truth.classes):
            target = truth[image][cls]
            try:
                mask = pred[image][cls]
            except KeyError as error:
                raise ValueError(f"the prediction lacks image {image}, class {cls}: {error.args[0]}") from error
            if not target and empty != "one":
                values[row, column] = np.nan if empty == "skip" else 0.0
            else:
                values[row, column] = mask.dice(target)
    return pd.DataFrame(values, index=pd.Index(truth.ids, name="image_name"), columns=list(truth.classes))


def score(table: pd.DataFrame) -> float:
    """Mean over images, then over classes; NaN cells are left out, a class of NaN alone too."""
    return float(np.nanmean(_class_means(table.to_numpy(), np.ones(len(table)))))


def bootstrap(
    table: pd.DataFrame, groups: Mapping[str, str], *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """The score with its percentile interval over resampled groups (persons, not images: two hands are no two draws).

    groups: {image id: person}. ValueError names an image without one.
    """
    weights, count = _draws(table, groups, draws, seed)
    values = np.nanmean(_class_means(table.to_numpy(), weights), axis=1)
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(score(table), float(low), float(high), count, len(table))


def compare(
    a: pd.DataFrame,
    b: pd.DataFrame,
    groups: Mapping[str, str],
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Is B better than A? The paired gain with its interval over resampled groups.

    `resolvable` is half of the interval's width: a true gain below it is more likely than not to be called nothing.
    ValueError where the two tables do not cover the same images and classes.
    """
    if set(a.index) != set(b.index) or set(a.columns) != set(b.columns):
        only = sorted(set(a.index) ^ set(b.index)) or sorted(set(a.columns) ^ set(b.columns))
        raise ValueError(f"the tables differ in {len(only)} images or classes: {only[:3]}")
    b = b.loc[a.index, a.columns]
    weights, count = _draws(a, groups, draws, seed)
    first, second = (np.nanmean(_class_means(t.to_numpy(), weights), axis=1) for t in (a, b))
    gains = second - first
    low, high = np.nanquantile(gains, [(1 - level) / 2, (1 + level) / 2])
    return Comparison(score(b) - score(a), float(low), float(high), float(high - low) / 2, count, len(a))


def _class_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means over images of each class, weights (..., images); NaN cells left out, NaN where none is left."""
    known = ~np.isnan(values)
    total = weights @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, weights @ np.where(known, values, 0.0) / total, np.nan)


def _draws(table: pd.DataFrame, groups: Mapping[str, str], draws: int, seed: int) -> tuple[np.ndarray, int]:
    """(draws, images) how often each image is in each resample of whole groups."""
    missing = [i for i in table.index if i not in groups]
    if missing:
        raise ValueError(f"{len(missing)} images have no group: {', '.join(map(str, missing[:3]))} ...")
    names, member = np.unique([groups[i] for i in table.index], return_inverse=True)
    picks = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return picks[:, member].astype(np.float64), len(names)
