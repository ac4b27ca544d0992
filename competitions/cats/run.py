"""Cats: colour photographs, YOLO text, one class; three files of a picture are augmented copies of it.

    python competitions/cats/run.py --data DIR

DIR holds data.yaml and {train,valid,test}/{images,labels}. Folds keep the copies of a picture on one side.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # `python competitions/cats/run.py` in a clone that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from segkit.images import ImageSpec
from segkit.metrics import Dice
from segkit.recipe import Recipe, main
from segkit.samples import Samples
from segkit.submission import SubmissionFormat

PICTURE = r"([^/]+)\.rf\."
LITE = {"encoder": "tu-tf_efficientnet_lite0", "weights": "imagenet"}


def read(data: Path) -> tuple[Samples, Samples]:
    """Read training and validation photographs together, and the test photographs."""
    files = [file for split in ("train", "valid", "test") for file in sorted((data / split / "images").iterdir())]
    samples = Samples.from_yolo(files, data, data / "data.yaml", group=PICTURE)
    test = {sample.id for sample in samples if sample.files[0].parts[-3] == "test"}
    return samples.subset(i for i in samples.ids if i not in test), samples.subset(i for i in samples.ids if i in test)


RECIPE = Recipe(
    name="cats",
    samples=read,
    image=ImageSpec("rgb", normalize="imagenet"),
    metric=Dice(),
    submission=SubmissionFormat(columns=("img", "rle_mask")),
    presets={
        "demo": {**LITE, "size": 224, "model_options": "{decoder_channels: [96, 64, 48, 32, 16]}", "epochs": 12,
                 "batch_size": 4, "lr": 3e-3, "n_folds": 4, "ema_decay": 0.98, "validate_every": 6, "views": "hflip"},
        "strong": {**LITE, "encoder": "tu-tf_efficientnet_lite2", "size": 512, "epochs": 60, "folds": (0, 1, 2, 3),
                   "n_folds": 4, "augment": "strong", "precision": "bf16-mixed", "views": "hflip", "trials": 100},
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(RECIPE))
