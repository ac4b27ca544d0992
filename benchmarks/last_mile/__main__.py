"""Every job of the last mile: segkit against what people run today, interleaved, medians of several rounds.

    python -m benchmarks.last_mile [--rounds 5] [--images 288] [--jobs encode vote ...]

29 bones of real areas (phantom hands) at 2048 x 2048, logits on a 512 grid, one image at a time unless the row says
otherwise. Each round runs today's code once and segkit's five times; results are compared before anything is timed.
Prints a Markdown table. Today's trials over many images and today's vote are measured on a few images and multiplied,
as the row says; nothing of segkit's is.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.last_mile import bones, memory, today
from competitions.handbone.facts import CLASSES
from segkit import postprocess, rle, submission
from segkit.ensemble import BlendSpace
from segkit.geometry import resize
from segkit.masks import as_masks
from segkit.rle import Runs
from segkit.thresholds import ScoreCurves, curves

SIZE = bones.SIZE
TRIAL_IMAGES = 160
CUTS = np.linspace(0.01, 0.99, 99)


class Job(NamedTuple):
    """today() and segkit() do the same; `times`: what today's seconds are multiplied with, where it did a part."""

    name: str
    against: str
    today: Callable[[], Any]
    segkit: Callable[[], Any]
    wanted: float
    most_ms: float | None
    times: int = 1
    calls: int = 5


