"""The networks on VGG16 and its weights: FCN, DeconvNet, DilatedNet, DeepLab v1 and v2 (and its ResNet-101).

What dilation does in the last three: test_dilated.py.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import ResNet101_Weights, VGG16_BN_Weights, VGG16_Weights, vgg
from torchvision.models.resnet import Bottleneck, ResNet

from segkit import models
from segkit.models.papers import vgg as ours
from segkit.models.papers.fcn import BilinearUp

NARROW = {"width": 1 / 16}
SMALL = {
    "deconvnet": {"width": 1 / 32},
    "deeplabv1_largefov": NARROW,
    "deeplabv2_resnet101": {"blocks": (1, 1, 1, 1)},
    "deeplabv2_vgg16": NARROW,
    "dilatednet_basic": NARROW,
    "dilatednet_context": NARROW,
    "dilatednet_frontend": NARROW,
    "fcdensenet56": {"width": 1 / 4},
    "fcn16s_vgg16": NARROW,
    "fcn32s_vgg16": NARROW,
    "fcn8s_vgg16": NARROW,
    "segnet": NARROW,
    "segnet_basic": {"width": 1 / 8},
    "segnet_bayesian": NARROW,
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_fresh_network_answers_with_its_prior_up_to_the_border(name):
    """Where the weights of the scores are zero, every pixel of every class has the probability of the prior."""
    context = name in ("dilatednet_basic", "dilatednet_context")
    model = models.create(name, classes=5, prior=0.02, **SMALL[name], **({"noise": 0.0} if context else {})).eval()
    for module in (model.encoder if context else model).modules():  # its context hands the scores on
        if isinstance(module, nn.Conv2d) and module.out_channels == 5:
            nn.init.zeros_(module.weight)
    with torch.no_grad():
        probs = model(torch.randn(1, 1, 40, 70)).sigmoid()
    torch.testing.assert_close(probs, torch.full_like(probs, 0.02))


@pytest.mark.parametrize("name", ["deconvnet", "dilatednet_context", "fcn8s_vgg16", "fcdensenet56", "segnet"])
def test_half_precision_and_channels_last(name):
    model = models.create(name, classes=2, **SMALL[name]).to(memory_format=torch.channels_last)
    image = torch.randn(1, 1, 66, 50).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(image)
        logits.float().square().mean().backward()
    assert logits.shape == (1, 2, 66, 50)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


# FCN


@pytest.mark.parametrize("factor", [2, 8, 32])
def test_bilinear_kernels_upsample_as_torch_does_with_half_pixels(factor):
    up = BilinearUp(3, factor)
    x = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(up(x), F.interpolate(x, scale_factor=factor, mode="bilinear"), atol=1e-5, rtol=1e-5)
    assert torch.equal(up(torch.full((1, 3, 2, 3), 0.5)), torch.full((1, 3, 2 * factor, 3 * factor), 0.5))
    assert not up.weight.requires_grad
    assert BilinearUp(3, factor, learned=True).weight.requires_grad


def test_fcn_scores_stride_by_stride():
    for name, channels, factors in [
        ("fcn32s_vgg16", [4096], [32]),
        ("fcn16s_vgg16", [4096, 512], [2, 16]),
        ("fcn8s_vgg16", [4096, 512, 256], [2, 2, 8]),
    ]:
        with torch.device("meta"):
            body = models.create(name, classes=21, in_channels=3).body
        assert [score.in_channels for score in body.score] == channels
        assert [up.stride[0] for up in body.up] == factors
        assert not any(p.any() for p in models.create(name, classes=2, prior=0.5, **NARROW).body.score.parameters())
    with torch.device("meta"):
        body = models.create("fcn32s_vgg16", classes=21, in_channels=3).body
    assert sum(p.numel() for p in body.parameters()) - body.up[0].weight.numel() == 134_346_581


def test_fcn8s_is_the_sum_of_three_scores_resized():
    """The twin: with bilinear kernels, each score resized step by step with `F.interpolate`."""
    body = models.create("fcn8s_vgg16", classes=2, **NARROW).eval().body
    for score in body.score:
        nn.init.normal_(score.weight)
    image = torch.randn(1, 1, 64, 96)
    with torch.no_grad():
        pools, x = [], image
        for block in body.encoder:
            x = F.max_pool2d(block(x), 2)
            pools.append(x)
        logits = body.score[0](body.fc(x))
        for score, pool in zip(body.score[1:], (pools[3], pools[2]), strict=True):
            logits = F.interpolate(logits, scale_factor=2, mode="bilinear") + score(pool)
        expected = F.interpolate(logits, scale_factor=8, mode="bilinear")
        torch.testing.assert_close(body(image), expected, atol=1e-3, rtol=1e-3)


# Weights


def narrow_vgg(*, norm, width=16):
    """torchvision's VGG16 with a sixteenth of the channels and random weights, statistics of batch norm too."""
    plan = [c if c == "M" else c // width for c in vgg.cfgs["D"]]
    network = vgg.VGG(vgg.make_layers(plan, batch_norm=norm), init_weights=False)
    fc = 4096 // width
    network.classifier = nn.Sequential(
        nn.Linear(512 // width * 49, fc), nn.ReLU(), nn.Dropout(), nn.Linear(fc, fc), nn.ReLU(), nn.Linear(fc, 1000)
    )
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) * (2 / value[0].numel() if value.ndim > 1 else 1))
    return network.eval()


def refuse_nothing(network, weights, monkeypatch, state=None):
    monkeypatch.setattr(weights, "get_state_dict", lambda self, **k: state or network.state_dict())


