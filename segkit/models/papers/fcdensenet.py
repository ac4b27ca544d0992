"""FC-DenseNet, "one hundred layers tiramisu" (Jegou, Drozdzal, Vazquez, Romero, Bengio, CVPR Workshops 2017).

Every layer sees all maps of its block. On the way up only a block's new maps are carried on: with all of them, the
full-resolution end would drown in channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from typing_extensions import override

from segkit.models.layers import centre_crop, scaled_channels
from segkit.models.network import Network, Paper


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norms of `module` normalise by the batch as in training, but keep no statistics of it."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [(norm.momentum, cast(Tensor, norm.num_batches_tracked).clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked = count


class Layers(nn.ModuleList):
    """A dense block: `depth` layers of batch norm, ReLU, 3x3 to `growth` maps, dropout; each sees all before it.

    (N, inside, H, W) -> (N, depth * growth, H, W), the new maps only.

    Args:
        inside: Channels that come in.
        growth: Maps of a layer.
        depth: Number of layers.
        dropout: Probability.
        checkpointed: A layer's maps between are computed again for the gradient instead of kept, compiled or not.
    """

    def __init__(self, inside: int, growth: int, depth: int, *, dropout: float, checkpointed: bool) -> None:
        super().__init__(
            nn.Sequential(
                nn.BatchNorm2d(inside + i * growth),
                nn.ReLU(inplace=True),
                nn.Conv2d(inside + i * growth, growth, 3, padding=1),
                nn.Dropout(dropout),
            )
            for i in range(depth)
        )
        self.checkpointed = checkpointed

    @override
    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self:
            run = partial(_joined, layer)
            if self.checkpointed and self.training and torch.is_grad_enabled():
                # a compiled graph traces a layer once, and what it remembers is no part of the second run
                about: dict[str, Any] = (
                    {} if torch.compiler.is_compiling() else {"context_fn": partial(_contexts, layer)}
                )
                maps.append(checkpoint(run, *maps, use_reentrant=False, **about))
            else:
                maps.append(run(*maps))
        return torch.cat(maps[1:], 1)


def _joined(layer: nn.Module, *maps: Tensor) -> Tensor:
    """A layer on all maps before it."""
    return cast(Tensor, layer(torch.cat(maps, 1)))


def _contexts(layer: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Of the first run, and of the one for the gradient, which must not count its batch once more."""
    return nullcontext(), _frozen_statistics(layer)


class FCDenseNet(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H, W); what the pools drop of odd sizes is cropped off the skips.

    Args:
        depths: Layers of each block on the way down, at the bottom and on the way up.
        growth: Maps of a layer.
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the maps of a layer and of the first convolution.
        dropout: Probability after each convolution.
        checkpointed: Less memory in training, slower.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        growth: int,
        in_channels: int,
        classes: int,
        *,
        width: float = 1.0,
        dropout: float = 0.2,
        checkpointed: bool = False,
    ) -> None:
        super().__init__()
        growth, first = scaled_channels((growth, 48), width)
        half = len(depths) // 2
        block = partial(Layers, growth=growth, dropout=dropout, checkpointed=checkpointed)
        self.first = nn.Conv2d(in_channels, first, 3, padding=1)
        self.dense = nn.ModuleList()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels, skips = first, []
        for depth in depths[:half]:
            self.dense.append(block(channels, depth=depth))
            channels += depth * growth
            skips.append(channels)
            self.down.append(
                nn.Sequential(
                    nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 1),
                    nn.Dropout(dropout), nn.MaxPool2d(2),
                )
            )  # fmt: skip
        self.dense.append(block(channels, depth=depths[half]))
        for before, depth in zip(depths[half:], depths[half + 1 :], strict=False):
            new = before * growth
            self.up.append(nn.ConvTranspose2d(new, new, 3, stride=2))
            channels = new + skips.pop()
            self.dense.append(block(channels, depth=depth))
        self.head = nn.Conv2d(channels + depths[-1] * growth, classes, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, module.bias))

    @override
    def forward(self, image: Tensor) -> Tensor:
        x, skips = self.first(image), []
        half = len(self.down)
        for dense, down in zip(self.dense, self.down, strict=False):
            skips.append(torch.cat([x, dense(x)], 1))
            x = down(skips[-1])
        new = self.dense[half](x)
        for up, dense in zip(self.up, self.dense[half + 1 :], strict=True):
            skip = skips.pop()
            x = torch.cat([centre_crop(up(new), skip.shape[-2:]), skip], 1)
            new = dense(x)
        return cast(Tensor, self.head(torch.cat([x, new], 1)))


NETWORKS = tuple(
    Network(
        f"fcdensenet{layers}",
        partial(FCDenseNet, depths, growth),
        Paper(f"FC-DenseNet{layers}", "Jegou et al.", "CVPR Workshops", 2017),
        stride=1,
        good_for=good_for,
    )
    for layers, growth, depths, good_for in (
        (56, 12, (4,) * 11, "little data, no pretrained weights: 1.4 million parameters"),
        (67, 16, (5,) * 11, "little data, no pretrained weights; full-resolution maps take the memory"),
        (103, 16, (4, 5, 7, 10, 12, 15, 12, 10, 7, 5, 4), "little data; train it with checkpointed=True"),
    )
)
