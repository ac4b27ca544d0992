"""Residual U-Net: pre-activation residual blocks in a shallow U (Zhang, Liu, Wang, IEEE GRSL 2018).

Short skips in the blocks let gradients through, long ones carry places: a quarter of U-Net's parameters did better
on roads. Strided convolutions halve, bilinear resizing doubles.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segkit.models.layers import he_normal, widths
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior


class Residual(nn.Module):
    """x -> shortcut(x) + conv(ReLU(BN(conv(ReLU(BN(x)))))), the shortcut a 1x1 convolution and batch norm.

    The first block of a network sees the image itself, so its first convolution goes without BN and ReLU.
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

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.body(x)


class ResUNet(nn.Module):
    """64, 128, 256 and the bridge's 512 channels times `width`, three skips.

    (N, in_channels, H, W), multiples of 8 -> logits (N, classes, H, W).
    """

    def __init__(self, in_channels: int, classes: int, *, width: float) -> None:
        super().__init__()
        plan = widths((64, 128, 256, 512), width)
        self.encoder = nn.ModuleList(
            Residual(inside, outside, stride=1 if i == 0 else 2, first=i == 0)
            for i, (inside, outside) in enumerate(zip([in_channels, *plan[:-1]], plan))
        )
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.decoder = nn.ModuleList(Residual(plan[i + 1] + plan[i], plan[i]) for i in range(3))
        he_normal(self)
        self.head = nn.Conv2d(plan[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        skips = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            skips.append(block(skips[-1]))
        x = skips.pop()
        for i in (2, 1, 0):
            x = self.decoder[i](torch.cat([self.up(x), skips[i]], 1))
        return self.head(x)


def build(*, classes: int, in_channels: int, prior: float, width: float = 1.0) -> nn.Module:
    """ResUNet; width multiplies all channels."""
    body = ResUNet(in_channels, classes, width=width)
    set_prior(body.head, prior)
    return body


NETWORKS = (
    Network(
        "resunet",
        build,
        title="Residual U-Net",
        authors="Zhang, Liu, Wang",
        venue="GRSL",
        year=2018,
        stride=1,
        good_for="deep training on little data: a quarter of U-Net's parameters",
        multiple=8,
    ),
)
