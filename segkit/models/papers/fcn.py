"""FCN: a classifier becomes a segmenter (Long, Shelhamer, Darrell, CVPR 2015).

VGG16's fully connected layers are read as convolutions, so that any image gets a map of scores, 1/32 of its size.
Bilinear transposed convolutions bring it up; FCN-16s and FCN-8s add the scores of finer maps on the way.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.layers import he_normal, scaled_channels
from segkit.models.network import Network, Paper
from segkit.models.papers.vgg import CHANNELS, fully_connected, imagenet, trunk


class BilinearUp(nn.ConvTranspose2d):
    """Bilinear upsampling as a transposed convolution among all channels, kernel 2 x factor, no bias.

    It starts as `F.interpolate(x, scale_factor=factor, mode="bilinear")`. Its border is replicated first: a constant
    map stays constant up to the edge, for which the authors padded the image by 100 px.

    Args:
        channels: That come in and go out.
        factor: Of the size.
        learned: Train the kernel; otherwise it stays bilinear.
    """

    def __init__(self, channels: int, factor: int, *, learned: bool = False) -> None:
        super().__init__(channels, channels, 2 * factor, stride=factor, padding=3 * factor // 2, bias=False)
        ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
        kernel = torch.zeros(channels, channels, 2 * factor, 2 * factor)
        kernel[range(channels), range(channels)] = ramp[:, None] * ramp
        with torch.no_grad():
            self.weight.copy_(kernel)
        self.weight.requires_grad_(learned)

    @override
    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="replicate"), output_size)


class FCN(nn.Module):
    """(N, in_channels, H, W) -> logits (N, classes, H, W), H and W multiples of 32.

    Args:
        skips: 0, 1 or 2 finer maps (pools 4 and 3) whose scores are added: FCN-32s, 16s, 8s.
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of VGG16's channels.
        dropout: After fc6 and fc7.
        learned_upsampling: Train the bilinear kernels, too.
    """

    def __init__(
        self,
        skips: int,
        in_channels: int,
        classes: int,
        *,
        width: float = 1.0,
        dropout: float = 0.5,
        learned_upsampling: bool = False,
    ) -> None:
        super().__init__()
        third, fourth, fifth, fc = scaled_channels((*CHANNELS[2:], 4096), width)
        self.encoder = trunk(in_channels, width=width)
        self.fc = nn.Sequential(*fully_connected(fifth, fc, 7, dropout=dropout))
        he_normal(self.fc)
        self.score = nn.ModuleList(nn.Conv2d(channels, classes, 1) for channels in (fc, fourth, third)[: skips + 1])
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)
        factors = [2] * skips + [32 >> skips]
        self.up = nn.ModuleList(BilinearUp(classes, factor, learned=learned_upsampling) for factor in factors)

    @override
    def forward(self, image: Tensor) -> Tensor:
        pools = [image]
        for block in self.encoder:
            pools.append(F.max_pool2d(block(pools[-1]), 2))
        logits: Tensor = self.up[0](self.score[0](self.fc(pools[5])))
        for score, up, pool in zip(self.score[1:], self.up[1:], pools[4:2:-1]):
            logits = up(logits + score(pool))
        return logits


NETWORKS = tuple(
    Network(
        f"fcn{32 >> skips}s_vgg16",
        partial(FCN, skips),
        Paper(f"FCN-{32 >> skips}s", "Long, Shelhamer, Darrell", "CVPR", 2015),
        stride=32 >> skips,
        good_for=good_for,
        heads=lambda body: (body.score,),
        weights=("imagenet",),
        load_weights=imagenet("fc.0", "fc.3"),
        size_multiple=32,
    )
    for skips, good_for in enumerate(
        (
            "where it began: large blobs, borders 32 px coarse",
            "one skip finer: large objects",
            "two skips finer: the FCN to compare with",
        )
    )
)
