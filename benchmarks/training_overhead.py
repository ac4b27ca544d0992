"""How much of a training step is not forward, backward or optimizer: `python -m benchmarks.training_overhead`.

Phantom hands, 29 classes, the demo's kind of network; prints a line for each number of workers. Waiting is the time
in which the training process has no batch; overhead is waiting and everything else outside the three.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from competitions.handbone.facts import CLASSES
from competitions.handbone.phantom import draw
from segkit import losses, models
from segkit.data import SegmentationData, medium
from segkit.samples import Samples
from segkit.training import FitResult, TrainConfig, fit


def measure(data: Path, out: Path, *, steps: int, size: int, batch: int, workers: int, encoder: str) -> FitResult:
    """One run of `steps` steps from random weights, without validation; images are decoded by it, as in any run."""
    images = Samples.from_folder(data, classes=CLASSES)
    train = SegmentationData(images, size=(size, size), transform=medium(), cache=out / "cache")
    torch.manual_seed(0)
    model = models.create("unet", encoder=encoder, classes=CLASSES)
    return fit(
        model, train, loss=losses.build("bce + dice"), out=out, progress=False,
        config=TrainConfig(
            epochs=-(-steps // (len(images) // batch)), batch_size=batch, workers=workers, averaging="ema"
        ),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--persons", type=int, default=40, help="phantom persons, two images each")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--encoder", default="tu-tf_efficientnet_lite0")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = draw(Path(folder) / "phantom", persons=given.persons, test_persons=0, seed=0)
        print(f"{given.steps} steps of {given.batch} images at {given.size} px, unet on {given.encoder}")
        for workers in given.workers:
            result = measure(
                data, Path(folder) / f"workers{workers}", steps=given.steps, size=given.size, batch=given.batch,
                workers=workers, encoder=given.encoder,
            )  # fmt: skip
            steps = result.history[-1]["step"]
            seconds = sum(record["train_seconds"] for record in result.history)
            print(
                f"workers={workers}: {steps} steps, {seconds / steps:.2f} s each, "
                f"waiting for data {result.wait_share:.1%}, outside forward, backward and optimizer "
                f"{result.overhead_share:.1%}"
            )


if __name__ == "__main__":
    main()