def test_the_trunk_and_fc_layers_are_torchvisions(monkeypatch):
    """A grey image through 1-channel FCN-8s gives VGG16's features and, where fc6 sees all 7x7, its classifier's."""
    theirs = narrow_vgg(norm=False)
    refuse_nothing(theirs, VGG16_Weights, monkeypatch)
    body = models.create("fcn8s_vgg16", classes=2, weights="imagenet", **NARROW).eval().body
    grey = torch.rand(1, 1, 224, 224)
    with torch.no_grad():
        x = grey
        for block in body.encoder:
            x = F.max_pool2d(block(x), 2)
        features = theirs.features(grey.expand(1, 3, 224, 224))
        torch.testing.assert_close(x, features, rtol=1e-3, atol=1e-4)
        middle = body.fc(x)[..., 3, 3]
        torch.testing.assert_close(middle, theirs.classifier[:5](features.flatten(1)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("name", ["segnet", "deconvnet"])
def test_the_trunk_with_batch_norm_is_torchvisions(name, counted, monkeypatch):
    """Files from before batch norm counted its batches load, too."""
    theirs = narrow_vgg(norm=True)
    state = {k: v for k, v in theirs.state_dict().items() if counted or not k.endswith("num_batches_tracked")}
    refuse_nothing(theirs, VGG16_BN_Weights, monkeypatch, state)
    body = models.create(name, classes=2, in_channels=3, weights="imagenet", **NARROW).eval().body
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        x = image
        for block in body.encoder:
            x = F.max_pool2d(block(x), 2)
        torch.testing.assert_close(x, theirs.features(image), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", [False, True])
def test_at_full_width_every_name_and_shape_fits(norm):
    with torch.device("meta"):
        theirs = (vgg.vgg16_bn if norm else vgg.vgg16)().state_dict()
        blocks = ours.trunk(3, norm=norm)
        renamed = ours.as_blocks(theirs, blocks)
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in blocks.state_dict().items()}
    assert len(renamed) == sum(key.startswith("features.") for key in theirs)


@pytest.mark.parametrize("name", ["deeplabv1_largefov", "deeplabv2_vgg16", "dilatednet_context"])
def test_the_others_on_vgg16_take_its_weights(name, monkeypatch):
    theirs = narrow_vgg(norm=False)
    refuse_nothing(theirs, VGG16_Weights, monkeypatch)
    model = models.create(name, classes=2, in_channels=3, weights="imagenet", **NARROW)
    own = list(model.state_dict().values())[:26]  # 13 convolutions
    assert all(torch.equal(a, b) for a, b in zip(own, theirs.features.state_dict().values(), strict=True))
    refuse_nothing(narrow_vgg(norm=False, width=8), VGG16_Weights, monkeypatch)
    with pytest.raises(models.WeightsError, match="options that the weights were trained with"):
        models.create(name, classes=2, in_channels=3, weights="imagenet", **NARROW)


def test_resnet101_takes_torchvisions_weights_and_computes_the_same(monkeypatch):
    """But for the dilation: with a kernel's centre alone a dilated stage is the plain one at stride 1."""
    theirs = ResNet(Bottleneck, [1, 1, 1, 1])
    monkeypatch.setattr(ResNet101_Weights, "get_state_dict", lambda self, **k: theirs.state_dict())
    model = models.create("deeplabv2_resnet101", classes=2, weights="imagenet", blocks=(1, 1, 1, 1)).eval()
    own, given = model.encoder.state_dict(), theirs.state_dict()
    assert own.keys() == {key for key in given if not key.startswith("fc.")}
    torch.testing.assert_close(own.pop("conv1.weight"), given["conv1.weight"].sum(1, keepdim=True))
    assert all(torch.equal(value, given[key]) for key, value in own.items())
    with torch.no_grad():
        grey = torch.rand(1, 1, 64, 64)
        x = model.encoder[:6](grey)
        y = theirs.eval().layer2(
            theirs.layer1(theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(grey.expand(1, 3, 64, 64))))))
        )
        torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "weights", "says"),
    [
        ("fcn8s_vgg16", "imagenett", "fcn8s_vgg16 has no weights 'imagenett'; did you mean imagenet"),
        ("deeplabv2_resnet101", "coco", "has no weights 'coco'"),
        ("fcdensenet56", "imagenet", "fcdensenet56 has no weights 'imagenet'; no set of weights is published"),
    ],
)
def test_weights_that_are_not_there_are_refused(name, weights, says):
    with pytest.raises(models.WeightsError, match=says):
        models.create(name, classes=1, weights=weights, **SMALL[name])


@pytest.mark.parametrize(
    ("options", "says"),
    [({"width": 0}, "0.5 half"), ({"encoder": "resnet18"}, "leave it out"), ({"skips": 1}, "no option")],
)
def test_a_mistake_is_named(options, says):
    with pytest.raises(ValueError, match=says):
        models.create("fcn8s_vgg16", classes=1, **options)


# DeconvNet


def test_deconvnet_sees_224_px_as_a_whole_and_slides_over_more():
    model = models.create("deconvnet", classes=2, **SMALL["deconvnet"]).eval()
    assert model.padded_size(10, 225) == (224, 256)
    seen = []
    model.body.fc[0].register_forward_hook(lambda layer, args, out: seen.append(tuple(out.shape[-2:])))
    with torch.no_grad():
        for size in (224, 288):
            assert model.body(torch.zeros(1, 1, 224, size)).shape[-2:] == (224, size)
    assert seen == [(1, 1), (1, 3)]
    assert [len(block) // 3 for block in model.body.decoder] == [3, 3, 3, 2, 2]
