"""Stage 5: test.zarr through the very Pipeline that tuning scored, plane by plane, into a validated CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from segkit import submission
from segkit.files import read_json, replacing
from segkit.masks import MaskSet
from segkit.postprocess import Flag, Pipeline, flags, render
from segkit.predictions import PredictionStore
from segkit.recipe.line import Line

FLAGS = ["image", "class", "kind", "value", "low", "high"]
"""The columns of flags.csv."""
FEWEST = 16
"""Training images below which those of a kind are no measure: quartiles of a handful flag what is merely new."""


def run(line: Line) -> None:
    """Write submission.csv in the competition's order (images by person and name, classes in channel order), and
    flags.csv: its masks of unexpected area or place, measured by the training truth."""
    folder = line.folder
    for name, stage in (("test.zarr", "predict"), ("post.json", "tune")):
        if not (folder / name).exists():
            raise ValueError(f"{folder / name} is not there: run the stage {stage} first")
    key = {"test": folder.key("predict.test"), "post": read_json(folder / "post.json")}
    ran = folder.run("submit", key, [folder / "submission.csv", folder / "flags.csv"], lambda: write(line))
    found = submission.validate(
        folder / "submission.csv",
        ids=[item.id for item in line.test_items],
        classes=line.classes,
        sizes=PredictionStore.open(folder / "test.zarr").sizes,
    )
    line.say(
        f"  submission.csv: {found['rows']} rows, {found['images']} images x {found['classes']} classes, "
        f"{found['empty']} empty, valid{'' if ran else ' (as before)'}"
    )
    unusual = read_flags(folder / "flags.csv")
    where = f", in {len({flag.image for flag in unusual})} images: see flags.csv" if unusual else ""
    line.say(f"  {len(unusual)} findings of unusual area or place against the training truth{where}")


def write(line: Line) -> None:
    """submission.csv: logits of one image, one plane's region at full resolution, its runs; then flags.csv."""
    store = PredictionStore.open(line.folder / "test.zarr")
    pipeline = Pipeline.load(line.folder / "post.json").with_classes(store.classes)
    masks = render(store, pipeline)
    submission.write(line.folder / "submission.csv", ((i, c, masks[i][c]) for i, c in masks.rows))
    found = unusual(line, submission.read(line.folder / "submission.csv", sizes=store.sizes))
    with replacing(line.folder / "flags.csv") as part:
        pd.DataFrame(found, columns=FLAGS).to_csv(part, index=False, float_format="%.6g")


def unusual(line: Line, masks: MaskSet) -> list[Flag]:
    """The flags of each image by the training truth of its own kind (pose, hand: as the masks themselves show it), so
    that a pose that is rare in training is not flagged as such; of kinds with few training images by all of them."""
    truth, shown = line.truth, line.recipe.strata(masks)
    found: list[Flag] = []
    kinds: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for image in masks.ids:
        kind = tuple((name, values[image]) for name, values in shown.items() if image in values)
        kinds.setdefault(kind, []).append(image)
    for kind, ids in kinds.items():
        alike = [i for i in truth.ids if all(line.strata[name].get(i) == value for name, value in kind)]
        reference = _part(truth, alike) if len(alike) >= FEWEST else truth
        found += flags(_part(masks, ids), reference)
    place = {image: number for number, image in enumerate(masks.ids)}
    return sorted(found, key=lambda flag: place[flag.image])


def _part(masks: MaskSet, ids: list[str]) -> MaskSet:
    return MaskSet(ids, masks.classes, lambda image, cls: masks[image][cls], sizes=masks.sizes)


def read_flags(path: Path) -> list[Flag]:
    """What write() found unusual."""
    return [Flag(*row) for row in pd.read_csv(path, keep_default_na=False).itertuples(index=False)]
