"""The command line of a recipe's run.py."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence

from segkit.files import plain
from segkit.recipe.options import parse
from segkit.recipe.recipe import Recipe
from segkit.recipe.run import Run
from segkit.recipe.stage import differences

RESULTS = ("submission*", "summary.json", "report.html")
"""What is named at the end, where it is there."""


def main(recipe: Recipe, arguments: Sequence[str] | None = None) -> int:
    """Run the stages that a command line names.

    Args:
        recipe: The facts.
        arguments: Of the command line; None: those of this process.

    Returns:
        The exit code: 0, or 2 after bad input, which ends in one readable line and not in a traceback.
    """
    try:
        stages, config = parse(recipe.name, recipe.presets, arguments)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and set(stages) - {"folds", "train"}:
            raise ValueError("torchrun is for the stage train alone: run audit before it, and the others after it")
        run = Run.begin(recipe, config)
        _check_trained(run)
        run.write_config()
        for stage in stages:
            run.say(f"[bold]{stage}[/bold]")
            module = importlib.import_module(f"segkit.recipe.stages.{stage.replace('-', '_')}")
            if changes := module.run_stage(run):  # none pays for what another imports
                run = run.with_settings(changes)
                run.write_config()
    except (ValueError, KeyError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"error: {message}", file=sys.stderr)
        return 2
    for pattern in RESULTS:
        for file in sorted(run.folder.glob(pattern)):
            run.say(f"{file.name:15} {file.resolve()}", markup=False)
    return 0


def _check_trained(run: Run) -> None:
    """ValueError where a fold of this folder was trained under other settings: nothing is begun, nothing overwritten.

    What else its key holds (labels, samples, facts of the recipe) is compared when its stage is asked for.
    """
    for fold in run.config.run.folds:
        begun = run.stamps.begun(f"train.fold{fold}")
        if begun is None or not (run.folder / f"fold{fold}" / "last.safetensors").is_file():
            continue
        before = {**begun["config"], **begun["needs"]["folds"]["config"]}
        now = {group: plain(dataclasses.asdict(getattr(run.config, group))) for group in before}
        if before != now:
            other = differences({"config": before}, {"config": now, "recipe": {}, "reads": {}, "needs": {}})
            place = run.folder / f"fold{fold}"
            raise ValueError(f"{place} was made with {other}: name another --out to keep it, or delete {place}")
