"""DeepLab v1 and v2: dilated ("atrous") VGG16 and ResNet-101 with one field of view, then with several.

Chen, Papandreou, Kokkinos, Murphy, Yuille: ICLR 2015 (LargeFOV) and TPAMI 2018 (atrous spatial pyramid pooling, ASPP).
The papers' dense CRF is post-processing and not part of the networks. Versions 3 and 3+ come from libraries.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.layers import he_normal, scaled_channels, whole_numbers
from segkit.models.network import Network, Paper
from segkit.models.papers.vgg import CHANNELS, fully_connected, imagenet, trunk
from segkit.models.weights import load_torchvision_encoder, resnet_stem

RATES = (6, 12, 18, 24)
RESNET101 = (3, 4, 23, 3)


class Branches(nn.ModuleList):
    """Parallel heads on the same maps whose scores are added."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([head(x) for head in self]).sum(0)


class DeepLabVGG(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H / 8, W / 8).

    VGG16 with 3x3 pools of strides 2, 2, 2, 1, 1 and a last block of dilation 2, then a head of fc6 (3x3), fc7 and
    scores for each of `rates`, their sum. ImageNet weights fill the trunk, not fc6 on.

    Args:
        averaged: With a 3x3 mean before the heads.
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the paper's channels.
        dropout: After fc6 and fc7.
        rates: Dilations of the parallel heads.
    """

    def __init__(
        self,
        averaged: bool,
        in_channels: int,
        classes: int,
        *,
        width: float = 1.0,
        dropout: float = 0.5,
        rates: Sequence[int] = RATES,
    ) -> None:
        super().__init__()
        inside, fc = scaled_channels((CHANNELS[-1], 1024), width)
        self.averaged = averaged
        self.encoder = trunk(in_channels, width=width, dilation=2)
        self.heads = Branches(
            nn.Sequential(*fully_connected(inside, fc, 3, dropout=dropout, dilation=rate), nn.Conv2d(fc, classes, 1))
            for rate in whole_numbers("rates", rates, usual=RATES)
        )
        he_normal(self.heads)
        for score in (head.get_submodule("6") for head in self.heads):
            nn.init.normal_(score.get_parameter("weight"), std=0.01)

    @override
    def forward(self, image: Tensor) -> Tensor:
        x = image
        for block, stride in zip(self.encoder, (2, 2, 2, 1, 1), strict=True):
            x = F.max_pool2d(block(x), 3, stride=stride, padding=1)
        if self.averaged:
            x = F.avg_pool2d(x, 3, stride=1, padding=1)
        return cast(Tensor, self.heads(x))


def large_field_of_view(in_channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.5) -> DeepLabVGG:
    """DeepLab v1: one field of view of rate 12.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the paper's channels.
        dropout: After fc6 and fc7.

    Returns:
        The network.
    """
    return DeepLabVGG(True, in_channels, classes, width=width, dropout=dropout, rates=(12,))


class DeepLabResNet(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H / 8, W / 8).

    torchvision's ResNet of bottlenecks with dilations 2 and 4 in its last two stages, then a 3x3 convolution to scores
    for each of `rates`, their sum.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        rates: Dilations of the parallel heads.
        blocks: Of each of the four stages.
        frozen_norm: Batch norms keep the statistics and the scales they came with, as the authors' do; for pretrained
            weights only.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        rates: Sequence[int] = RATES,
        blocks: Sequence[int] = RESNET101,
        frozen_norm: bool = False,
    ) -> None:
        super().__init__()
        self.frozen_norm = frozen_norm
        self.encoder = _resnet(in_channels, blocks)
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

    @override
    def train(self, mode: bool = True) -> DeepLabResNet:
        super().train(mode)
        if self.frozen_norm:
            for norm in self._norms():
                norm.eval()
        return self

    @override
    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.heads(self.encoder(image)))


def _resnet(in_channels: int, blocks: Sequence[int]) -> nn.Sequential:
    """ResNet of torchvision, of bottlenecks, without its classifier."""
    from torchvision.models.resnet import Bottleneck, ResNet

    if len(whole_numbers("blocks", blocks, usual=RESNET101)) != 4:
        raise ValueError(f"blocks={tuple(blocks)} but ResNet has four stages; ResNet-101 is {RESNET101}")
    whole = ResNet(Bottleneck, list(blocks))
    parts = {key: part for key, part in whole.named_children() if key not in ("avgpool", "fc")}
    if in_channels != 3:
        parts["conv1"] = resnet_stem(in_channels)
    return nn.Sequential(OrderedDict(parts))


def _load_resnet101(body: nn.Module, name: str, tag: str) -> None:
    """ImageNet weights of torchvision."""
    from torchvision.models import ResNet101_Weights

    load_torchvision_encoder(body.get_submodule("encoder"), ResNet101_Weights.IMAGENET1K_V1, name)


_network = partial(
    Network, stride=8, size_multiple=8, heads=lambda body: (body.heads,), weights=("imagenet",), load_weights=imagenet()
)
NETWORKS = (
    _network(
        "deeplabv1_largefov",
        large_field_of_view,
        Paper("DeepLab-LargeFOV", "Chen et al.", "ICLR", 2015),
        good_for="middle-sized and large objects; the usual network of weak supervision",
    ),
    _network(
        "deeplabv2_vgg16",
        partial(DeepLabVGG, False),
        Paper("DeepLabv2 (VGG16)", "Chen et al.", "TPAMI", 2018),
        good_for="objects of several sizes; coarse at borders",
    ),
    _network(
        "deeplabv2_resnet101",
        DeepLabResNet,
        Paper("DeepLabv2 (ResNet-101)", "Chen et al.", "TPAMI", 2018),
        good_for="objects of several sizes; the strongest before version 3",
        load_weights=_load_resnet101,
    ),
)
