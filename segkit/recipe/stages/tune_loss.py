"""Stage tune-loss: the weight of each loss of a sum, searched by short runs and believed after long ones."""

from __future__ import annotations

import functools
import os
import pickle
import shutil
from collections.abc import Callable, Mapping

import optuna
import psutil

from segkit import metrics, studies
from segkit.files import digest, write_json
from segkit.recipe import variant
from segkit.recipe.config import Config
from segkit.recipe.recipe import Recipe
from segkit.recipe.run import Run
from segkit.recipe.stage import execute, require
from segkit.recipe.stages import audit, folds
from segkit.recipe.stages.folds import FOLDS, asked_folds, ids_of
from segkit.recipe.stages.train import fit_fold, fold_stage
from segkit.studies import LossWeightObjective
from segkit.studies.loss_weights import Report

LEVEL = 0.95
"""Of the interval that a sum must clear; of several finalists each has its share of what is left (Bonferroni)."""


def run_stage(run: Run) -> None:
    """Write tune-loss.json: the loss to train with, what was tried, and the interval of its gain over --loss.

    Short runs, all from one warm start, search on an inner split of the training groups; those of the fold held out
    judge the full-length runs, and no choice before saw them. tune-loss/ holds warm start, study and full-length runs:
    what was done is not done again.
    """
    settings, default = run.config.tune_loss, run.config.train.loss
    if settings.loss_trials < 1 or settings.loss_finalists < 1 or run.config.machine.loss_workers < 1:
        raise ValueError("--loss-trials, --loss-finalists and --loss-workers: expected at least 1 of each")
    for text in (default, LossWeightObjective.text(dict.fromkeys(settings.losses, 1.0))):
        _parsed(text)  # a misspelt one is better known now
    audit.run_stage(run)
    folds.run_stage(run)
    for left in (run.folder / "tune-loss").glob("short-*"):  # by a process that was killed
        if not psutil.pid_exists(int(left.name.removeprefix("short-"))):
            shutil.rmtree(left)
    inner = _inner(run)
    search, make = _objective(inner), _make(run)
    execute(FOLDS, inner)
    execute(fold_stage(inner, 0), inner)  # the warm start
    study = _study(run, search, make)
    stopped = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    run.say(f"  {len(study.trials)} short runs of {_epochs(run.config)} epochs, {stopped} of them stopped early")
    best = [search.text(weights) for weights in search.finalists(study, settings.loss_finalists + 1)]
    best = [text for text in best if _parsed(text) != _parsed(default)][: settings.loss_finalists]
    scores = {text: _full(run, text).table for text in [default, *best]}
    level = 1 - (1 - LEVEL) / max(1, len(best))
    groups = run.inputs.train.groups
    gains = {text: metrics.compare(scores[default], scores[text], groups, level=level) for text in best}
    better = [text for text in best if gains[text].is_significant()]
    kept = max(better, key=lambda text: gains[text].gain, default=default)
    write_json(
        run.folder / "tune-loss.json",
        {
            "loss": kept,
            "default": default,
            "scores": {text: metrics.score(table) for text, table in scores.items()},
            "gains": {text: gain._asdict() for text, gain in gains.items()},
            "level": level,
            "trials": [
                {
                    "weights": search.weights(trial.params),
                    "state": trial.state.name,
                    "scores": list(trial.intermediate_values.values()),
                }
                for trial in study.trials
            ],
        },
    )
    run.say(f"  {default}: held-out score {metrics.score(scores[default]):.4f}, the default", markup=False)
    for text, gain in gains.items():
        run.say(f"  {text}: {gain}", markup=False)
    note = "" if better else ", the default: nothing else is significantly better"
    run.say(f'  kept: --loss "{kept}"{note}', markup=False)


def objective(recipe: Recipe, config: Config) -> LossWeightObjective:
    """Build what a worker runs: it reads what the stage left in the run folder."""
    return _objective(_inner(Run.begin(recipe, config)))


def _objective(inner: Run) -> LossWeightObjective:
    return LossWeightObjective(functools.partial(_short, inner), inner.config.tune_loss.losses)


def _make(run: Run) -> Callable[[], LossWeightObjective]:
    """objective() for this run, as workers are given it."""
    make = functools.partial(objective, run.recipe, run.config)
    workers = run.config.machine.loss_workers
    if workers > 1:
        try:
            pickle.dumps(make)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(
                f"--loss-workers {workers}: the recipe cannot be sent to another process ({error}); "
                "define its functions at the top level of a module, or use --loss-workers 1"
            ) from error
    return make


def _study(run: Run, search: LossWeightObjective, make: Callable[[], LossWeightObjective]) -> optuna.Study:
    """The short runs, up to --loss-trials: those of earlier calls count."""
    settings, workers, place = run.config.tune_loss, run.config.machine.loss_workers, run.folder / "tune-loss"
    fold = asked_folds(run)[0]
    name = digest([fold_stage(run, fold).key(run), settings.losses, _epochs(run.config)])
    seed, journal = run.config.data.split_seed, place / "study.journal"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = studies.open_study(name, journal, seed=seed)
    search.enqueue(study)
    if workers == 1:
        studies.optimise(study, search, trials=settings.loss_trials)
        return study
    try:
        return studies.run_workers(make, name, journal, trials=settings.loss_trials, workers=workers, seed=seed)
    except RuntimeError as error:
        raise ValueError(f"tune-loss: {error}") from error


def _inner(run: Run) -> Run:
    """The training part of the first fold, split again by groups: its own fold 0 judges the short runs.

    Its settings are those of the warm start, which they all begin with.
    """
    fold = asked_folds(run)[0]
    ids = tuple(ids_of(run, fold, held_out=False))
    if len({run.inputs.train.groups[i] for i in ids}) < 2:
        raise ValueError(f"the training part of fold {fold} is of one group: too few to search on")
    epochs = _epochs(run.config)
    changes = {"epochs": epochs, "averaging": "none", "freeze_epochs": 0, "folds": (0,), "validate_every": epochs}
    name = digest([fold_stage(run, fold).key(run), changes])
    return run.derive(changes, run.folder / "tune-loss" / f"warm-{name}", only=ids)


def _short(inner: Run, weights: Mapping[str, float], report: Report) -> float:
    """One short run; -> score of the inner fold after the last epoch."""
    folder = inner.folder.parent / f"short-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    warm = require(fold_stage(inner, 0), inner) / "fold0" / "last.safetensors"
    changes = {
        "loss": LossWeightObjective.text(weights),
        "weights": str(warm),
        "validate_every": 1,
        "workers": 0,  # a worker of a study may have none of its own
    }
    run, name = inner.derive(changes, folder, quiet=True), f"val_{inner.recipe.metric.name}"
    try:
        result = fit_fold(run, 0, loggers=[lambda r: report(r["epoch"], r[name])], progress=False)
        return float(result.history[-1][name])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _full(run: Run, loss: str) -> variant.VariantScore:
    """A run at full length, from the beginning, judged by the fold held out."""
    run.say(f"  full length: {loss}", markup=False)
    changes = variant.with_final_validation(run, {"loss": loss, "folds": asked_folds(run)[:1]})
    return variant.score_variant(run.derive(changes, variant.run_dir(run, "tune-loss", changes)))


def _epochs(config: Config) -> int:
    """Of a short run."""
    return config.tune_loss.loss_epochs or max(3, config.train.epochs // 5)


def _parsed(text: str) -> object:
    """What a sum of losses says, however it is written. ValueError where it cannot be read."""
    from segkit import losses
    from segkit.losses.spec import parse_stages

    losses.build(text)
    return parse_stages(text)
