"""Stage 4: thresholds and post-processing, chosen on held-out predictions and scored on other persons still."""

from __future__ import annotations

import optuna

from segkit import studies
from segkit.files import replacing, write_json
from segkit.predictions import PredictionStore
from segkit.recipe.line import Line
from segkit.thresholds import curves


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
    objective = studies.postprocess_objective(
        store, line.truth, thresholds=found.best(), multipart=line.recipe.multipart
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line a trial is noise here; the journal has them all
    study = studies.open_study(f"tune-{folder.key('predict.oof')}", folder / "study.journal", seed=config.seed)
    objective.enqueue(study)
    persons = {line.persons[image] for image in found.ids}
    enough = len(persons) >= studies.FEWEST_PERSONS  # of fewer nothing can be checked, and nothing will be used
    studies.optimise(study, objective, trials=config.trials if enough else 1)
    choice = studies.choose(found, objective, line.persons, [trial.params for trial in study.trials if trial.values])
    choice.pipeline.save(folder / "post.json")
    with replacing(folder / "oof_dice.csv") as part:
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
    line.say(f"  held-out Dice: {', '.join(f'{name} {value:.4f}' for name, value in choice.held_out.items())}")
    for name, gain in choice.gains.items():
        interval = f"95 % interval {gain.low:+.4f} to {gain.high:+.4f}, p = {gain.p:.2g}"
        line.say(f"  gain of {name}: {gain.gain:+.4f} ({interval})")
    if not enough:
        line.say(f"  {len(persons)} held-out persons: nothing can be checked, so nothing is tuned")
    line.say(f"  kept: {choice.kept} (tuned {choice.tuned:.4f})")
    for step, settings in choice.pipeline.steps:
        line.say(f"  {step} for {', '.join(settings['only'])}")
