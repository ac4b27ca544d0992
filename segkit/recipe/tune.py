"""Stage 4: thresholds and post-processing, chosen on held-out predictions and scored on other persons still."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from segkit import studies
from segkit.files import replacing, write_json
from segkit.metrics import count
from segkit.postprocess import render
from segkit.predictions import PredictionStore
from segkit.recipe.line import Line
from segkit.selection import MIN_GROUPS_TO_SCORE
from segkit.thresholds import choose_shrink, curves


def run(line: Line) -> None:
    """Write curves.npz, study.journal, post.json, oof_dice.csv and tune.json."""
    folder = line.folder
    key = {"oof": folder.key("predict.oof"), "trials": line.config.trials, "seed": line.config.seed}
    if not key["oof"]:
        raise ValueError(f"{folder / 'oof.zarr'} is not there: run the stage predict first")
    outputs = [folder / name for name in ("curves.npz", "post.json", "tune.json", "oof_dice.csv")]
    if not folder.run("tune", key, outputs, lambda: work(line)):
        line.say("  done before")


def work(line: Line) -> None:
    """Curves, a study that proposes, and the nested choice of what is kept."""
    folder, config = line.folder, line.config
    store = PredictionStore.open(folder / "oof.zarr")
    found = curves(store, line.truth)
    found.save(folder / "curves.npz")
    objective = studies.PostprocessObjective(
        store, line.truth, thresholds=found.best(), multipart=line.recipe.multipart
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line a trial is noise here; the journal has them all
    study = studies.open_study(f"tune-{folder.key('predict.oof')}", folder / "study.journal", seed=config.seed)
    objective.enqueue(study)
    persons = {line.persons[image] for image in found.ids}
    enough = len(persons) >= MIN_GROUPS_TO_SCORE  # of fewer nothing can be checked, and nothing will be used
    studies.optimise(study, objective, trials=min(config.trials, objective.combinations) if enough else 1)
    choice = studies.choose(found, objective, line.persons, [trial.params for trial in study.trials if trial.values])
    pipeline = choice.setting
    pipeline.save(folder / "post.json")
    with replacing(folder / "oof_dice.csv") as part:
        choice.scores.table.to_csv(part, float_format="%.6f")
    counts = count(render(store, pipeline, ids=objective.ids), objective.truth)
    notes = studies.cautions(counts, store.classes, objective.metric, full_score=found.full_score)
    write_json(
        folder / "tune.json",
        {
            "kept": choice.kept,
            "untuned": choice.untuned,
            "tuned": choice.tuned,
            "held_out": choice.held_out,
            "gains": {row.name: row.gain._asdict() for row in choice.rows},
            "steps": pipeline.steps,
            "shrink": choose_shrink(found, line.persons) if enough else 1.0,
            "cautions": notes,
            "study_best": study.best_value,
            "study_params": study.best_params,
            "trials": len(study.get_trials(states=(TrialState.COMPLETE,))),
        },
    )
    for text in (*str(choice).splitlines(), *notes):
        line.say(f"  {text}")
    for step, settings in pipeline.steps:
        line.say(f"  {step} for {', '.join(settings['only'])}")
