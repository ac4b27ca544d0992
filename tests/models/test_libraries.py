"""Where the libraries depart from the papers, and what is done about it."""

import pytest
import torch
from torch import nn
from torchvision.models import ResNet101_Weights, resnet101

from segkit import models
from segkit.models.papers.deeplabv3plus import Pyramid


def dilations(module):
    return [m.dilation[0] for m in module.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]


@pytest.mark.parametrize("depth", [50, 101])
def test_deeplabv3plus_has_the_rates_of_its_stride(depth):
    with torch.device("meta"):
        body = models.create(f"deeplabv3plus_resnet{depth}", classes=1, in_channels=3).body
        finer = models.create(f"deeplabv3plus_resnet{depth}", classes=1, in_channels=3, encoder_output_stride=8).body
    # a separable convolution is a dilated 3x3 by channel and a 1x1
    assert [dilations(conv) for conv in body.decoder.aspp[0].convs] == [[], [6], [12], [18], []]
    assert [dilations(conv) for conv in finer.decoder.aspp[0].convs] == [[], [12], [24], [36], []]
    assert body.encoder.output_stride == 16
    assert finer.encoder.output_stride == 8


@pytest.mark.parametrize(("stride", "rates"), [(16, [6, 12, 18]), (8, [12, 24, 36])])
def test_dense_deeplabv3plus_too_and_nothing_in_it_is_separable(stride, rates):
    body = models.create("deeplabv3plus_dense", classes=1, encoder="resnet18", output_stride=stride).body
    assert dilations(body.pyramid) == rates
    assert all(m.groups == 1 for m in body.modules() if isinstance(m, nn.Conv2d))
    assert body.encoder.output_stride == stride
    assert body.decoder[0][0].in_channels == 256 + 48


def test_the_pyramid_s_image_branch_is_the_mean_everywhere():
    torch.manual_seed(0)
    pyramid = Pyramid(4, 6, (1, 2, 3)).eval()
    x = torch.randn(1, 4, 5, 7)
    seen = []
    pyramid.join.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.no_grad():
        assert pyramid(x).shape == (1, 6, 5, 7)
        mean = x.mean((2, 3), keepdim=True)
        torch.testing.assert_close(seen[0][:, -6:], pyramid.image(mean).expand(-1, -1, 5, 7))


@pytest.mark.parametrize(
    ("size", "width", "depths"),
    [
        ("b0", 256, [2, 2, 2, 2]),
        ("b1", 256, [2, 2, 2, 2]),
        ("b2", 768, [3, 4, 6, 3]),
        ("b3", 768, [3, 4, 18, 3]),
        ("b4", 768, [3, 8, 27, 3]),
        ("b5", 768, [3, 6, 40, 3]),
    ],
)
def test_segformer_s_decoder_and_depths_are_the_paper_s(size, width, depths, monkeypatch):
    linspace = torch.linspace
    monkeypatch.setattr(torch, "linspace", lambda *a, **k: linspace(*a, **k, device="cpu"))
    with torch.device("meta"):
        body = models.create(f"segformer_{size}", classes=29, in_channels=3).body
    assert body.segmentation_head[0].in_channels == width
    assert [len(getattr(body.encoder, f"block{i}")) for i in (1, 2, 3, 4)] == depths
    drops = [m.p for m in body.decoder.modules() if isinstance(m, nn.Dropout2d)]
    assert drops == [0.1]
    described = models.NETWORKS[f"segformer_{size}"].defaults()
    assert described["decoder_segmentation_channels"] == width


def test_segformer_s_head_drops_in_training_only():
    torch.manual_seed(0)
    model = models.create("segformer_b0", classes=1)
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert torch.equal(model.eval()(image), model(image))
        assert not torch.equal(model.train()(image), model(image))


def test_deeplabv3_of_torchvision_has_the_rates_of_stride_8():
    with torch.device("meta"):
        body = models.create("deeplabv3_resnet101", classes=1).body
    assert sorted(dilations(body.classifier)) == [1, 12, 24, 36]


def test_resnet101_weights_go_where_they_belong(monkeypatch):
    with torch.device("meta"):
        shapes = resnet101().state_dict()
    imagenet = {key: torch.rand(value.shape) for key, value in shapes.items() if value.is_floating_point()}
    imagenet |= {
        key: torch.zeros(value.shape, dtype=value.dtype) for key, value in shapes.items() if key not in imagenet
    }
    monkeypatch.setattr(ResNet101_Weights, "get_state_dict", lambda self, **k: imagenet)
    own = models.create("deeplabv3_resnet101", classes=5, in_channels=3, weights="imagenet").encoder.state_dict()
    assert all(torch.equal(value, imagenet[key]) for key, value in own.items())


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("efficientunet_b0", "efficientnet-b0"),
        ("mobile_unet", "mobilenet_v2"),
        ("deeplabv3plus_resnet50", "resnet50"),
        ("segformer_b1", "mit_b1"),
    ],
)
def test_a_fixed_name_is_the_general_one_on_its_encoder(name, encoder):
    general = {"efficientunet_b0": "unet", "mobile_unet": "unet"}.get(name, name.split("_")[0])
    fixed = models.create(name, classes=2)
    other = models.create(general, classes=2, encoder=encoder)
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (fixed, other)]
    assert shapes[0] == shapes[1]


def test_options_of_the_general_one_are_those_of_the_fixed():
    model = models.create("mobile_unet", classes=1, decoder_attention_type="scse")
    assert any("attention" in key for key in model.state_dict())
    assert models.create(**model.config).state_dict().keys() == model.state_dict().keys()
