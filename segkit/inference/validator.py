"""Validator: any metric of a network at the full resolution of each image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from segkit.data.dataset import SegmentationData
from segkit.data.images import ImageData
from segkit.geometry import Fit, argmax_runs, runs_above
from segkit.images import ImageSpec
from segkit.inference.forward import channels_of, forward, logits_of, rank_and_world, with_sliding_window
from segkit.masks import MaskSet, as_masks
from segkit.metrics import Dice, MasksLike, Metric, Scores
from segkit.rle import Runs
from segkit.samples import Samples
from segkit.thresholds import PerClass, probabilities

DICE = Dice()


class Validator:
    """Scores a network against truth at each image's full size: what `fit` takes as `validate`.

    Called with a model in eval mode, it returns {metric.name: score, "NAME/CLASS": score of the class}. Masks are those
    that a submission would have: above the threshold, or of exclusive classes the highest one. Images are streamed: one
    batch of logits and one full-size region is in memory at a time. Processes under torchrun share the images out and
    agree on the result.

    Args:
        data: `SegmentationData` or `ImageData` to be judged by (its transform is not used), or samples, with `size`.
        truth: True masks of at least these images and classes; default those of the samples.
        metric: Any metric, per image or pooled.
        size: Of samples: (h, w) that the network sees.
        fit: Of samples: "stretch" (default) or "pad", as in training.
        image_spec: Of samples: the spec of the training, where images are normalised by "dataset".
        cache: Of samples: see `ImageData`; the folder of the training serves both.
        threshold: Probability, or {class: probability}, of classes that are not exclusive.
        window: (h, w) of a sliding window; neighbours share half of it.
        batch_size: Images, or windows, of one forward pass.
        limit: So many images, evenly spread, are enough.
        in_channels: Channels that the network takes; default what it says, else those of the images.

    Attributes:
        ids: The images that are scored.
        classes: Class names, in channel order.
        metric: The metric.
        names: The names of the scores.

    Raises:
        ValueError: If there is no image, the truth lacks an image or class, or settings do not fit together.
    """

    def __init__(
        self,
        data: SegmentationData | ImageData | Samples,
        truth: MasksLike | None = None,
        metric: Metric = DICE,
        *,
        size: tuple[int, int] | None = None,
        fit: Fit | None = None,
        image_spec: ImageSpec | None = None,
        cache: str | Path | None = None,
        threshold: PerClass = 0.5,
        window: tuple[int, int] | None = None,
        batch_size: int = 1,
        limit: int | None = None,
        in_channels: int | None = None,
    ) -> None:
        self.images = _as_images(data, {"size": size, "fit": fit, "image_spec": image_spec, "cache": cache})
        samples = self.images.samples
        count = len(samples) if limit is None else min(limit, len(samples))
        if count < 1:
            raise ValueError(f"{len(samples)} images, limit={limit}: expected at least one to validate with")
        self.indices = [i * len(samples) // count for i in range(count)]
        self.ids = tuple(samples.ids[i] for i in self.indices)
        self.classes, self.exclusive, self.metric = samples.classes, samples.exclusive, metric
        self.truth = _restricted(as_masks(samples.truth if truth is None else truth), self.ids, self.classes)
        if self.exclusive and threshold != 0.5:
            raise ValueError(f"threshold={threshold}: exclusive classes have none, the highest wins")
        self.thresholds = probabilities(threshold, self.classes)
        self.window, self.batch_size, self.in_channels = window, batch_size, in_channels
        self.names = (metric.name, *(f"{metric.name}/{cls}" for cls in self.classes))

    def fingerprint(self) -> dict[str, Any]:
        """What decides the scores.

        Returns:
            {name: value}; a run that is resumed needs them unchanged.
        """
        drawn = hashlib.sha256()
        for image in self.ids:
            for cls in self.classes:
                drawn.update(self.truth[image][cls].array.tobytes() + b";")
            if (ignored := self.truth.ignore(image)) is not None:
                drawn.update(ignored.array.tobytes() + b"!")
        images = self.images
        return {
            "samples": images.samples.subset(self.ids).fingerprint(),
            "truth": drawn.hexdigest()[:16],
            "metric": str(self.metric),
            "size": images.size,
            "scale": images.scale,
            "fit": images.fit,
            "image_spec": images.image_spec.to_dict(),
            "thresholds": self.thresholds,
            "window": self.window,
        }

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Score a network.

        Args:
            model: A module in eval mode, on its device.

        Returns:
            {name: score}.

        Raises:
            ValueError: If it is no module.
        """
        if not isinstance(model, nn.Module):
            raise ValueError(f"expected a torch module, got a {type(model).__name__}; predict() takes any function")
        rank, world = rank_and_world()
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        whole = with_sliding_window(logits_of(model), self.window, 0.5, self.batch_size)
        passes = forward(
            whole, self.images, self.indices[rank::world],
            device=device, in_channels=channels_of([model], self.images, self.in_channels),
            batch_size=1 if self.window else self.batch_size,
        )  # fmt: skip
        found = {index: self.scores(index, logits) for index, logits in passes}
        if world > 1:
            shared: list[Any] = [None] * world
            torch.distributed.all_gather_object(shared, found)
            found = {index: scores for part in shared for index, scores in part.items()}
        total = _stacked([found[index] for index in self.indices])
        per_class = total.per_class()
        return dict(zip(self.names, [float(total.score()), *map(float, per_class)], strict=True))

    def scores(self, index: int, logits: np.ndarray) -> Scores:
        """Score one image.

        Args:
            index: Of the image, in `images`.
            logits: float (C, h, w), as the network gave them.

        Returns:
            Its scores.
        """
        image = self.images.ids[index]
        return self.metric.scores({image: self.masks(index, logits)}, self.truth.subset([image]))

    def masks(self, index: int, logits: np.ndarray) -> dict[str, Runs]:
        """The masks of one image at its full size.

        Args:
            index: Of the image, in `images`.
            logits: float (C, h, w), as the network gave them.

        Returns:
            {class: Runs}.

        Raises:
            ValueError: If there is not one channel per class.
        """
        if len(logits) != len(self.classes):
            raise ValueError(f"the network gives {len(logits)} channels, expected {len(self.classes)}, one per class")
        where = self.images.placement(index)
        maps = dict(zip(self.classes, where.to_grid(logits, where.size)))
        if self.exclusive:
            return argmax_runs(maps, where.shape)
        return {cls: runs_above(one, where.shape, self.thresholds[cls]) for cls, one in maps.items()}


