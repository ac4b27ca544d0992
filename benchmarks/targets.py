"""What a resize throws away: the same network and budget on nearest, exact-nearest and soft targets.

    python -m benchmarks.targets --data phantom            two seeds on phantom hands
    python -m benchmarks.targets --data $SEGKIT_DATA/chest_xray

Trains a U-Net on EfficientNet-Lite0 from ImageNet weights at a coarse grid and scores it at each image's full size
on held-out persons, threshold 0.5, nothing tuned. Prints a Markdown table: mean Dice of each seed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from segkit import folds, losses, models
from segkit.data import SegmentationData
from segkit.data.augment import medium
from segkit.inference import Validator
from segkit.samples import Samples
from segkit.training import TrainConfig, fit

TARGETS = ("nearest", "nearest-exact", "soft")


def score(data: Path, *, targets: str, seed: int, size: int, steps: int, batch: int, out: Path) -> float:
    """Train once; -> mean Dice at full resolution on the persons of fold 0."""
    samples = Samples.from_folder(data)
    samples = samples.subset(samples.labelled)
    classes, fold = samples.classes, folds.assign(samples.groups, k=4, seed=0)
    train, held_out = (samples.subset(i for i in samples.ids if (fold[i] > 0) is side) for side in (True, False))
    cache = data.parent / "cache" if data.name == "phantom" else out.parent / "cache"
    dataset = SegmentationData(
        train, size=(size, size), targets=targets, transform=medium(), seed=seed, cache=cache
    )  # fmt: skip
    torch.manual_seed(seed)
    model = models.create(
        "unet", encoder="tu-tf_efficientnet_lite0", weights="imagenet", classes=classes,
        decoder_channels=[96, 64, 48, 32, 16],
    )  # fmt: skip
    fit(
        model, dataset, loss=losses.build("bce + dice"), out=out, progress=False,
        config=TrainConfig(
            epochs=-(-steps * batch // len(train)), batch_size=batch, lr=3e-3, averaging="ema", ema_decay=0.98,
            seed=seed,
        ),
    )  # fmt: skip
    return Validator(held_out, size=(size, size), cache=cache)(model.eval())["dice"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="phantom", help="'phantom', or a folder in the competition's layout")
    parser.add_argument("--persons", type=int, default=32, help="phantom persons, two images each")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.data == "phantom":
            from competitions.handbone.phantom import draw

            data = draw(Path(folder) / "phantom", persons=given.persons, test_persons=0, seed=0)
        else:
            data = Path(given.data)
        name = f"{data.name}, grid {given.size}, {given.steps} steps of {given.batch}"
        print(f"| targets ({name}) | " + " | ".join(f"seed {seed}" for seed in given.seeds) + " | mean |")
        print("|---|" + "---|" * (len(given.seeds) + 1))
        for targets in TARGETS:
            found = [
                score(
                    data, targets=targets, seed=seed, size=given.size, steps=given.steps, batch=given.batch,
                    out=Path(folder) / f"{targets}-{seed}",
                )
                for seed in given.seeds
            ]  # fmt: skip
            cells = " | ".join(f"{value:.4f}" for value in [*found, sum(found) / len(found)])
            print(f"| {targets} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
