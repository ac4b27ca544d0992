"""DeepLabv3+ with dense convolutions, as its figure draws it (Chen et al., ECCV 2018, arXiv 1802.02611).

Atrous spatial pyramid pooling at stride 16 (rates 6, 12, 18, or twice that at stride 8), resized to stride 4 beside 48
channels of an early map, two 3x3 convolutions. `deeplabv3plus` is the library's, with separable convolutions: half
the cost.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.models.registry import Network
from segkit.models.wrapper import set_prior


def unit(inside: int, outside: int, kernel: int, *, rate: int = 1) -> nn.Sequential:
    """Convolution of dilation `rate` that keeps the size, batch norm, ReLU."""
    padding = rate * (kernel // 2)
    layer = nn.Conv2d(inside, outside, kernel, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


class Pyramid(nn.Module):
    """A 1x1, three dilated 3x3 and the mean of the image, each to `channels`; joined by a 1x1 and dropout 0.5."""

    def __init__(self, inside: int, channels: int, rates: tuple[int, int, int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [unit(inside, channels, 1), *(unit(inside, channels, 3, rate=rate) for rate in rates)]
        )
        self.image = unit(inside, channels, 1)
        self.join = unit(5 * channels, channels, 1).append(nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        whole = self.image(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.join(torch.cat([*(branch(x) for branch in self.branches), whole], 1))


class DeepLabV3Plus(nn.Module):
    """An encoder that gives maps of falling size, pyramid and decoder. -> logits (N, classes, H / 4, W / 4)."""

    def __init__(self, encoder: nn.Module, channels: list[int], classes: int, *, rates: tuple[int, int, int]) -> None:
        super().__init__()
        self.encoder = encoder
        self.pyramid = Pyramid(channels[-1], 256, rates)
        self.early = unit(channels[2], 48, 1)
        self.decoder = nn.Sequential(unit(256 + 48, 256, 3), unit(256, 256, 3))
        self.head = nn.Conv2d(256, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder(image)
        early = self.early(maps[2])
        deep = F.interpolate(self.pyramid(maps[-1]), early.shape[-2:], mode="bilinear", align_corners=False)
        return self.head(self.decoder(torch.cat([deep, early], 1)))


def build(
    *, classes: int, in_channels: int, prior: float, encoder: str, weights: str | None, output_stride: int = 16
) -> nn.Module:
    """Dense DeepLabv3+ on any encoder that the library can dilate; output_stride: 16, or 8 for twice the rates."""
    from segkit.models import smp

    if output_stride not in (8, 16):
        raise ValueError(f"output_stride is 16 or 8, got {output_stride!r}")
    separable = smp.build(
        "deeplabv3plus", classes=classes, in_channels=in_channels, prior=prior, encoder=encoder, weights=weights,
        encoder_output_stride=output_stride,
    )  # fmt: skip
    dilated = separable.get_submodule("encoder")
    rates = (6, 12, 18) if output_stride == 16 else (12, 24, 36)
    body = DeepLabV3Plus(dilated, dilated.out_channels, classes, rates=rates)  # type: ignore[arg-type]
    set_prior(body.head, prior)
    return body


NETWORKS = (
    Network(
        "deeplabv3plus_dense",
        build,
        title="DeepLabv3+",
        authors="Chen et al.",
        venue="ECCV",
        year=2018,
        stride=4,
        good_for="the paper's figure to the letter; twice the cost of deeplabv3plus",
        weights=("imagenet",),
        encoder="resnet50",
        multiple=16,
        leftovers=True,
    ),
)
