"""Residual U-Net: pre-activation residual blocks in a shallow U (Zhang, Liu, Wang, IEEE GRSL 2018).

Short skips in the blocks let gradients through, long ones carry places: a quarter of U-Net's parameters did better
on roads. Strided convolutions halve, bilinear resizing doubles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from segkit.models.layers import he_normal, scaled_channels
from segkit.models.network import Network, Paper


class Residual(nn.Module):
    """x -> shortcut(x) + conv(ReLU(BN(conv(ReLU(BN(x)))))), the shortcut a 1x1 convolution and batch norm.

    Args:
        inside: Channels that come in.
        outside: Channels that go out.
        stride: Of the first convolution and the shortcut.
        first: The block sees the image itself, so its first convolution goes without BN and ReLU.
    """

    def __init__(self, inside: int, outside: int, *, stride: int = 1, first: bool = False) -> None:
        super().__init__()
        before = [] if first else [nn.BatchNorm2d(inside), nn.ReLU()]
        self.body = nn.Sequential(
            *before,
            nn.Conv2d(inside, outside, 3, stride=stride, padding=1),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3, padding=1),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride=stride), nn.BatchNorm2d(outside))

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


class ResUNet(nn.Module):
    """64, 128, 256 and the bridge's 512 channels, three skips.

    (N, in_channels, H, W), multiples of 8 -> logits (N, classes, H, W).

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of all channels.
    """

    def __init__(self, in_channels: int, classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled_channels((64, 128, 256, 512), width)
        self.encoder = nn.ModuleList(
            Residual(inside, outside, stride=1 if i == 0 else 2, first=i == 0)
            for i, (inside, outside) in enumerate(zip([in_channels, *channels[:-1]], channels))
        )
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.decoder = nn.ModuleList(Residual(channels[i + 1] + channels[i], channels[i]) for i in range(3))
        he_normal(self)
        self.head = nn.Conv2d(channels[0], classes, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        skips, x = [], image
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        for i in (2, 1, 0):
            x = self.decoder[i](torch.cat([self.up(x), skips[i]], 1))
        return self.head(x)


NETWORKS = (
    Network(
        "resunet",
        ResUNet,
        Paper("Residual U-Net", "Zhang, Liu, Wang", "GRSL", 2018),
        stride=1,
        good_for="deep training on little data: a quarter of U-Net's parameters",
        size_multiple=8,
    ),
)
