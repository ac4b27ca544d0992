"""Networks over images: batches, devices, views and windows; what prediction and validation share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from segkit.data.images import ImageData
from segkit.data.normalise import check_channels, normalise
from segkit.inference.sliding import Sliding
from segkit.models.outputs import main_logits
from segkit.tta import TTA

AUTOCAST = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

Network = Callable[[Tensor], Any]
"""An image (N, channels, h, w) -> logits (N, C, h, w)."""


def logits_of(model: Network) -> Network:
    """A network whose output is its logits, at the size of the image.

    Args:
        model: A network that returns logits, or a dictionary or sequence with them (see `segkit.models.outputs`).
            Smaller logits are upsampled by the half-pixel convention.

    Returns:
        A function of images (N, channels, h, w) that gives (N, C, h, w).
    """

    def logits(image: Tensor) -> Tensor:
        out = main_logits(model(image))
        if out.shape[2:] == image.shape[2:]:
            return out
        return functional.interpolate(out.float(), image.shape[2:], mode="bilinear", align_corners=False)

    return logits


def with_tta(
    model: Network,
    views: object,
    *,
    merge: str | float = "mean",
    weights: Mapping[str, float] | None = None,
    class_swaps: Sequence[tuple[str, str]] = (),
    classes: Sequence[str] | None = None,
) -> Network:
    """A network of logits that predicts several views, and gives logits.

    Args:
        model: The network.
        views: See `segkit.tta.TTA`.
        merge: "mean" or "max" of the views' logits; "gmean" or an exponent (1 for the plain mean) of their
            probabilities, whose logit comes out, at most +-13.8.
        weights: See `segkit.tta.TTA`.
        class_swaps: See `segkit.tta.TTA`.
        classes: See `segkit.tta.TTA`.

    Returns:
        A network.

    Raises:
        ValueError: For views, merges and weights that cannot be read.
    """
    settings: dict[str, Any] = {"class_swaps": class_swaps, "classes": classes, "weights": weights}
    if merge in ("mean", "max"):
        return TTA(model, views, merge, **settings)
    of_probs = TTA(lambda image: model(image).float().sigmoid(), views, merge, "probs", **settings)
    return lambda image: of_probs(image).logit(eps=1e-6)


def with_sliding_window(model: Network, window: tuple[int, int] | None, overlap: float, batch_size: int) -> Network:
    """A network that sees images through a window.

    Args:
        model: The network.
        window: (h, w); None leaves the network as it is.
        overlap: See `Sliding`.
        batch_size: Windows of one forward pass.

    Returns:
        A network for whole images.
    """
    return model if window is None else Sliding(model, window, overlap=overlap, batch_size=batch_size)


def forward(
    model: Network,
    images: ImageData,
    indices: Iterable[int],
    *,
    device: torch.device,
    in_channels: int,
    batch_size: int = 1,
    workers: int = 0,
    precision: str = "32-true",
) -> Iterator[tuple[int, np.ndarray]]:
    """Run a network over images.

    Args:
        model: The network.
        images: The images.
        indices: Which of them.
        device: Where it runs.
        in_channels: Channels that it takes.
        batch_size: Images of one forward pass.
        workers: Processes that decode.
        precision: A key of AUTOCAST.

    Yields:
        (index, logits float32 (C, h, w)), image by image.

    Raises:
        ValueError: If the network does not take the images' channels.
    """
    check_channels(images.image_spec, in_channels)
    indices = list(indices)
    loader: DataLoader[Any] = DataLoader(
        Subset(images, indices),
        batch_size=1 if images.scale is not None else batch_size,  # images of several sizes make no batch
        num_workers=min(workers, len(indices)),
        multiprocessing_context="spawn" if min(workers, len(indices)) else None,
        generator=torch.Generator(),
    )
    for batch in loader:
        image = normalise(batch["image"].to(device), images.image_spec, in_channels)
        try:
            with torch.inference_mode(), autocast(device, precision):
                logits = model(image).float().cpu().numpy()
        except RuntimeError as error:
            if "channels" not in str(error):
                raise
            raise ValueError(f"the network does not take images of {image.shape[1]} channels: {error}") from error
        yield from zip(batch["index"].tolist(), logits)


def channels_of(models: Sequence[Any], images: ImageData, given: int | None) -> int:
    """Channels that networks take.

    Args:
        models: They may say so in an attribute `in_channels`.
        images: The images.
        given: What the caller says; None asks the networks, then the images.

    Returns:
        The number.

    Raises:
        ValueError: If networks differ from each other or from what the caller says.
    """
    told = {model.in_channels for model in models if isinstance(getattr(model, "in_channels", None), int)}
    found = told | ({given} if given is not None else set())
    if len(found) > 1:
        raise ValueError(f"in_channels={given}, the networks take {sorted(told)}: expected one number")
    return found.pop() if found else images.in_channels


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context of a precision.

    Args:
        device: Where the network runs.
        precision: A key of AUTOCAST.

    Returns:
        A context; for "32-true" one that does nothing, so that a surrounding autocast stays.
    """
    dtype = AUTOCAST[precision]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def rank_and_world() -> tuple[int, int]:
    """Which of how many processes this one is.

    Returns:
        (rank, processes).
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def with_bar(
    passes: Iterator[tuple[int, np.ndarray]], total: int, title: str, *, show: bool
) -> Iterable[tuple[int, np.ndarray]]:
    """Show a progress bar while images pass, where the terminal can show one.

    Args:
        passes: What passes.
        total: How many.
        title: Text before the bar.
        show: False shows nothing.

    Returns:
        The same images.
    """
    if not (show and sys.stderr.isatty()):
        return passes
    from rich.console import Console
    from rich.progress import track

    return track(passes, title, total=total, console=Console(stderr=True), transient=True)
