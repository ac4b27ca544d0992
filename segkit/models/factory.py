"""`create`: a network from its name."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch

from segkit.models import checks
from segkit.models.layers import set_prior
from segkit.models.registry import NETWORKS, find
from segkit.models.segmenter import Segmenter, allow_single_image_batches, freeze_unused_parameters
from segkit.models.weights import WeightsError, check_set, is_file, load_file


@torch.inference_mode(False)  # under inference mode parameters could never be trained
def create(
    name: str,
    *,
    classes: int | Sequence[str],
    in_channels: int = 1,
    encoder: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    prior: float = 0.01,
    **options: object,
) -> Segmenter:
    """Build a network: `model(image)` takes (N, in_channels, H, W) of any size and returns raw logits (N, C, H, W).

    `model.classes` are the names (or the number), and `create(**model.config)` builds the same network untrained. A
    batch of one image trains.

    Args:
        name: One of `names()`. "unet" and "unetpp" are the papers' own networks until an encoder is named.
        classes: Names in channel order, or their number.
        in_channels: Channels of the images: 1 for grey, 3 for RGB, `ImageSpec.num_channels` for any.
        encoder: One of smp's names, or "tu-NAME" for any of timm's (dots name a set of weights). None for the network's
            usual one.
        weights: None, nothing is fetched; "imagenet", through the libraries (their caches first), where
            tu-tf_efficientnet_lite0, 1 and 2 come from the extra `weights` without a network; another set that the
            library names ("coco" for torchvision's); or a .safetensors or .pth file of the whole network or of its
            encoder. Weights for RGB serve a 1-channel input by their sum over the input channels.
        prior: Probability that every pixel starts with (the last bias is its logit), unless a file says otherwise.
        **options: The network's own, listed by `describe`. aux=True of torchvision's returns a dictionary with "out"
            and "aux" in training, and logits in evaluation as ever.

    Returns:
        The network, in training mode.

    Raises:
        ValueError: For an unknown name, encoder, option or set of weights, with the nearest ones.
        WeightsError: Where weights cannot be had or do not fit; says what to do. A ValueError.
        FileNotFoundError: For a file that is not there.

    Example:
        >>> create("unett", classes=1)
        Traceback (most recent call last):
        ValueError: no network 'unett'; did you mean unet or ...
    """
    row = find(name, encoder)
    named = checks.classes(classes)
    in_channels, prior = checks.in_channels(in_channels), checks.prior(prior)
    if encoder and not row.takes("encoder"):
        raise ValueError(f"{name} brings its own encoder, got encoder={encoder!r}; leave it out")
    checks.options(row, options, plain=NETWORKS[name])
    options = {key: value.item() if isinstance(value, np.generic) else value for key, value in options.items()}
    encoder = encoder or row.encoder
    file = weights if weights is not None and is_file(weights) else None
    tag = None if weights is None or file else str(weights)
    if tag and row.encoder_variant:
        usual = row.encoder_variant.encoder
        raise WeightsError(f"{name} by itself has no weights {tag!r}; encoder={usual!r}, for instance, has")
    if tag and not row.takes("weights"):
        check_set(name, tag, row.weights)
    offered = {"prior": prior, "encoder": encoder, "weights": tag}
    taken = {key: value for key, value in offered.items() if row.takes(key)}
    body = row.build(
        classes=named if isinstance(named, int) else len(named), in_channels=in_channels, **taken, **options
    )
    for head in row.heads(body):
        set_prior(head, prior)
    if tag and row.load_weights:
        row.load_weights(body, name, tag)
    allow_single_image_batches(body)
    model = Segmenter(
        body,
        classes=named,
        in_channels=in_channels,
        size_multiple=row.size_multiple if isinstance(row.size_multiple, int) else row.size_multiple(body),
        min_size=row.min_size,
        config={"name": name, "classes": named, "in_channels": in_channels, "encoder": encoder, "prior": prior}
        | options,
    )
    if file:
        load_file(model, file)
    if row.has_unused_parameters:
        try:
            freeze_unused_parameters(model)
        except (AssertionError, RuntimeError) as error:
            raise ValueError(
                f"{name} on {encoder} cannot run on {model.padded_size(1, 1)} px: {str(error).rstrip('.')}. Take an "
                f"encoder of any size, or open its size in timm, as encoder_options={{'strict_img_size': False}} does "
                f"for swin"
            ) from error
    return model
