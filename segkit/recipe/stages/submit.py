"""Stage submit: test.zarr through the very Pipeline that tuning scored, image by image, into a validated submission."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from segkit.files import replacing
from segkit.masks import MaskSet
from segkit.postprocess import Flag, Pipeline, flags, render
from segkit.predictions import PredictionStore
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute
from segkit.recipe.stages import sources
from segkit.recipe.stages.tune import TUNE
from segkit.submission import MaskFiles, SubmissionFormat

FLAGS = ["image", "class", "kind", "value", "low", "high"]
"""The columns of flags.csv."""
MIN_REFERENCE = 16
"""Training images below which those of a stratum are no reference: quartiles of a few flag what is merely new."""


def masks_of(run: Run) -> MaskSet:
    """Return the masks that are submitted, drawn when they are asked for."""
    store = PredictionStore.open(run.file("test.zarr"))
    pipeline = Pipeline.load(run.file("post.json")).with_classes(store.classes)
    return render(store, pipeline)


def work(run: Run) -> None:
    """Write the submission in the order of the test images, and flags.csv."""
    masks = masks_of(run)
    file = run.folder / submission_name(run)
    run.recipe.submission.write(file, masks, ids=run.inputs.test_images.ids)
    found = unusual(run, read_submission(run, file))
    with replacing(run.folder / "flags.csv") as part:
        pd.DataFrame(found, columns=FLAGS).to_csv(part, index=False, float_format="%.6g")


def submission_name(run: Run) -> str:
    """Return the name of the submission's file, or of its folder where it is mask files."""
    return "submission" if isinstance(run.recipe.submission, MaskFiles) else "submission.csv"


def read_submission(run: Run, file: Path) -> MaskSet:
    """Read the masks that were written."""
    test = run.inputs.test_images
    return run.recipe.submission.read(file, sizes=test.sizes, ids=test.ids, classes=test.classes)


def stage(run: Run) -> Stage:
    """Return the stage of this run: the name of what it makes depends on the format."""
    return Stage(
        "submit",
        work,
        makes=(submission_name(run), "flags.csv"),
        facts=("submission", "strata"),
        inputs=("train", "test_images", "train_strata"),
        needs=lambda run: (sources.test(run), TUNE),
    )


def run_stage(run: Run) -> None:
    """Write the submission and flags.csv, its masks of unexpected area or place, and validate what was written."""
    ran = execute(stage(run), run)
    file = run.folder / submission_name(run)
    form, test = run.recipe.submission, run.inputs.test_images
    if isinstance(form, SubmissionFormat):
        found = form.validate(file, ids=test.ids, classes=test.classes, sizes=test.sizes)
    else:
        found = form.validate(file, ids=test.ids, classes=test.classes)
    counts = ", ".join(f"{count} {what}" for what, count in found.items())
    run.say(f"  {file.name}: {counts}, valid{'' if ran else ' (as before)'}")
    unusual_masks = read_flags(run.folder / "flags.csv")
    where = f", in {len({flag.image for flag in unusual_masks})} images: see flags.csv" if unusual_masks else ""
    run.say(f"  {len(unusual_masks)} findings of unusual area or place against the training truth{where}")


def unusual(run: Run, masks: MaskSet) -> list[Flag]:
    """Flag masks by the training truth of images of the same strata, as the masks themselves show them.

    A pose that is rare in training is so not flagged as such; strata with few training images are compared with all.
    """
    truth, shown = run.inputs.train.truth, run.recipe.strata(masks)
    found: list[Flag] = []
    kinds: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for image in masks.ids:
        kind = tuple((name, values[image]) for name, values in shown.items() if image in values)
        kinds.setdefault(kind, []).append(image)
    for kind, ids in kinds.items():
        alike = [i for i in truth.ids if all(run.inputs.train_strata[name].get(i) == value for name, value in kind)]
        reference = truth.subset(alike) if len(alike) >= MIN_REFERENCE else truth
        found += flags(masks.subset(ids), reference)
    place = {image: number for number, image in enumerate(masks.ids)}
    return sorted(found, key=lambda flag: place[flag.image])


def read_flags(path: Path) -> list[Flag]:
    """Read what was found unusual."""
    return [Flag(*row) for row in pd.read_csv(path, keep_default_na=False).itertuples(index=False)]
