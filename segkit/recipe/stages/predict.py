"""Stage predict: networks over images, into oof.zarr (each image by the network that did not see it) and test.zarr."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segkit.files import digest, read_json, write_json
from segkit.predictions import PredictionStore
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute, require
from segkit.recipe.stages.folds import FOLDS, asked_folds, ids_of
from segkit.recipe.stages.train import create_model, fold_stage, trained_image_spec
from segkit.recipe.views import views_of
from segkit.samples import Samples


def trained_folds(run: Run) -> tuple[Stage, ...]:
    """Return the stages whose networks predict."""
    return (FOLDS, *(fold_stage(run, fold) for fold in asked_folds(run)))


def _held_out(run: Run) -> None:
    fill_held_out(run, run.folder / "oof.zarr")


def _test(run: Run) -> None:
    samples = run.inputs.test_images
    store = open_store(run, run.folder / "test.zarr", samples)
    fill(run, list(asked_folds(run)), samples, store)


OOF = Stage("predict.oof", _held_out, ("oof.zarr",), ("predict",), needs=trained_folds, title="predict")
TEST = Stage(
    "predict.test", _test, ("test.zarr",), ("predict",), inputs=("test_images",), needs=trained_folds, title="predict"
)


def run_stage(run: Run) -> None:
    """Fill both stores; a killed run goes on, other weights or views begin anew."""
    for stage in (OOF, TEST):
        ran = execute(stage, run)
        path = require(stage, run) / stage.makes[0]
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 2**20
        count = len(PredictionStore.open(path))
        run.say(f"  {path.name}: {count} images, {size:.1f} MB{'' if ran else ' (as before)'}")


def fill_held_out(run: Run, path: Path, *, view: str | None = None) -> None:
    """Predict the held-out images, each by the network that did not see it, into a store.

    Args:
        run: Whose networks.
        path: Of the store.
        view: One view alone; None merges all of --views.
    """
    held_out = {fold: ids_of(run, fold, held_out=True) for fold in asked_folds(run)}
    samples = run.inputs.train.subset(i for ids in held_out.values() for i in ids)
    store = open_store(run, path, samples, view)
    for fold, ids in held_out.items():
        fill(run, [fold], samples.subset(ids), store, view=view)


def open_store(run: Run, path: Path, samples: Samples, view: str | None = None) -> PredictionStore:
    """Open a store that the same networks began, or begin a new one.

    Args:
        run: Whose networks.
        path: Of the store; what else lies there is removed.
        samples: Its images.
        view: One view alone; None merges all of --views.

    Returns:
        The store.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_suffix(".json")
    networks = [stage.key(run) for stage in trained_folds(run)]
    key = digest([networks, asdict(run.config.predict) if view is None else view, samples.ids])
    if path.exists() and not (begun.is_file() and read_json(begun) == key):
        shutil.rmtree(path)
    if path.exists():
        return PredictionStore.open(path)
    store = new_store(run, path, samples)
    write_json(begun, key)
    return store


def new_store(run: Run, path: Path, samples: Samples) -> PredictionStore:
    """Create the store of some images at the network resolution."""
    return PredictionStore.create(
        path,
        ids=samples.ids,
        classes=samples.classes,
        sizes=samples.sizes,
        grid=run.config.model.resolution,
        exclusive=samples.exclusive,
    )


def fill(run: Run, folds: Sequence[int], samples: Samples, store: PredictionStore, *, view: str | None = None) -> None:
    """Predict images by the mean of some folds' networks; images that are done are skipped.

    Args:
        run: Whose networks.
        folds: Which of its folds.
        samples: The images.
        store: Where logits go.
        view: One view alone, not merged with others; None merges all of --views.
    """
    from segkit.inference import predict
    from segkit.tta import OneView

    config = run.config
    networks: list[Any] = []
    for fold in folds:
        weights = require(fold_stage(run, fold), run) / f"fold{fold}" / "model.safetensors"
        networks.append(create_model(run, weights=str(weights)))
    if view is None:
        how, overlap = views_of(config.predict), config.predict.overlap
    else:
        how, overlap = {"views": "none"}, run.read["overlap"]
        networks = [OneView(model, view, run.recipe.class_swaps, store.classes) for model in networks]
    predict(
        networks,
        samples,
        store,
        **how,
        class_swaps=run.recipe.class_swaps,
        fit=config.model.fit,
        image_spec=trained_image_spec(run, folds[0]),
        window=config.train.window,
        overlap=overlap,
        batch_size=config.machine.predict_batch,
        device=None if config.machine.accelerator == "auto" else config.machine.accelerator,
        precision=config.train.precision,
        in_channels=config.model.in_channels,
        cache=run.cache,
    )
