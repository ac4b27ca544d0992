"""The highest memory of a process that does the whole last mile: stores and truth to a tuned, validated submission."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.last_mile import bones
from segkit import metrics, submission
from segkit.ensemble import BlendSpace
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.thresholds import curves

LAUNCH = """
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def peak(module: str, *arguments: str) -> int:
    """Run `python -m module arguments`; -> its highest resident memory, bytes. CalledProcessError where it fails.

    The process says so itself: what the system counts for a child begins with the memory of its parent.
    """
    command = [sys.executable, "-c", LAUNCH, module, *arguments]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]) * 1024


def table(folder: Path, given: list[bones.Hand], counts: list[int]) -> str:
    """Markdown: the memory for several numbers of images."""
    lines = ["| images, 29 classes at 2048 x 2048 | highest memory |", "|---|---|"]
    for count in counts:
        part = folder / f"memory{count}"
        bones.stored(part, given, images=count, models=2)
        true = bones.truth(given, images=count)
        submission.write(part / "truth.csv", ((i, c, true[i][c]) for i in true.ids for c in true.classes))
        used = peak("benchmarks.last_mile.memory", str(part))
        lines.append(f"| {count} | {used / 2**20:.0f} MiB |")
    return "\n".join(lines)


def whole(folder: Path) -> None:
    """Curves of every image, the exact thresholds, steps, rows, validation, score; a blend of two stores."""
    stores = [PredictionStore.open(folder / f"model{model}.zarr") for model in range(2)]
    store = stores[0]
    truth = submission.read(folder / "truth.csv", sizes=store.sizes)
    found = curves(store, truth)
    steps = [("remove_small", {"min_area": 100}), ("fill_holes", {}), ("smooth", {"radius": 3})]
    masks = render(store, Pipeline(steps, thresholds=found.best()))
    path = submission.write(folder / "submission.csv", ((i, c, masks[i][c]) for i, c in masks.rows))
    submission.validate(path, ids=store.ids, classes=store.classes, sizes=store.sizes)
    metrics.Dice().table(submission.read(path), truth)
    BlendSpace(stores, truth).dice((0.4, 0.6), 0.45)


if __name__ == "__main__":
    whole(Path(sys.argv[1]))
