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

from segkit.models.layers import he_normal, widths
from segkit.models.papers import vgg
from segkit.models.registry import Network
from segkit.models.wrapper import logit, set_prior

DILATIONS = (1, 1, 2, 4, 8, 16, 1)
BASIC = (1, 1, 1, 1, 1, 1, 1)  # channels of the context layers, times classes
LARGE = (2, 2, 4, 8, 16, 32, 32)


class FrontEnd(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H / 8, W / 8)."""

    def __init__(self, in_channels: int, classes: int, *, width: float, dropout: float) -> None:
        super().__init__()
        (fc,) = widths((4096,), width)
        self.encoder = vgg.trunk(in_channels, width=width, dilation=2)
        self.fc = nn.Sequential(
            nn.Conv2d(widths(vgg.CHANNELS, width)[-1], fc, 7, padding=12, dilation=4),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Conv2d(fc, fc, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
        )
        he_normal(self.fc)
        self.score = nn.Conv2d(fc, classes, 1)
        nn.init.normal_(self.score.weight, std=0.01)

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
    """

    def __init__(self, front: FrontEnd, classes: int, *, plan: Sequence[int], prior: float, noise: float) -> None:
        super().__init__()
        self.encoder = front
        self.floor = logit(prior) - 5
        inside, layers = classes, list[nn.Module]()
        for times, dilation in zip(plan, DILATIONS, strict=True):
            layers += [
                nn.Conv2d(inside, times * classes, 3, padding=dilation, dilation=dilation),
                nn.ReLU(inplace=True),
            ]
            inside = times * classes
        last = nn.Conv2d(inside, classes, 1)
        self.context = nn.Sequential(*layers, last)
        for module in self.context:
            if isinstance(module, nn.Conv2d):
                identity(module, classes, noise=noise)
        nn.init.constant_(cast(Tensor, last.bias), self.floor)

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.context(self.encoder(image) - self.floor))


def identity(layer: nn.Conv2d, classes: int, *, noise: float) -> None:
    """Start a layer so that each class goes through alone (section 4 of the paper), in place; biases at zero.

    layer: its channels are multiples of `classes`; channel i carries class i * classes // channels, and a class
    that k channels carry is spread over them as its k-th part each. noise: standard deviation elsewhere.
    """
    outside, inside = layer.weight.shape[:2]
    carried = torch.arange(outside)[:, None] * classes // outside == torch.arange(inside) * classes // inside
    middle = layer.kernel_size[0] // 2
    with torch.no_grad():
        layer.weight.normal_(std=noise)
        layer.weight[:, :, middle, middle] += carried * (classes / outside)
        if layer.bias is not None:
            layer.bias.zero_()


def dilatednet_frontend(
    *, classes: int, in_channels: int, prior: float, weights: str | None, width: float = 1.0, dropout: float = 0.5
) -> FrontEnd:
    """The front end alone. width: times VGG16's channels."""
    body = FrontEnd(in_channels, classes, width=width, dropout=dropout)
    set_prior(body.score, prior)
    if weights is not None:
        vgg.load_imagenet(body.encoder, "dilatednet_frontend", weights, fc=(body.fc[0], body.fc[3]))
    return body


def with_context(
    plan: Sequence[int],
    *,
    classes: int,
    in_channels: int,
    prior: float,
    weights: str | None,
    width: float = 1.0,
    dropout: float = 0.5,
    noise: float = 1e-3,
) -> nn.Module:
    """The front end, and behind it the context layers of `plan`. width: times VGG16's channels; noise: see `identity`.

    Train the front end first: `save_weights(front.body, FILE)`, then `create("dilatednet_context", weights=FILE)`.
    """
    if noise < 0:
        raise ValueError(f"noise is a standard deviation, 0 or more, got {noise}")
    front = dilatednet_frontend(
        classes=classes, in_channels=in_channels, prior=prior, weights=weights, width=width, dropout=dropout
    )
    return Context(front, classes, plan=plan, prior=prior, noise=noise)


def _row(name: str, build: Callable[..., nn.Module], title: str, good_for: str) -> Network:
    return Network(
        name,
        build,
        title=title,
        authors="Yu, Koltun",
        venue="ICLR",
        year=2016,
        stride=8,
        good_for=good_for,
        weights=("imagenet",),
        multiple=8,
    )


NETWORKS = (
    _row("dilatednet_frontend", dilatednet_frontend, "Dilated front end", "large objects; costly at 512 px and above"),
    _row(
        "dilatednet_basic", partial(with_context, BASIC), "Dilated context, basic", "the front end plus cheap context"
    ),
    _row(
        "dilatednet_context",
        partial(with_context, LARGE),
        "Dilated context, large",
        "objects told apart by surroundings",
    ),
)
