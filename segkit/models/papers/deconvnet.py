"""DeconvNet: the way down, mirrored (Noh, Hong, Han, ICCV 2015).

Where FCN resizes its scores in one go, DeconvNet walks back up: max-unpooling puts values where pooling took them
from, and transposed convolutions fill in between.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.models.layers import widths
from segkit.models.papers import vgg
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior

UP = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64, 64))


class DeconvNet(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H, W), H and W multiples of 32 from 224 on.

    fc6 is 7x7 and not padded: at 224 px it sees the whole image, and larger images slide under it.
    """

    def __init__(self, in_channels: int, classes: int, *, width: float, dropout: float) -> None:
        super().__init__()
        (fc,) = widths((4096,), width)
        plans = [widths(plan, width) for plan in UP]
        deepest = plans[0][0]
        self.encoder = vgg.trunk(in_channels, width=width, norm=True)
        self.fc = nn.Sequential(
            nn.Conv2d(deepest, fc, 7), nn.BatchNorm2d(fc), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Conv2d(fc, fc, 1), nn.BatchNorm2d(fc), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.ConvTranspose2d(fc, deepest, 7), nn.BatchNorm2d(deepest), nn.ReLU(inplace=True),
        )  # fmt: skip
        inside, self.decoder = deepest, nn.ModuleList()
        for plan in plans:
            layers: list[nn.Module] = []
            for channels in plan:
                layers += [nn.ConvTranspose2d(inside, channels, 3, padding=1), nn.BatchNorm2d(channels)]
                layers.append(nn.ReLU(inplace=True))
                inside = channels
            self.decoder.append(nn.Sequential(*layers))
        self.head = nn.Conv2d(inside, classes, 1)
        for module in self.modules():  # the authors' start
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(cast(Tensor, module.bias))

    def forward(self, image: Tensor) -> Tensor:
        x = image
        places: list[tuple[Tensor, torch.Size]] = []
        for block in self.encoder:
            x = block(x)
            size = x.shape[-2:]
            x, switches = F.max_pool2d(x, 2, return_indices=True)
            places.append((switches, size))
        x = self.fc(x)
        for block, (switches, size) in zip(self.decoder, reversed(places), strict=True):
            x = block(F.max_unpool2d(x, switches, (2, 2), output_size=size))
        return cast(Tensor, self.head(x))


def deconvnet(
    *, classes: int, in_channels: int, prior: float, weights: str | None, width: float = 1.0, dropout: float = 0.0
) -> nn.Module:
    """DeconvNet. width: times the paper's channels; dropout: after fc6 and fc7, which the released net has not."""
    body = DeconvNet(in_channels, classes, width=width, dropout=dropout)
    set_prior(body.head, prior)
    if weights is not None:
        vgg.load_imagenet(body.encoder, "deconvnet", weights, fc=(body.fc[0], body.fc[4]))
    return body


NETWORKS = (
    Network(
        "deconvnet",
        deconvnet,
        title="DeconvNet",
        authors="Noh, Hong, Han",
        venue="ICCV",
        year=2015,
        stride=1,
        good_for="one object in a crop; a quarter of a billion parameters, so mostly for comparison",
        weights=("imagenet",),
        multiple=32,
        smallest=224,
    ),
)
