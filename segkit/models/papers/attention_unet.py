"""Attention U-Net: skips weighted by what the decoder is looking for (Oktay et al., MIDL 2018, arXiv 1804.03999)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from segkit.models.layers import conv_block, double_conv, encode, he_normal, scaled_channels
from segkit.models.network import Network, Paper


class Gate(nn.Module):
    """The additive gate: skip * sigmoid(psi(ReLU(W_g gate + W_x skip))), one weight a pixel.

    gate and skip: (N, channels, H, W) of one size -> (N, channels, H, W).

    Args:
        channels: Of gate and skip.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(1, channels // 2)
        self.from_gate = nn.Sequential(nn.Conv2d(channels, between, 1), nn.BatchNorm2d(between))
        self.from_skip = nn.Sequential(nn.Conv2d(channels, between, 1), nn.BatchNorm2d(between))
        self.psi = nn.Sequential(nn.Conv2d(between, 1, 1), nn.BatchNorm2d(1))

    def weights(self, gate: Tensor, skip: Tensor) -> Tensor:
        """Weight of each pixel of the skip.

        Args:
            gate: Map of the decoder, shape (N, channels, H, W).
            skip: Map of the encoder, same shape.

        Returns:
            In (0, 1), shape (N, 1, H, W).
        """
        return self.psi(torch.relu(self.from_gate(gate) + self.from_skip(skip))).sigmoid()

    @override
    def forward(self, gate: Tensor, skip: Tensor) -> Tensor:
        return skip * self.weights(gate, skip)


class AttentionUNet(nn.Module):
    """64 to 1024 channels; resized up by nearest and a 3x3 convolution, whose output gates the skip.

    (N, in_channels, H, W), multiples of 16 -> logits (N, classes, H, W).

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of all channels.
    """

    def __init__(self, in_channels: int, classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled_channels((64, 128, 256, 512, 1024), width)
        ins = [in_channels, *channels]
        self.encoder = nn.ModuleList(double_conv(ins[i], channels[i], norm=True, bias=True) for i in range(5))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), *conv_block(channels[i + 1], channels[i], bias=True))
            for i in range(4)
        )
        self.gates = nn.ModuleList(Gate(channels[i]) for i in range(4))
        self.decoder = nn.ModuleList(double_conv(2 * channels[i], channels[i], norm=True, bias=True) for i in range(4))
        he_normal(self)
        self.head = nn.Conv2d(channels[0], classes, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        *skips, x = encode(self.encoder, image)
        for i in (3, 2, 1, 0):
            x = self.up[i](x)
            x = self.decoder[i](torch.cat([self.gates[i](x, skips[i]), x], 1))
        return self.head(x)


NETWORKS = (
    Network(
        "attention_unet",
        AttentionUNet,
        Paper("Attention U-Net", "Oktay et al.", "MIDL", 2018),
        stride=1,
        good_for="small organs in much background; the gates can be looked at",
        size_multiple=16,
    ),
)
