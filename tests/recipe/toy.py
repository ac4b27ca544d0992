"""A toy competition: discs and squares on a few small images, in the folder layout, and a recipe that learns them."""

import json

import cv2
import numpy as np

from segkit import submission
from segkit.recipe import Recipe
from segkit.rle import Runs

CLASSES = ("disc", "square")
TINY = {
    "demo": {
        "model": "unet", "encoder": "tu-mobilenetv3_small_050", "size": 32, "epochs": 2, "batch_size": 4,
        "model_options": "{decoder_channels: [16, 16, 8, 8, 8], prior: 0.4}", "workers": 0, "trials": 3, "n_folds": 2,
        "augment": "light", "ema_decay": 0.5, "lr": 0.01,
    }
}  # fmt: skip


def halves(truth):
    return {"half": {i: "big" if truth[i]["disc"].area > 1500 else "small" for i in truth.ids}}


RECIPE = Recipe(name="toy", presets=TINY, strata=halves)


def draw(root, *, train=12, test=3):
    rows = []
    for number in range(train + test):
        rng, split = np.random.default_rng(number), "train" if number < train else "test"
        name, person = f"image{number}", f"ID{number // 2:03d}"
        height, width = 120, 100 + 10 * (number % 3)
        x, y, r = (int(v) for v in (rng.integers(30, 70), rng.integers(40, 80), rng.integers(15, 28)))
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        rings = {
            "disc": np.stack([x + r * np.cos(angles), y + r * np.sin(angles)], axis=1).astype(int),
            "square": np.array([[x, y], [x + 30, y], [x + 30, y + 30], [x, y + 30]]),
        }
        image = rng.integers(0, 40, (height, width)).astype(np.uint8)
        masks = {}
        for cls, ring in rings.items():
            plane = np.zeros((height, width), np.uint8)
            cv2.fillPoly(plane, [ring.astype(np.int32)], 1)
            masks[cls] = plane
            image += 90 * plane
        folder = root / split / "DCM" / person
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), image)
        if split == "train":
            annotations = [{"label": c, "points": ring.tolist()} for c, ring in rings.items()]
            target = root / split / "outputs_json" / person / f"{name}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps({"annotations": annotations}))
        else:
            rows += [(f"{name}.png", cls, Runs.from_mask(mask)) for cls, mask in masks.items()]
    submission.write(root / "test_truth.csv", rows)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root
