"""DeepLab v1 and v2: dilated ("atrous") VGG16 and ResNet-101 with one field of view, then with several.

Chen, Papandreou, Kokkinos, Murphy, Yuille: ICLR 2015 (LargeFOV) and TPAMI 2018 (atrous spatial pyramid pooling, ASPP).
The papers' dense CRF is post-processing and not part of the networks. Versions 3 and 3+ come from libraries.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.models import weights as pretrained
from segkit.models.layers import he_normal, whole_numbers, widths
from segkit.models.papers import vgg
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior

RATES = (6, 12, 18, 24)
RESNET101 = (3, 4, 23, 3)


class Branches(nn.ModuleList):
    """Parallel heads on the same maps whose scores are added."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([head(x) for head in self]).sum(0)


class DeepLabVGG(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H / 8, W / 8).

    VGG16 with 3x3 pools of strides 2, 2, 2, 1, 1 and a last block of dilation 2, then a head of fc6 (3x3), fc7 and
    scores for each of `rates`, their sum. averaged: a 3x3 mean before them.
    """

    def __init__(
        self, in_channels: int, classes: int, *, rates: Sequence[int], averaged: bool, width: float, dropout: float
    ) -> None:
        super().__init__()
        (fc,) = widths((1024,), width)
        inside = widths(vgg.CHANNELS, width)[-1]
        self.averaged = averaged
        self.encoder = vgg.trunk(in_channels, width=width, dilation=2)
        self.heads = Branches(
            nn.Sequential(
                nn.Conv2d(inside, fc, 3, padding=rate, dilation=rate), nn.ReLU(inplace=True), nn.Dropout(dropout),
                nn.Conv2d(fc, fc, 1), nn.ReLU(inplace=True), nn.Dropout(dropout),
                nn.Conv2d(fc, classes, 1),
            )
            for rate in whole_numbers("rates", rates, usual=RATES)
        )  # fmt: skip
        he_normal(self.heads)
        for score in (head.get_submodule("6") for head in self.heads):
            nn.init.normal_(score.get_parameter("weight"), std=0.01)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for block, stride in zip(self.encoder, (2, 2, 2, 1, 1), strict=True):
            x = F.max_pool2d(block(x), 3, stride=stride, padding=1)
        if self.averaged:
            x = F.avg_pool2d(x, 3, stride=1, padding=1)
        return cast(Tensor, self.heads(x))


def resnet(in_channels: int, blocks: Sequence[int]) -> nn.Sequential:
    """torchvision's ResNet of bottlenecks without its classifier; blocks: of each of the four stages."""
    from torchvision.models.resnet import Bottleneck, ResNet

    if len(whole_numbers("blocks", blocks, usual=RESNET101)) != 4:
        raise ValueError(f"blocks={tuple(blocks)} but ResNet has four stages; ResNet-101 is {RESNET101}")
    whole = ResNet(Bottleneck, list(blocks))
    parts = {key: part for key, part in whole.named_children() if key not in ("avgpool", "fc")}
    if in_channels != 3:
        parts["conv1"] = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(parts["conv1"].weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(OrderedDict(parts))


class DeepLabResNet(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H / 8, W / 8).

    ResNet with dilations 2 and 4 in its last two stages, then a 3x3 convolution to scores for each of `rates`,
    their sum. frozen_norm: batch norms keep the statistics and the scales they came with, as the authors' do.
    """

    def __init__(
        self, in_channels: int, classes: int, *, rates: Sequence[int], blocks: Sequence[int], frozen_norm: bool
    ) -> None:
        super().__init__()
        self.frozen_norm = frozen_norm
        self.encoder = resnet(in_channels, blocks)
        for stage, dilation in (("layer3", 2), ("layer4", 4)):
            for conv in self.encoder.get_submodule(stage).modules():
                if isinstance(conv, nn.Conv2d):
                    conv.stride = (1, 1)
                    if conv.kernel_size == (3, 3):
                        conv.dilation = conv.padding = (dilation, dilation)
        rates = whole_numbers("rates", rates, usual=RATES)
        self.heads = Branches(nn.Conv2d(2048, classes, 3, padding=rate, dilation=rate) for rate in rates)
        for head in self.heads:
            nn.init.normal_(head.get_parameter("weight"), std=0.01)
            nn.init.zeros_(head.get_parameter("bias"))
        if frozen_norm:
            for norm in self._norms():
                norm.requires_grad_(False)

    def _norms(self) -> list[nn.BatchNorm2d]:
        return [module for module in self.encoder.modules() if isinstance(module, nn.BatchNorm2d)]

    def train(self, mode: bool = True) -> DeepLabResNet:
        super().train(mode)
        if self.frozen_norm:
            for norm in self._norms():
                norm.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.heads(self.encoder(image)))


def deeplabv1_largefov(
    *, classes: int, in_channels: int, prior: float, weights: str | None, width: float = 1.0, dropout: float = 0.5
) -> nn.Module:
    """One field of view of rate 12. width: times the paper's channels. ImageNet weights fill the trunk, not fc6 on."""
    body = DeepLabVGG(in_channels, classes, rates=(12,), averaged=True, width=width, dropout=dropout)
    set_prior(body.heads, prior)
    if weights is not None:
        vgg.load_imagenet(body.encoder, "deeplabv1_largefov", weights)
    return body


def deeplabv2_vgg16(
    *,
    classes: int,
    in_channels: int,
    prior: float,
    weights: str | None,
    width: float = 1.0,
    dropout: float = 0.5,
    rates: Sequence[int] = RATES,
) -> nn.Module:
    """ASPP-L on VGG16. width: times the paper's channels; rates: dilations of the parallel heads."""
    body = DeepLabVGG(in_channels, classes, rates=rates, averaged=False, width=width, dropout=dropout)
    set_prior(body.heads, prior)
    if weights is not None:
        vgg.load_imagenet(body.encoder, "deeplabv2_vgg16", weights)
    return body


def deeplabv2_resnet101(
    *,
    classes: int,
    in_channels: int,
    prior: float,
    weights: str | None,
    rates: Sequence[int] = RATES,
    blocks: Sequence[int] = RESNET101,
    frozen_norm: bool = False,
) -> nn.Module:
    """ASPP on ResNet-101. blocks: of each stage; frozen_norm: as the authors train it, for pretrained weights only."""
    body = DeepLabResNet(in_channels, classes, rates=rates, blocks=blocks, frozen_norm=frozen_norm)
    set_prior(body.heads, prior)
    if weights is not None:
        from torchvision.models import ResNet101_Weights

        pretrained.check_set("deeplabv2_resnet101", weights, ("imagenet",))
        source = ResNet101_Weights.IMAGENET1K_V1
        state = pretrained.from_torchvision(source, "deeplabv2_resnet101")
        encoder = {key: value for key, value in state.items() if not key.startswith("fc.")}
        pretrained.load_into(body.encoder, encoder, source.url)
    return body


NETWORKS = (
    Network(
        "deeplabv1_largefov",
        deeplabv1_largefov,
        title="DeepLab-LargeFOV",
        authors="Chen et al.",
        venue="ICLR",
        year=2015,
        stride=8,
        good_for="middle-sized and large objects; the usual network of weak supervision",
        weights=("imagenet",),
        multiple=8,
    ),
    Network(
        "deeplabv2_vgg16",
        deeplabv2_vgg16,
        title="DeepLabv2 (VGG16)",
        authors="Chen et al.",
        venue="TPAMI",
        year=2018,
        stride=8,
        good_for="objects of several sizes; coarse at borders",
        weights=("imagenet",),
        multiple=8,
    ),
    Network(
        "deeplabv2_resnet101",
        deeplabv2_resnet101,
        title="DeepLabv2 (ResNet-101)",
        authors="Chen et al.",
        venue="TPAMI",
        year=2018,
        stride=8,
        good_for="objects of several sizes; the strongest before version 3",
        weights=("imagenet",),
        multiple=8,
    ),
)
