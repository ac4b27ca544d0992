"""Stage tune: thresholds and post-processing, chosen on held-out predictions and scored on other groups still."""

from __future__ import annotations

import optuna

from segkit import studies
from segkit.files import replacing, write_json
from segkit.predictions import PredictionStore
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute
from segkit.recipe.stages import sources
from segkit.thresholds import curves


def work(run: Run) -> None:
    """Write curves.npz, study.journal, post.json, oof_scores.csv and tune.json."""
    folder, samples, metric = run.folder, run.inputs.train, run.recipe.metric
    store = PredictionStore.open(run.file("oof.zarr"))
    found = curves(store, samples.truth, metric)
    found.save(folder / "curves.npz")
    objective = studies.postprocess_objective(
        store, samples.truth, thresholds=found.best(), multipart=run.recipe.multipart
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line a trial is noise here; the journal has them all
    name = f"tune-{sources.held_out(run).key(run)}"
    study = studies.open_study(name, folder / "study.journal", seed=run.config.data.split_seed)
    objective.enqueue(study)
    groups = {samples.groups[image] for image in found.ids}
    enough = len(groups) >= studies.FEWEST_PERSONS  # of fewer nothing can be checked, and nothing will be used
    studies.optimise(study, objective, trials=run.config.tune.trials if enough else 1)
    choice = studies.choose(found, objective, samples.groups, [t.params for t in study.trials if t.values])
    choice.pipeline.save(folder / "post.json")
    with replacing(folder / "oof_scores.csv") as part:
        choice.table.to_csv(part, float_format="%.6f")
    write_json(
        folder / "tune.json",
        {
            "kept": choice.kept,
            "tuned": choice.tuned,
            "held_out": choice.held_out,
            "gains": {name: gain._asdict() for name, gain in choice.gains.items()},
            "steps": choice.pipeline.steps,
            "weighed": [] if choice.gated is None else choice.gated.table.to_dict("records"),
            "shrink": choice.shrink,
            "study_best": study.best_value,
            "study_params": study.best_params,
            "trials": len(study.trials),
        },
    )
    run.say(f"  held-out {metric.name}: {', '.join(f'{name} {value:.4f}' for name, value in choice.held_out.items())}")
    for name, gain in choice.gains.items():
        run.say(f"  gain of {name}: {gain}")
    if not enough:
        run.say(f"  {len(groups)} held-out groups: nothing can be checked, so nothing is tuned")
    run.say(f"  kept: {choice.kept} (tuned {choice.tuned:.4f})")
    for step, settings in choice.pipeline.steps:
        run.say(f"  {step} for {', '.join(settings['only'])}", markup=False)


TUNE = Stage(
    "tune",
    work,
    makes=("curves.npz", "post.json", "tune.json", "oof_scores.csv"),
    groups=("tune",),
    facts=("metric", "multipart", "exclusive"),
    inputs=("train",),
    needs=lambda run: (sources.held_out(run),),
)


def run_stage(run: Run) -> None:
    """Tune on the held-out predictions, unless that is done."""
    if not execute(TUNE, run):
        run.say("  done before")
