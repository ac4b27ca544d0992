"""VGG16, the trunk of the first networks for segmentation (Simonyan, Zisserman, ICLR 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from segkit.models import weights as pretrained
from segkit.models.layers import he_normal, widths

CHANNELS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)


def convs(inside: int, outside: int, depth: int, *, norm: bool = False, dilation: int = 1) -> nn.Sequential:
    """`depth` times: 3x3 convolution that keeps the size, batch norm where wanted, ReLU."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers.append(nn.Conv2d(inside if i == 0 else outside, outside, 3, padding=dilation, dilation=dilation))
        layers += [nn.BatchNorm2d(outside), nn.ReLU(inplace=True)] if norm else [nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def trunk(in_channels: int, *, width: float = 1.0, norm: bool = False, dilation: int = 1) -> nn.ModuleList:
    """VGG16's five blocks of convolutions; how it is pooled between them is each network's own affair.

    width: times 64 ... 512 channels; norm: batch norm after each convolution; dilation: of the last block.
    Weights start from He's normal, without which thirteen layers of ReLU do not train.
    """
    plan = widths(CHANNELS, width)
    blocks = nn.ModuleList(
        convs(inside, outside, depth, norm=norm, dilation=dilation if i == 4 else 1)
        for i, (inside, outside, depth) in enumerate(zip([in_channels, *plan], plan, DEPTHS, strict=False))
    )
    he_normal(blocks)
    return blocks


def load_imagenet(blocks: nn.ModuleList, name: str, tag: str, *, fc: Sequence[nn.Module] = ()) -> None:
    """torchvision's VGG16, or its VGG16 with batch norm where `blocks` have it, into `blocks`, and fc6 and fc7.

    name: the network, for messages; tag: "imagenet"; fc: the convolutions that take the classifier's first two
    layers, 7x7 and 1x1. WeightsError where the weights cannot be had or `blocks` are not of the paper's width.
    """
    from torchvision.models import VGG16_BN_Weights, VGG16_Weights

    pretrained.check_set(name, tag, ("imagenet",))
    norm = any(isinstance(module, nn.BatchNorm2d) for module in blocks.modules())
    source = VGG16_BN_Weights.IMAGENET1K_V1 if norm else VGG16_Weights.IMAGENET1K_V1
    state = pretrained.from_torchvision(source, name)
    pretrained.load_into(blocks, as_blocks(state, blocks), source.url)
    for layer, key in zip(fc, ("classifier.0", "classifier.3"), strict=False):
        kernel = state[f"{key}.weight"].unflatten(1, (-1, *layer.state_dict()["weight"].shape[2:]))
        pretrained.load_into(layer, {"weight": kernel, "bias": state[f"{key}.bias"]}, f"{source.url}, {key}")


def as_blocks(state: Mapping[str, Tensor], blocks: nn.ModuleList) -> dict[str, Tensor]:
    """torchvision's names "features.N.leaf" in those of `blocks`: its one sequence has a pool after each block.

    Batch norm's counter of batches, which old files lack, stays what it is.
    """
    first, renamed = 0, dict[str, Tensor]()
    for i, block in enumerate(blocks):
        assert isinstance(block, nn.Sequential)
        for key, own in block.state_dict().items():
            layer, leaf = key.split(".")
            theirs = f"features.{first + int(layer)}.{leaf}"
            renamed[f"{i}.{key}"] = state.get(theirs, own) if leaf == "num_batches_tracked" else state[theirs]
        first += len(block) + 1
    return renamed