def _as_images(data: object, options: Mapping[str, Any]) -> ImageData:
    """The images to judge by."""
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(data, (SegmentationData, ImageData)):
        if given:
            raise ValueError(f"{', '.join(given)}: {type(data).__name__} has its own; pass these with samples")
        return data.images if isinstance(data, SegmentationData) else data
    if not isinstance(data, Samples):
        raise ValueError(f"expected SegmentationData, ImageData or Samples, got a {type(data).__name__}")
    return ImageData(data, **given)


def _restricted(truth: MaskSet, ids: tuple[str, ...], classes: tuple[str, ...]) -> MaskSet:
    """The truth of these images and classes. ValueError names what it lacks."""
    if missing := [image for image in ids if image not in truth]:
        raise ValueError(f"the truth has no image {', '.join(missing[:3])}; validate on images that it has")
    if lacking := sorted(set(classes) - set(truth.classes)):
        raise ValueError(f"the truth has no class {', '.join(lacking)}; validate on classes that it has")

    def load(image: str, cls: str) -> Runs:
        return truth[image][cls]

    return MaskSet(ids, classes, load, sizes=truth.sizes, name=truth.name, ignore=truth.ignore)


def _stacked(parts: list[Scores]) -> Scores:
    """The scores of single images as those of all."""
    first: Scores = parts[0]
    rows: Mapping[int, Any] = {k: np.concatenate([one.parts[k] for one in parts]) for k in range(len(first.parts))}
    return Scores(
        ids=tuple(image for one in parts for image in one.ids),
        classes=first.classes,
        parts=tuple(rows.values()),
        finish=first.finish,
        cells=np.concatenate([one.cells for one in parts]),
        higher_is_better=first.higher_is_better,
    )
