"""MultiResUNet: several scales in each block, and skips that do some work (Ibtehaz, Rahman, Neural Networks 2020).

A block of three chained 3x3 convolutions hands on all three, which see as 3x3, 5x5 and 7x7 would, for the
parameters of U-Net's block of the same memory. Residual paths bring the encoder's raw maps nearer to the decoder's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segkit.models.layers import he_normal, widths
from segkit.models.papers.unet import conv
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior

ALPHA = 1.67


def split(unit: int) -> list[int]:
    """Channels of the three convolutions where U-Net would have `unit` each: ALPHA times 1/6, 1/3 and 1/2.

    >>> split(32)
    [8, 17, 26]
    """
    return [max(1, int(ALPHA * unit * share)) for share in (0.167, 0.333, 0.5)]


def after_sum(channels: int) -> nn.Sequential:
    """What follows a sum: ReLU, then batch norm."""
    return nn.Sequential(nn.ReLU(), nn.BatchNorm2d(channels))


class MultiRes(nn.Module):
    """Three chained 3x3 convolutions, concatenated, and a 1x1 shortcut."""

    def __init__(self, inside: int, unit: int) -> None:
        super().__init__()
        parts = split(unit)
        self.channels = sum(parts)
        self.chain = nn.ModuleList(
            nn.Sequential(*conv(a, b, norm=True, bias=True)) for a, b in zip([inside, *parts], parts)
        )
        self.norm = nn.BatchNorm2d(self.channels)
        self.shortcut = nn.Sequential(nn.Conv2d(inside, self.channels, 1), nn.BatchNorm2d(self.channels))
        self.end = after_sum(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        for layer in self.chain:
            parts.append(layer(parts[-1]))
        return self.end(self.norm(torch.cat(parts[1:], 1)) + self.shortcut(x))


class ResPath(nn.Module):
    """`length` residual 3x3 convolutions with 1x1 shortcuts on a skip."""

    def __init__(self, inside: int, unit: int, length: int) -> None:
        super().__init__()
        ins = [inside] + [unit] * (length - 1)
        self.bodies = nn.ModuleList(nn.Sequential(*conv(i, unit, norm=True, bias=True)) for i in ins)
        self.shortcuts = nn.ModuleList(nn.Sequential(nn.Conv2d(i, unit, 1), nn.BatchNorm2d(unit)) for i in ins)
        self.ends = nn.ModuleList(after_sum(unit) for _ in ins)

    def forward(self, x: Tensor) -> Tensor:
        for body, shortcut, end in zip(self.bodies, self.shortcuts, self.ends):
            x = end(body(x) + shortcut(x))
        return x


class MultiResUNet(nn.Module):
    """Units of 32, 64, 128, 256, 512 channels times `width`; residual paths of 4, 3, 2, 1.

    (N, in_channels, H, W), multiples of 16 -> logits (N, classes, H, W).
    """

    def __init__(self, in_channels: int, classes: int, *, width: float) -> None:
        super().__init__()
        units = [max(4, unit) for unit in widths((32, 64, 128, 256, 512), width)]
        wide = [sum(split(unit)) for unit in units]
        ins = [in_channels, *wide]
        self.encoder = nn.ModuleList(MultiRes(ins[i], units[i]) for i in range(5))
        self.paths = nn.ModuleList(ResPath(wide[i], units[i], 4 - i) for i in range(4))
        self.up = nn.ModuleList(nn.ConvTranspose2d(wide[i + 1], units[i], 2, stride=2) for i in range(4))
        self.decoder = nn.ModuleList(MultiRes(2 * units[i], units[i]) for i in range(4))
        he_normal(self)
        self.head = nn.Conv2d(wide[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        skips = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            skips.append(block(nn.functional.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for i in (3, 2, 1, 0):
            x = self.decoder[i](torch.cat([self.up[i](x), self.paths[i](skips[i])], 1))
        return self.head(x)


def build(*, classes: int, in_channels: int, prior: float, width: float = 1.0) -> nn.Module:
    """MultiResUNet; width multiplies all channels."""
    body = MultiResUNet(in_channels, classes, width=width)
    set_prior(body.head, prior)
    return body


NETWORKS = (
    Network(
        "multiresunet",
        build,
        title="MultiResUNet",
        authors="Ibtehaz, Rahman",
        venue="Neural Networks",
        year=2020,
        stride=1,
        good_for="objects of many sizes: a third of U-Net's GMAC, twice its memory",
        multiple=16,
    ),
)
