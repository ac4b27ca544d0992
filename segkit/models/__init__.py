"""Networks behind one door: any image size in, raw logits of that size out.

>>> import torch
>>> model = create("unet", classes=("lung", "heart"), encoder="resnet18")
>>> model(torch.zeros(1, 1, 97, 131)).shape
torch.Size([1, 2, 97, 131])
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from segkit.files import nearest
from segkit.models import checks, wrapped
from segkit.models import plan as plans
from segkit.models import weights as pretrained
from segkit.models.papers import (
    attention_unet,
    deconvnet,
    deeplab,
    deeplabv3plus,
    dilatednet,
    fcdensenet,
    fcn,
    hrnet,
    multiresunet,
    resunet,
    segnet,
    unet,
    unet3plus,
    unetpp,
)
from segkit.models.registry import Network
from segkit.models.weights import WeightsError
from segkit.models.wrapper import Segmenter, freeze_unreached, let_one_image_train

__all__ = ["NETWORKS", "Network", "Segmenter", "WeightsError", "create", "describe", "names"]

FAMILIES = (
    attention_unet,
    deconvnet,
    deeplab,
    deeplabv3plus,
    dilatednet,
    fcdensenet,
    fcn,
    hrnet,
    multiresunet,
    resunet,
    segnet,
    unet,
    unet3plus,
    unetpp,
    wrapped,
)
NETWORKS: dict[str, Network] = {row.name: row for family in FAMILIES for row in family.NETWORKS}


def create(
    name: str,
    *,
    classes: int | Sequence[str],
    in_channels: int = 1,
    encoder: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    prior: float = 0.01,
    **options: Any,
) -> Segmenter:
    """Build a network: `model(image)`, (N, in_channels, H, W) float of any size -> (N, C, H, W) raw logits.

    name: one of `names()`; classes: names in channel order, or their number; encoder: None for the network's
    usual one, one of smp's names, or "tu-NAME" for any of timm's (dots name a set of weights). "unet" and "unetpp"
    are the papers' own plans until an encoder is named.

    weights: None, nothing is fetched; "imagenet", through the libraries (their caches first), where
    tu-tf_efficientnet_lite0, 1 and 2 come from the extra `weights` without a network; another set the library
    names ("coco" for the torchvision ones); or a .safetensors or .pth file that holds the whole network or
    its encoder. Weights for RGB serve a 1-channel input by their sum over the input channels.

    prior: the probability that every pixel starts with (the last bias is its logit), unless a file says
    otherwise. options: the network's own, listed by `describe`; aux=True of the torchvision ones returns a
    dict with "out" and "aux" in training, and logits in evaluation as ever. A batch of one image trains.

    `model.classes` are the names (or number), `create(**model.config)` builds the same network untrained.

    Raises ValueError for an unknown name, encoder, option or set of weights, naming its neighbours, and
    WeightsError (a ValueError) where weights cannot be had or do not fit, saying what to do;
    FileNotFoundError for a file that is not there.

    >>> create("unett", classes=1)
    Traceback (most recent call last):
    ValueError: no network 'unett'; did you mean unet or ...
    """
    row = _row(name, encoder)
    named = checks.classes(classes)
    count = named if isinstance(named, int) else len(named)
    in_channels, prior = checks.in_channels(in_channels), checks.prior(prior)
    if encoder and not row.takes("encoder"):
        raise ValueError(f"{name} brings its own encoder, got encoder={encoder!r}; leave it out")
    checks.options(row, options, plain=NETWORKS[name])
    encoder = encoder or row.encoder
    settings = {"classes": count, "in_channels": in_channels, "prior": prior, **options}
    if row.takes("encoder"):
        settings["encoder"] = encoder
    file = weights if weights is not None and pretrained.is_file(weights) else None
    tag = None if weights is None or file else str(weights)
    if row.takes("weights"):
        settings["weights"] = tag
    elif tag and row.on_encoder:
        raise WeightsError(f"{name} by itself has no weights {tag!r}; encoder={row.on_encoder.encoder!r}, say, has")
    elif tag:
        pretrained.check_set(name, tag, ())
    body = row.build(**settings)
    let_one_image_train(body)
    model = Segmenter(
        body,
        classes=named,
        in_channels=in_channels,
        multiple=row.multiple if isinstance(row.multiple, int) else row.multiple(body),
        smallest=row.smallest,
        config={"name": name, "classes": named, "in_channels": in_channels, "encoder": encoder, "prior": prior}
        | options,
    )
    if file:
        pretrained.load_file(model, file)
    if row.leftovers:
        try:
            freeze_unreached(model)
        except (AssertionError, RuntimeError) as error:
            raise ValueError(
                f"{name} on {encoder} cannot run on {model.padded(1, 1)} px: {str(error).rstrip('.')}. Take an encoder "
                f"of any size, or open its size in timm, as encoder_options={{'strict_img_size': False}} does for swin"
            ) from error
    return model


def names() -> list[str]:
    """Every name that `create` takes, sorted."""
    return sorted(NETWORKS)


def describe(
    name: str, *, encoder: str | None = None, in_channels: int = 1, classes: int = 1, size: int = 256, **options: Any
) -> str:
    """A network's plan in words: paper, parameters, sizes, options, and its parts at images of `size` px.

    >>> print(describe("unet", encoder="resnet18", classes=2))
    unet (U-Net: Ronneberger, Fischer, Brox, MICCAI 2015)
      good for    ...
      encoder     resnet18
      weights     imagenet, or a file
      parameters  14.32 M for 2 classes and images of 1 channel, of which the encoder 11.17 M
      stride      1: px of the image for one logit before it is resized
      sizes       any; inside, multiples of 32 px and at least 64
      options     decoder_attention_type=None, ...
      parts, what they compute with and give out for 256 x 256 px, and their parameters:
        encoder.conv1      conv 7x7 /2                             64 x 128 x 128      3,264
        encoder.layer1     4 x conv 3x3                              64 x 64 x 64    147,968
        ...
        segmentation_head  conv 3x3                                2 x 256 x 256        290
    """
    row = _row(name, encoder)
    model = create(name, classes=classes, in_channels=in_channels, encoder=encoder, **options)
    million = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (model, model.encoder) if part is not None]
    part = f", of which the encoder {million[1]:.2f} M" if model.encoder is not None else ""
    settings = row.settings(model.config["encoder"], options)
    found = plans.plan(model, size=size)
    stride = found.size[0] // found.outputs["out"][0][1]  # 1 too where the body resizes itself
    extra = plans.extras(found)
    return "\n".join(
        [
            f"{name} ({row.paper})",
            f"  good for    {row.good_for}",
            f"  encoder     {model.config['encoder'] or ('none' if model.encoder is None else 'its own')}",
            f"  weights     {', '.join(row.weights) or 'none'}, or a file",
            f"  parameters  {million[0]:.2f} M for {_number(classes, 'class', 'classes')} and images of "
            f"{_number(in_channels, 'channel', 'channels')}{part}",
            f"  stride      {stride if stride > 1 else row.stride}: px of the image for one logit before it is resized",
            f"  sizes       any; inside, multiples of {model.multiple} px and at least {model.smallest}",
            *([f"  in training {extra}, beside the logits"] if extra else []),
            f"  options     {', '.join(f'{key}={settings[key]!r}' for key in sorted(settings)) or 'none'}",
            f"  parts, what they compute with and give out for {' x '.join(map(str, found.size))} px, "
            "and their parameters:",
            *(f"    {line}" for line in plans.lines(found)),
        ]
    )


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _row(name: str, encoder: str | None) -> Network:
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; {nearest(name, NETWORKS)}")
    row = NETWORKS[name]
    return row.on_encoder if encoder and row.on_encoder else row
