"""The rows of the networks that libraries build; the libraries take seconds to import, so only when asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from segkit.models.registry import Network


def _smp(name: str, *, encoder: str = "resnet34", **row: Any) -> Network:
    """The row of smp's architecture `name`."""

    def build(*, encoder: str, weights: str | None, **settings: Any) -> nn.Module:
        from segkit.models import smp

        return smp.build(name, encoder=encoder, weights=weights, **settings)

    def options() -> dict[str, Any]:
        from segkit.models import smp

        return smp.options(name)

    def multiple(body: nn.Module) -> int:
        from segkit.models import smp

        return smp.multiple(name, body)

    def depending(encoder: str | None, given: dict[str, Any]) -> dict[str, Any]:
        from segkit.models import smp

        return smp.defaults(name, encoder or "", given)

    return Network(
        name, build, weights=("imagenet",), encoder=encoder, multiple=multiple, options=options, depending=depending,
        leftovers=True, **row,
    )  # fmt: skip


def _fixed(name: str, of: Network, encoder: str, *, good_for: str, **row: Any) -> Network:
    """The row `name`: the network `of` on one encoder, by which the field knows it."""

    def build(*, weights: str | None, **settings: Any) -> nn.Module:
        return of.build(encoder=encoder, weights=weights, **settings)

    def options() -> dict[str, Any]:
        return of.settings(encoder, {})

    def depending(_: str | None, given: dict[str, Any]) -> dict[str, Any]:
        return of.settings(encoder, given)

    return replace(
        of, name=name, build=build, encoder=None, options=options, depending=depending, good_for=good_for, **row
    )


def _torchvision(name: str, **row: Any) -> Network:
    """The row of torchvision's network `name`."""

    def build(*, classes: int, in_channels: int, prior: float, weights: str | None, aux: bool = False) -> nn.Module:
        from segkit.models import torchvision

        return torchvision.build(name, classes=classes, in_channels=in_channels, prior=prior, weights=weights, aux=aux)

    return Network(name, build, weights=("imagenet", "coco"), stride=8, multiple=8, leftovers=True, **row)


UNET = _smp(
    "unet",
    title="U-Net",
    authors="Ronneberger, Fischer, Brox",
    venue="MICCAI",
    year=2015,
    stride=1,
    good_for="the first thing to try, with any encoder",
)
UNETPLUSPLUS = _smp(
    "unetplusplus",
    title="U-Net++",
    authors="Zhou et al.",
    venue="DLMIA",
    year=2018,
    stride=1,
    good_for="thin structures, with any encoder; more memory than a U-Net",
)
DEEPLABV3PLUS = _smp(
    "deeplabv3plus",
    title="DeepLabv3+",
    authors="Chen et al.",
    venue="ECCV",
    year=2018,
    stride=4,
    good_for="large and middle-sized objects with sharper borders, cheap",
)
SEGFORMER = _smp(
    "segformer",
    encoder="mit_b0",
    title="SegFormer",
    authors="Xie et al.",
    venue="NeurIPS",
    year=2021,
    stride=4,
    good_for="long range at little cost; wants pretrained weights",
)
SEGFORMERS = {
    "b0": "the smallest: quick tries",
    "b1": "small, twice B0's width",
    "b2": "a strong single model; wants pretrained weights",
    "b3": "a strong single model, deeper; wants pretrained weights",
    "b4": "the last thousandths, where B3 is not enough",
    "b5": "the largest: the last thousandths of an ensemble",
}
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
    _smp(
        "deeplabv3",
        title="DeepLabv3",
        authors="Chen et al.",
        venue="arXiv 1706.05587",
        year=2017,
        stride=8,
        good_for="large objects; coarse at borders",
    ),
    _torchvision(
        "deeplabv3_resnet50",
        title="DeepLabv3",
        authors="Chen et al.",
        venue="arXiv 1706.05587",
        year=2017,
        good_for="large objects, with weights trained for segmentation",
    ),
    _smp(
        "dpt",
        encoder="tu-vit_base_patch16_224.augreg_in21k",
        title="DPT",
        authors="Ranftl, Bochkovskiy, Koltun",
        venue="ICCV",
        year=2021,
        stride=2,
        good_for="vision transformers as encoders",
    ),
    _torchvision(
        "deeplabv3_resnet101",
        title="DeepLabv3",
        authors="Chen et al.",
        venue="arXiv 1706.05587",
        year=2017,
        good_for="like _resnet50, deeper",
    ),
    _torchvision(
        "fcn_resnet50",
        title="FCN",
        authors="Long, Shelhamer, Darrell",
        venue="CVPR",
        year=2015,
        good_for="the baseline of the course",
    ),
    _smp(
        "fpn",
        title="Panoptic FPN",
        authors="Kirillov et al.",
        venue="CVPR",
        year=2019,
        stride=4,
        good_for="fast, light decoder for any encoder",
    ),
    _smp(
        "linknet",
        title="LinkNet",
        authors="Chaurasia, Culurciello",
        venue="VCIP",
        year=2017,
        stride=1,
        good_for="little memory: skips are added",
    ),
    _smp(
        "manet",
        title="MA-Net",
        authors="Fan et al.",
        venue="IEEE Access",
        year=2020,
        stride=1,
        good_for="a U-Net with attention over positions and scales",
    ),
    _smp(
        "pan",
        title="Pyramid attention network",
        authors="Li et al.",
        venue="BMVC",
        year=2018,
        stride=4,
        good_for="a light decoder with attention from the deepest map",
    ),
    _smp(
        "pspnet",
        title="PSPNet",
        authors="Zhao et al.",
        venue="CVPR",
        year=2017,
        stride=8,
        good_for="context of the whole image, cheap; coarse at borders",
    ),
    _smp(
        "upernet",
        title="UPerNet",
        authors="Xiao et al.",
        venue="ECCV",
        year=2018,
        stride=4,
        good_for="transformers and ConvNeXt as encoders",
    ),
    _fixed("deeplabv3plus_resnet50", DEEPLABV3PLUS, "resnet50", good_for=DEEPLABV3PLUS.good_for),
    _fixed("deeplabv3plus_resnet101", DEEPLABV3PLUS, "resnet101", good_for="like _resnet50, deeper: strong at 1024 px"),
    *(_fixed(f"segformer_{size}", SEGFORMER, f"mit_{size}", good_for=use) for size, use in SEGFORMERS.items()),
    *(
        _fixed(
            f"efficientunet_b{n}",
            UNET,
            f"efficientnet-b{n}",
            title="EfficientUNet",
            authors="Baheti et al.",
            venue="CVPR-W",
            year=2020,
            good_for=use,
        )
        for n, use in enumerate(EFFICIENT)
    ),
    _fixed(
        "mobile_unet",
        UNET,
        "mobilenet_v2",
        title="U-Net on MobileNetV2",
        authors="Sandler et al.",
        venue="CVPR",
        year=2018,
        good_for="quick tries: the least memory of the U-Nets here",
    ),
    _fixed(
        "dense_unet",
        UNET,
        "densenet121",
        title="U-Net on DenseNet",
        authors="Huang et al.",
        venue="CVPR",
        year=2017,
        good_for="few parameters, features of all depths",
    ),
)
