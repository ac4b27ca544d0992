"""Nuclei (2018 Data Science Bowl): RGBA images, one mask file a nucleus, IoU per image, one row an object.

    python competitions/nuclei/run.py --data DIR

DIR holds stage1_train/ID/{images,masks}. Every fifth image is kept aside as the test set.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # `python competitions/nuclei/run.py` in a clone that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from segkit import folds
from segkit.images import ImageSpec
from segkit.metrics import IoU
from segkit.recipe import Recipe, main
from segkit.samples import Samples
from segkit.submission import SubmissionFormat

LITE = {"encoder": "tu-tf_efficientnet_lite0", "weights": "imagenet"}


def read(data: Path) -> tuple[Samples, Samples]:
    """Read all images; a nucleus is a file of its own, and the truth is their union."""
    folder = data / "stage1_train"
    samples = Samples.from_masks(f"{folder}/*/images/*.png", folder, ["nucleus"], "{stem}/masks/*.png")
    fold = folds.assign(samples.groups, k=5)
    return samples.subset(i for i in samples.ids if fold[i]), samples.subset(i for i in samples.ids if not fold[i])


RECIPE = Recipe(
    name="nuclei",
    samples=read,
    image=ImageSpec("rgb"),
    metric=IoU(),
    submission=SubmissionFormat(columns=("ImageId", "EncodedPixels"), order="F", objects=True),
    flips=("horizontal", "vertical", "d4"),
    presets={
        "demo": {**LITE, "size": 256, "model_options": "{decoder_channels: [96, 64, 48, 32, 16]}", "epochs": 40,
                 "batch_size": 4, "lr": 3e-3, "n_folds": 4, "ema_decay": 0.98, "validate_every": 20, "views": "d4"},
        "strong": {**LITE, "encoder": "tu-tf_efficientnet_lite2", "size": 512, "epochs": 200, "folds": (0, 1, 2, 3),
                   "n_folds": 4, "augment": "strong", "precision": "bf16-mixed", "views": "d4", "trials": 100},
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(RECIPE))
