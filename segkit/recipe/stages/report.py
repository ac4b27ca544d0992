"""Stage report: summary.json for machines, report.html for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from segkit import metrics
from segkit.files import read_json, write_json
from segkit.masks import MaskSet
from segkit.metrics import Interval, Scores
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, require
from segkit.recipe.stages import ensemble, pseudo, sources, submit
from segkit.recipe.stages.audit import AUDIT, read_problems
from segkit.recipe.stages.folds import asked_folds
from segkit.recipe.stages.tune import TUNE
from segkit.recipe.stamps import Meter
from segkit.recipe.stratum_mix import at_test_mix, words
from segkit.report import Overlay, ReportData, eda, viewable, write_report
from segkit.thresholds import ScoreCurves

SIDE_TABLES = {"ensemble": ensemble.tables, "pseudo": pseudo.tables}
"""Side stages whose NAME.json the report shows, and how."""
ORDER = ("audit", "folds", "train", "predict", "ensemble", "tune", "submit", "report")
"""Stages whose cost the report shows."""


def run_stage(run: Run) -> None:
    """Write summary.json and report.html; always anew, as every earlier stage may have changed."""
    stage = Stage(
        "report",
        work,
        makes=("summary.json", "report.html"),
        groups=("report",),
        facts=("strata", "metric", "submission", "exclusive"),
        inputs=("train", "test", "strata", "groups", "metadata"),
        needs=lambda run: (sources.held_out(run), sources.test(run), TUNE, submit.stage(run)),
    )
    for need in (AUDIT, *stage.needs(run)):
        require(need, run)
    work(run.scoped(stage))


def work(run: Run) -> None:
    """Collect, write, and print the scores."""
    with Meter() as meter:
        held_out = pd.read_csv(run.file("oof_scores.csv"), index_col=0)
        test = score_test(run)
        summary = summarise(run, held_out, test)
        data = collect(run, held_out, test, summary)
    for name in ("seconds", "peak_rss_mb"):
        costs = summary[name]
        costs["report"] = round(getattr(meter, name), 2)
        costs["total"] = round(sum(costs.values()), 2) if name == "seconds" else max(costs.values())
    write_json(run.folder / "summary.json", summary)
    write_report(run.folder / "report.html", data)
    metric = run.recipe.metric.name
    run.say(f"  held-out {metric} {summary['held_out']}")
    for name, parts in summary["groups"].items():
        run.say(f"  {name}: " + ", ".join(f"{k} {v['score']:.4f} ({v['images']} images)" for k, v in parts.items()))
    for name, found in summary["score_at_test_mix"].items():
        run.say(f"  {words(name, found)}")
    if test is not None:
        there = summary["score_test_present"]
        run.say(f"  test {metric} {summary['score_test']:.4f}, over images that have the class {there:.4f}")


def submitted(run: Run) -> MaskSet:
    """Read the masks of the submission."""
    return submit.read_submission(run, require(submit.stage(run), run) / submit.submission_name(run))


def score_test(run: Run) -> Scores | None:
    """Score the submission against test truth, where there is one."""
    test = run.inputs.test
    return run.recipe.metric.scores(submitted(run), test.truth) if test.labelled else None


def summarise(run: Run, held_out: pd.DataFrame, test: Scores | None) -> dict[str, Any]:
    """Collect what summary.json holds; seconds and memory of the stages come from their stamps."""
    tuned = read_json(run.file("tune.json"))
    known: dict[str, Any] = {k: np.nan if v is None else v for k, v in tuned["interval"].items()}
    whole = Interval(**known)
    config = read_json(run.folder / "config.json")
    mixes = at_test_mix(run, held_out)
    sides = {name: run.folder / f"{name}.json" for name in SIDE_TABLES}
    summary: dict[str, Any] = {
        "recipe": run.recipe.name,
        "metric": str(run.recipe.metric),
        "score": whole.mean,
        "score_low": whole.low,
        "score_high": whole.high,
        "held_out": str(whole),
        "score_tuned": tuned["tuned"],
        "score_untuned": tuned["untuned"],
        **floors(run, held_out),
        "score_test": None if test is None else float(test.score()),
        "per_class": held_out.mean().to_dict(),
        "images": {"held_out": whole.images, "groups": whole.groups, "test": len(run.inputs.test)},
        "groups": {},
        "score_at_test_mix": mixes,
        "flags": len(submit.read_flags(run.file("flags.csv"))),
        "tuning": tuned,
        **{name: read_json(file) for name, file in sides.items() if file.is_file()},
        "config": config["settings"],
        "versions": config["versions"],
        "notes": [*notes(run), *(words(name, found) for name, found in mixes.items() if found["lacking"])],
        **costs(run),
    }
    for split, table in (("", held_out), ("_test", None if test is None else test.table)):
        if table is None:
            continue
        summary[f"score{split}_present"] = metrics.score(table.where(present(run).reindex(table.index)))
        for name, values in run.inputs.strata.items():
            stratum = pd.Series({i: values[i] for i in table.index if i in values}, dtype=object)
            summary["groups"][f"{name}{split}"] = {
                str(value): {"score": metrics.score(table.loc[part.index]), "images": len(part)}
                for value, part in stratum.groupby(stratum)
            }
    return summary


def floors(run: Run, held_out: pd.DataFrame) -> dict[str, float | None]:
    """Score an empty and a full submission on the held-out images; None where that has no meaning.

    A full one cannot be sent where classes are exclusive, and distances to nothing say nothing.
    """
    metric = run.recipe.metric
    if not metric.has_counts:
        return {"score_empty": None, "score_full": None}
    truth = run.inputs.train.truth.subset([str(image) for image in held_out.index])
    full = np.nan if run.recipe.exclusive else metrics.full_score(metric, truth)
    empty = metrics.empty_score(metric, truth)
    return {"score_empty": empty if np.isfinite(empty) else None, "score_full": full if np.isfinite(full) else None}


def notes(run: Run) -> list[str]:
    """Say what a reader should know before believing the numbers."""
    out = [
        "Held-out: thresholds and post-processing were chosen on other groups than those they are scored on.",
        "The epoch of the saved weights was chosen by validation on the held-out images: that much optimism is left.",
    ]
    if len(trained(run)) == 1:
        out.append("One fold was trained: the interval covers the groups of that fold, not another training.")
    return out + list(run.recipe.notes if run.inputs.default else ())


def trained(run: Run) -> list[int]:
    """List the folds that were trained in this run folder; none of a blend of other runs."""
    if run.config.run.members:
        return []
    return [fold for fold in asked_folds(run) if (run.folder / f"fold{fold}" / "metrics.jsonl").is_file()]


def costs(run: Run) -> dict[str, dict[str, float]]:
    """Add up seconds and take the highest memory (of the largest process, MiB) of each stage that has a stamp."""
    seconds: dict[str, float] = {}
    memory: dict[str, float] = {}
    for stamp, found in run.stamps.all().items():
        name = stamp.partition(".")[0]
        if name in ORDER:
            seconds[name] = round(seconds.get(name, 0.0) + found["seconds"], 2)
            memory[name] = max(memory.get(name, 0.0), found["peak_rss_mb"])
    return {
        "seconds": {name: seconds[name] for name in ORDER if name in seconds},
        "peak_rss_mb": {name: memory[name] for name in ORDER if name in memory},
    }


def present(run: Run) -> pd.DataFrame:
    """Return image x class: whether truth has the class."""
    rows = {}
    for samples in (run.inputs.train, run.inputs.test):
        for image in samples.labelled:
            rows[image] = [bool(samples.truth[image][cls]) for cls in run.inputs.classes]
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(run.inputs.classes))


def collect(run: Run, held_out: pd.DataFrame, test: Scores | None, summary: Mapping[str, Any]) -> ReportData:
    """Collect everything that the page shows."""
    pipeline = Pipeline.load(run.file("post.json"))
    history = {
        str(fold): [json.loads(row) for row in (run.folder / f"fold{fold}" / "metrics.jsonl").open(encoding="utf-8")]
        for fold in trained(run)
    }
    inputs = run.inputs
    return ReportData(
        title=run.recipe.name,
        classes=inputs.classes,
        summary=dict(summary),
        oof=held_out,
        test=None if test is None else test.table,
        groups=inputs.groups,
        metric=run.recipe.metric,
        strata=inputs.strata,
        curves=None if run.recipe.exclusive else ScoreCurves.load(require(TUNE, run) / "curves.npz"),
        thresholds={} if run.recipe.exclusive else {cls: pipeline.threshold(cls) for cls in inputs.classes},
        history=history,
        overlays=overlays(run, held_out, pipeline),
        eda=eda(
            inputs.train, inputs.test, metadata=inputs.metadata, tables={"held-out": held_out}, strata=inputs.strata
        ),
        problems=read_problems(run),
        present=present(run),
        flags=submit.read_flags(run.file("flags.csv")),
        tables=[row for name, tables in SIDE_TABLES.items() if name in summary for row in tables(summary[name])],
        confusion=confused(run, held_out, pipeline),
    )


def confused(run: Run, held_out: pd.DataFrame, pipeline: Pipeline) -> pd.DataFrame | None:
    """Count which class the held-out pixels of every class are taken for; None where classes may overlap."""
    if not run.recipe.exclusive:
        return None
    ids = [str(image) for image in held_out.index]
    masks = render(PredictionStore.open(run.file("oof.zarr")), pipeline, ids=ids)
    return metrics.confusion(masks, run.inputs.train.truth.subset(ids))


def overlays(run: Run, held_out: pd.DataFrame, pipeline: Pipeline) -> list[Overlay]:
    """Draw the best and the worst held-out images, with truth and prediction."""
    samples, settings = run.inputs.train, run.config.report
    store = PredictionStore.open(run.file("oof.zarr"))
    order = held_out.mean(axis=1).sort_values(ascending=not run.recipe.metric.higher_is_better)
    worst = order.index[::-1][: min(settings.worst_shown, len(order))]
    best = [image for image in order.index[: settings.best_shown] if image not in worst]
    masks = render(store, pipeline, ids=[*best, *worst])
    out = []
    for rank, image in [*(("best", i) for i in best), *(("worst", i) for i in worst)]:
        strata = ", ".join(values[image] for values in run.inputs.strata.values() if image in values)
        out.append(
            Overlay(
                id=image,
                caption=f"{rank} held out, group {samples.groups[image]}" + (f", {strata}" if strata else ""),
                image=viewable(samples.read_image(image)),
                truth=dict(samples.truth[image]),
                pred=dict(masks[image]),
                score=float(np.nanmean(held_out.loc[image])),
            )
        )
    return out