class Bench:
    """Hands, stores and the jobs over them."""

    def __init__(self, folder: Path, images: int) -> None:
        self.folder, self.images = folder, images
        self.hands = bones.hands(8, models=5)
        self.stores = bones.stored(folder, self.hands, images=len(self.hands), models=5)
        self.truth = bones.truth(self.hands, images=len(self.hands))
        self.masks, self.logits = self.hands[0].masks, self.hands[0].logits

    def encode(self) -> Iterator[Job]:
        texts = [today.encode(m) for m in self.masks]
        assert texts == [rle.encode(m) for m in self.masks]
        here = lambda: [rle.encode(m) for m in self.masks]  # noqa: E731
        yield Job("encode 29 masks", "starter kit", lambda: [today.encode(m) for m in self.masks], here, 20, 14)
        yield Job("encode 29 masks", "pycocotools", lambda: today.coco_encode(self.masks), here, 0, 14)

    def decode(self) -> Iterator[Job]:
        texts, packed = [rle.encode(m) for m in self.masks], today.coco_encode(self.masks)
        assert all(np.array_equal(rle.decode(t, SIZE), m) for t, m in zip(texts, self.masks))
        here = lambda: [rle.decode(t, SIZE) for t in texts]  # noqa: E731
        yield Job("decode 29 texts", "pycocotools, its own bytes", lambda: today.coco_decode(packed), here, 10, 14)
        yield Job("decode 29 texts", "starter kit", lambda: [today.decode(t, SIZE) for t in texts], here, 0, 14)

    def rows(self) -> Iterator[Job]:
        logits, store, image = self.logits[0], self.stores[0], self.stores[0].ids[0]
        mine = [resize.runs_above(p, SIZE, 0.5).text() for p in logits]
        reference = [Runs.from_mask(resize.upsample(p, SIZE) > 0).text() for p in logits]
        from_store = lambda: [runs.text() for runs in postprocess.render(store, ids=[image])[image].values()]  # noqa: E731
        assert mine == reference == from_store()
        theirs = [Runs.from_text(t, SIZE) for t in today.rows(logits, SIZE)]
        assert min(Runs.from_text(a, SIZE).dice(b) for a, b in zip(mine, theirs)) > 0.9999  # ties at the cut
        there = lambda: today.rows(logits, SIZE)  # noqa: E731
        yield Job(
            "logits 29 x 512² in memory to rows", "starter kit, torch", there,
            lambda: [resize.runs_above(p, SIZE, 0.5).text() for p in logits], 80, 14,
        )  # fmt: skip
        yield Job(
            "the same from the store", "starter kit, from memory", there,
            from_store, 0, None,
        )  # fmt: skip

    def cuts(self) -> Iterator[Job]:
        image = self.stores[0].ids[0]
        one = as_masks({image: self.truth[image]})
        found = curves(self.stores[0], one)
        cut = float(found.thresholds[100])
        there = today.threshold_trial(self.logits[0], self.masks, np.full(len(CLASSES), cut))
        assert np.abs(found.scores(cut).cells[0] - there).max() < 1e-4
        yield Job(
            "all 255 cuts of one image, from the store", "NumPy, 99 thresholds",
            lambda: today.sweep(self.logits[0], self.masks, CUTS), lambda: curves(self.stores[0], one), 500, 50,
        )  # fmt: skip

    def threshold_trial(self) -> Iterator[Job]:
        found = curves(self.stores[0], self.truth)
        times = TRIAL_IMAGES // len(self.hands)
        tp, predicted = (np.tile(counts, (times, 1, 1)) for counts in (found.tp, found.predicted))
        target = np.tile(found.target, (times, 1))
        many = ScoreCurves(bones.names(TRIAL_IMAGES), found.classes, found.thresholds, tp, predicted, target)
        wanted = dict(zip(CLASSES, np.linspace(0.3, 0.7, len(CLASSES))))
        few = self.hands[:4]
        yield Job(
            f"a threshold trial over {TRIAL_IMAGES} images", f"NumPy, 4 images x {TRIAL_IMAGES // 4}",
            lambda: [today.threshold_trial(h.logits[0], h.masks, np.array(list(wanted.values()))) for h in few],
            lambda: many.score(wanted), 10_000, 1, TRIAL_IMAGES // 4,
        )  # fmt: skip

    def blend_trial(self) -> Iterator[Job]:
        images = self.stores[0].ids
        weights = np.array([0.1, 0.3, 0.2, 0.25, 0.15])
        # probabilities are upsampled here, logits there: nearly the same; of logits the mean is the very same
        for domain, theirs, against, close, wanted in (
            ("probs", today.blend_trial, "mean of full-size probabilities", 1e-2, 500),
            ("logits", today.clever_blend_trial, "mean of logits at 512², upsampled once", 1e-4, 0),
        ):
            space = BlendSpace(self.stores, self.truth, domain=domain)  # type: ignore[arg-type]
            there = [theirs(h.logits, h.masks, weights, 0.45) for h in self.hands]
            assert np.abs(space.dice(weights, 0.45) - there).max() < close
            yield Job(
                f"a blend trial, 5 models, {domain}, {len(images)} images", f"{against}, 2 images x 4",
                partial(self._blends, theirs, weights), partial(space.dice, weights, 0.45), wanted, 3.0 * len(images),
                len(images) // 2,
            )  # fmt: skip

    def _blends(self, blend: Callable[..., np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
        return [blend(h.logits, h.masks, weights, 0.45) for h in self.hands[:2]]

    def clean(self) -> Iterator[Job]:
        rng = np.random.default_rng(0)
        full = [bones.specked(m, rng) for m in self.masks]
        runs = [Runs.from_mask(m) for m in full]

        def mine(mask: Runs) -> Runs:
            kept = postprocess.keep_largest(postprocess.remove_small(mask, min_area=100))
            return postprocess.fill_holes(kept)

        assert all(np.array_equal(mine(r).mask(), today.clean(m, min_area=100)) for r, m in zip(runs, full))
        yield Job(
            "small objects, largest component, holes, from runs", "cv2 on full masks",
            lambda: [today.clean(m, min_area=100) for m in full], lambda: [mine(r) for r in runs], 300, 3,
        )  # fmt: skip

    def vote(self) -> Iterator[Job]:
        few, many = len(self.hands), self.images
        part: list[Path] = []
        whole: list[Path] = []
        for model in range(5):
            text = [[resize.runs_above(p, SIZE, 0.5).text() for p in h.logits[model]] for h in self.hands]
            for count, paths in ((few, part), (many, whole)):
                path = self.folder / f"{count}-model{model}.csv"
                ids = bones.names(count)
                rows = ((i, c, t) for n, i in enumerate(ids) for c, t in zip(CLASSES, text[n % few]))
                paths.append(submission.write(path, rows))
        slow, fast = self.folder / "slow.csv", self.folder / "fast.csv"

        def mine(paths: list[Path]) -> int:
            return memory.peak("segkit.cli", "vote", *map(str, paths), "-o", str(fast))

        today.vote(part, SIZE, 3, slow)
        mine(part)
        assert slow.read_bytes() == fast.read_bytes()
        yield Job(
            f"vote of 5 submissions, {many * len(CLASSES):,} rows, the whole command",
            f"decode and sum, {few} images x {many // few}",
            lambda: today.vote(part, SIZE, 3, slow), lambda: mine(whole), 50, 4000, many // few, 1,
        )  # fmt: skip
        print(f"highest memory of the vote: {mine(whole) / 2**20:.0f} MiB", file=sys.stderr)

    JOBS = ("encode", "decode", "rows", "cuts", "threshold_trial", "blend_trial", "clean", "vote")


def seconds(do: Callable[[], Any], calls: int) -> float:
    """Seconds of one call, the mean of `calls`."""
    begin = time.perf_counter()
    for _ in range(calls):
        do()
    return (time.perf_counter() - begin) / calls


def measure(job: Job, rounds: int) -> str:
    """A row of the table."""
    job.segkit()
    there, here = [], []
    for _ in range(rounds):
        there.append(seconds(job.today, 1) * job.times)
        here.append(seconds(job.segkit, job.calls))
    slow, fast = statistics.median(there) * 1e3, statistics.median(here) * 1e3
    limits = f"{job.wanted:,.0f} x" if job.wanted else "-", f"{job.most_ms:g} ms" if job.most_ms else "-"
    return (
        f"| {job.name} | {job.against} | {number(slow)} ms | {number(fast)} ms | {slow / fast:,.0f} x "
        f"({limits[0]}) | {limits[1]} |"
    )


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=288)
    parser.add_argument("--jobs", nargs="+", choices=[*Bench.JOBS, "memory"], default=[*Bench.JOBS, "memory"])
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}, {given.rounds} rounds\n"
    )
    print("| job | today's code | today | segkit | ratio (wanted) | at most |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), given.images)
        for name in given.jobs:
            if name != "memory":
                for job in getattr(bench, name)():
                    print(measure(job, given.rounds), flush=True)
        if "memory" in given.jobs:
            print("\n" + memory.table(Path(folder), bench.hands, [given.images // 4, given.images]))


if __name__ == "__main__":
    main()
