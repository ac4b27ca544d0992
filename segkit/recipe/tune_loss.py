"""Stage tune-loss: what each loss of a sum should weigh, searched by short runs and believed after long ones."""

from __future__ import annotations

import functools
import os
import pickle
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import psutil

from segkit import folds as folding
from segkit import metrics, studies
from segkit.files import digest, write_json
from segkit.recipe import train, variant
from segkit.recipe.config import Config
from segkit.recipe.line import Line, Recipe
from segkit.studies import LossWeightObjective
from segkit.studies.loss_weights import Report

LEVEL = 0.95
"""Of the interval that a sum must clear; of several finalists each has its share of what is left (Bonferroni)."""


def run(line: Line) -> None:
    """Write tune-loss.json: the loss to train with, what was tried, and the interval of its gain over --loss.

    Short runs, all from one warm start, search on an inner split of the training persons; those of the fold held out
    judge the full-length runs, and no choice before saw them. tune-loss/ holds warm start, study and full-length runs:
    what was done is not done again.
    """
    config = line.config
    if config.loss_trials < 1 or config.loss_finalists < 1 or config.loss_workers < 1:
        raise ValueError("--loss-trials, --loss-finalists and --loss-workers: at least 1 of each is wanted")
    for text in (config.loss, LossWeightObjective.text(dict.fromkeys(config.losses, 1.0))):
        _read(text)  # a misspelt one is better known now
    variant.begin(line)
    for left in (line.folder / "tune-loss").glob("short-*"):  # by a process that was killed
        if not psutil.pid_exists(int(left.name.removeprefix("short-"))):
            shutil.rmtree(left)
    inner = _inner(line)
    search, make = _objective(inner), _make(line)
    train.train_folds(inner)  # the warm start
    study = _study(line, search, make)
    stopped = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    line.say(f"  {len(study.trials)} short runs of {_epochs(config)} epochs, {stopped} of them stopped early")
    best = [search.text(weights) for weights in search.finalists(study, config.loss_finalists + 1)]
    best = [text for text in best if _read(text) != _read(config.loss)][: config.loss_finalists]
    scores = {text: _full(line, text).table for text in [config.loss, *best]}
    level = 1 - (1 - LEVEL) / max(1, len(best))
    gains = {t: metrics.compare(scores[config.loss], scores[t], line.persons, level=level) for t in best}
    sure = [text for text in best if gains[text].is_significant()]
    kept = max(sure, key=lambda text: gains[text].gain, default=config.loss)
    write_json(
        line.folder / "tune-loss.json",
        {
            "loss": kept,
            "default": config.loss,
            "dice": {text: metrics.score(table) for text, table in scores.items()},
            "gains": {text: gain._asdict() for text, gain in gains.items()},
            "level": level,
            "trials": [
                {
                    "weights": search.weights(trial.params),
                    "state": trial.state.name,
                    "dice": list(trial.intermediate_values.values()),
                }
                for trial in study.trials
            ],
        },
    )
    line.say(f"  {config.loss}: held-out Dice {metrics.score(scores[config.loss]):.4f}, the default")
    for text, gain in gains.items():
        interval = f"{level:.1%} interval {gain.low:+.4f} to {gain.high:+.4f}, p = {gain.p:.2g}"
        line.say(f"  {text}: {gain.gain:+.4f} ({interval}; a gain of {gain.min_detectable_effect:.4f} would be found)")
    line.say(f'  kept: --loss "{kept}"' + ("" if sure else ", the default: nothing else is surely better"))


def objective(recipe: Recipe, config: Config) -> LossWeightObjective:
    """What a worker runs: it reads what the stage left in the run folder."""
    return _objective(_inner(Line(recipe, config)))


def _objective(inner: Line) -> LossWeightObjective:
    return LossWeightObjective(functools.partial(_short, inner), inner.config.losses)


def _make(line: Line) -> Callable[[], LossWeightObjective]:
    """objective() for this run, as workers are given it."""
    make = functools.partial(objective, line.recipe, line.config)
    if line.config.loss_workers > 1:
        try:
            pickle.dumps(make)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"--loss-workers {line.config.loss_workers}: the recipe cannot be sent to another process ({error}); "
                "define its functions at the top level of a module, or use --loss-workers 1"
            ) from error
    return make


def _study(line: Line, search: LossWeightObjective, make: Callable[[], LossWeightObjective]) -> optuna.Study:
    """The short runs, up to --loss-trials: those of earlier calls count."""
    config, place = line.config, line.folder / "tune-loss" / "study.journal"
    decides = [train.deciding(config), config.losses, _epochs(config), line.folds[0]]
    name = digest([*decides, line.audited["train"]])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = studies.open_study(name, place, seed=config.seed)
    search.enqueue(study)
    if config.loss_workers == 1:
        studies.optimise(study, search, trials=config.loss_trials)
        return study
    try:
        return studies.run_workers(
            make, name, place, trials=config.loss_trials, workers=config.loss_workers, seed=config.seed
        )
    except RuntimeError as error:
        raise ValueError(f"tune-loss: {error}") from error


def _inner(line: Line) -> Line:
    """The training part of the first fold, split again by persons: its own fold 0 judges the short runs.

    Its settings are those of the warm start, which they all begin with.
    """
    items = line.items_of(line.folds[0], held_out=False)
    persons = {item.id: item.person for item in items}
    k = min(line.config.n_folds, len(set(persons.values())))
    if k < 2:
        raise ValueError(f"the training part of fold {line.folds[0]} is of one person: too few to search on")
    epochs = _epochs(line.config)
    changes = {"epochs": epochs, "averaging": "none", "freeze_epochs": 0, "folds": (0,), "validate_every": epochs}
    name = digest([variant.home(line, changes), line.folds[0]])
    inner = variant.branch(line, changes, line.folder / "tune-loss" / f"warm-{name}")
    inner.__dict__.update(train_items=items, fold_of=folding.assign(persons, k=k, seed=line.config.seed))
    return inner


def _short(inner: Line, weights: Mapping[str, float], report: Report) -> float:
    """One short run; -> Dice of the inner fold after the last epoch."""
    folder = inner.folder.path.parent / f"short-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    changes = {
        "loss": LossWeightObjective.text(weights),
        "weights": str(inner.folder / "fold0" / "last.safetensors"),
        "validate_every": 1,
        "workers": 0,  # a worker of a study may have none of its own
    }
    line = variant.branch(inner, changes, folder, quiet=True)
    try:
        result = train.fit_fold(line, 0, loggers=[lambda r: report(r["epoch"], r["val_dice"])], progress=False)
        return float(result.history[-1]["val_dice"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _full(line: Line, loss: str) -> variant.Scored:
    """A run at full length, from the beginning, judged by the fold held out."""
    line.say(f"  full length: {loss}")
    changes = variant.settled(line, {"loss": loss, "folds": line.folds[:1]})
    folder = line.folder / "tune-loss" / variant.home(line, changes)
    return variant.scored(variant.branch(line, changes, folder))


def _epochs(config: Config) -> int:
    """Of a short run."""
    return config.loss_epochs or max(3, config.epochs // 5)


def _read(text: str) -> Any:
    """What a sum of losses says, however it is written. ValueError where it cannot be read."""
    from segkit import losses
    from segkit.losses.spec import parse_stages

    losses.build(text)
    return parse_stages(text)
