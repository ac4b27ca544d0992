"""One place knows what networks return: segkit's, torchvision's, smp's and Hugging Face's."""

from collections import OrderedDict

import pytest
import segmentation_models_pytorch as smp
import torch
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from segkit.losses import BCELoss, DeepSupervision
from segkit.models.outputs import main_logits, named_outputs

LOGITS = torch.zeros(2, 3, 8, 8)


class ModelOutput(OrderedDict):
    """As Hugging Face's: a dictionary whose entries are attributes too."""


HUGGING_FACE = ModelOutput(loss=None, logits=LOGITS, hidden_states=(torch.zeros(2, 64, 4, 4),), attentions=None)


@pytest.mark.parametrize(
    ("output", "names"),
    [
        (LOGITS, ["out"]),
        ({"out": LOGITS}, ["out"]),
        ({"aux": LOGITS[..., :4], "out": LOGITS}, ["out", "aux"]),
        ({"out": LOGITS, "deep": [LOGITS, LOGITS], "cls": torch.zeros(2, 3)}, ["out", "deep", "cls"]),
        (HUGGING_FACE, ["out"]),
        ([LOGITS, LOGITS[..., :4], LOGITS[..., :2]], ["out", "deep"]),
        ((LOGITS, torch.zeros(2, 3)), ["out", "cls"]),
        ((LOGITS,), ["out"]),
    ],
)
def test_outputs_by_name(output, names):
    assert main_logits(output) is LOGITS
    named = named_outputs(output)
    assert list(named) == names
    assert named["out"] is LOGITS


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (None, "network returned a NoneType; expected logits"),
        (torch.zeros(2, 3), r"network returned a tensor of \(2, 3\); expected logits \(N, C, H, W\)"),
        ({"masks": LOGITS}, "a dict with 'masks'; expected"),
        ({"out": None}, "a dict with 'out'; expected"),
        ((), "a tuple of nothing"),
        ((torch.zeros(2, 3), LOGITS), r"a tuple of \(2, 3\), \(2, 3, 8, 8\); expected"),
    ],
)
def test_what_came_and_what_was_expected(output, says):
    for read in (main_logits, named_outputs):
        with pytest.raises(ValueError, match=says):
            read(output)
    with pytest.raises(ValueError, match="unet returned"):
        main_logits(output, source="unet")


def test_networks_of_libraries():
    """As they really answer, in training: losses take them, and prediction finds the logits."""
    image, target = torch.randn(2, 3, 64, 64), torch.ones(2, 3, 64, 64)
    aux = smp.Unet("resnet18", encoder_weights=None, classes=3, aux_params={"classes": 3})
    deeplab = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    for network, others in ((aux, ["cls"]), (deeplab, ["aux"])):
        output = network.train()(image)
        assert main_logits(output).shape == target.shape
        loss = DeepSupervision(BCELoss())
        loss(output, target).backward()
        assert list(loss.terms) == others
        assert all(p.grad is not None for p in network.parameters())
