"""DilatedNet: see far without pooling (Yu, Koltun, ICLR 2016).

The front end is VGG16 without its last two pools, dilated instead. The context module then looks at its scores from
farther and farther away, with dilations up to 16, and starts as the identity: it can only help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.layers import conv_block, he_normal, logit, scaled_channels
from segkit.models.network import Network, Paper
from segkit.models.papers.vgg import CHANNELS, fully_connected, imagenet, trunk

DILATIONS = (1, 1, 2, 4, 8, 16, 1)
BASIC = (1, 1, 1, 1, 1, 1, 1)  # channels of the context layers, times classes
LARGE = (2, 2, 4, 8, 16, 32, 32)


class FrontEnd(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H / 8, W / 8).

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of VGG16's channels.
        dropout: After fc6 and fc7.
    """

    def __init__(self, in_channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        inside, fc = scaled_channels((CHANNELS[-1], 4096), width)
        self.encoder = trunk(in_channels, width=width, dilation=2)
        self.fc = nn.Sequential(*fully_connected(inside, fc, 7, dropout=dropout, dilation=4))
        he_normal(self.fc)
        self.score = nn.Conv2d(fc, classes, 1)
        nn.init.normal_(self.score.weight, std=0.01)

    @override
    def forward(self, image: Tensor) -> Tensor:
        x = image
        for i, block in enumerate(self.encoder):
            x = block(x) if i > 2 else F.max_pool2d(block(x), 2)
        return cast(Tensor, self.score(self.fc(x)))


class Context(nn.Module):
    """A front end, then 3x3 convolutions with ReLU and growing dilation on its logits, and a 1x1: same shape.

    ReLU passes no logits below zero, and a rare class has hardly others. So the layers work on how far logits lie
    above a floor, 5 below that of `prior`: at the start, and but for the noise, what comes out is the front end's
    own logits down to the floor, and every class has gradients.

    Train the front end first: `save_weights(front.body, FILE)`, then `create("dilatednet_context", weights=FILE)`.

    Args:
        plan: Channels of each layer, as multiples of the classes.
        in_channels: Channels of the images.
        classes: Number of classes.
        prior: Probability that sets the floor.
        width: Factor of VGG16's channels.
        dropout: After fc6 and fc7.
        noise: See `identity`.
    """

    def __init__(
        self,
        plan: Sequence[int],
        in_channels: int,
        classes: int,
        *,
        prior: float,
        width: float = 1.0,
        dropout: float = 0.5,
        noise: float = 1e-3,
    ) -> None:
        super().__init__()
        if noise < 0:
            raise ValueError(f"noise is a standard deviation, 0 or more, got {noise}")
        self.encoder = FrontEnd(in_channels, classes, width=width, dropout=dropout)
        self.floor = logit(prior) - 5
        inside, layers = classes, list[nn.Module]()
        for times, dilation in zip(plan, DILATIONS, strict=True):
            layers += conv_block(inside, times * classes, norm=False, dilation=dilation)
            inside = times * classes
        last = nn.Conv2d(inside, classes, 1)
        self.context = nn.Sequential(*layers, last)
        for module in self.context:
            if isinstance(module, nn.Conv2d):
                identity(module, classes, noise=noise)
        nn.init.constant_(cast(Tensor, last.bias), self.floor)

    @override
    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.context(self.encoder(image) - self.floor))


def identity(layer: nn.Conv2d, classes: int, *, noise: float) -> None:
    """Start a layer so that each class goes through alone (section 4 of the paper), in place; biases at zero.

    Args:
        layer: Its channels are multiples of `classes`; channel i carries class i * classes // channels, and a class
            that k channels carry is spread over them as its k-th part each.
        classes: Number of classes.
        noise: Standard deviation elsewhere.
    """
    outside, inside = layer.weight.shape[:2]
    carried = torch.arange(outside)[:, None] * classes // outside == torch.arange(inside) * classes // inside
    middle = layer.kernel_size[0] // 2
    with torch.no_grad():
        layer.weight.normal_(std=noise)
        layer.weight[:, :, middle, middle] += carried * (classes / outside)
        if layer.bias is not None:
            layer.bias.zero_()


def _row(name: str, build: Callable[..., nn.Module], title: str, good_for: str, front: str = "encoder.") -> Network:
    """One of the three; front: path of the front end."""
    return Network(
        name,
        build,
        Paper(title, "Yu, Koltun", "ICLR", 2016),
        stride=8,
        good_for=good_for,
        heads=lambda body: (body.get_submodule(f"{front}score"),),
        weights=("imagenet",),
        load_weights=imagenet(f"{front}fc.0", f"{front}fc.3", trunk=f"{front}encoder"),
        size_multiple=8,
    )


NETWORKS = (
    _row("dilatednet_frontend", FrontEnd, "Dilated front end", "large objects; costly at 512 px and above", front=""),
    _row("dilatednet_basic", partial(Context, BASIC), "Dilated context, basic", "the front end plus cheap context"),
    _row("dilatednet_context", partial(Context, LARGE), "Dilated context, large", "objects told apart by surroundings"),
)
