"""Attention U-Net: skips weighted by what the decoder is looking for (Oktay et al., MIDL 2018, arXiv 1804.03999)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segkit.models.layers import he_normal, widths
from segkit.models.papers.unet import conv, double
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior


class Gate(nn.Module):
    """The additive gate: skip * sigmoid(psi(ReLU(W_g gate + W_x skip))), one weight a pixel.

    gate and skip: (N, C, H, W) of one size -> (N, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // 2)
        self.from_gate = nn.Sequential(nn.Conv2d(channels, between, 1), nn.BatchNorm2d(between))
        self.from_skip = nn.Sequential(nn.Conv2d(channels, between, 1), nn.BatchNorm2d(between))
        self.psi = nn.Sequential(nn.Conv2d(between, 1, 1), nn.BatchNorm2d(1))

    def weights(self, gate: Tensor, skip: Tensor) -> Tensor:
        """What each pixel of the skip counts: (N, 1, H, W) in (0, 1)."""
        return self.psi(torch.relu(self.from_gate(gate) + self.from_skip(skip))).sigmoid()

    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        return skip * self.weights(gate, skip)


class AttentionUNet(nn.Module):
    """64 ... 1024 channels times `width`; resized up by nearest and a 3x3 convolution, whose output gates the skip.

    (N, in_channels, H, W), multiples of 16 -> logits (N, classes, H, W).
    """

    def __init__(self, in_channels: int, classes: int, *, width: float) -> None:
        super().__init__()
        plan = widths((64, 128, 256, 512, 1024), width)
        ins = [in_channels, *plan]
        self.encoder = nn.ModuleList(double(ins[i], plan[i], norm=True, bias=True) for i in range(5))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), *conv(plan[i + 1], plan[i], norm=True, bias=True))
            for i in range(4)
        )
        self.gates = nn.ModuleList(Gate(plan[i]) for i in range(4))
        self.decoder = nn.ModuleList(double(2 * plan[i], plan[i], norm=True, bias=True) for i in range(4))
        he_normal(self)
        self.head = nn.Conv2d(plan[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        skips = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            skips.append(block(nn.functional.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for i in (3, 2, 1, 0):
            x = self.up[i](x)
            x = self.decoder[i](torch.cat([self.gates[i](x, skips[i]), x], 1))
        return self.head(x)


def build(*, classes: int, in_channels: int, prior: float, width: float = 1.0) -> nn.Module:
    """AttentionUNet; width multiplies all channels."""
    body = AttentionUNet(in_channels, classes, width=width)
    set_prior(body.head, prior)
    return body


NETWORKS = (
    Network(
        "attention_unet",
        build,
        title="Attention U-Net",
        authors="Oktay et al.",
        venue="MIDL",
        year=2018,
        stride=1,
        good_for="small organs in much background; the gates can be looked at",
        multiple=16,
    ),
)
