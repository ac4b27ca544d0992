"""Optuna studies over stored predictions: storages, objectives, and what a tuned setting is worth on other persons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from segkit import grid
from segkit.ensemble.objective import blend_objective as blend_objective
from segkit.metrics import Comparison, compare
from segkit.postprocess import Pipeline
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.submission import Masks, as_masks
from segkit.thresholds import DiceCurves, PerClass, choose_shrink, nested, per_class, person_folds


def open_study(name: str, storage: str | Path | None = None, *, seed: int | None = None) -> optuna.Study:
    """A study that is resumed where it exists.

    storage: None keeps a journal file NAME.journal in the working folder; a path is such a journal file (one host,
    several processes); a URL such as postgresql://... or sqlite:///... is any storage that Optuna knows.
    seed: of the TPE sampler, for a first run; a resumed study goes on drawing, it does not repeat its trials.
    """
    place: Any
    if storage is not None and "://" in str(storage):
        place = str(storage)
    else:
        path = Path(storage) if storage is not None else Path(f"{name}.journal")
        path.parent.mkdir(parents=True, exist_ok=True)
        place = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
    study = optuna.create_study(study_name=name, storage=place, direction="maximize", load_if_exists=True)
    drawn = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=None if seed is None else seed + drawn)
    return study


def optimise(study: optuna.Study, objective: Any, *, trials: int) -> None:
    """Run the study up to `trials` finished trials in all: a resumed study runs only what is left."""
    done = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    left = trials - len(study.get_trials(deepcopy=False, states=done))
    if left > 0:
        study.optimize(objective, n_trials=left)


class threshold_objective:
    """objective(trial) over one threshold a class: trial.suggest_float("threshold/Ulna", low, high).

    Mean Dice at the suggested thresholds, in microseconds. enqueue(study) puts .5 and the exact optimum first: what
    is left to a sampler is what does not separate by class.
    """

    def __init__(self, dice_curves: DiceCurves, *, low: float = 0.1, high: float = 0.9) -> None:
        if not 0 < low < high < 1:
            raise ValueError(f"low={low}, high={high}: 0 < low < high < 1 is wanted")
        self.curves, self.low, self.high = dice_curves, low, high

    def __call__(self, trial: optuna.Trial) -> float:
        thresholds = {c: trial.suggest_float(f"threshold/{c}", self.low, self.high) for c in self.curves.classes}
        return float(self.curves.dice(thresholds).mean(dtype=np.float64))

    def enqueue(self, study: optuna.Study) -> None:
        """Make .5 and the exact optimum (clipped to the range) the first trials."""
        for thresholds in (dict.fromkeys(self.curves.classes, 0.5), self.curves.best()):
            clipped = {f"threshold/{c}": min(max(t, self.low), self.high) for c, t in thresholds.items()}
            study.enqueue_trial(clipped, skip_if_exists=True)


class postprocess_objective:
    """objective(trial) over post-processing steps, scored at full resolution by the Pipeline that submission runs.

    The trial chooses a share of the exact thresholds (`threshold_weight`: 0 is .5, 1 is `thresholds`), `min_area` as
    a share of each class's median true area, `keep_largest` and `fill_holes`. multipart: classes of several parts,
    which neither keep_largest nor remove_small may touch. ids: the images scored, default all that truth has.
    Masks are made once for each threshold and kept as runs, so that a trial costs milliseconds an image.
    """

    def __init__(
        self,
        store: PredictionStore,
        truth: Masks,
        *,
        thresholds: PerClass = 0.5,
        multipart: Sequence[str] = (),
        ids: Sequence[str] | None = None,
    ) -> None:
        self.store, self.truth = store, as_masks(truth)
        self.ids = tuple(i for i in store.ids if i in self.truth) if ids is None else tuple(ids)
        self.classes = store.classes
        self.best = per_class(thresholds, self.classes)
        self.multipart = tuple(multipart)
        unknown = [c for c in self.multipart if c not in self.classes]
        if unknown:
            raise ValueError(f"multipart names {unknown}: no such class; there are {', '.join(self.classes)}")
        self._median = {c: self._median_area(c) for c in self.classes}
        self._masks: dict[tuple[str, str, float], Runs] = {}

    def __call__(self, trial: optuna.Trial) -> float:
        pipeline = self.pipeline(
            {
                "threshold_weight": trial.suggest_float("threshold_weight", 0.0, 1.0, step=0.25),
                "min_area": trial.suggest_float("min_area", 0.0, 0.5, step=0.05),
                "keep_largest": trial.suggest_categorical("keep_largest", [False, True]),
                "fill_holes": trial.suggest_categorical("fill_holes", [False, True]),
            }
        )
        return float(self.table(pipeline).mean())

    def enqueue(self, study: optuna.Study) -> None:
        """Make "change nothing" and "the exact thresholds alone" the first trials."""
        for weight in (0.0, 1.0):
            nothing = {
                "threshold_weight": weight,
                "min_area": 0.0,
                "keep_largest": False,
                "fill_holes": False,
            }
            study.enqueue_trial(nothing, skip_if_exists=True)

    def on(self, ids: Sequence[str], thresholds: PerClass) -> postprocess_objective:
        """The same objective for some of the images and other thresholds; masks that are drawn are shared."""
        other = postprocess_objective(self.store, self.truth, thresholds=thresholds, multipart=self.multipart, ids=ids)
        other._masks = self._masks
        return other

    def pipeline(self, params: Mapping[str, Any]) -> Pipeline:
        """The Pipeline that a trial's params stand for."""
        weight = params["threshold_weight"]
        mixed = {c: float(grid.sigmoid(grid.logit(t) * weight)) for c, t in self.best.items()}
        steps: list[tuple[str, dict[str, Any]]] = []
        if params["keep_largest"]:
            steps.append(("keep_largest", {"k": 1, "skip": list(self.multipart)}))
        if params["min_area"] > 0:
            areas: dict[str, float] = {c: round(params["min_area"] * a) for c, a in self._median.items()}
            steps.append(("remove_small", {"min_area": areas, "skip": list(self.multipart)}))
        if params["fill_holes"]:
            steps.append(("fill_holes", {}))
        return Pipeline(steps, thresholds=mixed)

    def table(self, pipeline: Pipeline, ids: Sequence[str] | None = None) -> np.ndarray:
        """(images, classes) Dice of a pipeline at full resolution."""
        ids = self.ids if ids is None else ids
        values = np.empty((len(ids), len(self.classes)))
        for row, image in enumerate(ids):
            self._draw(image, pipeline)
            for column, cls in enumerate(self.classes):
                mask = self._masks[image, cls, pipeline.threshold(cls)]
                values[row, column] = pipeline(mask, cls).dice(self.truth[image][cls])
        return values

    def _draw(self, image: str, pipeline: Pipeline) -> None:
        missing = [c for c in self.classes if (image, c, pipeline.threshold(c)) not in self._masks]
        if missing:
            logits = dict(zip(self.classes, self.store[image]))
            for cls in missing:
                level = pipeline.threshold(cls)
                self._masks[image, cls, level] = grid.runs_above(logits[cls], self.store.sizes[image], level)

    def _median_area(self, cls: str) -> float:
        areas = [a for a in (self.truth[i][cls].area for i in self.ids) if a]
        return float(np.median(areas)) if areas else 0.0


