"""The Dice table image x class: all else derives from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from segkit.masks import MaskSet, as_masks, true_runs
from segkit.rle import Runs

Empty = Literal["one", "zero", "skip"]
MasksLike = MaskSet | Mapping[str, Mapping[str, Runs | np.ndarray]]


def dice_table(pred: MasksLike, truth: MasksLike, *, empty: Empty = "one") -> pd.DataFrame:
    """Dice of every image and class: a DataFrame, images down, classes across, in truth's order.

    pred, truth: Truth, a submission, or any {image: {class: Runs or mask}}.
    empty: what a pair counts whose truth is empty. "one" is the competition's (2I + 1e-4) / (A + B + 1e-4): an empty
    prediction scores 1, any other nearly 0. "zero" gives both 0, "skip" gives NaN (left out of means: "over the
    images that have the class"). ValueError names an image and class that one of them lacks, or where
    their masks are of different sizes or no masks.
    """
    if empty not in ("one", "zero", "skip"):
        raise ValueError(f"empty={empty!r}: one, zero or skip is wanted")
    pred, truth = as_masks(pred), as_masks(truth)
    values = np.empty((len(truth.ids), len(truth.classes)))
    for row, image in enumerate(truth.ids):
        for column, cls in enumerate(truth.classes):
            target = true_runs(truth, image, cls)
            try:
                mask = pred[image][cls]
            except KeyError as error:
                raise ValueError(f"the prediction lacks image {image}, class {cls}: {error.args[0]}") from error
            if not target and empty != "one":
                values[row, column] = np.nan if empty == "skip" else 0.0
            else:
                try:
                    values[row, column] = mask.dice(target)
                except ValueError as error:
                    raise ValueError(f"image {image}, class {cls}: {error}") from error
    return pd.DataFrame(values, index=pd.Index(truth.ids, name="image_name"), columns=list(truth.classes))
