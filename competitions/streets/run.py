"""Street scenes (CamVid): 11 exclusive classes with ignored pixels, label maps in, mean IoU, groups by drive.

    python competitions/streets/run.py --data DIR

DIR holds train, trainannot, val, valannot, test and testannot. All validation frames are of a drive that gives
training frames too: training and validation frames are joined, and folds keep a drive on one side.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # `python competitions/streets/run.py` in a clone that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from segkit.images import ImageSpec
from segkit.metrics import MeanIoU
from segkit.recipe import Recipe, main
from segkit.samples import Samples
from segkit.submission import MaskFiles

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
IGNORED = 11
DRIVE = r"([^/_]+)_[^/]*$"
LITE = {"encoder": "tu-tf_efficientnet_lite0", "weights": "imagenet", "loss": "cross_entropy + softmax_dice"}


def read(data: Path) -> tuple[Samples, Samples]:
    """Read training and validation frames together, and the test frames."""
    classes = {name: value for value, name in enumerate(CLASSES)}
    frames = [file for split in ("train", "val", "test") for file in sorted((data / split).iterdir())]
    samples = Samples.from_label_maps(frames, data, classes, IGNORED, "*annot/{stem}.*", group=DRIVE)
    test = {sample.id for sample in samples if sample.files[0].parent.name == "test"}
    return samples.subset(i for i in samples.ids if i not in test), samples.subset(i for i in samples.ids if i in test)


RECIPE = Recipe(
    name="streets",
    samples=read,
    image=ImageSpec("rgb", normalize="imagenet"),
    metric=MeanIoU(),
    submission=MaskFiles(suffix=".png"),
    exclusive=True,
    presets={
        "demo": {**LITE, "size": (192, 256), "model_options": "{decoder_channels: [96, 64, 48, 32, 16]}", "epochs": 8,
                 "batch_size": 8, "lr": 3e-3, "n_folds": 3, "ema_decay": 0.98, "validate_every": 4, "views": "hflip"},
        "strong": {**LITE, "encoder": "tu-convnext_tiny", "size": (360, 480), "epochs": 60, "folds": (0, 1, 2),
                   "n_folds": 3, "augment": "strong", "precision": "bf16-mixed", "views": "hflip", "trials": 100},
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(RECIPE))