FEWEST_PERSONS = 3
"""With fewer no choice can be checked on persons who had no part in it."""


class Choice(NamedTuple):
    """A Pipeline chosen on some persons, and what the choosing is worth on others."""

    pipeline: Pipeline
    kept: str
    """Which of `held_out` it is: "nothing", "thresholds" or "thresholds and steps"."""
    table: np.ndarray
    """(images, classes) Dice, each image scored by what the other persons chose."""
    tuned: float
    """Mean Dice of `pipeline` on the very images it was chosen on."""
    held_out: dict[str, float]
    """Mean held-out Dice of each choice; "nothing" is .5 and no step, which needs no choosing."""
    gains: dict[str, Comparison]
    """Of each choice over what was kept before it, paired and clustered by person."""
    shrink: float
    params: dict[str, Any]


def choose(
    dice_curves: DiceCurves,
    objective: postprocess_objective,
    groups: Mapping[str, str],
    candidates: Sequence[Mapping[str, Any]],
    *,
    k: int = 5,
) -> Choice:
    """Choose thresholds and steps, with the nested, person-grouped score of the choosing beside it.

    candidates: params of trials. For each fold of persons everything is chosen on the others alone: thresholds with
    their shrink by folds among them (thresholds.choose_shrink), then the candidate whose steps score best. What
    does not gain on persons held out is not used: the lower end of the gain's 95 % interval, paired and clustered by
    person, must be above 0. No gain, no change; with fewer than 3 persons nothing can be checked, and nothing is used.
    groups: {id: person}.
    """
    ids, steps = dice_curves.ids, _distinct_steps(candidates)
    plain = objective.table(Pipeline(), ids)
    if len({groups[i] for i in ids}) < FEWEST_PERSONS:
        score = float(plain.mean())
        return Choice(Pipeline(), "nothing", plain, score, {"nothing": score}, {}, 1.0, {})
    thresholded = nested(dice_curves, groups, k=k)
    table = np.empty_like(thresholded.table)
    for held, kept in person_folds(ids, groups, k):
        inner = dice_curves.subset([ids[i] for i in kept])
        chosen = inner.best(choose_shrink(inner, groups, k=k))
        there = objective.on(inner.ids, chosen)
        params = max(steps, key=lambda p, there=there: float(there.table(there.pipeline(p)).mean()))  # type: ignore[misc]
        table[held] = there.table(there.pipeline(params), [ids[i] for i in held])
    here = objective.on(ids, dice_curves.best(thresholded.shrink))
    params = max(steps, key=lambda p: float(here.table(here.pipeline(p)).mean()))
    options = {
        "nothing": (plain, Pipeline()),
        "thresholds": (thresholded.table, Pipeline(thresholds=here.best)),
        "thresholds and steps": (table, here.pipeline(params)),
    }
    held_out = {name: float(scores.mean(dtype=np.float64)) for name, (scores, _) in options.items()}
    best, gains = "nothing", {}
    for name in list(options)[1:]:
        before, after = (_table(options[option][0], dice_curves) for option in (best, name))
        gains[name] = compare(before, after, groups)
        if gains[name].low > 0:
            best = name
    scores, pipeline = options[best]
    tuned = float(objective.table(pipeline, ids).mean())
    return Choice(pipeline, best, scores, tuned, held_out, gains, thresholded.shrink, dict(params))


def _table(scores: np.ndarray, dice_curves: DiceCurves) -> pd.DataFrame:
    return pd.DataFrame(scores, index=list(dice_curves.ids), columns=list(dice_curves.classes))


def _distinct_steps(candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The candidates' steps with the full weight of the thresholds, each once, "no step" first."""
    nothing = {"threshold_weight": 1.0, "min_area": 0.0, "keep_largest": False, "fill_holes": False}
    out = [nothing]
    for params in candidates:
        step = {**params, "threshold_weight": 1.0}
        if step not in out:
            out.append(step)
    return out
