"""Every architecture of segmentation_models_pytorch with every encoder of it and of timm."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any, cast

import segmentation_models_pytorch as smp
import timm
from torch import nn

from segkit.files import nearest
from segkit.models.lite import has_lite, load_lite
from segkit.models.weights import WeightsError, from_hugging_face

OURS = {"self", "encoder_name", "encoder_weights", "in_channels", "classes", "activation", "upsampling"}
OURS |= {"aux_params", "kwargs"}  # set here or of no use to a segmenter


def options(name: str) -> dict[str, Any]:
    """Options of an architecture with the library's defaults.

    Args:
        name: One of smp's architectures.

    Returns:
        {option: default}; `encoder_options` goes to timm.
    """
    return {p.name: p.default for p in _parameters(name).values() if p.name not in OURS} | {"encoder_options": {}}


def build(
    name: str, *, classes: int, in_channels: int, encoder: str, weights: str | None, **given: object
) -> nn.Module:
    """Build an architecture on an encoder.

    Args:
        name: One of smp's architectures.
        classes: Number of classes.
        in_channels: Channels of the images.
        encoder: One of smp's, or "tu-NAME" of timm's.
        weights: None, or the name of a set.
        **given: Options of the architecture.

    Returns:
        Module (N, in_channels, H, W) -> raw logits (N, classes, h, w).

    Raises:
        ValueError: For an unknown encoder or set of weights, and for what the library cannot build.
    """
    check_encoder(encoder)
    timm_options: Any = given.get("encoder_options", {})
    if timm_options and not encoder.startswith("tu-"):
        raise ValueError(f"encoder_options go to timm, and {encoder} is not timm's; its names begin with 'tu-'")
    paper = defaults(name, encoder, given)
    settings = {key: value for key, value in (paper | given).items() if key != "encoder_options"}
    settings |= paper.get("encoder_options", {}) | timm_options
    settings |= {"encoder_name": encoder, "in_channels": in_channels, "classes": classes}
    if "upsampling" in _parameters(name):
        settings["upsampling"] = 1  # the library aligns corners there; Segmenter resizes with half pixels
    try:
        body: Any = _build(name, settings, None)
    except (AssertionError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"{name} cannot be built with {settings}: {error}") from error
    if name == "dpt" and 32 % (patch := int(body.encoder.output_stride)):
        raise ValueError(
            f"dpt regroups the patches of its encoder down to 1/32, and those of {encoder} are {patch} px; take an "
            f"encoder of patch 16, as 'tu-vit_base_patch16_224'"
        )
    if weights is not None:
        body = _pretrain(name, body, settings, weights)
    if name == "dpt":
        body.segmentation_head.upsampling_factor = 1
        tokens = body.encoder._output_indices
        body.encoder.model.prune_intermediate_layers(tokens, prune_norm=True, prune_head=True)
    if name == "segformer":  # Xie et al., 2021, drop a tenth of the channels before the classifier
        body.decoder.fuse_stage.append(nn.Dropout2d(0.1))
    for module in body.modules():  # half pixels, as segkit.geometry.resize has them
        if getattr(module, "align_corners", None) is True:
            module.align_corners = False
    network: nn.Module = body
    return network


def defaults(name: str, encoder: str, given: Mapping[str, object]) -> dict[str, Any]:
    """Where defaults depart from the library's: DeepLab's rates, SegFormer's width; and DPT takes any size.

    Args:
        name: One of smp's architectures.
        encoder: Name of the encoder.
        given: Options of the user.

    Returns:
        {option: default}.

    References:
        Chen et al., 2017 and 2018: rates double with the resolution. Xie et al., 2021.
    """
    if name.startswith("deeplabv3"):
        stride = given.get("encoder_output_stride", options(name)["encoder_output_stride"])
        return {"decoder_atrous_rates": (12, 24, 36) if stride == 8 else (6, 12, 18)}
    if name == "segformer" and encoder in ("mit_b2", "mit_b3", "mit_b4", "mit_b5"):
        return {"decoder_segmentation_channels": 768}
    if name == "dpt":
        return {"encoder_options": {"dynamic_img_size": True}}
    return {}


def size_multiple(name: str, body: nn.Module) -> int:
    """What height and width must be a multiple of inside.

    Args:
        name: One of smp's architectures.
        body: The built network.

    Returns:
        In px.
    """
    stride = int(cast(Any, body).encoder.output_stride)
    if name == "pan":  # its pyramid halves the deepest map three times more
        return stride * 8
    if name == "dpt":  # tokens are regrouped down to 1/32
        return max(stride, 32)
    return stride


def check_encoder(encoder: str) -> None:
    """Check that smp, or timm behind "tu-", has an encoder.

    Args:
        encoder: Its name.

    Raises:
        ValueError: Where neither has it, with the nearest names.
    """
    native = smp.encoders.get_encoder_names()
    if encoder in native:
        return
    if encoder.startswith("tu-"):
        if not timm.is_model(encoder[3:].split(".")[0]):
            raise ValueError(f"timm has no encoder {encoder[3:]!r}; {nearest(encoder[3:], timm.list_models())}")
        return
    if timm.is_model(encoder.split(".")[0]):
        raise ValueError(f"encoder {encoder!r} is timm's; write 'tu-{encoder}'")
    raise ValueError(f"no encoder {encoder!r}; {nearest(encoder, native)}, or 'tu-NAME' for any of timm's")


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """Parameters of the library's constructor."""
    return inspect.signature(smp.MODEL_ARCHITECTURES_MAPPING[name].__init__).parameters


def _build(name: str, settings: dict[str, Any], weights: str | None) -> nn.Module:
    """The library's network, without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that old encoder names are deprecated and that weights should be True
        network: nn.Module = smp.MODEL_ARCHITECTURES_MAPPING[name](encoder_weights=weights, **settings)
        return network


def _pretrain(name: str, body: nn.Module, settings: dict[str, Any], tag: str) -> nn.Module:
    """`body` with the set of weights `tag` in its encoder: from the extra `weights`, else built anew by the hub."""
    encoder = settings["encoder_name"]
    if encoder.startswith("tu-"):
        known = {"imagenet"}  # timm tells its sets apart in the encoder's name: tu-NAME.SET
        hint = ", and other sets of timm are named in the encoder: 'tu-NAME.SET'"
    else:
        known, hint = set(smp.encoders.encoders[encoder]["pretrained_settings"]), ""
    if tag not in known:
        raise WeightsError(f"{encoder} has no weights {tag!r}; {nearest(tag, known)}{hint}; or a file's path")
    if has_lite(encoder):
        load_lite(body.get_submodule("encoder.model"), encoder)
        return body
    return from_hugging_face(lambda: _build(name, settings, tag), what=f"weights={tag!r} for encoder {encoder}")
