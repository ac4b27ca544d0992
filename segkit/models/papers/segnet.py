"""SegNet: remember where the maximum was, forget the rest (Badrinarayanan, Kendall, Cipolla, TPAMI 2017).

The encoder hands up the places of its maxima and no maps, which saves most of the memory that skips cost. The Bayesian
variant (Kendall, Badrinarayanan, Cipolla, BMVC 2017) keeps dropout at prediction: see `monte_carlo`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.layers import conv_block, he_normal, scaled_channels
from segkit.models.network import Network, Paper
from segkit.models.papers.vgg import imagenet, trunk

UP = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64,))


class UnpoolingNet(nn.Module):
    """Blocks down with pools, blocks up with unpools, a last convolution. Any H and W that survive the pools.

    Args:
        encoder: Blocks that keep the size.
        decoder: As many blocks.
        head: Last convolution.
        dropout: Probability after each pool, and in mirrored order after each block of the decoder; () for none.
        first: Applied to the image.
        fc: Applied to the deepest map, whose size it keeps.
    """

    def __init__(
        self,
        encoder: nn.ModuleList,
        decoder: nn.ModuleList,
        head: nn.Conv2d,
        *,
        dropout: Sequence[float] = (),
        first: nn.Module | None = None,
        fc: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.first = first or nn.Identity()
        self.encoder = encoder
        self.fc = fc or nn.Identity()
        self.decoder = decoder
        self.head = head
        self.drops = nn.ModuleList(nn.Dropout(p) if p else nn.Identity() for p in dropout or (0,) * len(encoder))

    @override
    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        places: list[tuple[Tensor, torch.Size]] = []
        for block, drop in zip(self.encoder, self.drops, strict=True):
            x = block(x)
            size = x.shape[-2:]  # 2n and 2n + 1 both pool to n
            x, maxima = F.max_pool2d(x, 2, return_indices=True)
            places.append((maxima, size))
            x = drop(x)
        x = self.fc(x)
        for block, drop, (maxima, size) in zip(self.decoder, reversed(self.drops), reversed(places), strict=True):
            x = drop(block(F.max_unpool2d(x, maxima, (2, 2), output_size=size)))
        return cast(Tensor, self.head(x))


def segnet(in_channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.0) -> UnpoolingNet:
    """Build SegNet on VGG16.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of VGG16's channels.
        dropout: After the three deepest blocks of both ways.

    Returns:
        The network.
    """
    inside, decoder = scaled_channels(UP[0], width)[0], nn.ModuleList()
    for plan in UP:
        layers: list[nn.Module] = []
        for channels in scaled_channels(plan, width):
            layers += conv_block(inside, channels, bias=True)
            inside = channels
        decoder.append(nn.Sequential(*layers))
    he_normal(decoder)
    encoder = trunk(in_channels, width=width, norm=True)
    head = nn.Conv2d(inside, classes, 3, padding=1)
    return UnpoolingNet(encoder, decoder, head, dropout=(0, 0, dropout, dropout, dropout))


def segnet_bayesian(in_channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.5) -> UnpoolingNet:
    """Build SegNet with the dropout of the Bayesian variant.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of VGG16's channels.
        dropout: After the three deepest blocks of both ways.

    Returns:
        The network.
    """
    return segnet(in_channels, classes, width=width, dropout=dropout)


def segnet_basic(in_channels: int, classes: int, *, width: float = 1.0) -> UnpoolingNet:
    """Build the small one: local response norm, then four levels of one 7x7 convolution; no ReLU on the way up.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the 64 channels.

    Returns:
        The network.
    """
    (channels,) = scaled_channels((64,), width)
    level = partial(conv_block, outside=channels, kernel=7, bias=True)
    encoder = nn.ModuleList(nn.Sequential(*level(in_channels if i == 0 else channels)) for i in range(4))
    decoder = nn.ModuleList(nn.Sequential(*level(channels)[:2]) for _ in range(4))
    for part in (encoder, decoder):
        he_normal(part)
    return UnpoolingNet(encoder, decoder, nn.Conv2d(channels, classes, 1), first=nn.LocalResponseNorm(5))


def monte_carlo(model: nn.Module, image: Tensor, *, samples: int = 40) -> tuple[Tensor, Tensor]:
    """Mean and variance of the probabilities of several runs with dropout on and all else as in evaluation.

    Pixels whose variance is high are those the network is unsure of; the mean is often a little better than the plain
    prediction. The model is left in the mode it came in.

    Args:
        model: Network with dropout.
        image: Shape (N, in_channels, H, W).
        samples: Number of runs, at least 2.

    Returns:
        Mean and variance, float, shape (N, C, H, W), without gradients.

    Raises:
        ValueError: If the model has no dropout, or for fewer than 2 samples.

    References:
        Kendall, Badrinarayanan, Cipolla, BMVC 2017.
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
        Paper("SegNet", "Badrinarayanan, Kendall, Cipolla", "TPAMI", 2017),
        stride=1,
        good_for="sharp borders without skips' memory",
        weights=("imagenet",),
        load_weights=imagenet(),
    ),
    Network(
        "segnet_basic",
        segnet_basic,
        Paper("SegNet-Basic", "Badrinarayanan, Kendall, Cipolla", "TPAMI", 2017),
        stride=1,
        good_for="a small network to try things on",
    ),
    Network(
        "segnet_bayesian",
        segnet_bayesian,
        Paper("Bayesian SegNet", "Kendall, Badrinarayanan, Cipolla", "BMVC", 2017),
        stride=1,
        good_for="knowing where the network is unsure (segkit.models.papers.segnet.monte_carlo)",
        weights=("imagenet",),
        load_weights=imagenet(),
    ),
)
