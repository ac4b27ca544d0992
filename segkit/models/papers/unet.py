"""U-Net: the contracting path's maps, put beside the way up (Ronneberger, Fischer, Brox, MICCAI 2015).

What a pooled network forgets about places comes back through the skips. `unet` pads its convolutions, so that
maps keep their size; `unet2015` is the unpadded original, which sees true image only and mirrors the border.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.layers import centre_crop, double_conv, he_normal, scaled_channels
from segkit.models.libraries import UNET
from segkit.models.network import Network

MARGIN = 92  # px on each side that the unpadded network uses up


class UNet(nn.Module):
    """The plan of 2015: 64, 128, 256, 512, 1024 channels, 2x2 transposed convolutions up.

    (N, in_channels, H, W) -> logits (N, classes, H, W), H and W multiples of 16. Dropout follows the two deepest
    encoder blocks.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the channels.
        norm: With batch norm in each block.
        dropout: Probability.
    """

    padded = True

    def __init__(
        self, in_channels: int, classes: int, *, width: float = 1.0, norm: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        channels = scaled_channels((64, 128, 256, 512, 1024), width)
        padding = None if self.padded else 0
        ins = [in_channels, *channels]
        self.encoder = nn.ModuleList(double_conv(ins[i], channels[i], norm=norm, padding=padding) for i in range(5))
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(channels[i + 1], channels[i], 2, stride=2) for i in range(4))
        self.decoder = nn.ModuleList(
            double_conv(2 * channels[i], channels[i], norm=norm, padding=padding) for i in range(4)
        )
        he_normal(self)
        self.head = nn.Conv2d(channels[0], classes, 1)

    @override
    def forward(self, image: Tensor) -> Tensor:
        skips = [self.encoder[0](image)]
        for i in range(1, 5):
            x = self.encoder[i](F.max_pool2d(skips[-1], 2))
            skips.append(self.dropout(x) if i > 2 else x)
        x = skips.pop()
        for i in (3, 2, 1, 0):
            x = self.up[i](x)
            x = self.decoder[i](torch.cat([centre_crop(skips[i], x.shape[-2:]), x], 1))
        return self.head(x)


class UnpaddedUNet(UNet):
    """U-Net with unpadded convolutions: the output is 184 px smaller than the image.

    ValueError is raised for a size whose pools would drop a pixel: valid are 16 n + 12 px from 188 on.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the channels.
        norm: With batch norm in each block.
        dropout: Probability.
    """

    padded = False

    @override
    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if any(side < 188 or side % 16 != 12 for side in (height, width)):
            raise ValueError(f"an unpadded U-Net takes sides of 16 n + 12 px from 188 on, got {height} x {width}")
        return super().forward(image)


class OverlapTile(nn.Module):
    """An unpadded network made to answer for the whole image: the context beyond the border is its mirror image.

    The paper's overlap-tile strategy (figure 2): any size in, the same out.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the channels.
        dropout: Probability.
    """

    def __init__(self, in_channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        self.net = UnpaddedUNet(in_channels, classes, width=width, dropout=dropout)

    @property
    def encoder(self) -> nn.Module:
        """The contracting path."""
        return self.net.encoder

    @override
    def forward(self, image: Tensor) -> Tensor:
        out = image
        for axis, side in ((-2, image.shape[-2]), (-1, image.shape[-1])):
            spare = (12 - side - 2 * MARGIN) % 16
            out = mirrored(out, axis, before=MARGIN, after=MARGIN + spare)
        return self.net(out)[..., : image.shape[-2], : image.shape[-1]]


def mirrored(x: Tensor, axis: int, *, before: int, after: int) -> Tensor:
    """Extend an axis by mirror images beyond both ends, the border pixel not repeated; any margin.

    Args:
        x: Any shape.
        axis: To extend.
        before: Pixels before the first.
        after: Pixels after the last.

    Returns:
        The extended tensor.

    Example:
        >>> mirrored(torch.tensor([1, 2, 3]), 0, before=3, after=1).tolist()
        [2, 3, 2, 1, 2, 3, 2]
    """
    side = x.shape[axis]
    period = max(2 * side - 2, 1)
    index = torch.arange(-before, side + after, device=x.device) % period
    return x.index_select(axis, torch.minimum(index, period - index))


PADDED = Network(
    "unet",
    UNet,
    UNET.paper,
    stride=1,
    good_for="the first thing to try, with an encoder; by itself the plain plan, for small data",
    size_multiple=16,
    encoder_variant=UNET,
)
UNPADDED = replace(
    PADDED,
    name="unet2015",
    build=OverlapTile,
    good_for="the original, to compare with: sees no padding and costs more",
    heads=lambda body: (body.net.head,),
    size_multiple=1,
    encoder_variant=None,
)
NETWORKS = (PADDED, UNPADDED)
