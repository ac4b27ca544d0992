"""torchvision's FCN and DeepLabV3 on ResNets; the first is the baseline of the course segkit grew from."""

from __future__ import annotations

import os

import torch
from torch import nn
from torchvision.models import ResNet50_Weights, ResNet101_Weights, segmentation

from segkit.models import weights as pretrained
from segkit.models.wrapper import set_prior

BUILDERS = {
    "fcn_resnet50": segmentation.fcn_resnet50,
    "deeplabv3_resnet50": segmentation.deeplabv3_resnet50,
    "deeplabv3_resnet101": segmentation.deeplabv3_resnet101,
}
COCO = {
    "fcn_resnet50": segmentation.FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    "deeplabv3_resnet50": segmentation.DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    "deeplabv3_resnet101": segmentation.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
}


def build(name: str, *, classes: int, in_channels: int, prior: float, weights: str | None, aux: bool) -> nn.Module:
    """Network `name`; see `segkit.models.create`.

    weights: "imagenet" (the encoder) or "coco" (all but the last convolutions); aux: a second head on the third
    stage, given out in training under "aux".
    """
    body = BUILDERS[name](weights=None, weights_backbone=None, num_classes=classes, aux_loss=aux)
    if in_channels != 3:
        rgb = body.backbone.conv1
        body.backbone.conv1 = nn.Conv2d(in_channels, rgb.out_channels, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(body.backbone.conv1.weight, mode="fan_out", nonlinearity="relu")
    if weights is not None:
        _load_set(name, body, weights, aux)
    for head in (body.classifier, body.aux_classifier):
        if head is not None:
            set_prior(head, prior)
    return body


def _load_set(name: str, body: nn.Module, tag: str, aux: bool) -> None:
    """Load torchvision's weights `tag` into `body`, strictly but for what they are known not to share."""
    pretrained.check_set(name, tag, ("imagenet", "coco"))
    imagenet = ResNet101_Weights.IMAGENET1K_V1 if name.endswith("101") else ResNet50_Weights.IMAGENET1K_V1
    source = imagenet if tag == "imagenet" else COCO[name]
    state = pretrained.from_hub(
        lambda: source.get_state_dict(progress=False, check_hash=True),
        what=f"weights={tag!r} for {name}",
        url=source.url,
        cache=os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(source.url)),
    )
    if tag == "imagenet":
        encoder = {key: value for key, value in state.items() if not key.startswith("fc.")}
        pretrained.load_into(body.get_submodule("backbone"), encoder, source.url)
        return
    own = body.state_dict()
    lasts = tuple(f"{head}.{len(getattr(body, head)) - 1}." for head in ("classifier", "aux_classifier")[: 1 + aux])
    state = {key: value for key, value in state.items() if aux or not key.startswith("aux_classifier.")}
    state = {key: own[key] if key.startswith(lasts) else value for key, value in state.items()}
    pretrained.load_into(body, state, source.url)
