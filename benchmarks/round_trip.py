"""The ceiling of a grid: truth -> soft targets -> PredictionStore -> full resolution, as Dice against the truth.

    python -m benchmarks.round_trip [--chest $SEGKIT_DATA/chest_xray]

Phantom hands (rings only, nothing is rendered) and, where given, the chest radiographs' polygons; prints the mean and
the worst class over images that have it, for several grids and scales of the store.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from competitions.handbone import anatomy
from competitions.handbone.facts import CLASSES, SIDE
from segkit.geometry import polygons, resize
from segkit.geometry.polygons import Polygon
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.samples import Samples

Case = tuple[Mapping[str, Sequence[Polygon]], tuple[int, int]]


def phantoms(count: int) -> dict[str, Case]:
    """{name: (rings, size)} of right and left hands, every second one tilted."""
    cases: dict[str, Case] = {}
    for number in range(count):
        side, pose = ("right", "left")[number % 2], ("upright", "tilted")[number // 2 % 2]
        hand = anatomy.pose_hand(anatomy.invent_person(number // 2), side=side, pose=pose)
        cases[f"hand{number}"] = (anatomy.rings(hand, seed=number), (SIDE, SIDE))
    return cases


def chest(root: Path) -> tuple[dict[str, Case], tuple[str, ...]]:
    samples = Samples.from_folder(root)
    return {image: (samples.regions(image), samples.sizes[image]) for image in samples.labelled}, samples.classes


def ceiling(cases: dict[str, Case], classes: tuple[str, ...], side: int, scale: float) -> pd.DataFrame:
    """Dice image x class of the truth that went through a side x side store; NaN where truth lacks the class."""
    table = pd.DataFrame(np.nan, index=list(cases), columns=list(classes))
    with tempfile.TemporaryDirectory() as folder:
        sizes = {name: size for name, (_, size) in cases.items()}
        store = PredictionStore.create(
            Path(folder) / "truth.zarr", ids=list(cases), classes=classes, sizes=sizes, grid=(side, side), scale=scale
        )
        for name, (rings, size) in cases.items():
            soft = np.stack([polygons.rasterize(rings[c], size, size=(side, side), soft=True) for c in classes])
            soft = np.clip(soft.astype(np.float64), 1e-9, 1 - 1e-9)
            store[name] = np.log(soft / (1 - soft))
            for cls in classes:
                if rings[cls]:
                    mask = Runs.from_mask(polygons.rasterize(rings[cls], size))
                    table.loc[name, cls] = resize.runs_above(store.plane(name, cls), size, 0.5).dice(mask)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chest", type=Path, help="the chest radiographs' folder")
    parser.add_argument("--hands", type=int, default=12)
    given = parser.parse_args()
    sets: dict[str, tuple[dict[str, Case], tuple[str, ...]]] = {"phantom hands": (phantoms(given.hands), CLASSES)}
    if given.chest:
        sets["chest radiographs"] = chest(given.chest)
    print("| polygons | grid | scale (saturation) | mean Dice | worst class |")
    print("|---|---|---|---|---|")
    for name, (cases, classes) in sets.items():
        for side in (256, 512):
            for scale in (1 / 16, 1 / 32, 1 / 64):
                means = ceiling(cases, classes, side, scale).mean()
                worst = f"{means.min():.4f} ({means.idxmin()})"
                print(f"| {name} | {side} | 1/{round(1 / scale)} ({127 * scale:.2f}) | {means.mean():.4f} | {worst} |")


if __name__ == "__main__":
    main()
