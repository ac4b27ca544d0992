"""Stage train: one network a fold, validated at full resolution on the images that it does not see."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from segkit.files import digest_of_files, read_json, write_json
from segkit.images import ImageSpec
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage, execute, require
from segkit.recipe.stages.folds import FOLDS, asked_folds, ids_of
from segkit.recipe.views import views_of

if TYPE_CHECKING:
    from segkit.data import Crops, Joined, Mixed, PseudoData, SegmentationData
    from segkit.models import Segmenter
    from segkit.training import FitResult

    TrainingData = SegmentationData | Joined | Crops | Mixed


def fold_stage(run: Run, fold: int) -> Stage:
    """Return the stage that trains one fold of a run."""
    pseudo = (run.unscoped or run).config.labels.pseudo

    def labels(run: Run) -> dict[str, Any]:
        if pseudo is None:
            return {}
        from segkit.pseudo import Labels

        folder = Labels(pseudo / f"fold{fold}").path  # a folder that holds none is named
        return {"pseudo-labels": digest_of_files([folder / "labels.json", *sorted(folder.glob("*.npz"))])}

    return Stage(
        f"train.fold{fold}",
        lambda run: _work(run, fold),
        makes=(f"fold{fold}/model.safetensors", f"fold{fold}/image.json"),
        groups=("model", "train") if pseudo is None else ("model", "train", "labels"),
        facts=("class_swaps", "flips", "metric", "exclusive"),
        inputs=("train",) if pseudo is None else ("train", "test_images"),
        needs=lambda run: (FOLDS,),
        reads=labels,
        precious=lambda run: (run.folder / f"fold{fold}" / "last.safetensors").is_file(),
        title="train",
    )


def run_stage(run: Run) -> None:
    """Train the folds of --folds: what is done is skipped, what was killed resumes."""
    views_of(run.config.predict)  # a mistake is better known now than after hours
    for fold in asked_folds(run):
        if not execute(fold_stage(run, fold), run):
            run.say(f"  fold {fold}: done before")


def create_model(run: Run, *, weights: str | None) -> Segmenter:
    """Build the network that a config names."""
    from segkit import models

    settings = run.config.model
    options = yaml.safe_load(settings.model_options or "{}")
    if not isinstance(options, dict):
        raise ValueError(f"model_options {settings.model_options!r}: expected a mapping such as '{{aux: true}}'")
    return models.create(
        settings.model,
        classes=run.inputs.classes,
        in_channels=settings.in_channels or run.inputs.train.image_spec.num_channels,
        encoder=settings.encoder,
        weights=weights,
        **options,
    )


def trained_image_spec(run: Run, fold: int) -> ImageSpec:
    """Return how a trained fold's images were read and normalised, in numbers."""
    return ImageSpec.from_dict(read_json(require(fold_stage(run, fold), run) / f"fold{fold}" / "image.json"))


def training_data(run: Run, fold: int) -> TrainingData:
    """Build what a fold learns from: its images, pseudo-labels, crops and mixtures."""
    from segkit.data import Crops, ImageData, Joined, Mixed, SegmentationData
    from segkit.data.augment import build

    settings, size, every = run.config.train, run.config.model.resolution, run.inputs.train
    # Of all training images, so that networks of several folds can look at one image.
    spec = ImageData(every, size=size, fit=run.config.model.fit, cache=run.cache).measure()
    annotated = SegmentationData(
        every.subset(ids_of(run, fold, held_out=False)),
        size=size,
        fit=run.config.model.fit,
        transform=build(settings.augment, flips=run.recipe.flips),
        targets=settings.targets,
        seed=settings.seed,
        cache=run.cache,
        in_channels=run.config.model.in_channels,
        class_swaps=run.recipe.class_swaps,
        image_spec=spec,
    )
    joined: SegmentationData | Joined = annotated
    labels = (run.unscoped or run).config.labels  # in the key of this fold where there are some
    if labels.pseudo is not None:
        extra = _pseudo_labels(run, fold, annotated)
        run.say(f"  fold {fold}: pseudo-labels of {len(extra)} images, {labels.pseudo_share:.0%} of the samples")
        joined = Joined(annotated, extra, share=labels.pseudo_share)
    data: SegmentationData | Joined | Crops = joined
    if settings.window:
        data = Crops(joined, settings.window, foreground=settings.foreground)
    if settings.mix == "none":
        return data
    return Mixed(data, settings.mix, share=settings.mix_share, seed=settings.seed)


