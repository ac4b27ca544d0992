"""A run again under other settings: trained and scored on the same data, folds and truth, in a folder of its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple

import pandas as pd

from segkit.files import digest, read_json, replacing, write_json
from segkit.predictions import PredictionStore
from segkit.recipe.config import replace
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute, require
from segkit.recipe.stages.folds import asked_folds
from segkit.recipe.stages.predict import OOF
from segkit.recipe.stages.train import fold_stage
from segkit.recipe.stages.tune import TUNE
from segkit.thresholds import curves, nested

How = Literal["plain", "thresholds", "tune"]
"""What a variant is scored by: .5 and no step, thresholds chosen on other groups, or all that the stage tune does."""


class VariantScore(NamedTuple):
    """A variant on the images held out, and what it cost."""

    table: pd.DataFrame
    """Scores, image x class, at full resolution."""
    train_seconds: float
    predict_seconds: float
    memory_mb: float
    """Highest of the training: of the GPU where there is one, else of the largest process."""


def with_final_validation(run: Run, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Add validation after the last epoch alone, so that no epoch is chosen on the images that judge.

    Args:
        run: The run that is varied.
        changes: Settings of the variant.

    Returns:
        `changes` and validate_every; a soup cannot do without and keeps it, at least ten times a run.
    """
    train = replace(run.config, changes).train
    every = train.epochs if train.averaging != "soup" else min(train.validate_every, max(1, train.epochs // 10))
    return {**changes, "validate_every": every}


def run_dir(run: Run, below: str, changes: Mapping[str, Any]) -> Path:
    """Return the folder that all variants of the same training share: they differ at prediction only.

    Args:
        run: The run that is varied.
        below: Folder below its own.
        changes: Settings of the variant.
    """
    probe = run.derive(changes, run.folder / below)
    return run.folder / below / digest([fold_stage(probe, fold).key(probe) for fold in asked_folds(probe)])


def score_variant(run: Run, how: How = "plain") -> VariantScore:
    """Train what is not trained yet, predict the images held out, and score them; what is done is not done again.

    Args:
        run: The variant: a derived run.
        how: What it is scored by.

    Returns:
        Its scores and cost.
    """
    folds = [fold_stage(run, fold) for fold in asked_folds(run)]
    for stage in folds:
        execute(stage, run)
    quiet = dataclasses.replace(run, quiet=True)
    stage = _score_stage(quiet, how)
    execute(stage, quiet)
    table, cost = (require(stage, quiet) / name for name in stage.makes)
    stamps = [_stamp(run, stage) for stage in folds]
    gpu = max(stamp.get("peak_gpu_mb", 0.0) for stamp in stamps)
    return VariantScore(
        pd.read_csv(table, index_col=0),
        sum(_seconds(require(one, run) / one.makes[0]) for one in folds),
        read_json(cost)["seconds"],
        gpu or max(stamp["peak_rss_mb"] for stamp in stamps),
    )


def _score_stage(run: Run, how: How) -> Stage:
    """The stage that scores a variant."""
    last = TUNE if how == "tune" else OOF
    name = f"scores/{how}-{digest(last.key(run))}"

    def work(scoped: Run) -> None:
        begun = perf_counter()
        table = _table(scoped, how)
        seconds = perf_counter() - begun if how != "plain" else 0.0
        with replacing(scoped.folder / f"{name}.csv") as part:
            table.to_csv(part)
        predicted = _stamp(scoped, OOF)["seconds"]
        tuned = _stamp(scoped, TUNE)["seconds"] if how == "tune" else 0.0
        write_json(scoped.folder / f"{name}.json", {"seconds": predicted + tuned + seconds})

    stage = Stage(
        name.replace("/", "."),
        work,
        makes=(f"{name}.csv", f"{name}.json"),
        facts=("metric",),
        inputs=("train",),
        needs=lambda run: (OOF, TUNE) if how == "tune" else (OOF,),
        reads=lambda run: {"how": how},
    )
    execute(OOF, run)
    if how == "tune":
        execute(TUNE, run)
    return stage


def _table(run: Run, how: How) -> pd.DataFrame:
    """Scores of oof.zarr, image x class."""
    if how == "tune":
        return pd.read_csv(run.file("oof_scores.csv"), index_col=0)
    samples = run.inputs.train
    found = curves(PredictionStore.open(run.file("oof.zarr")), samples.truth, run.recipe.metric)
    if how == "plain":
        return found.table(0.5)
    return nested(found, samples.groups).scores.table


def _stamp(run: Run, stage: Stage) -> dict[str, Any]:
    """The stamp of a stage, wherever it is done."""
    whole = run.unscoped or run
    place = require(stage, whole)
    return next(folder.read(stage.name) for folder in whole.folders if folder.path == place)


def _seconds(model: Path) -> float:
    """Of all epochs, those before a kill too."""
    rows = (model.parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return float(sum(json.loads(row)["seconds"] for row in rows))
