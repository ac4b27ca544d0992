"""The hand-bone X-ray competition: 29 overlapping bones, 2048 x 2048, polygons in, mean Dice, RLE out.

python competitions/handbone/run.py                      every stage, on phantom hands it draws itself
python competitions/handbone/run.py --data DIR --preset strong
python competitions/handbone/run.py tune submit --trials 200
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":  # `python competitions/handbone/run.py` in a clone that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from competitions.handbone import rules
from competitions.handbone.facts import CLASSES
from segkit.recipe import Config, Recipe, main
from segkit.recipe.recipe import folder_layout
from segkit.samples import Samples

PHANTOM_PERSONS, PHANTOM_TEST_PERSONS = 36, 12


def read(data: Path) -> tuple[Samples, Samples]:
    """Read both splits, the bones in the order of the sample submission."""
    return folder_layout(data, CLASSES)


def phantoms(folder: Path, config: Config) -> Path:
    """Draw the embedded default once: hands of invented persons."""
    from competitions.handbone import phantom

    seed = config.data.split_seed
    return phantom.draw(folder, persons=PHANTOM_PERSONS, test_persons=PHANTOM_TEST_PERSONS, seed=seed)


RECIPE = Recipe(
    name="handbone",
    samples=read,
    default_data=phantoms,
    notes=("The images are phantoms that the recipe draws: the score says nothing about real radiographs.",),
    rules=(rules.hands, rules.poses),
    fixes=rules.FIXES,
    multipart=("finger-3",),  # its sesamoid bone
    strata=rules.strata,
    presets={
        # Minutes on 2 cores: a small network whose encoder's weights come with the extra `weights`.
        "demo": {"encoder": "tu-tf_efficientnet_lite0", "weights": "imagenet", "size": 224, "epochs": 36,
                 "model_options": "{decoder_channels: [96, 64, 48, 32, 16]}", "batch_size": 4, "lr": 3e-3,
                 "n_folds": 4, "stratify": ("pose",), "ema_decay": 0.98, "validate_every": 12, "workers": 1,
                 "trials": 12},
        # What the course hands out: see docs/handbone.md for what it is faithful to.
        "baseline": {"model": "fcn_resnet50", "weights": "imagenet", "in_channels": 3, "size": 512, "loss": "bce",
                     "targets": "nearest", "augment": "none", "averaging": "none", "schedule": "constant",
                     "lr": 1e-4, "weight_decay": 0.0, "warmup_epochs": 0.0, "clip": 0.0, "epochs": 50,
                     "trials": 2},
        # One 24 GB GPU: resolution first, then BCE + Dice, soft targets, EMA, flips, folds.
        "strong": {"model": "unet", "encoder": "tu-tf_efficientnet_lite2", "weights": "imagenet", "size": 1024,
                   "epochs": 60, "batch_size": 2, "accumulate": 4, "lr": 1e-3, "precision": "bf16-mixed",
                   "augment": "strong", "folds": (0, 1, 2, 3, 4), "stratify": ("pose",), "views": "hflip", "workers": 4,
                   "validate_every": 5, "trials": 200},
    },
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main(RECIPE))