def _pseudo_labels(run: Run, fold: int, data: SegmentationData) -> PseudoData:
    """The pseudo-labels of a fold. ValueError, with names, where held-out groups helped to make them."""
    from segkit import pseudo
    from segkit.data import PseudoData

    assert run.config.labels.pseudo is not None
    labels = pseudo.Labels(run.config.labels.pseudo / f"fold{fold}")
    held_out = {run.inputs.train.groups[i] for i in ids_of(run, fold, held_out=True)}
    pseudo.guard(held_out, labelled=labels.labelled, learnt_from=labels.learnt_from)
    return PseudoData(
        run.inputs.test_images,
        labels,
        size=run.config.model.resolution,
        transform=data.transform,
        fit=run.config.model.fit,
        seed=run.config.train.seed,
        cache=run.cache,
        image_spec=data.image_spec,
        in_channels=run.config.model.in_channels,
        class_swaps=run.recipe.class_swaps,
    )


def _work(run: Run, fold: int) -> None:
    """Train a fold and print what came out."""
    result = fit_fold(run, fold)
    metric = run.recipe.metric.name
    run.say(
        f"  fold {fold}: {metric} {result.best or 0:.4f} at full resolution after epoch {result.best_epoch}, "
        f"{result.seconds:.0f} s, {result.wait_share:.1%} waiting for data, "
        f"{result.overhead_share:.1%} outside forward, backward and optimizer"
    )
    if result.averaging:
        scores = ", ".join(f"{name} {score:.4f}" for name, score in result.averaging["scores"].items())
        run.say(f"  fold {fold}: of {scores} the weights {result.averaging['kept']} are kept")


def fit_fold(run: Run, fold: int, *, loggers: Sequence[Any] = (), progress: bool = True) -> FitResult:
    """Train on the other folds and validate on this one.

    Args:
        run: The run as the stage of this fold sees it.
        fold: Which images are held out.
        loggers: More loggers of fit(), beside TensorBoard.
        progress: Whether a bar is shown.

    Returns:
        What fit() returns; the weights lie in foldN of the run folder.
    """
    import torch

    from segkit import losses
    from segkit.inference import Validator
    from segkit.training import TensorBoard, TrainConfig, fit

    config, samples, metric = run.config, run.inputs.train, run.recipe.metric
    torch.manual_seed(config.train.seed)
    model = create_model(run, weights=config.model.weights)
    data, held_out = training_data(run, fold), samples.subset(ids_of(run, fold, held_out=True))
    run.say(f"  fold {fold}: {len(samples) - len(held_out)} images to learn from, {len(held_out)} held out")
    validate = Validator(
        held_out,
        held_out.truth,
        metric=metric,
        size=config.model.resolution,
        fit=config.model.fit,
        image_spec=data.image_spec,
        window=config.train.window,
        batch_size=config.machine.predict_batch,
        in_channels=config.model.in_channels,
        cache=run.cache,
    )
    known = {one.name for one in dataclasses.fields(TrainConfig)}
    settings = {**dataclasses.asdict(config.train), **dataclasses.asdict(config.machine)}
    chosen = {name: value for name, value in settings.items() if name in known}
    chosen["workers"] = min(config.machine.workers, os.cpu_count() or 1)
    folder = run.folder / f"fold{fold}"
    write_json(folder / "image.json", data.image_spec.to_dict())
    return fit(
        model,
        data,
        loss=losses.build(config.train.loss),
        out=folder,
        config=TrainConfig(**{**chosen, "clip": config.train.clip or None}),
        validate=validate,
        monitor=metric.name,
        mode="max" if metric.higher_is_better else "min",
        loggers=[TensorBoard(folder), *loggers],
        progress=progress,
        key=fold_stage(run, fold).key(run),
    )
