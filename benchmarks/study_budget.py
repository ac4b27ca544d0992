"""What a study finds within its budget: TPE alone, TPE that is told the exact thresholds, and CurveSampler.

    python -m benchmarks.study_budget

29 classes of phantom hands; predictions are blurred, noisy truth, each class with a bias of its own in its logits, as
training leaves it, so that the best thresholds are away from .5, and false specks that steps can remove. Three studies,
each sampler with the same trials and seeds; prints the gain in mean Dice over "nothing chosen" (.5, no step, equal
weights) that the best trial has, mean over the seeds and the range, and its share of a gain that needs no luck:
thresholds alone: the exact optimum; thresholds and steps: the exact thresholds with the best of all steps; a blend: the
exact thresholds of equal weights.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import optuna

from competitions.handbone.facts import CLASSES
from competitions.handbone.phantom import draw
from segkit.ensemble import BlendSpace
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.studies import BlendObjective, CurveSampler, PostprocessObjective, ThresholdObjective, blend_curves
from segkit.thresholds import ScoreCurves, curves


def predict(path: Path, truth: MaskSet, *, seed: int, bias: float, noise: float) -> PredictionStore:
    """A store of blurred truth with noise, a bias for each class and a few false specks, at a quarter of the side."""
    random = np.random.default_rng(seed)
    (height, width), *_ = truth.sizes.values()
    cells = (height // 4, width // 4)
    store = PredictionStore.create(path, ids=truth.ids, classes=CLASSES, sizes=truth.sizes, grid=cells)
    shift = random.normal(0, bias, len(CLASSES))
    for image in truth.ids:
        planes = []
        for channel, cls in enumerate(CLASSES):
            soft = cv2.GaussianBlur(resize.coverage(truth[image][cls].mask(), cells), (0, 0), 1.2)
            wobble = cv2.GaussianBlur(random.normal(0, noise, cells), (0, 0), 2.0)
            logits = 8 * soft - 4 + wobble + shift[channel]
            for row, column in zip(*(random.integers(2, side - 4, random.poisson(0.2)) for side in cells)):
                logits[row : row + 3, column : column + 3] = 1.5
            planes.append(logits)
        store[image] = np.stack(planes)
    return store


def best(objective: Any, sampler: optuna.samplers.BaseSampler, trials: int, told: bool) -> float:
    """The best value of a study in memory."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    if told:
        objective.enqueue(study)
    study.optimize(objective, n_trials=trials)
    return float(study.best_value)


def report(
    title: str,
    objective: Any,
    known: Any,
    start: float,
    sure: float,
    budgets: Sequence[int],
    seeds: Sequence[int],
    each: Any = None,
) -> None:
    """Rows of one study: a sampler each."""
    ways: dict[str, tuple[Callable[[int], optuna.samplers.BaseSampler], bool]] = {
        "TPE": (lambda seed: optuna.samplers.TPESampler(seed=seed), False),
        "TPE, first trials enqueued": (lambda seed: optuna.samplers.TPESampler(seed=seed), True),
        "CurveSampler": (lambda seed: CurveSampler(known, seed=seed), False),
    }
    if each is not None:
        ways["CurveSampler, curves of each trial"] = (lambda seed: CurveSampler(each, seed=seed), False)
    for trials, (name, (sampler, told)) in itertools.product(budgets, ways.items()):
        gains = np.array([best(objective, sampler(seed), trials, told) for seed in seeds]) - start
        spread = f"{gains.mean():+.4f} ({gains.min():+.4f} to {gains.max():+.4f})"
        print(f"| {title} | {trials} | {name} | {spread} | {gains.mean() / (sure - start):.0%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=6, help="phantom persons, two images each")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--bias", type=float, default=0.5, help="standard deviation of the classes' shifts, in logits")
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 300], help="of the study over thresholds")
    parser.add_argument("--dear", type=int, nargs="+", default=[100], help="trials of the other two studies")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        hands = draw(Path(folder) / "hands", persons=given.persons, test_persons=0, seed=0, size=given.size)
        truth = Samples.from_folder(hands, classes=CLASSES).truth
        stores = [
            predict(Path(folder) / f"{number}.zarr", truth, seed=number, bias=given.bias, noise=noise)
            for number, noise in enumerate((3.0, 6.0, 9.0))
        ]
        found = curves(stores[0], truth)
        print("| study | trials | sampler | gain of the best trial in mean Dice | of the sure gain |")
        print("|---|---|---|---|---|")
        plain, exact = (found.score(t) for t in (0.5, found.best()))
        title = f"29 thresholds (.5: {plain:.4f}, exact: {exact:.4f})"
        report(title, ThresholdObjective(found, low=0.02, high=0.98), found, plain, exact, given.trials, given.seeds)

        steps = PostprocessObjective(stores[0], truth, thresholds=found)
        every = itertools.product(np.arange(11) / 20, (False, True), (False, True))
        values = [
            steps.scores(
                steps.pipeline({**dict(zip(("min_area", "keep_largest", "fill_holes"), some)), **named(found)})
            )
            for some in every
        ]
        sure = float(max(scores.score() for scores in values))
        title = f"29 thresholds and 3 steps (exact, then the best steps: {sure:.4f})"
        report(title, steps, found, plain, sure, given.dear, given.seeds)

        space = BlendSpace(stores, truth, low=0.05, high=0.95)
        blend, known = BlendObjective(space, thresholds_by_class=True), blend_curves(space)
        equal, sure = float(space.dice().mean()), float(space.dice(None, known.best()).mean())
        title = f"3 weights and 29 thresholds (equal, .5: {equal:.4f}; exact: {sure:.4f})"

        def each(params: Mapping[str, Any]) -> ScoreCurves:
            return blend_curves(space, [params[f"weight/{name}"] for name in space.names])

        report(title, blend, known, equal, sure, given.dear, given.seeds, each)


def named(found: Any) -> dict[str, float]:
    """The exact thresholds as params."""
    return {f"threshold/{cls}": threshold for cls, threshold in found.best().items()}


if __name__ == "__main__":
    main()
