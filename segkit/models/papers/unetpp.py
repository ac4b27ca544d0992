"""U-Net++: the gap between encoder and decoder filled with a triangle of nodes (Zhou et al., DLMIA 2018).

Node X(i, j) at resolution 1/2^i sees every node before it on its row and the upsampled one below:
two convolutions over [X(i, 0), ..., X(i, j-1), up X(i+1, j-1)]. Each X(0, j) carries a head: their mean is the
accurate answer, one of them the fast one, for head L needs no node below row L.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segkit.models import wrapped
from segkit.models.layers import he_normal, widths
from segkit.models.papers.unet import double
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior


class UNetPlusPlus(nn.Module):
    """32, 64, 128, 256, 512 channels times `width`, four heads; `levels` below 4 prunes to the head X(0, levels).

    (N, in_channels, H, W), multiples of 2 ** levels -> logits (N, classes, H, W): the mean of the heads, or the
    only one that is left of a pruned network. With deep_supervision, in training: a dict of "out" and "deep", the
    heads' own logits, shallowest first. A whole network's state dict loads into a pruned one with strict=False.
    """

    def __init__(
        self, in_channels: int, classes: int, *, width: float, norm: bool, deep_supervision: bool, levels: int
    ) -> None:
        super().__init__()
        if levels not in (1, 2, 3, 4):
            raise ValueError(f"levels is 1, 2, 3 or 4 (the whole network), got {levels!r}")
        if deep_supervision and levels < 4:
            raise ValueError(f"levels={levels} prunes to one head, and deep_supervision wants all; train with levels=4")
        self.levels = levels
        self.deep_supervision = deep_supervision
        plan = widths((32, 64, 128, 256, 512), width)
        ins = [in_channels, *plan]
        self.encoder = nn.ModuleList(double(ins[i], plan[i], norm=norm, bias=True) for i in range(levels + 1))
        nodes = [(i, j) for j in range(1, levels + 1) for i in range(levels + 1 - j)]
        self.up = nn.ModuleDict({f"{i}_{j}": nn.ConvTranspose2d(plan[i + 1], plan[i], 2, stride=2) for i, j in nodes})
        self.nodes = nn.ModuleDict(
            {f"{i}_{j}": double((j + 1) * plan[i], plan[i], norm=norm, bias=True) for i, j in nodes}
        )
        heads = range(1, 5) if levels == 4 else [levels]
        self.heads = nn.ModuleDict({str(j): nn.Conv2d(plan[0], classes, 1) for j in heads})
        he_normal(self)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor | list[Tensor]]:
        column = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            column.append(block(nn.functional.max_pool2d(column[-1], 2)))
        rows = [[x] for x in column]
        for j in range(1, self.levels + 1):
            for i in range(self.levels + 1 - j):
                up = self.up[f"{i}_{j}"](rows[i + 1][j - 1])
                rows[i].append(self.nodes[f"{i}_{j}"](torch.cat([*rows[i], up], 1)))
        deep = [head(rows[0][int(j)]) for j, head in self.heads.items()]
        out = torch.stack(deep).mean(0) if len(deep) > 1 else deep[0]
        return {"out": out, "deep": deep} if self.training and self.deep_supervision else out


def build(
    *,
    classes: int,
    in_channels: int,
    prior: float,
    width: float = 1.0,
    norm: bool = False,
    deep_supervision: bool = False,
    levels: int = 4,
) -> nn.Module:
    """U-Net++. width: times 32 ... 512 channels; norm: batch norm; levels: below 4, the pruned network."""
    body = UNetPlusPlus(in_channels, classes, width=width, norm=norm, deep_supervision=deep_supervision, levels=levels)
    for head in body.heads.values():
        set_prior(head, prior)
    return body


NETWORKS = (
    Network(
        "unetpp",
        build,
        title="U-Net++",
        authors="Zhou et al.",
        venue="DLMIA",
        year=2018,
        stride=1,
        good_for="thin structures, with an encoder or by itself; more memory than a U-Net",
        multiple=16,
        on_encoder=wrapped.UNETPLUSPLUS,
    ),
)
