"""VGG16, the trunk of the first networks for segmentation (Simonyan, Zisserman, ICLR 2015)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from segkit.models.layers import conv_block, he_normal, scaled_channels
from segkit.models.weights import load_into, torchvision_state

CHANNELS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)


def trunk(in_channels: int, *, width: float = 1.0, norm: bool = False, dilation: int = 1) -> nn.ModuleList:
    """VGG16's five blocks of convolutions; how it is pooled between them is each network's own affair.

    Weights start from He's normal, without which thirteen layers of ReLU do not train.

    Args:
        in_channels: Channels of the images.
        width: Factor of the 64 to 512 channels.
        norm: With batch norm after each convolution.
        dilation: Of the last block.

    Returns:
        Five blocks that keep the size.
    """
    blocks, inside = nn.ModuleList(), in_channels
    for i, (channels, depth) in enumerate(zip(scaled_channels(CHANNELS, width), DEPTHS)):
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += conv_block(inside, channels, norm=norm, bias=True, dilation=dilation if i == 4 else 1)
            inside = channels
        blocks.append(nn.Sequential(*layers))
    he_normal(blocks)
    return blocks


def fully_connected(inside: int, outside: int, kernel: int, *, dropout: float, dilation: int = 1) -> list[nn.Module]:
    """VGG16's fc6 and fc7 as convolutions, each with ReLU and dropout; they keep the size.

    Args:
        inside: Channels of the last block.
        outside: Channels of both layers.
        kernel: Side of the first one's kernel, odd.
        dropout: Probability.
        dilation: Of the first one.

    Returns:
        Six modules, for `nn.Sequential`.
    """
    fc6 = conv_block(inside, outside, kernel, norm=False, dilation=dilation)
    return [*fc6, nn.Dropout(dropout), *conv_block(outside, outside, 1, norm=False), nn.Dropout(dropout)]


def imagenet(*fc: str, trunk: str = "encoder") -> Callable[[nn.Module, str, str], None]:
    """What loads torchvision's VGG16, or its VGG16 with batch norm where the trunk has it.

    Args:
        *fc: Names of the convolutions that take the classifier's first two layers, 7x7 and 1x1.
        trunk: Name of the trunk.

    Returns:
        `load_weights` of a `Network`. It raises WeightsError where the weights cannot be had or the network is not of
        the paper's width.
    """

    def load_weights(body: nn.Module, name: str, tag: str) -> None:
        from torchvision.models import VGG16_BN_Weights, VGG16_Weights

        blocks = body.get_submodule(trunk)
        norm = any(isinstance(module, nn.BatchNorm2d) for module in blocks.modules())
        source = VGG16_BN_Weights.IMAGENET1K_V1 if norm else VGG16_Weights.IMAGENET1K_V1
        state = torchvision_state(source, name)
        load_into(blocks, as_blocks(state, blocks), source.url)
        for layer, key in zip(map(body.get_submodule, fc), ("classifier.0", "classifier.3")):
            kernel = state[f"{key}.weight"].unflatten(1, (-1, *layer.state_dict()["weight"].shape[2:]))
            load_into(layer, {"weight": kernel, "bias": state[f"{key}.bias"]}, f"{source.url}, {key}")

    return load_weights


def as_blocks(state: Mapping[str, Tensor], blocks: nn.Module) -> dict[str, Tensor]:
    """Rename torchvision's "features.N.leaf" to the names of `blocks`: its one sequence has a pool after each block.

    Args:
        state: State dict of torchvision's VGG16.
        blocks: What `trunk` returned.

    Returns:
        State dict of `blocks`; batch norm's counter of batches, which old files lack, stays what it is.
    """
    first, renamed = 0, dict[str, Tensor]()
    for i, block in enumerate(blocks.children()):
        for key, own in block.state_dict().items():
            layer, leaf = key.split(".")
            theirs = f"features.{first + int(layer)}.{leaf}"
            renamed[f"{i}.{key}"] = state.get(theirs, own) if leaf == "num_batches_tracked" else state[theirs]
        first += len(list(block.children())) + 1
    return renamed
