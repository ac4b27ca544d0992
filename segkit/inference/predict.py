"""Networks over images: into a PredictionStore, or straight into a Dice at full resolution."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from segkit.data.dataset import Images, normalise
from segkit.geometry import resize
from segkit.images import image_size
from segkit.inference.sliding import Sliding
from segkit.masks import MaskSet
from segkit.predictions import PredictionStore
from segkit.samples import Item
from segkit.thresholds import PerClass, per_class
from segkit.tta import TTA

AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def predict(
    models: nn.Module | Sequence[nn.Module],
    items: Sequence[Item],
    store: PredictionStore,
    *,
    views: str | Sequence[str] = "none",
    merge: str | float = "mean",
    weights: Mapping[str, float] | None = None,
    class_swaps: Sequence[tuple[str, str]] = (),
    window: tuple[int, int] | None = None,
    overlap: float = 0.5,
    batch_size: int = 1,
    workers: int = 0,
    device: str | torch.device | None = None,
    precision: str = "32-true",
    in_channels: int = 1,
    cache: str | Path | None = None,
    progress: bool = True,
) -> int:
    """Write into `store` the mean logits of models x views, for each item that is not there yet; -> how many.

    models: one or several networks of the same channels, put into eval mode on `device` (default: CUDA where
    there is one). Images are brought to the store's grid. views, class_swaps: see segkit.tta.TTA. window, overlap:
    look through a sliding window (h, w) of the grid, every view of it (see Sliding); None shows the
    whole. batch_size: images, or windows, of a forward pass; workers: processes that decode. cache: see
    segkit.data.Images. precision: "32-true", "bf16-mixed", "16-mixed". A killed call goes on where it was;
    processes under torchrun share the images out. ValueError for an item that the store does not know, or a
    network with other channels than the store.
    """
    unknown = [item.id for item in items if item.id not in store]
    if unknown:
        raise ValueError(f"{store.path} has no image {', '.join(unknown[:3])} ({len(unknown)} of {len(items)} items)")
    if precision not in AUTOCAST:
        raise ValueError(f"precision={precision!r}; one of {', '.join(AUTOCAST)} is wanted")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    models = [models] if isinstance(models, nn.Module) else list(models)
    looks: list[Any] = [
        whole(
            looking(
                m.to(where).eval(), views, merge=merge, weights=weights, class_swaps=class_swaps, classes=store.classes
            ),
            window,
            overlap,
            batch_size,
        )
        for m in models
    ]
    done = store.done
    todo = [item for item in items if item.id not in done]
    images = Images(todo, size=store.grid, cache=cache)
    rank, world = _place()
    mine = range(rank, len(todo), world)
    passes = forward(
        lambda image: sum(look(image).float() for look in looks) / len(looks),
        images, mine, batch_size=1 if window else batch_size, workers=workers, device=where, in_channels=in_channels,
        context=_autocast(where, precision),
    )  # fmt: skip
    for index, logits in _counted(passes, len(mine), f"predict {store.path.name}", show=progress and rank == 0):
        store[todo[index].id] = logits
    if world > 1:
        torch.distributed.barrier()
    return len(todo)


class DiceValidator:
    """Dice of a network against truth at each image's full size: what fit() takes as `validate`.

    items: images to judge by; truth: truth[id][cls] -> Runs; classes: in channel order; size: (h, w) of the
    network. threshold: probability, or per class. window: see predict(); neighbours share half of it. limit:
    this many images, evenly spread over the items. cache: see Images (the folder of training serves both).
    Called with a model in eval mode -> {"dice": mean over images, then classes, "dice/CLASS": mean over
    images}, an empty mask that is rightly empty counts 1. Images are streamed: one batch of logits and one
    full-size region at a time. Processes under torchrun share the images out and agree on the result.
    """

    def __init__(
        self,
        items: Sequence[Item],
        truth: MaskSet,
        classes: Sequence[str],
        *,
        size: tuple[int, int],
        threshold: PerClass = 0.5,
        window: tuple[int, int] | None = None,
        batch_size: int = 1,
        limit: int | None = None,
        in_channels: int = 1,
        cache: str | Path | None = None,
    ) -> None:
        count = len(items) if limit is None else min(limit, len(items))
        if count < 1:
            raise ValueError(f"{len(items)} items, limit={limit}: at least one image is wanted to validate with")
        self.items = [items[i * len(items) // count] for i in range(count)]
        missing = [item.id for item in self.items if item.id not in truth]
        if missing or (lacking := sorted(set(classes) - set(truth.classes))):
            what = f"image {', '.join(missing[:3])}" if missing else f"class {', '.join(lacking)}"
            raise ValueError(f"the truth has no {what}; validate on images and classes that it has")
        self.truth, self.classes = truth, tuple(classes)
        self.thresholds = per_class(threshold, self.classes)
        self.window, self.batch_size, self.in_channels = window, batch_size, in_channels
        self.images = Images(self.items, size=size, cache=cache)
        self._sizes = [image_size(item.image) for item in self.items]

    def fingerprint(self) -> dict[str, Any]:
        """What decides the scores.

        Returns:
            {name: value}; a run that is resumed needs them unchanged.
        """
        return {
            "images": [item.id for item in self.items],
            "classes": self.classes,
            "size": self.images.size,
            "thresholds": self.thresholds,
            "window": self.window,
        }

    def __call__(self, model: nn.Module) -> dict[str, float]:
        rank, world = _place()
        device = next(model.parameters()).device
        table = torch.zeros(len(self.items), len(self.classes), dtype=torch.float64)
        passes = forward(
            whole(model, self.window, 0.5, self.batch_size), self.images, range(rank, len(self.items), world),
            batch_size=1 if self.window else self.batch_size, workers=0, device=device,
            in_channels=self.in_channels, context=nullcontext(),
        )  # fmt: skip
        for index, logits in passes:
            table[index] = torch.tensor(self.dice(index, logits))
        if world > 1:
            shared = table.to(device)
            torch.distributed.all_reduce(shared)
            table = shared.cpu()
        means = table.mean(0)
        return {"dice": float(means.mean())} | {f"dice/{c}": float(m) for c, m in zip(self.classes, means)}

    def dice(self, index: int, logits: np.ndarray) -> list[float]:
        """Dice of each class for one item, logits (C, h, w)."""
        truth = self.truth[self.items[index].id]
        return [
            resize.runs_above(plane, self._sizes[index], self.thresholds[name]).dice(truth[name])
            for name, plane in zip(self.classes, logits, strict=True)
        ]


def looking(
    model: nn.Module,
    views: str | Sequence[str],
    *,
    merge: str | float = "mean",
    weights: Mapping[str, float] | None = None,
    class_swaps: Sequence[tuple[str, str]] = (),
    classes: Sequence[str] | None = None,
) -> Callable[[Tensor], Tensor]:
    """A network of logits that looks several times, and gives logits.

    merge: "mean" or "max" of the views' logits; "gmean" or an exponent (1 for the plain mean) of their probabilities,
    whose logit comes out, at most +-13.8. The rest: see TTA.
    """
    settings: dict[str, Any] = {"class_swaps": class_swaps, "classes": classes, "weights": weights}
    if merge in ("mean", "max"):
        return TTA(model, views, merge, **settings)
    looks = TTA(lambda image: model(image).float().sigmoid(), views, merge, "probs", **settings)
    return lambda image: looks(image).logit(eps=1e-6)


def whole(
    model: Callable[[Tensor], Tensor], window: tuple[int, int] | None, overlap: float, batch_size: int
) -> Callable[[Tensor], Tensor]:
    """`model` for whole images: as it is, or looking through a window."""
    return model if window is None else Sliding(model, window, overlap=overlap, batch_size=batch_size)


def forward(
    model: Callable[[Tensor], Tensor],
    images: Images,
    indices: Iterable[int],
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    in_channels: int,
    context: AbstractContextManager[Any],
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, float32 logits (C, h, w)) image by image."""
    indices = list(indices)
    loader: DataLoader[Any] = DataLoader(
        Subset(images, indices),
        batch_size=batch_size,
        num_workers=min(workers, len(indices)),
        multiprocessing_context="spawn" if min(workers, len(indices)) else None,
        generator=torch.Generator(),
    )
    for batch in loader:
        with torch.inference_mode(), context:
            logits = model(normalise(batch["image"].to(device), in_channels)).float().cpu().numpy()
        yield from zip(batch["index"].tolist(), logits)


def _autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    dtype = AUTOCAST[precision]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def _place() -> tuple[int, int]:
    """(rank, processes) of this process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _counted(
    passes: Iterator[tuple[int, np.ndarray]], total: int, title: str, *, show: bool
) -> Iterable[tuple[int, np.ndarray]]:
    if not (show and sys.stderr.isatty()):
        return passes
    from rich.console import Console
    from rich.progress import track

    return track(passes, title, total=total, console=Console(stderr=True), transient=True)
