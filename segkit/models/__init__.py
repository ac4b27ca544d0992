"""Networks behind one door: any image size in, raw logits of that size out.

>>> import torch
>>> model = create("unet", classes=("lung", "heart"), encoder="resnet18")
>>> model(torch.zeros(1, 1, 97, 131)).shape
torch.Size([1, 2, 97, 131])
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from segkit.files import nearest
from segkit.models.weights import WeightsError
from segkit.models.wrapper import Segmenter

__all__ = ["Segmenter", "WeightsError", "create", "describe", "names"]


@dataclass(frozen=True)
class Entry:
    """A network that `create` knows: the module that builds it, its usual encoder and where it comes from."""

    module: str
    encoder: str | None
    paper: str

    def load(self) -> ModuleType:
        """The module that builds it; the libraries behind take seconds to import, so only when needed."""
        return importlib.import_module(f"segkit.models.{self.module}")


NETWORKS = {
    "deeplabv3": Entry("smp", "resnet34", "DeepLabv3: Chen et al., arXiv 1706.05587, 2017"),
    "deeplabv3_resnet50": Entry("torchvision", None, "DeepLabv3: Chen et al., arXiv 1706.05587, 2017"),
    "deeplabv3plus": Entry("smp", "resnet34", "DeepLabv3+: Chen et al., ECCV 2018"),
    "dpt": Entry("smp", "tu-vit_base_patch16_224.augreg_in21k", "DPT: Ranftl, Bochkovskiy, Koltun, ICCV 2021"),
    "fcn_resnet50": Entry("torchvision", None, "FCN: Long, Shelhamer, Darrell, CVPR 2015"),
    "fpn": Entry("smp", "resnet34", "Panoptic FPN: Kirillov et al., CVPR 2019"),
    "linknet": Entry("smp", "resnet34", "LinkNet: Chaurasia, Culurciello, VCIP 2017"),
    "manet": Entry("smp", "resnet34", "MA-Net: Fan et al., IEEE Access 2020"),
    "pan": Entry("smp", "resnet34", "Pyramid attention network: Li et al., BMVC 2018"),
    "pspnet": Entry("smp", "resnet34", "PSPNet: Zhao et al., CVPR 2017"),
    "segformer": Entry("smp", "mit_b0", "SegFormer: Xie et al., NeurIPS 2021"),
    "unet": Entry("smp", "resnet34", "U-Net: Ronneberger, Fischer, Brox, MICCAI 2015"),
    "unetplusplus": Entry("smp", "resnet34", "U-Net++: Zhou et al., DLMIA 2018"),
    "upernet": Entry("smp", "resnet34", "UPerNet: Xiao et al., ECCV 2018"),
}


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
    usual one, one of smp's names, or "tu-NAME" for any of timm's (dots name a set of weights).

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
    entry = _entry(name)
    named = classes if isinstance(classes, int) else tuple(classes)
    if isinstance(classes, str):
        raise ValueError(f"classes={classes!r} is one string; pass a number or a sequence such as ({classes!r},)")
    count = named if isinstance(named, int) else len(named)
    if count < 1 or (not isinstance(named, int) and len(set(named)) < count):
        raise ValueError(f"classes must be a positive number or distinct names, got {classes!r}")
    if in_channels < 1:
        raise ValueError(f"in_channels must be at least 1, got {in_channels}; 1 is grey, 3 is RGB")
    if not 0 < prior < 1:
        raise ValueError(f"prior is a probability strictly between 0 and 1, got {prior}")
    encoder = encoder or entry.encoder
    config = {
        "name": name,
        "classes": named,
        "in_channels": in_channels,
        "encoder": encoder,
        "prior": prior,
        **options,
    }
    module = entry.load()
    return module.create(
        name,
        classes=count,
        in_channels=in_channels,
        encoder=encoder,
        weights=weights,
        prior=prior,
        given=options,
        named=named,
        config=config,
    )


def names() -> list[str]:
    """Every name that `create` takes, sorted."""
    return sorted(NETWORKS)


def describe(name: str, *, encoder: str | None = None, in_channels: int = 1, classes: int = 1, **options: Any) -> str:
    """A few lines on a network: paper, parameters, sizes, options with defaults. It is built for that.

    >>> print(describe("unet", encoder="resnet18"))
    unet (U-Net: Ronneberger, Fischer, Brox, MICCAI 2015)
      encoder     resnet18
      parameters  14.32 M, of which the encoder 11.17 M
      sizes       any; inside, multiples of 32 px
      options     decoder_attention_type=None, ...
    """
    entry = _entry(name)
    model = create(name, classes=classes, in_channels=in_channels, encoder=encoder, **options)
    million = [sum(p.numel() for p in part.parameters()) / 1e6 for part in (model, model.encoder)]
    settings = entry.load().options(name) | options
    return "\n".join(
        [
            f"{name} ({entry.paper})",
            f"  encoder     {model.config['encoder'] or 'its own'}",
            f"  parameters  {million[0]:.2f} M, of which the encoder {million[1]:.2f} M",
            f"  sizes       any; inside, multiples of {model.multiple} px",
            f"  options     {', '.join(f'{key}={settings[key]!r}' for key in sorted(settings))}",
        ]
    )


def _entry(name: str) -> Entry:
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; {nearest(name, NETWORKS)}")
    return NETWORKS[name]
