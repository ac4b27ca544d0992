"""DeepLabv3+ with dense convolutions, as its figure draws it (Chen et al., ECCV 2018, arXiv 1802.02611).

Atrous spatial pyramid pooling at stride 16 (rates 6, 12, 18, or twice that at stride 8), resized to stride 4 beside 48
channels of an early map, two 3x3 convolutions. `deeplabv3plus` is the library's, with separable convolutions: half
the cost.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.layers import conv_block
from segkit.models.libraries import DEEPLABV3PLUS
from segkit.models.network import Network


def _block(inside: int, outside: int, kernel: int, *, rate: int = 1) -> nn.Sequential:
    """Convolution of dilation `rate` that keeps the size, batch norm, ReLU."""
    return nn.Sequential(*conv_block(inside, outside, kernel, dilation=rate))


class Pyramid(nn.Module):
    """A 1x1, three dilated 3x3 and the mean of the image; joined by a 1x1 and dropout 0.5.

    Args:
        inside: Channels that come in.
        channels: Of each branch, and that go out.
        rates: Dilations.
    """

    def __init__(self, inside: int, channels: int, rates: tuple[int, int, int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [_block(inside, channels, 1), *(_block(inside, channels, 3, rate=rate) for rate in rates)]
        )
        self.image = _block(inside, channels, 1)
        self.join = _block(5 * channels, channels, 1).append(nn.Dropout(0.5))

    @override
    def forward(self, x: Tensor) -> Tensor:
        whole = self.image(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.join(torch.cat([*(branch(x) for branch in self.branches), whole], 1))


class DeepLabV3Plus(nn.Module):
    """Encoder, pyramid and decoder. (N, in_channels, H, W) -> logits (N, classes, H / 4, W / 4).

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        encoder: Any that the library can dilate.
        weights: None, or the name of a set for the encoder.
        output_stride: 16, or 8 for twice the rates.
    """

    def __init__(
        self, in_channels: int, classes: int, *, encoder: str, weights: str | None, output_stride: int = 16
    ) -> None:
        super().__init__()
        if output_stride not in (8, 16):
            raise ValueError(f"output_stride is 16 or 8, got {output_stride!r}")
        separable: Any = DEEPLABV3PLUS.build(
            classes=classes, in_channels=in_channels, encoder=encoder, weights=weights,
            encoder_output_stride=output_stride,
        )  # fmt: skip
        self.encoder = separable.encoder
        channels = separable.encoder.out_channels
        self.pyramid = Pyramid(channels[-1], 256, (6, 12, 18) if output_stride == 16 else (12, 24, 36))
        self.early = _block(channels[2], 48, 1)
        self.decoder = nn.Sequential(_block(256 + 48, 256, 3), _block(256, 256, 3))
        self.head = nn.Conv2d(256, classes, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder(image)
        early = self.early(maps[2])
        deep = F.interpolate(self.pyramid(maps[-1]), early.shape[-2:], mode="bilinear", align_corners=False)
        return self.head(self.decoder(torch.cat([deep, early], 1)))


NETWORKS = (
    Network(
        "deeplabv3plus_dense",
        DeepLabV3Plus,
        DEEPLABV3PLUS.paper,
        stride=4,
        good_for="the paper's figure to the letter; twice the cost of deeplabv3plus",
        weights=("imagenet",),
        encoder="resnet50",
        size_multiple=16,
        has_unused_parameters=True,
    ),
)
