"""U-Net: the contracting path's maps, put beside the way up (Ronneberger, Fischer, Brox, MICCAI 2015).

What a pooled network forgets about places comes back through the skips. `unet` pads its convolutions, so that
maps keep their size; `unet2015` is the unpadded original, which sees true image only and mirrors the border.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from segkit.models import wrapped
from segkit.models.layers import he_normal, widths
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior

MARGIN = 92  # px on each side that the unpadded network uses up


def conv(inside: int, outside: int, *, norm: bool, padding: int = 1, bias: bool | None = None) -> list[nn.Module]:
    """A 3x3 convolution, batch norm where wanted (the bias is its then, unless `bias` says so), ReLU."""
    layer = nn.Conv2d(inside, outside, 3, padding=padding, bias=not norm if bias is None else bias)
    return [layer, *([nn.BatchNorm2d(outside)] if norm else []), nn.ReLU(inplace=True)]


def double(inside: int, outside: int, *, norm: bool, padding: int = 1, bias: bool | None = None) -> nn.Sequential:
    """Two of them, the U-Nets' usual block."""
    first = conv(inside, outside, norm=norm, padding=padding, bias=bias)
    return nn.Sequential(*first, *conv(outside, outside, norm=norm, padding=padding, bias=bias))


class UNet(nn.Module):
    """The plan of 2015: 64, 128, 256, 512, 1024 channels, 2x2 transposed convolutions up.

    (N, in_channels, H, W) -> logits (N, classes, H, W) where padded, H and W multiples of 16. Unpadded the output
    is 184 px smaller than the image, and ValueError is raised for a size whose pools would drop a pixel (valid
    are 16 n + 12 from 188 on). Dropout follows the two deepest encoder blocks.
    """

    def __init__(
        self, in_channels: int, classes: int, *, width: float, norm: bool, dropout: float, padded: bool = True
    ) -> None:
        super().__init__()
        self.padded = padded
        plan = widths((64, 128, 256, 512, 1024), width)
        pad = int(padded)
        ins = [in_channels, *plan]
        self.encoder = nn.ModuleList(double(ins[i], plan[i], norm=norm, padding=pad) for i in range(5))
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(plan[i + 1], plan[i], 2, stride=2) for i in range(4))
        self.decoder = nn.ModuleList(double(2 * plan[i], plan[i], norm=norm, padding=pad) for i in range(4))
        he_normal(self)
        self.head = nn.Conv2d(plan[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if not self.padded and any(side < 188 or side % 16 != 12 for side in (height, width)):
            raise ValueError(f"an unpadded U-Net takes sides of 16 n + 12 px from 188 on, got {height} x {width}")
        skips = [self.encoder[0](image)]
        for i in range(1, 5):
            x = self.encoder[i](nn.functional.max_pool2d(skips[-1], 2))
            skips.append(self.dropout(x) if i > 2 else x)
        x = skips.pop()
        for i in (3, 2, 1, 0):
            x = self.up[i](x)
            x = self.decoder[i](torch.cat([centre(skips[i], x.shape[-2:]), x], 1))
        return self.head(x)


class OverlapTile(nn.Module):
    """An unpadded network made to answer for the whole image: the context beyond the border is its mirror image.

    The paper's overlap-tile strategy (figure 2): any size in, the same out.
    """

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net = net

    @property
    def encoder(self) -> nn.Module:
        """The contracting path."""
        return self.net.encoder

    def forward(self, image: Tensor) -> Tensor:
        out = image
        for axis, side in ((-2, image.shape[-2]), (-1, image.shape[-1])):
            spare = (12 - side - 2 * MARGIN) % 16
            out = mirrored(out, axis, before=MARGIN, after=MARGIN + spare)
        return self.net(out)[..., : image.shape[-2], : image.shape[-1]]


def centre(x: Tensor, size: Sequence[int]) -> Tensor:
    """The central `size` (height, width) of a map (N, C, H, W)."""
    top, left = (x.shape[-2] - size[0]) // 2, (x.shape[-1] - size[1]) // 2
    return x[..., top : top + size[0], left : left + size[1]]


def mirrored(x: Tensor, axis: int, *, before: int, after: int) -> Tensor:
    """`x` with its mirror images beyond both ends of `axis`, the border pixel not repeated; any margin.

    >>> mirrored(torch.tensor([1, 2, 3]), 0, before=3, after=1).tolist()
    [2, 3, 2, 1, 2, 3, 2]
    """
    side = x.shape[axis]
    period = max(2 * side - 2, 1)
    index = torch.arange(-before, side + after, device=x.device) % period
    return x.index_select(axis, torch.minimum(index, period - index))


def build(
    *, classes: int, in_channels: int, prior: float, width: float = 1.0, norm: bool = False, dropout: float = 0.5
) -> nn.Module:
    """The padded U-Net. width: times 64 ... 1024 channels; norm: batch norm in each block; dropout: a share."""
    body = UNet(in_channels, classes, width=width, norm=norm, dropout=dropout)
    set_prior(body.head, prior)
    return body


def build_2015(*, classes: int, in_channels: int, prior: float, width: float = 1.0, dropout: float = 0.5) -> nn.Module:
    """The unpadded U-Net behind its overlap-tile strategy; options as the padded one's."""
    body = UNet(in_channels, classes, width=width, norm=False, dropout=dropout, padded=False)
    set_prior(body.head, prior)
    return OverlapTile(body)


PADDED = Network(
    "unet",
    build,
    title="U-Net",
    authors="Ronneberger, Fischer, Brox",
    venue="MICCAI",
    year=2015,
    stride=1,
    good_for="the first thing to try, with an encoder; by itself the plain plan, for small data",
    multiple=16,
    on_encoder=wrapped.UNET,
)
UNPADDED = replace(
    PADDED,
    name="unet2015",
    build=build_2015,
    good_for="the original, to compare with: sees no padding and costs more",
    multiple=1,
    on_encoder=None,
)
NETWORKS = (PADDED, UNPADDED)
