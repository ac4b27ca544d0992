"""The line again under other settings: trained and scored on the same data, folds and truth, in a folder of its own."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console

from segkit.files import digest, read_json, replacing, write_json
from segkit.recipe import audit, train, tune
from segkit.recipe.config import replace
from segkit.recipe.folder import RunFolder
from segkit.recipe.line import Line
from segkit.recipe.predict import filled, looks
from segkit.thresholds import curves, nested

How = Literal["plain", "thresholds", "tune"]
"""What a variant is scored by: .5 and no step, thresholds chosen on other persons, or all that the stage tune does."""
SHARED = ("data", "classes", "train_items", "labels", "samples", "truth", "persons", "fold_of", "cache")
"""What a Line reads once, and its branches need not read again."""


class Scored(NamedTuple):
    """A variant on the persons held out, and what it cost."""

    table: pd.DataFrame
    """Dice, image x class, at full resolution."""
    train_seconds: float
    predict_seconds: float
    memory_mb: float
    """Highest of the training: of the GPU where there is one, else of the largest process."""


def begin(line: Line) -> None:
    """The audit, where there is none yet, and the folds that all branches share."""
    if not (line.folder / "audit.json").is_file():
        audit.run(line)
    train.assign_folds(line)


def branch(line: Line, changes: Mapping[str, Any], folder: Path, *, quiet: bool = False) -> Line:
    """The same data, folds and truth under other settings, in a folder of its own.

    changes: fields of Config that the data and the folds do not depend on (a seed is of the training alone).
    """
    for name in SHARED:
        getattr(line, name)
    other = copy.copy(line)
    other.config, other.folder = replace(line.config, changes), RunFolder(folder)
    if quiet:
        other.console = Console(quiet=True)
    write_json(other.folder / "audit.json", line.audited)
    return other


def settled(line: Line, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes`, and validation after the last epoch alone: no epoch is chosen on the persons that judge.

    A soup cannot do without: it keeps --validate-every, at least ten times a run.
    """
    config = replace(line.config, changes)
    every = config.epochs if config.averaging != "soup" else min(config.validate_every, max(1, config.epochs // 10))
    return {**changes, "validate_every": every}


def home(line: Line, changes: Mapping[str, Any]) -> str:
    """A folder's name for all variants that share one training: they differ at prediction only."""
    return digest([train.deciding(replace(line.config, changes)), line.audited["train"]])


def scored(line: Line, how: How = "plain", *, quiet: bool = True) -> Scored:
    """Train what is not trained yet, predict the images held out, and score them; what was done is not done again."""
    _trained(line)
    if quiet:
        line = copy.copy(line)
        line.console = Console(quiet=True)
    key = {
        "weights": [line.folder.key(f"train.fold{fold}") for fold in line.folds],
        "views": looks(line.config),
        "window": line.config.crop and [line.config.crop, line.config.overlap],
        "how": [how, line.config.trials if how == "tune" else None],
    }
    name = digest(key)
    table, cost = (line.folder / f"scores/{name}{end}" for end in (".csv", ".json"))

    def work() -> None:
        filled(line, "oof")
        begun = perf_counter()
        found = _table(line, how)
        choosing = perf_counter() - begun if how != "plain" else 0.0
        with replacing(table) as part:
            found.to_csv(part)
        write_json(cost, {"seconds": line.folder.stamp("predict.oof")["seconds"] + choosing})

    line.folder.run(f"score.{name}", key, [table, cost], work)
    stamps = [line.folder.stamp(f"train.fold{fold}") for fold in line.folds]
    gpu = read_json(line.folder / "gpu.json")["peak_mb"]
    return Scored(
        pd.read_csv(table, index_col=0),
        sum(_seconds(line.folder / f"fold{fold}" / "metrics.jsonl") for fold in line.folds),
        read_json(cost)["seconds"],
        gpu or max(stamp["peak_rss_mb"] for stamp in stamps),
    )


def _trained(line: Line) -> None:
    """train_folds(), and what it held on the GPU."""
    import torch

    def work() -> None:
        cuda = torch.cuda.is_available() and line.config.accelerator != "cpu"
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        train.train_folds(line)
        write_json(line.folder / "gpu.json", {"peak_mb": torch.cuda.max_memory_allocated() / 2**20 if cuda else 0.0})

    outputs = [line.folder / "gpu.json", *(line.folder / f"fold{fold}" / "model.safetensors" for fold in line.folds)]
    line.folder.run("variant", [train.deciding(line.config), line.folds], outputs, work)


def _table(line: Line, how: How) -> pd.DataFrame:
    """Dice of oof.zarr, image x class."""
    if how == "tune":
        tune.run(line)
        return pd.read_csv(line.folder / "oof_dice.csv", index_col=0)
    found = curves(filled(line, "oof")[0], line.truth)
    values: np.ndarray = found.scores(0.5).cells if how == "plain" else nested(found, line.persons).table
    return pd.DataFrame(values, index=pd.Index(found.ids, name="image_name"), columns=list(found.classes))


def _seconds(metrics: Path) -> float:
    """Of all epochs, those before a kill too."""
    return float(sum(json.loads(row)["seconds"] for row in metrics.read_text(encoding="utf-8").splitlines()))
