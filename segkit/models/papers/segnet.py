"""SegNet: remember where the maximum was, forget the rest (Badrinarayanan, Kendall, Cipolla, TPAMI 2017).

The encoder hands up the places of its maxima and no maps, which saves most of the memory that skips cost. The Bayesian
variant (Kendall, Badrinarayanan, Cipolla, BMVC 2017) keeps dropout at prediction: see `monte_carlo`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.models.layers import he_normal, widths
from segkit.models.papers import vgg
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior

UP = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64,))


class SegNet(nn.Module):
    """Blocks down with pools, blocks up with unpools, a last convolution. Any H and W that survive the pools.

    encoder, decoder: as many blocks each; drops: a module after each pool, and in mirrored order after each block
    of the decoder; first: applied to the image.
    """

    def __init__(
        self,
        encoder: nn.ModuleList,
        decoder: nn.ModuleList,
        head: nn.Conv2d,
        *,
        drops: Sequence[float],
        first: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.first = first or nn.Identity()
        self.encoder = encoder
        self.decoder = decoder
        self.head = head
        self.drops = nn.ModuleList(nn.Dropout(p) if p else nn.Identity() for p in drops)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        places: list[tuple[Tensor, torch.Size]] = []
        for block, drop in zip(self.encoder, self.drops, strict=True):
            x = block(x)
            size = x.shape[-2:]  # 2n and 2n + 1 both pool to n
            x, maxima = F.max_pool2d(x, 2, return_indices=True)
            places.append((maxima, size))
            x = drop(x)
        for block, drop, (maxima, size) in zip(self.decoder, reversed(self.drops), reversed(places), strict=True):
            x = drop(block(F.max_unpool2d(x, maxima, (2, 2), output_size=size)))
        return cast(Tensor, self.head(x))


def segnet(
    *, classes: int, in_channels: int, prior: float, weights: str | None, width: float = 1.0, dropout: float = 0.0
) -> nn.Module:
    """SegNet on VGG16. width: times its channels; dropout: after the three deepest blocks of both ways."""
    plans = [widths(plan, width) for plan in UP]
    inside, decoder = plans[0][0], nn.ModuleList()
    for plan in plans:
        layers: list[nn.Module] = []
        for channels in plan:
            layers += vgg.convs(inside, channels, 1, norm=True)
            inside = channels
        decoder.append(nn.Sequential(*layers))
    he_normal(decoder)
    body = SegNet(
        vgg.trunk(in_channels, width=width, norm=True),
        decoder,
        nn.Conv2d(inside, classes, 3, padding=1),
        drops=(0, 0, dropout, dropout, dropout),
    )
    set_prior(body.head, prior)
    if weights is not None:
        vgg.load_imagenet(body.encoder, "segnet", weights)
    return body


def segnet_bayesian(
    *, classes: int, in_channels: int, prior: float, weights: str | None, width: float = 1.0, dropout: float = 0.5
) -> nn.Module:
    """SegNet with the dropout of the Bayesian variant."""
    return segnet(classes=classes, in_channels=in_channels, prior=prior, weights=weights, width=width, dropout=dropout)


def segnet_basic(*, classes: int, in_channels: int, prior: float, width: float = 1.0) -> nn.Module:
    """The small one: local response norm, then four levels of one 7x7 convolution of 64; no ReLU on the way up."""
    (channels,) = widths((64,), width)

    def level(inside: int) -> list[nn.Module]:
        return [nn.Conv2d(inside, channels, 7, padding=3), nn.BatchNorm2d(channels)]

    encoder = nn.ModuleList(
        nn.Sequential(*level(in_channels if i == 0 else channels), nn.ReLU(inplace=True)) for i in range(4)
    )
    decoder = nn.ModuleList(nn.Sequential(*level(channels)) for _ in range(4))
    for part in (encoder, decoder):
        he_normal(part)
    norm = nn.LocalResponseNorm(5)
    body = SegNet(encoder, decoder, nn.Conv2d(channels, classes, 1), drops=(0, 0, 0, 0), first=norm)
    set_prior(body.head, prior)
    return body


def monte_carlo(model: nn.Module, image: Tensor, *, samples: int = 40) -> tuple[Tensor, Tensor]:
    """Mean and variance of the probabilities of `samples` runs with dropout on and all else as in evaluation.

    image: (N, in, H, W) -> two float (N, C, H, W), without gradients. Pixels whose variance is high are those the
    network is unsure of; the mean is often a little better than the plain prediction. The model is left in the mode
    it came in. ValueError where it has no dropout. Kendall, Badrinarayanan, Cipolla, BMVC 2017.
    """
    drops = [m for m in model.modules() if isinstance(m, nn.modules.dropout._DropoutNd) and m.p > 0]
    if not drops:
        raise ValueError(f"{type(model).__name__} has no dropout to sample from; take segnet_bayesian or set dropout=")
    if samples < 2:
        raise ValueError(f"a variance takes at least 2 samples, got {samples}")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    for drop in drops:
        drop.train()
    try:
        with torch.no_grad():
            mean = square = torch.zeros((), device=image.device)
            for n in range(1, samples + 1):  # Welford: one run in memory, no cancellation
                probs = model(image).float().sigmoid()
                change = probs - mean
                mean = mean + change / n
                square = square + change * (probs - mean)
    finally:
        for module, training in modes:
            module.training = training
    return mean, square / (samples - 1)


NETWORKS = (
    Network(
        "segnet",
        segnet,
        title="SegNet",
        authors="Badrinarayanan, Kendall, Cipolla",
        venue="TPAMI",
        year=2017,
        stride=1,
        good_for="sharp borders without skips' memory",
        weights=("imagenet",),
    ),
    Network(
        "segnet_basic",
        segnet_basic,
        title="SegNet-Basic",
        authors="Badrinarayanan, Kendall, Cipolla",
        venue="TPAMI",
        year=2017,
        stride=1,
        good_for="a small network to try things on",
    ),
    Network(
        "segnet_bayesian",
        segnet_bayesian,
        title="Bayesian SegNet",
        authors="Kendall, Badrinarayanan, Cipolla",
        venue="BMVC",
        year=2017,
        stride=1,
        good_for="knowing where the network is unsure (segkit.models.papers.segnet.monte_carlo)",
        weights=("imagenet",),
    ),
)
