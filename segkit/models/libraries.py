"""Rows of the networks that libraries build. The libraries take seconds to import, so only when asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from segkit.models.network import Network, Paper


def _smp(name: str, paper: Paper, *, encoder: str = "resnet34", stride: int, good_for: str) -> Network:
    """The row of smp's architecture `name`."""

    def build(*, classes: int, in_channels: int, encoder: str, weights: str | None, **options: object) -> nn.Module:
        from segkit.models.smp import build

        return build(name, classes=classes, in_channels=in_channels, encoder=encoder, weights=weights, **options)

    def options() -> dict[str, Any]:
        from segkit.models.smp import options

        return options(name)

    def size_multiple(body: nn.Module) -> int:
        from segkit.models.smp import size_multiple

        return size_multiple(name, body)

    def encoder_defaults(encoder: str | None, given: dict[str, Any]) -> dict[str, Any]:
        from segkit.models.smp import defaults

        return defaults(name, encoder or "", given)

    return Network(
        name, build, paper, stride, good_for, lambda body: (body.segmentation_head,), weights=("imagenet",),
        encoder=encoder, size_multiple=size_multiple, options=options, encoder_defaults=encoder_defaults,
        has_unused_parameters=True,
    )  # fmt: skip


def _fixed(name: str, base: Network, encoder: str, good_for: str, paper: Paper | None = None) -> Network:
    """The row `name`: the network `base` on one encoder, by which the field knows it."""

    def build(*, weights: str | None, **settings: object) -> nn.Module:
        return base.build(encoder=encoder, weights=weights, **settings)

    return replace(
        base, name=name, build=build, paper=paper or base.paper, good_for=good_for, encoder=None,
        options=lambda: base.settings(encoder, {}), encoder_defaults=lambda _, given: base.settings(encoder, given),
    )  # fmt: skip


def _torchvision(name: str, paper: Paper, good_for: str) -> Network:
    """The row of torchvision's network `name`."""

    def build(*, classes: int, in_channels: int, aux: bool = False) -> nn.Module:
        from segkit.models.torchvision import build

        return build(name, classes=classes, in_channels=in_channels, aux=aux)

    def load_weights(body: nn.Module, name: str, tag: str) -> None:
        from segkit.models.torchvision import load_weights

        load_weights(body, name, tag)

    return Network(
        name, build, paper, 8, good_for, lambda body: filter(None, (body.classifier, body.aux_classifier)),
        weights=("imagenet", "coco"), load_weights=load_weights, size_multiple=8, has_unused_parameters=True,
    )  # fmt: skip


DEEPLABV3_PAPER = Paper("DeepLabv3", "Chen et al.", "arXiv 1706.05587", 2017)

UNET = _smp(
    "unet", Paper("U-Net", "Ronneberger, Fischer, Brox", "MICCAI", 2015), stride=1,
    good_for="the first thing to try, with any encoder",
)  # fmt: skip
UNETPLUSPLUS = _smp(
    "unetplusplus", Paper("U-Net++", "Zhou et al.", "DLMIA", 2018), stride=1,
    good_for="thin structures, with any encoder; more memory than a U-Net",
)  # fmt: skip
DEEPLABV3PLUS = _smp(
    "deeplabv3plus", Paper("DeepLabv3+", "Chen et al.", "ECCV", 2018), stride=4,
    good_for="large and middle-sized objects with sharper borders, cheap",
)  # fmt: skip
SEGFORMER = _smp(
    "segformer", Paper("SegFormer", "Xie et al.", "NeurIPS", 2021), encoder="mit_b0", stride=4,
    good_for="long range at little cost; needs pretrained weights",
)  # fmt: skip
SEGFORMERS = {
    "b0": "the smallest: quick tries",
    "b1": "small, twice B0's width",
    "b2": "a strong single model; needs pretrained weights",
    "b3": "a strong single model, deeper; needs pretrained weights",
    "b4": "the last thousandths, where B3 is not enough",
    "b5": "the largest: the last thousandths of an ensemble",
}
EFFICIENT_PAPER = Paper("EfficientUNet", "Baheti et al.", "CVPR-W", 2020)
EFFICIENT = (
    "a strong first baseline for its cost",
    "like b0, a little more of everything",
    "like b0, a little more of everything",
    "middle of the row: 768 to 1024 px on one card",
    "the usual strong baseline of competitions",
    "large; more memory than b4 for little",
    "large; more memory than b4 for little",
    "the paper's choice, for ensembles",
)

NETWORKS = (
    DEEPLABV3PLUS,
    SEGFORMER,
    UNETPLUSPLUS,
    _smp("deeplabv3", DEEPLABV3_PAPER, stride=8, good_for="large objects; coarse at borders"),
    _smp(
        "dpt", Paper("DPT", "Ranftl, Bochkovskiy, Koltun", "ICCV", 2021), stride=2,
        encoder="tu-vit_base_patch16_224.augreg_in21k", good_for="vision transformers as encoders",
    ),
    _smp(
        "fpn", Paper("Panoptic FPN", "Kirillov et al.", "CVPR", 2019), stride=4,
        good_for="fast, light decoder for any encoder",
    ),
    _smp(
        "linknet", Paper("LinkNet", "Chaurasia, Culurciello", "VCIP", 2017), stride=1,
        good_for="little memory: skips are added",
    ),
    _smp(
        "manet", Paper("MA-Net", "Fan et al.", "IEEE Access", 2020), stride=1,
        good_for="a U-Net with attention over positions and scales",
    ),
    _smp(
        "pan", Paper("Pyramid attention network", "Li et al.", "BMVC", 2018), stride=4,
        good_for="a light decoder with attention from the deepest map",
    ),
    _smp(
        "pspnet", Paper("PSPNet", "Zhao et al.", "CVPR", 2017), stride=8,
        good_for="context of the whole image, cheap; coarse at borders",
    ),
    _smp(
        "upernet", Paper("UPerNet", "Xiao et al.", "ECCV", 2018), stride=4,
        good_for="transformers and ConvNeXt as encoders",
    ),
    _torchvision("deeplabv3_resnet50", DEEPLABV3_PAPER, "large objects, with weights trained for segmentation"),
    _torchvision("deeplabv3_resnet101", DEEPLABV3_PAPER, "like _resnet50, deeper"),
    _torchvision(
        "fcn_resnet50", Paper("FCN", "Long, Shelhamer, Darrell", "CVPR", 2015), "the baseline of the course"
    ),
    _fixed("deeplabv3plus_resnet50", DEEPLABV3PLUS, "resnet50", DEEPLABV3PLUS.good_for),
    _fixed("deeplabv3plus_resnet101", DEEPLABV3PLUS, "resnet101", "like _resnet50, deeper: strong at 1024 px"),
    *(_fixed(f"segformer_{size}", SEGFORMER, f"mit_{size}", use) for size, use in SEGFORMERS.items()),
    *(
        _fixed(f"efficientunet_b{n}", UNET, f"efficientnet-b{n}", use, EFFICIENT_PAPER)
        for n, use in enumerate(EFFICIENT)
    ),
    _fixed(
        "mobile_unet", UNET, "mobilenet_v2", "quick tries: the least memory of the U-Nets here",
        Paper("U-Net on MobileNetV2", "Sandler et al.", "CVPR", 2018),
    ),
    _fixed(
        "dense_unet", UNET, "densenet121", "few parameters, features of all depths",
        Paper("U-Net on DenseNet", "Huang et al.", "CVPR", 2017),
    ),
)  # fmt: skip
