"""Stage views: which of --views are worth their time, asked of held-out groups; predict goes on with those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from segkit.ensemble import members
from segkit.files import digest, replacing, write_atomic, write_json
from segkit.postprocess import blend_scorer
from segkit.predictions import PredictionStore
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute
from segkit.recipe.stages.predict import fill_held_out, trained_folds

IDENTITY = "identity"
"""The image as it is: nothing less is submitted."""


def view_stage(run: Run, view: str) -> Stage:
    """Return the stage that predicts the held-out images by one view alone."""
    networks = [stage.key(run) for stage in trained_folds(run)]
    place = f"views/{digest([networks, run.config.predict.overlap, view])}.zarr"
    return Stage(
        f"views.{digest(view)}",
        lambda run: fill_held_out(run, run.folder / place, view=view),
        makes=(place,),
        needs=trained_folds,
        reads=lambda run: {"view": view, "overlap": run.config.predict.overlap},
        groups=(),
    )


def run_stage(run: Run) -> Mapping[str, Any]:
    """Write views.md, .csv and .json, and choose the views that later stages take.

    Each held-out image is predicted view by view, by the network that did not see it, into views/. From the image as it
    is, views are taken into an equal mean one by one while their gain is significant, clustered by group, and the
    choice as a whole must gain on groups that had no part in it (segkit.ensemble.members); else none is kept.

    Args:
        run: A run whose folds are trained.

    Returns:
        The setting that goes on: {"views": those that are kept}.
    """
    from segkit.tta import as_views

    asked = run.config.predict.views
    candidates = [view.name for view in as_views(asked) if view.name != IDENTITY]
    if not candidates:
        raise ValueError(f'--views {asked}: name views to choose among: --views "hflip, scale(1.25)"')
    stages = {view: view_stage(run, view) for view in (IDENTITY, *candidates)}
    for view, stage in stages.items():
        run.say(f"  {view}: {'predicted' if execute(stage, run) else 'as before'}")
    stores = [PredictionStore.open(run.folder / stage.makes[0]) for stage in stages.values()]
    scorer = blend_scorer(stores, run.inputs.train.truth, metric=run.recipe.metric, cache=run.cache / "band")
    called, groups = dict(zip(scorer.names, stages)), run.inputs.train.groups
    found = members(scorer, groups)
    rows = [
        {
            "view": called[one.name],
            **{key: getattr(one.gain, key) for key in ("gain", "low", "high")},
            "seconds": run.stamps.read(stages[called[one.name]].name)["seconds"],
            "kept": one.kept,
        }
        for one in found.tried
    ]
    kept = ", ".join(called[name] for name in found.names[1:]) or "none"
    result = {
        "candidates": candidates,
        "kept": kept,
        "views": rows,
        "held_out": found.held_out and found.held_out._asdict(),
        "images": len(scorer.ids),
        "groups": len({groups[image] for image in scorer.ids}),
    }
    _write(run, result)
    run.say(f'  kept: --views "{kept}", which the stage predict takes from here on')
    return {"views": kept}


def _write(run: Run, result: dict[str, Any]) -> None:
    """The three files, and the table printed."""
    write_json(run.folder / "views.json", result)
    with replacing(run.folder / "views.csv") as part:
        pd.DataFrame(result["views"]).to_csv(part, index=False, float_format="%.6g")
    lines = ["| view | gain, 95 % interval | predict, s | kept |", "|---|---|---|---|"]
    for row in result["views"]:
        gain = f"{row['gain']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        lines.append(f"| {row['view']} | {gain} | {row['seconds']:.1f} | {'yes' if row['kept'] else 'no'} |")
    text = "\n".join(lines)
    write_atomic(run.folder / "views.md", text + "\n")
    run.say(text, markup=False)
    if (whole := result["held_out"]) is None:
        run.say(f"  {result['groups']} groups: nothing can be checked, so no view is kept")
    else:
        interval = f"95 % interval {whole['low']:+.4f} to {whole['high']:+.4f}"
        run.say(f"  such a choice on groups it was not made on: {whole['gain']:+.4f} ({interval})")
