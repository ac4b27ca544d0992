"""Stage tune: thresholds and post-processing, chosen on held-out predictions and scored on other groups still."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import TrialState

from segkit import studies
from segkit.files import replacing, write_json
from segkit.metrics import Scores, bootstrap, count
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute
from segkit.recipe.stages import sources
from segkit.selection import MIN_GROUPS_TO_SCORE, Selection, select
from segkit.thresholds import choose_shrink, curves, per_class


def work(run: Run) -> None:
    """Write post.json, tune.json, oof_scores.csv; of classes that may overlap curves.npz and study.journal too."""
    store, metric, samples = PredictionStore.open(run.file("oof.zarr")), run.recipe.metric, run.inputs.train
    choice, facts = _exclusive(run, store) if store.exclusive else _overlapping(run, store)
    pipeline = choice.setting
    pipeline.save(run.folder / "post.json")
    with replacing(run.folder / "oof_scores.csv") as part:
        choice.scores.table.to_csv(part, float_format="%.6f")
    counts = count(render(store, pipeline, ids=choice.scores.ids), samples.truth.subset(choice.scores.ids))
    notes = studies.cautions(counts, store.classes, metric, full_score=facts.pop("full_score", float("nan")))
    found = {
        "kept": choice.kept,
        "untuned": choice.untuned,
        "tuned": choice.tuned,
        "held_out": choice.held_out,
        "interval": bootstrap(choice.scores, samples.groups)._asdict(),
        "gains": {row.name: row.gain._asdict() for row in choice.rows},
        "steps": pipeline.steps,
        "cautions": notes,
    }
    write_json(run.folder / "tune.json", found | facts)
    for text in (*str(choice).splitlines(), *notes):
        run.say(f"  {text}", markup=False)
    for step, settings in pipeline.steps:
        run.say(f"  {step} for {', '.join(settings['only'])}", markup=False)


def _overlapping(run: Run, store: PredictionStore) -> tuple[Selection[Pipeline], dict[str, Any]]:
    """Thresholds from exact curves, then steps that a study proposes."""
    folder, samples, metric = run.folder, run.inputs.train, run.recipe.metric
    found = curves(store, samples.truth, metric)
    found.save(folder / "curves.npz")
    objective = studies.PostprocessObjective(
        store, samples.truth, metric=metric, thresholds=found.best(), multipart=run.recipe.multipart
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line a trial is noise here; the journal has them all
    name = f"tune-{sources.held_out(run).key(run)}"
    study = studies.open_study(name, folder / "study.journal", seed=run.config.data.split_seed)
    objective.enqueue(study)
    enough = len({samples.groups[image] for image in found.ids}) >= MIN_GROUPS_TO_SCORE
    most = objective.combinations  # None where settings are continuous
    trials = min(run.config.tune.trials, most or run.config.tune.trials) if enough else 1
    studies.optimise(study, objective, trials=trials)
    choice = studies.choose(found, objective, samples.groups, [t.params for t in study.trials if t.values])
    facts = {
        "shrink": choose_shrink(found, samples.groups) if enough else 1.0,
        "full_score": found.full_score,
        "study_best": study.best_value,
        "study_params": study.best_params,
        "trials": len(study.get_trials(states=(TrialState.COMPLETE,))),
    }
    return choice, facts


def _exclusive(run: Run, store: PredictionStore) -> tuple[Selection[Pipeline], dict[str, Any]]:
    """Offsets of classes, searched jointly, as no metric of exclusive classes separates by class."""
    groups = run.inputs.train.groups
    objective = studies.OffsetsObjective(store, run.inputs.train.truth, metric=run.recipe.metric)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = f"tune-{sources.held_out(run).key(run)}"
    study = studies.open_study(name, run.folder / "study.journal", seed=run.config.data.split_seed)
    objective.enqueue(study)
    enough = len({groups[image] for image in objective.ids}) >= MIN_GROUPS_TO_SCORE
    studies.optimise(study, objective, trials=run.config.tune.trials if enough else 1)
    done = study.get_trials(states=(TrialState.COMPLETE,))

    def score(pipeline: Pipeline, ids: tuple[str, ...]) -> Scores:
        return objective.scores(per_class(pipeline.offsets, store.classes), ids)

    start = Pipeline(classes=store.classes, exclusive=True)
    choice = select(start, [objective.candidate([t.params for t in done])], score, objective.ids, groups)
    return choice, {"study_best": study.best_value, "study_params": study.best_params, "trials": len(done)}


TUNE = Stage(
    "tune",
    work,
    makes=("post.json", "tune.json", "oof_scores.csv"),
    groups=("tune", "data"),
    facts=("metric", "multipart", "exclusive"),
    inputs=("train",),
    needs=lambda run: (sources.held_out(run),),
)


def run_stage(run: Run) -> None:
    """Tune on the held-out predictions, unless that is done."""
    if not execute(TUNE, run):
        run.say("  done before")
