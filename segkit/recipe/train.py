"""Stage 2: one network a fold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from segkit import folds as folding
from segkit.files import nearest, plain, read_json, write_json
from segkit.recipe.config import Config
from segkit.recipe.line import Line

if TYPE_CHECKING:
    from segkit.training import FitResult

DECIDES_WEIGHTS = (
    "seed", "limit", "n_folds", "stratify", "label_fixes", "model", "encoder", "weights", "model_options",
    "in_channels", "size", "crop", "foreground", "targets", "augment", "mix", "mix_share", "loss", "epochs",
    "batch_size", "accumulate", "lr", "weight_decay", "optimizer", "encoder_lr", "freeze_epochs", "schedule",
    "warmup_epochs", "clip", "averaging", "ema_decay", "swa_start", "swa_lr", "soup_size", "precision",
    "validate_every",
)  # fmt: skip
WITH_PSEUDO = ("pseudo", "pseudo_share")
"""These too, where there are pseudo-labels."""
LATER = ("lr_floor", "aux_weight")
"""These too, where they are not the default: older runs had no choice."""


def run(line: Line) -> None:
    """Assign folds, train those of --folds into fold0, fold1, ...: what is done is skipped, what was killed resumes."""
    assign_folds(line)
    train_folds(line)


def train_folds(line: Line) -> None:
    """Train those of --folds, under the folds that folds.csv has."""
    settings = deciding(line.config)
    for fold in line.folds:
        folder = line.folder / f"fold{fold}"
        if begun_with(folder).get("data", line.audited["train"]) != line.audited["train"]:
            raise ValueError(
                f"{folder} was trained on other training images, annotations or classes than {line.data} holds now: "
                f"name another --out, or delete {folder}"
            )
        outputs = [folder / "model.safetensors"]
        key = {"settings": settings, "data": line.audited["train"], "fold": fold}
        ran = line.folder.run(f"train.fold{fold}", key, outputs, lambda fold=fold: fit_fold(line, fold))  # type: ignore[misc]
        if not ran:
            line.say(f"  fold {fold}: done before")


def deciding(config: Config) -> dict[str, Any]:
    """The settings that the weights depend on, as JSON gives them back."""
    names = DECIDES_WEIGHTS if config.pseudo is None else DECIDES_WEIGHTS + WITH_PSEUDO
    others = [name for name in LATER if getattr(config, name) != getattr(Config, name)]
    return {name: plain(getattr(config, name)) for name in (*names, *others)}


def begun_with(folder: Path) -> dict[str, Any]:
    """What a fold's training was begun with; empty where no epoch was ever done, so that nothing can be lost."""
    there = (folder / "settings.json").is_file() and (folder / "last.safetensors").is_file()
    return dict(read_json(folder / "settings.json")) if there else {}


def refuse_other_settings(folder: Path, config: Config) -> None:
    """ValueError where a fold of this run folder was trained, or begun, with other settings: nothing is overwritten."""
    for fold in config.folds:
        place = folder / f"fold{fold}"
        now = deciding(config)
        before = begun_with(place) or now
        other = [f"{name} {before.get(name)!r}, not {now.get(name)!r}" for name in DECIDES_WEIGHTS + WITH_PSEUDO + LATER
                 if before.get(name) != now.get(name)]  # fmt: skip
        if other:
            raise ValueError(f"{place} was trained with {'; '.join(other)}: name another --out, or delete {place}")


def assign_folds(line: Line) -> None:
    """folds.csv: the same persons and settings give the same folds."""
    ids = [item.id for item in line.train_items if item.id in line.labels]
    persons = {i: line.persons[i] for i in ids}
    k = min(line.config.n_folds, len(set(persons.values())))
    groups = {name: stratum(line, name) for name in line.config.stratify}
    strata = {i: "/".join(values.get(i, "") for values in groups.values()) for i in ids} if groups else None
    folding.write(
        line.folder / "folds.csv", folding.assign(persons, k=k, strata=strata, seed=line.config.seed), persons
    )
    line.__dict__.pop("fold_of", None)


def stratum(line: Line, name: str) -> dict[str, str]:
    """{image id: value} of one of the recipe's groups, or of a column of the metadata sheet (numbers in thirds)."""
    if name in line.strata:
        return line.strata[name]
    sheet = line.metadata
    columns = [] if sheet is None else [column for column in sheet.columns if column != "id"]
    if sheet is None or name not in columns:
        raise ValueError(f"--stratify {name}: {nearest(name, [*line.strata, *columns])}")
    values = sheet.set_index("id")[name]
    if values.dtype.kind == "f":
        values = (values.rank(pct=True) * 3).round().astype(str)
    return {image: str(values.get(person, "")) for image, person in line.persons.items()}


