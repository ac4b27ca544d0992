"""MultiResUNet: several scales in each block, and skips that do some work (Ibtehaz, Rahman, Neural Networks 2020).

A block of three chained 3x3 convolutions hands on all three, which see as 3x3, 5x5 and 7x7 would, for the
parameters of U-Net's block of the same memory. Residual paths bring the encoder's raw maps nearer to the decoder's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from segkit.models.layers import conv_block, encode, he_normal, scaled_channels
from segkit.models.network import Network, Paper

ALPHA = 1.67


def split(unit: int) -> list[int]:
    """Channels of a block's three convolutions: ALPHA times 1/6, 1/3 and 1/2 of what U-Net has.

    Args:
        unit: Channels of U-Net's convolutions.

    Returns:
        Three numbers.

    Example:
        >>> split(32)
        [8, 17, 26]
    """
    return [max(1, int(ALPHA * unit * fraction)) for fraction in (0.167, 0.333, 0.5)]


def after_sum(channels: int) -> nn.Sequential:
    """What follows a sum: ReLU, then batch norm.

    Args:
        channels: Of the sum.

    Returns:
        The two layers.
    """
    return nn.Sequential(nn.ReLU(), nn.BatchNorm2d(channels))


class MultiRes(nn.Module):
    """Three chained 3x3 convolutions, concatenated, and a 1x1 shortcut.

    Args:
        inside: Channels that come in.
        unit: Channels of U-Net's convolutions, see `split`.
    """

    def __init__(self, inside: int, unit: int) -> None:
        super().__init__()
        parts = split(unit)
        self.channels = sum(parts)
        self.chain = nn.ModuleList(nn.Sequential(*conv_block(a, b, bias=True)) for a, b in zip([inside, *parts], parts))
        self.norm = nn.BatchNorm2d(self.channels)
        self.shortcut = nn.Sequential(nn.Conv2d(inside, self.channels, 1), nn.BatchNorm2d(self.channels))
        self.end = after_sum(self.channels)

    @override
    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        for layer in self.chain:
            parts.append(layer(parts[-1]))
        return self.end(self.norm(torch.cat(parts[1:], 1)) + self.shortcut(x))


class ResPath(nn.Module):
    """Residual 3x3 convolutions with 1x1 shortcuts on a skip.

    Args:
        inside: Channels that come in.
        unit: Channels that go out.
        length: Number of convolutions.
    """

    def __init__(self, inside: int, unit: int, length: int) -> None:
        super().__init__()
        ins = [inside] + [unit] * (length - 1)
        self.bodies = nn.ModuleList(nn.Sequential(*conv_block(i, unit, bias=True)) for i in ins)
        self.shortcuts = nn.ModuleList(nn.Sequential(nn.Conv2d(i, unit, 1), nn.BatchNorm2d(unit)) for i in ins)
        self.ends = nn.ModuleList(after_sum(unit) for _ in ins)

    @override
    def forward(self, x: Tensor) -> Tensor:
        for body, shortcut, end in zip(self.bodies, self.shortcuts, self.ends):
            x = end(body(x) + shortcut(x))
        return x


class MultiResUNet(nn.Module):
    """Units of 32, 64, 128, 256, 512 channels; residual paths of 4, 3, 2, 1.

    (N, in_channels, H, W), multiples of 16 -> logits (N, classes, H, W).

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of all channels.
    """

    def __init__(self, in_channels: int, classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        units = [max(4, unit) for unit in scaled_channels((32, 64, 128, 256, 512), width)]
        channels = [sum(split(unit)) for unit in units]
        ins = [in_channels, *channels]
        self.encoder = nn.ModuleList(MultiRes(ins[i], units[i]) for i in range(5))
        self.paths = nn.ModuleList(ResPath(channels[i], units[i], 4 - i) for i in range(4))
        self.up = nn.ModuleList(nn.ConvTranspose2d(channels[i + 1], units[i], 2, stride=2) for i in range(4))
        self.decoder = nn.ModuleList(MultiRes(2 * units[i], units[i]) for i in range(4))
        he_normal(self)
        self.head = nn.Conv2d(channels[0], classes, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        *skips, x = encode(self.encoder, image)
        for i in (3, 2, 1, 0):
            x = self.decoder[i](torch.cat([self.up[i](x), self.paths[i](skips[i])], 1))
        return self.head(x)


NETWORKS = (
    Network(
        "multiresunet",
        MultiResUNet,
        Paper("MultiResUNet", "Ibtehaz, Rahman", "Neural Networks", 2020),
        stride=1,
        good_for="objects of many sizes: a third of U-Net's GMAC, twice its memory",
        size_multiple=16,
    ),
)
