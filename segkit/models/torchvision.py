"""torchvision's FCN and DeepLabV3 on ResNets; the first is the baseline of the course segkit grew from."""

from __future__ import annotations

from torch import nn
from torchvision.models import ResNet50_Weights, ResNet101_Weights, segmentation

from segkit.models.weights import load_into, load_torchvision_encoder, resnet_stem, torchvision_state

BUILDERS = {
    "fcn_resnet50": (segmentation.fcn_resnet50, segmentation.FCN_ResNet50_Weights),
    "deeplabv3_resnet50": (segmentation.deeplabv3_resnet50, segmentation.DeepLabV3_ResNet50_Weights),
    "deeplabv3_resnet101": (segmentation.deeplabv3_resnet101, segmentation.DeepLabV3_ResNet101_Weights),
}


def build(name: str, *, classes: int, in_channels: int, aux: bool) -> nn.Module:
    """Build one of torchvision's networks.

    Args:
        name: Key of `BUILDERS`.
        classes: Number of classes.
        in_channels: Channels of the images.
        aux: With a second head on the third stage, given out in training under "aux".

    Returns:
        Module (N, in_channels, H, W) -> {"out": raw logits (N, classes, H, W), ...}.
    """
    body: nn.Module = BUILDERS[name][0](weights=None, weights_backbone=None, num_classes=classes, aux_loss=aux)
    if in_channels != 3:
        body.get_submodule("backbone").conv1 = resnet_stem(in_channels)
    return body


def load_weights(body: nn.Module, name: str, tag: str) -> None:
    """Load torchvision's weights, strictly except for what they are known not to share.

    Args:
        body: What `build` returned.
        name: Key of `BUILDERS`.
        tag: "imagenet" (the encoder) or "coco" (all but the last convolutions).

    Raises:
        WeightsError: Where they cannot be had.
    """
    if tag == "imagenet":
        source = ResNet101_Weights.IMAGENET1K_V1 if name.endswith("101") else ResNet50_Weights.IMAGENET1K_V1
        load_torchvision_encoder(body.get_submodule("backbone"), source, name)
        return
    source = BUILDERS[name][1].COCO_WITH_VOC_LABELS_V1
    state, own = torchvision_state(source, name), body.state_dict()
    aux = body.aux_classifier is not None
    lasts = tuple(f"{head}.{len(getattr(body, head)) - 1}." for head in ("classifier", "aux_classifier")[: 1 + aux])
    state = {key: value for key, value in state.items() if aux or not key.startswith("aux_classifier.")}
    load_into(body, {key: own[key] if key.startswith(lasts) else value for key, value in state.items()}, source.url)