def create_model(config: Config, classes: tuple[str, ...], *, weights: str | None) -> Any:
    """The network that a config names."""
    from segkit import models

    options = yaml.safe_load(config.model_options or "{}")
    if not isinstance(options, dict):
        raise ValueError(f"model_options {config.model_options!r}: a mapping such as '{{aux: true}}' is wanted")
    return models.create(
        config.model,
        classes=classes,
        in_channels=config.in_channels,
        encoder=config.encoder,
        weights=weights,
        **options,
    )


def fit_fold(line: Line, fold: int, *, loggers: Sequence[Any] = (), progress: bool = True) -> FitResult:
    """Train on the other folds, validate on this one at full resolution. loggers: of fit(), beside TensorBoard."""
    import torch

    from segkit import losses
    from segkit.data import Crops, Mixed, SegmentationData, augment
    from segkit.inference import Validator
    from segkit.recipe.predict import merging
    from segkit.recipe.pseudo import with_pseudo
    from segkit.training import TensorBoard, TrainConfig, fit

    config, size = line.config, (line.config.size, line.config.size)
    merging(config)  # misspelt views are better known now than after the training
    torch.manual_seed(config.seed)
    model = create_model(config, line.classes, weights=config.weights)
    train, held_out = line.items_of(fold, held_out=False), line.items_of(fold, held_out=True)
    line.say(
        f"  fold {fold}: {len(train)} images of {len({i.person for i in train})} persons, {len(held_out)} held out"
    )
    data = SegmentationData(
        line.samples_of(fold, held_out=False),
        size=size,
        targets=config.targets,
        transform=augment.build(config.augment),
        seed=config.seed,
        cache=line.cache,
        in_channels=config.in_channels,
        class_swaps=line.recipe.class_swaps,
    )
    seen: Any = data if config.pseudo is None else with_pseudo(line, fold, data)
    if config.window:
        seen = Crops(seen, config.window, foreground=config.foreground)
    if config.mix != "none":
        seen = Mixed(seen, config.mix, share=config.mix_share, seed=config.seed)
    validate = Validator(
        line.samples_of(fold, held_out=True),
        size=size,
        window=config.window,
        batch_size=config.predict_batch,
        in_channels=config.in_channels,
        cache=line.cache,
    )
    write_json(line.folder / f"fold{fold}" / "settings.json", {**deciding(config), "data": line.audited["train"]})
    result = fit(
        model,
        seen,
        loss=losses.build(config.loss),
        out=line.folder / f"fold{fold}",
        config=TrainConfig(
            epochs=config.epochs,
            batch_size=config.batch_size,
            lr=config.lr,
            weight_decay=config.weight_decay,
            warmup_epochs=config.warmup_epochs,
            lr_floor=config.lr_floor,
            aux_weight=config.aux_weight,
            optimizer=config.optimizer,
            encoder_lr_mult=config.encoder_lr,
            freeze_epochs=config.freeze_epochs,
            schedule=config.schedule,
            accumulate=config.accumulate,
            clip=config.clip or None,
            averaging=config.averaging,
            ema_decay=config.ema_decay,
            swa_start=config.swa_start,
            swa_lr_mult=config.swa_lr,
            soup_size=config.soup_size,
            precision=config.precision,
            channels_last=config.channels_last,
            compile=config.compile,
            accelerator=config.accelerator,
            workers=min(config.workers, os.cpu_count() or 1),
            seed=config.seed,
            validate_every=config.validate_every,
        ),
        validate=validate,
        loggers=[TensorBoard(line.folder / f"fold{fold}"), *loggers],
        progress=progress,
    )
    line.say(
        f"  fold {fold}: Dice {result.best or 0:.4f} at full resolution after epoch {result.best_epoch}, "
        f"{result.seconds:.0f} s, {result.wait_share:.1%} waiting for data, "
        f"{result.overhead_share:.1%} outside forward, backward and optimizer"
    )
    if result.averaging:
        scores = ", ".join(f"{name} {dice:.4f}" for name, dice in result.averaging["scores"].items())
        line.say(f"  fold {fold}: of {scores} the weights {result.averaging['kept']} are kept")
    return result
