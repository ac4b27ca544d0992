"""Chest radiographs: 11 overlapping classes in the folder layout, in one short file.

    python competitions/chestxray/run.py --data DIR

DIR is in the hand-bone competition's layout and has a classes.txt. The public set is "COVID-19 Chest X-ray
Segmentations" (masks CC BY 4.0; each image under its own licence): see docs/chestxray.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # `python competitions/chestxray/run.py` in a clone that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from segkit.recipe import Recipe, main

LITE = {
    "model": "unet",
    "encoder": "tu-tf_efficientnet_lite0",
    "weights": "imagenet",
    "model_options": "{decoder_channels: [96, 64, 48, 32, 16]}",
}

RECIPE = Recipe(
    name="chestxray",
    class_swaps=[("left-lung", "right-lung")],
    presets={
        "demo": {**LITE, "size": 256, "epochs": 60, "batch_size": 4, "lr": 3e-3, "n_folds": 4, "ema_decay": 0.98,
                 "validate_every": 20, "workers": 1, "augment": "medium", "views": "hflip"},
        "baseline": {"model": "fcn_resnet50", "weights": "imagenet", "in_channels": 3, "size": 512, "loss": "bce",
                     "targets": "nearest", "augment": "none", "averaging": "none", "schedule": "constant",
                     "lr": 1e-4, "weight_decay": 0.0, "warmup_epochs": 0.0, "clip": 0.0, "epochs": 50},
        "strong": {"model": "unet", "encoder": "tu-tf_efficientnet_lite2", "weights": "imagenet", "size": 768,
                   "epochs": 200, "batch_size": 4, "folds": (0, 1, 2, 3), "n_folds": 4, "augment": "strong",
                   "precision": "bf16-mixed", "views": "hflip", "validate_every": 10, "trials": 100},
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(RECIPE))
