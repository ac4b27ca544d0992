"""U-Net++: the gap between encoder and decoder filled with a triangle of nodes (Zhou et al., DLMIA 2018).

Node X(i, j) at resolution 1/2^i sees every node before it on its row and the upsampled one below:
two convolutions over [X(i, 0), ..., X(i, j-1), up X(i+1, j-1)]. Each X(0, j) carries a head: their mean is the
accurate answer, one of them the fast one, for head L needs no node below row L.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from segkit.models.layers import double_conv, encode, he_normal, scaled_channels
from segkit.models.libraries import UNETPLUSPLUS
from segkit.models.network import Network


class UNetPlusPlus(nn.Module):
    """32, 64, 128, 256, 512 channels, four heads.

    (N, in_channels, H, W), multiples of 2 ** levels -> logits (N, classes, H, W): the mean of the heads, or the only
    one that is left of a pruned network. With deep_supervision, in training: a dictionary of "out" and "deep", the
    heads' own logits, shallowest first. A whole network's state dict loads into a pruned one with strict=False.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the channels.
        norm: With batch norm.
        deep_supervision: With the extra output "deep" in training.
        levels: 4 for the whole network; below, it is pruned to the head X(0, levels).
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        width: float = 1.0,
        norm: bool = False,
        deep_supervision: bool = False,
        levels: int = 4,
    ) -> None:
        super().__init__()
        if levels not in (1, 2, 3, 4):
            raise ValueError(f"levels is 1, 2, 3 or 4 (the whole network), got {levels!r}")
        if deep_supervision and levels < 4:
            raise ValueError(f"levels={levels} prunes to one head, and deep_supervision needs all; train with levels=4")
        self.levels = levels
        self.deep_supervision = deep_supervision
        channels = scaled_channels((32, 64, 128, 256, 512), width)
        ins = [in_channels, *channels]
        self.encoder = nn.ModuleList(double_conv(ins[i], channels[i], norm=norm, bias=True) for i in range(levels + 1))
        nodes = [(i, j) for j in range(1, levels + 1) for i in range(levels + 1 - j)]
        self.up = nn.ModuleDict(
            {f"{i}_{j}": nn.ConvTranspose2d(channels[i + 1], channels[i], 2, stride=2) for i, j in nodes}
        )
        self.nodes = nn.ModuleDict(
            {f"{i}_{j}": double_conv((j + 1) * channels[i], channels[i], norm=norm, bias=True) for i, j in nodes}
        )
        heads = range(1, 5) if levels == 4 else [levels]
        self.heads = nn.ModuleDict({str(j): nn.Conv2d(channels[0], classes, 1) for j in heads})
        he_normal(self)

    @override
    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor | list[Tensor]]:
        rows = [[x] for x in encode(self.encoder, image)]
        for j in range(1, self.levels + 1):
            for i in range(self.levels + 1 - j):
                up = self.up[f"{i}_{j}"](rows[i + 1][j - 1])
                rows[i].append(self.nodes[f"{i}_{j}"](torch.cat([*rows[i], up], 1)))
        deep = [head(rows[0][int(j)]) for j, head in self.heads.items()]
        out = torch.stack(deep).mean(0) if len(deep) > 1 else deep[0]
        return {"out": out, "deep": deep} if self.training and self.deep_supervision else out


NETWORKS = (
    Network(
        "unetpp",
        UNetPlusPlus,
        UNETPLUSPLUS.paper,
        stride=1,
        good_for="thin structures, with an encoder or by itself; more memory than a U-Net",
        heads=lambda body: body.heads.values(),
        size_multiple=16,
        encoder_variant=UNETPLUSPLUS,
    ),
)
