"""Stage 6: summary.json for machines, report.html for people."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
import pandas as pd

from segkit import metrics, submission
from segkit.files import read_json, write_json
from segkit.images import read_image
from segkit.masks import MaskSet
from segkit.postprocess import Pipeline
from segkit.predictions import PredictionStore
from segkit.recipe.config import STAGES
from segkit.recipe.folder import Meter
from segkit.recipe.line import Line
from segkit.recipe.mix import at_test_mix, words
from segkit.recipe.submit import read_flags
from segkit.report import EDA, Overlay, ReportData, eda, write_report
from segkit.samples import Item
from segkit.thresholds import ScoreCurves

ASIDE = ("ensemble", "pseudo")
"""What else may have made this run, each with a NAME.json of its own."""

BEST, WORST = 2, 4
"""Images shown as examples."""


def run(line: Line) -> None:
    """Write summary.json and report.html; always anew, as every earlier stage may have changed."""
    for name, stage in (("post.json", "tune"), ("submission.csv", "submit"), ("flags.csv", "submit")):
        if not (line.folder / name).exists():
            raise ValueError(f"{line.folder / name} is not there: run the stage {stage} first")
    with Meter() as meter:
        held_out = pd.read_csv(line.folder / "oof_dice.csv", index_col=0)
        test = score_test(line)
        summary = summarise(line, held_out, test)
        data = collect(line, held_out, test, summary)
    summary["seconds"]["report"] = round(meter.seconds, 2)
    summary["peak_rss_mb"]["report"] = round(meter.peak_rss_mb, 1)
    summary["seconds"]["total"] = round(sum(v for k, v in summary["seconds"].items() if k != "total"), 2)
    summary["peak_rss_mb"]["total"] = max(v for k, v in summary["peak_rss_mb"].items() if k != "total")
    write_json(line.folder / "summary.json", summary)
    write_report(line.folder / "report.html", data)
    low, high = summary["dice_low"], summary["dice_high"]
    interval = f"95 % interval {low:.4f} to {high:.4f}" if low == low else "no interval of one person"
    line.say(f"  held-out Dice {summary['dice']:.4f} ({interval})")
    for name, parts in summary["groups"].items():
        line.say(f"  {name}: " + ", ".join(f"{k} {v['dice']:.4f} ({v['images']} images)" for k, v in parts.items()))
    for name, found in summary["dice_at_test_mix"].items():
        line.say(f"  {words(name, found)}")
    if test is not None:
        there = summary["dice_test_present"]
        line.say(f"  test Dice {summary['dice_test']:.4f}, over images that have the class {there:.4f}")


def score_test(line: Line) -> pd.DataFrame | None:
    """Dice of the submission against test truth, where there is one."""
    truth = line.test_truth
    if truth is None:
        return None
    ids = [item.id for item in line.test_items if item.id in truth]
    part = MaskSet(ids, line.classes, lambda image, cls: truth[image][cls])
    return metrics.Dice().table(submission.read(line.folder / "submission.csv"), part)


def summarise(line: Line, held_out: pd.DataFrame, test: pd.DataFrame | None) -> dict[str, Any]:
    """What summary.json holds; seconds and memory of the stages come from their stamps."""
    tuned = read_json(line.folder / "tune.json")
    whole = metrics.bootstrap(held_out, line.persons)
    config = read_json(line.folder / "config.json")
    mixes = at_test_mix(line, held_out)
    summary: dict[str, Any] = {
        "recipe": line.recipe.name,
        "dice": whole.mean,
        "dice_low": whole.low,
        "dice_high": whole.high,
        "dice_tuned": tuned["tuned"],
        "dice_untuned": tuned["untuned"],
        "dice_test": None if test is None else metrics.score(test),
        "per_class": held_out.mean().to_dict(),
        "images": {"held_out": whole.images, "persons": whole.groups, "test": len(line.test_items)},
        "groups": {},
        "dice_at_test_mix": mixes,
        "flags": len(read_flags(line.folder / "flags.csv")),
        "tuning": tuned,
        **{name: read_json(line.folder / f"{name}.json") for name in ASIDE if (line.folder / f"{name}.json").is_file()},
        "config": config["settings"],
        "versions": config["versions"],
        "notes": [*notes(line), *(words(name, found) for name, found in mixes.items() if found["lacking"])],
        **costs(line),
    }
    for split, table in (("", held_out), ("_test", test)):
        if table is None:
            continue
        summary[f"dice{split}_present"] = metrics.score(table.where(present(line).reindex(table.index)))
        for name, values in line.strata.items():
            group = pd.Series({i: values[i] for i in table.index if i in values}, dtype=object)
            summary["groups"][f"{name}{split}"] = {
                str(value): {"dice": metrics.score(table.loc[part.index]), "images": len(part)}
                for value, part in group.groupby(group)
            }
    return summary


def notes(line: Line) -> list[str]:
    """What a reader should know before believing the numbers."""
    out = [
        "Held-out: thresholds and post-processing were chosen on other persons than those they are scored on.",
        "The epoch of the saved weights was chosen by validation on the held-out persons: that much optimism is left.",
    ]
    if len(trained(line)) == 1:
        out.append("One fold was trained: the interval covers the persons of that fold, not another training.")
    if line.config.data is None:
        out.append("The images are phantoms that segkit draws: the score says nothing about real radiographs.")
    return out


def trained(line: Line) -> list[int]:
    """The folds that were trained in this run folder; none of a blend of other runs."""
    folds = line.folds if (line.folder / "folds.csv").is_file() else ()
    return [fold for fold in folds if (line.folder / f"fold{fold}" / "metrics.jsonl").is_file()]


def costs(line: Line) -> dict[str, dict[str, float]]:
    """Seconds and highest memory (of the largest process, MB) of each stage that has a stamp."""
    seconds: dict[str, float] = {}
    memory: dict[str, float] = {}
    for name in STAGES:
        for file in sorted((line.folder.path / ".stages").glob(f"{name}*.json")):
            stamp = read_json(file)
            seconds[name] = round(seconds.get(name, 0.0) + stamp["seconds"], 2)
            memory[name] = max(memory.get(name, 0.0), stamp["peak_rss_mb"])
    return {"seconds": seconds, "peak_rss_mb": memory}


def present(line: Line) -> pd.DataFrame:
    """image x class: whether truth has the class."""
    rows = {}
    for truth in filter(None, (line.truth, line.test_truth)):
        for image in truth.ids:
            rows[image] = [bool(truth[image][cls]) for cls in line.classes]
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(line.classes))


def collect(line: Line, held_out: pd.DataFrame, test: pd.DataFrame | None, summary: dict[str, Any]) -> ReportData:
    """Everything that the page shows."""
    pipeline = Pipeline.load(line.folder / "post.json")
    history = {
        str(fold): [json.loads(row) for row in (line.folder / f"fold{fold}" / "metrics.jsonl").open(encoding="utf-8")]
        for fold in trained(line)
    }
    return ReportData(
        title=line.recipe.name,
        classes=line.classes,
        summary=summary,
        oof=held_out,
        test=test,
        persons=line.persons,
        strata=line.strata,
        curves=ScoreCurves.load(line.folder / "curves.npz"),
        thresholds={cls: pipeline.threshold(cls) for cls in line.classes},
        history=history,
        overlays=overlays(line, held_out, pipeline),
        eda=explore(line, held_out),
        problems=line.problems,
        present=present(line),
        flags=read_flags(line.folder / "flags.csv"),
        tables=[table for name in ASIDE if name in summary for table in made_of(name, summary[name])],
    )


def made_of(name: str, found: dict[str, Any]) -> list[tuple[str, str, pd.DataFrame]]:
    """(title, words, table) of what a run was made of besides its own folds."""
    stage = importlib.import_module(f"segkit.recipe.{name}")
    return [(str(title), str(words), table) for title, words, table in stage.tables(found)]


def overlays(line: Line, held_out: pd.DataFrame, pipeline: Pipeline) -> list[Overlay]:
    """The best and the worst held-out images, with truth and prediction."""
    store = PredictionStore.open(line.folder / "oof.zarr")
    item_of: dict[str, Item] = {item.id: item for item in line.train_items}
    order = held_out.mean(axis=1).sort_values(ascending=False)
    worst = order.index[::-1][: min(WORST, len(order))]
    best = [image for image in order.index[:BEST] if image not in worst]
    out = []
    for rank, image in [*(("best", i) for i in best), *(("worst", i) for i in worst)]:
        logits, size = store[image], store.sizes[image]
        pred = pipeline.masks(dict(zip(store.classes, logits)), size)
        groups = ", ".join(values[image] for values in line.strata.values() if image in values)
        out.append(
            Overlay(
                id=image,
                caption=f"{rank} held out, person {line.persons[image]}" + (f", {groups}" if groups else ""),
                image=read_image(item_of[image].image)[..., 0],
                truth=dict(line.truth[image]),
                pred=pred,
                dice=float(np.nanmean(held_out.loc[image])),
            )
        )
    return out


def explore(line: Line, held_out: pd.DataFrame) -> EDA:
    """The data section: training images with truth, test images by size only."""
    return eda(
        [
            item
            for item in [*line.train_items, *line.test_items]
            if item.id in line.truth or item not in line.train_items
        ],
        line.truth,
        line.classes,
        metadata=line.metadata,
        tables={"held-out": held_out},
        strata=line.strata,
    )
