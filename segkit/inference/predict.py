"""predict(): networks over images, into a PredictionStore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segkit.data.images import ImageData
from segkit.geometry import Fit
from segkit.images import ImageSpec
from segkit.inference.forward import (
    AUTOCAST,
    Network,
    channels_of,
    forward,
    logits_of,
    rank_and_world,
    with_bar,
    with_sliding_window,
    with_tta,
)  # fmt: skip
from segkit.predictions import PredictionStore
from segkit.samples import Samples


def predict(
    models: Network | Sequence[Network],
    data: Samples | ImageData,
    store: PredictionStore,
    *,
    views: object = "none",
    merge: str | float = "mean",
    weights: Mapping[str, float] | None = None,
    class_swaps: Sequence[tuple[str, str]] = (),
    window: tuple[int, int] | None = None,
    overlap: float = 0.5,
    batch_size: int = 1,
    workers: int = 0,
    device: str | torch.device | None = None,
    precision: str = "32-true",
    fit: Fit | None = None,
    in_channels: int | None = None,
    image_spec: ImageSpec | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> int:
    """Write into `store` the mean logits of models x views, for each image that is not there yet.

    A killed call goes on where it was; processes under torchrun share the images out.

    Args:
        models: One or several networks of logits: modules, which are put into eval mode on `device`, or any callables
            of images (N, channels, h, w) on `device`.
        data: Samples, whose images are brought to the store's resolution; or `ImageData` of another one, or of a
            `scale`, whose logits are.
        store: Where the logits go: those of the image, the padding cut off, stretched over the store's resolution.
        views: See `segkit.tta.TTA`.
        merge: See `with_tta`.
        weights: See `segkit.tta.TTA`.
        class_swaps: Pairs of classes that a mirrored view exchanges.
        window: (h, w) of a sliding window through which every view is seen; None shows the whole image.
        overlap: Of neighbouring windows; see `Sliding`.
        batch_size: Images, or windows, of one forward pass.
        workers: Processes that decode.
        device: Default: CUDA where there is one.
        precision: "32-true", "bf16-mixed" or "16-mixed".
        fit: Of samples: "stretch" (default) or "pad", as in training.
        in_channels: Channels that the networks take; default what they say in an attribute `in_channels`, else those of
            the images.
        image_spec: Of samples: the spec of the training, where images are normalised by "dataset".
        cache: Of samples: see `ImageData`.
        progress: Show a bar.

    Returns:
        How many images were predicted now.

    Raises:
        ValueError: If the store does not know an image, networks, images and store differ in channels, or what a
            network returns are no logits.
    """
    images = _as_images(data, store, {"fit": fit, "image_spec": image_spec, "cache": cache})
    if unknown := [image for image in images.ids if image not in store]:
        raise ValueError(
            f"{store.path} has no image {', '.join(unknown[:3])} ({len(unknown)} of {len(images)} samples)"
        )
    if precision not in AUTOCAST:
        raise ValueError(f"precision={precision!r}: expected one of {', '.join(AUTOCAST)}")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    given: list[Any] = [models] if callable(models) else list(models)
    if not given or not all(callable(model) for model in given):
        raise ValueError(f"expected a network, or a list of them, got {models!r}")
    channels = channels_of(given, images, in_channels)
    networks = [model.to(where).eval() if isinstance(model, nn.Module) else model for model in given]
    seen = [
        with_tta(logits_of(n), views, merge=merge, weights=weights, class_swaps=class_swaps, classes=store.classes)
        for n in networks
    ]
    whole = [with_sliding_window(n, window, overlap, batch_size) for n in seen]
    done = store.done
    todo = [index for index, image in enumerate(images.ids) if image not in done]
    rank, world = rank_and_world()
    passes = forward(
        lambda image: sum(network(image).float() for network in whole) / len(whole),
        images, todo[rank::world], device=where, in_channels=channels, batch_size=1 if window else batch_size,
        workers=workers, precision=precision,
    )  # fmt: skip
    title = f"predict {store.path.name}"
    for index, logits in with_bar(passes, len(todo[rank::world]), title, show=progress and rank == 0):
        store[images.ids[index]] = images.placement(index).to_grid(logits, store.grid)
    if world > 1:
        torch.distributed.barrier()
    return len(todo)


def _as_images(data: object, store: PredictionStore, options: Mapping[str, Any]) -> ImageData:
    """Images of samples at the store's resolution, or those that were given."""
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(data, ImageData):
        if given:
            raise ValueError(f"{', '.join(given)}: ImageData has its own; pass these to it")
        return data
    if not isinstance(data, Samples):
        raise ValueError(f"expected Samples or ImageData, got a {type(data).__name__}")
    return ImageData(data, size=store.grid, **given)
