"""DeconvNet: the way down, mirrored (Noh, Hong, Han, ICCV 2015).

Where FCN resizes its scores in one go, DeconvNet walks back up: max-unpooling puts values where pooling took them
from, and transposed convolutions fill in between.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from segkit.models.layers import conv_block, scaled_channels
from segkit.models.network import Network, Paper
from segkit.models.papers.segnet import UnpoolingNet
from segkit.models.papers.vgg import imagenet, trunk

UP = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64), (64, 64))


def deconvnet(in_channels: int, classes: int, *, width: float = 1.0, dropout: float = 0.0) -> UnpoolingNet:
    """Build DeconvNet: (N, in_channels, H, W) -> logits (N, classes, H, W), H and W multiples of 32 from 224 on.

    fc6 is 7x7 and not padded: at 224 px it sees the whole image, and larger images slide under it.

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of the paper's channels.
        dropout: After fc6 and fc7, which the released network does not have.

    Returns:
        The network.
    """
    fc, deepest = scaled_channels((4096, UP[0][0]), width)
    encoder = trunk(in_channels, width=width, norm=True)
    middle = nn.Sequential(
        *conv_block(deepest, fc, 7, padding=0, bias=True), nn.Dropout(dropout),
        *conv_block(fc, fc, 1, bias=True), nn.Dropout(dropout),
        nn.ConvTranspose2d(fc, deepest, 7), nn.BatchNorm2d(deepest), nn.ReLU(inplace=True),
    )  # fmt: skip
    inside, decoder = deepest, nn.ModuleList()
    for plan in UP:
        layers: list[nn.Module] = []
        for channels in scaled_channels(plan, width):
            layers += [nn.ConvTranspose2d(inside, channels, 3, padding=1), nn.BatchNorm2d(channels)]
            layers.append(nn.ReLU(inplace=True))
            inside = channels
        decoder.append(nn.Sequential(*layers))
    body = UnpoolingNet(encoder, decoder, nn.Conv2d(inside, classes, 1), fc=middle)
    for module in body.modules():  # the authors' initialisation
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(cast(Tensor, module.bias))
    return body


NETWORKS = (
    Network(
        "deconvnet",
        deconvnet,
        Paper("DeconvNet", "Noh, Hong, Han", "ICCV", 2015),
        stride=1,
        good_for="one object in a crop; a quarter of a billion parameters, so mostly for comparison",
        weights=("imagenet",),
        load_weights=imagenet("fc.0", "fc.4"),
        size_multiple=32,
        min_size=224,
    ),
)
