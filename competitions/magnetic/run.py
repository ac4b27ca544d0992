"""Magnetic tile defects: grey photographs, anti-aliased masks, half of them empty, Dice with empty = 1, RLE by column.

    python competitions/magnetic/run.py --data DIR

DIR holds MT_KIND/Imgs with a .jpg and a .png each; the kind of defect is the folder's, and Free has none. Every fourth
photograph is kept aside as the test set.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # `python competitions/magnetic/run.py` in a clone that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from segkit import folds
from segkit.masks import MaskSet
from segkit.metrics import Dice
from segkit.recipe import Recipe, main
from segkit.samples import Samples
from segkit.submission import SubmissionFormat

DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
LITE = {"encoder": "tu-tf_efficientnet_lite0", "weights": "imagenet", "lr": 1e-3, "stratify": ("kind",), "n_folds": 4}


def read(data: Path) -> tuple[Samples, Samples]:
    """Read all photographs; the class of a mask is named by its folder."""
    samples = Samples.from_masks(f"{data}/*/Imgs/*.jpg", data, DEFECTS, "MT_{class}/Imgs/{stem}.png", threshold=127)
    fold = folds.assign(samples.groups, k=4, strata=kinds(samples.truth)["kind"])
    return samples.subset(i for i in samples.ids if fold[i]), samples.subset(i for i in samples.ids if not fold[i])


def kinds(masks: MaskSet) -> dict[str, dict[str, str]]:
    """Tell the kind of defect that each image shows."""
    return {"kind": {i: next((cls for cls in DEFECTS if masks[i][cls]), "Free") for i in masks.ids}}


RECIPE = Recipe(
    name="magnetic",
    samples=read,
    metric=Dice(empty="one"),
    submission=SubmissionFormat(columns=("ImageId_ClassId", "EncodedPixels"), key="{image}_{class}", order="F"),
    flips=("horizontal", "vertical"),
    strata=kinds,
    presets={
        "demo": {**LITE, "size": 224, "model_options": "{decoder_channels: [96, 64, 48, 32, 16]}", "epochs": 20,
                 "batch_size": 4, "augment": "light", "ema_decay": 0.98, "validate_every": 10, "views": "hflip"},
        "strong": {**LITE, "encoder": "tu-tf_efficientnet_lite2", "size": 512, "epochs": 100, "folds": (0, 1, 2, 3),
                   "precision": "bf16-mixed", "views": "d4", "trials": 100},
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(RECIPE))
