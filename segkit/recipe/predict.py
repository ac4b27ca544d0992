"""Stage 3: networks over images, into oof.zarr (each image by the network that did not see it) and test.zarr."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Literal

from segkit.images import image_size
from segkit.predictions import PredictionStore
from segkit.recipe.config import Config, read_numbers
from segkit.recipe.line import Line
from segkit.samples import Item


def run(line: Line) -> None:
    """Fill oof.zarr and test.zarr; a killed run goes on, other weights or views begin anew."""
    for name in ("oof", "test"):
        store, ran = filled(line, name)
        size = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file()) / 2**20
        line.say(f"  {name}.zarr: {len(store)} images, {size:.1f} MB{'' if ran else ' (as before)'}")


def filled(line: Line, name: Literal["oof", "test"]) -> tuple[PredictionStore, bool]:
    """The store of the held-out images, each by the network that did not see it, or of the test images; and whether it
    was filled now. ValueError where a fold is not trained."""
    made_by = {**networks(line), "views": looks(line.config)}

    def oof() -> None:
        fill_held_out(line, "oof.zarr", made_by)

    def test() -> None:
        store = _open(line, "test.zarr", line.test_items, made_by)
        fill(line, list(line.folds), line.test_items, store)

    place = line.folder / f"{name}.zarr"
    ran = line.folder.run(f"predict.{name}", made_by, [place], oof if name == "oof" else test)
    return PredictionStore.open(place), ran


def networks(line: Line) -> dict[str, Any]:
    """What decides what the networks of --folds say of an image. ValueError where one is not trained."""
    if missing := [fold for fold in line.folds if not line.folder.key(f"train.fold{fold}")]:
        raise ValueError(f"fold {missing[0]} of {line.folder.path} is not trained: run the stage train first")
    return {
        "weights": [line.folder.key(f"train.fold{fold}") for fold in line.folds],
        "folds": line.folds,
        "data": line.folder.key("audit"),
        "window": line.config.crop and [line.config.crop, line.config.overlap],
        "grid": line.config.size,
    }


def looks(config: Config) -> Any:
    """What decides how views are taken and merged."""
    plain = config.tta_merge == Config.tta_merge and config.tta_weights == Config.tta_weights
    return config.views if plain else [config.views, config.tta_merge, config.tta_weights]


def merging(config: Config) -> dict[str, Any]:
    """--views, --tta-merge and --tta-weights as predict() takes them. ValueError for what cannot be read."""
    from torch.nn import Identity

    from segkit.inference import with_tta

    weights = read_numbers("--tta-weights", config.tta_weights or "{}")
    if not isinstance(weights, dict):
        raise ValueError(f"--tta-weights {config.tta_weights!r}: a mapping such as '{{hflip: 2}}' is wanted")
    try:
        merge: str | float = float(config.tta_merge)
    except ValueError:
        merge = config.tta_merge
    found: dict[str, Any] = {"views": config.views, "merge": merge, "weights": weights or None}
    with_tta(Identity(), **found)  # a mistake is better known now than after the training
    return found


def fill_held_out(line: Line, name: str, made_by: dict[str, Any], *, view: str | None = None) -> None:
    """The store NAME of the held-out images, each by the network that did not see it; view: by one view alone."""
    held_out = {fold: line.items_of(fold, held_out=True) for fold in line.folds}
    store = _open(line, name, [item for items in held_out.values() for item in items], made_by)
    for fold, items in held_out.items():
        fill(line, [fold], items, store, view=view)


def _open(line: Line, name: str, items: list[Item], made_by: dict[str, Any]) -> PredictionStore:
    """The store begun by the same weights, or a new one."""
    from segkit.files import digest, read_json, write_json

    path: Path = line.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    begun = path.with_suffix(".json")
    key = digest([made_by, [item.id for item in items]])
    if path.exists() and not (begun.is_file() and read_json(begun) == key):
        shutil.rmtree(path)
    if path.exists():
        return PredictionStore.open(path)
    store = PredictionStore.create(
        path,
        ids=[item.id for item in items],
        classes=line.classes,
        sizes={item.id: image_size(item.image) for item in items},
        grid=(line.config.size, line.config.size),
    )
    write_json(begun, key)
    return store


def fill(line: Line, folds: list[int], items: list[Item], store: PredictionStore, *, view: str | None = None) -> None:
    """Predict the items into the store by the mean of these folds' networks; images that are done are skipped.

    view: one of them alone, undone; None merges all of --views.
    """
    from segkit.inference import predict
    from segkit.recipe.train import create_model
    from segkit.tta import OneView

    config = line.config
    models = [
        create_model(config, line.classes, weights=str(line.folder / f"fold{fold}" / "model.safetensors"))
        for fold in folds
    ]
    how = merging(config)
    if view is not None:
        how = {"views": "none"}
        models = [OneView(model, view, line.recipe.class_swaps, line.classes) for model in models]
    wanted = [item.id for item in items]
    known = line.samples if all(image in line.samples for image in wanted) else line.test_samples
    predict(
        models,
        known.subset(wanted),
        store,
        **how,
        class_swaps=line.recipe.class_swaps,
        window=config.window,
        overlap=config.overlap,
        batch_size=config.predict_batch,
        device=None if config.accelerator == "auto" else config.accelerator,
        precision=config.precision,
        in_channels=config.in_channels,
        cache=line.cache,
    )
