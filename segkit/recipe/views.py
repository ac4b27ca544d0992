"""Stage views: which of --views are worth looking at, asked of held-out persons; predict goes on with those."""

from __future__ import annotations

from typing import Any

import pandas as pd

from segkit.ensemble import BlendSpace, members
from segkit.files import digest, replacing, write_atomic, write_json
from segkit.predictions import PredictionStore
from segkit.recipe.config import replace
from segkit.recipe.line import Line
from segkit.recipe.predict import fill_held_out, networks

FIRST = "identity"
"""The image as it is: nothing less is submitted."""


def run(line: Line) -> None:
    """Write views.md, .csv and .json, and take the views that are kept as --views from here on.

    Each held-out image is predicted view by view, by the network that did not see it, into views/. From the image as it
    is, views are taken into an equal mean one by one while their gain is sure, clustered by person, and the choice as a
    whole must gain on persons who had no part in it (segkit.ensemble.members); else none is kept.
    """
    from segkit.tta import as_views

    candidates = [view.name for view in as_views(line.config.views) if view.name != FIRST]
    if not candidates:
        raise ValueError(f'--views {line.config.views}: name views to choose among: --views "hflip, scale(1.25)"')
    made_by, stores = networks(line), {}
    for name in (FIRST, *candidates):
        stores[name] = _predicted(line, name, made_by)
    space = BlendSpace([PredictionStore.open(line.folder / place) for place in stores.values()], line.truth, low=0.5,
                       high=0.5, cache=line.cache / "band")  # fmt: skip
    called = dict(zip(space.names, stores))
    found = members(space, line.persons)
    seconds = {name: line.folder.stamp(f"views.{digest([made_by, name])}")["seconds"] for name in stores}
    rows = [
        {"view": called[one.name], **{key: getattr(one.gain, key) for key in ("gain", "low", "high")},
         "seconds": seconds[called[one.name]], "kept": one.kept}
        for one in found.tried
    ]  # fmt: skip
    kept = ", ".join(called[name] for name in found.names[1:]) or "none"
    result = {
        "candidates": candidates,
        "kept": kept,
        "views": rows,
        "held_out": found.held_out and found.held_out._asdict(),
        "images": len(space.ids),
        "persons": len({line.persons[image] for image in space.ids}),
    }
    _write(line, result)
    line.config = replace(line.config, {"views": kept})
    line.write_config()
    line.say(f'  kept: --views "{kept}", which the stage predict takes from here on')


def _predicted(line: Line, view: str, made_by: dict[str, Any]) -> str:
    """The store of one view below the run folder, predicted where it is not there yet."""
    key = [made_by, view]
    place = f"views/{digest(key)}.zarr"

    def work() -> None:
        fill_held_out(line, place, {**made_by, "view": view}, view=view)

    ran = line.folder.run(f"views.{digest(key)}", key, [line.folder / place], work)
    line.say(f"  {view}: {'predicted' if ran else 'as before'}")
    return place


def _write(line: Line, result: dict[str, Any]) -> None:
    """The three files, and the table printed."""
    write_json(line.folder / "views.json", result)
    with replacing(line.folder / "views.csv") as part:
        pd.DataFrame(result["views"]).to_csv(part, index=False, float_format="%.6g")
    lines = ["| view | gain, 95 % interval | predict, s | kept |", "|---|---|---|---|"]
    for row in result["views"]:
        gain = f"{row['gain']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
        lines.append(f"| {row['view']} | {gain} | {row['seconds']:.1f} | {'yes' if row['kept'] else 'no'} |")
    text = "\n".join(lines) + "\n"
    write_atomic(line.folder / "views.md", text)
    line.console.print(text, markup=False, end="")
    if (whole := result["held_out"]) is None:
        line.say(f"  {result['persons']} persons: nothing can be checked, so no view is kept")
    else:
        interval = f"95 % interval {whole['low']:+.4f} to {whole['high']:+.4f}"
        line.say(f"  such a choice on persons it was not made on: {whole['gain']:+.4f} ({interval})")
