"""The networks on VGG16 and its weights: FCN, DeconvNet, DilatedNet, DeepLab v1 and v2 (and its ResNet-101)."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import ResNet101_Weights, VGG16_BN_Weights, VGG16_Weights, vgg
from torchvision.models.resnet import Bottleneck, ResNet

from segkit import models
from segkit.checkpoints import save_weights
from segkit.models import vgg as ours
from segkit.models.deeplab import Branches
from segkit.models.dilatednet import identity
from segkit.models.fcn import BilinearUp
from segkit.models.wrapper import logit

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
    assert model.padded(10, 225) == (224, 256)
    seen = []
    model.body.fc[0].register_forward_hook(lambda layer, args, out: seen.append(tuple(out.shape[-2:])))
    with torch.no_grad():
        for size in (224, 288):
            assert model.body(torch.zeros(1, 1, 224, size)).shape[-2:] == (224, size)
    assert seen == [(1, 1), (1, 3)]
    assert [len(block) // 3 for block in model.body.decoder] == [3, 3, 3, 2, 2]


# DilatedNet


@pytest.mark.parametrize("name", ["dilatednet_basic", "dilatednet_context"])
def test_the_context_starts_as_the_identity(name):
    """Down to 5 below the prior's logit, exactly but for rounding; there ReLU ends it. Borders included."""
    body = models.create(name, classes=3, prior=0.02, noise=0.0, **NARROW).eval().body
    logits = 6 * torch.randn(2, 3, 20, 9)
    body.encoder = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(body(logits), logits.clamp(min=logit(0.02) - 5), rtol=1e-4, atol=1e-4)


def test_no_class_starts_dead_behind_the_context():
    """Every class of every front end gets gradients at once, with nothing trained."""
    for seed in range(5):
        torch.manual_seed(seed)
        body = models.create("dilatednet_context", classes=6, **NARROW).eval().body
        body(torch.rand(1, 1, 64, 64)).sum().backward()
        assert (body.encoder.score.bias.grad > 32).all()  # 8 x 8 logits, each handed on


def test_identity_by_hand():
    """Two classes from two channels to four, and from four back to two."""
    wide, narrow = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 2, 1)
    for layer in (wide, narrow):
        identity(layer, 2, noise=0.0)
    assert wide.weight[:, :, 1, 1].tolist() == [[0.5, 0], [0.5, 0], [0, 0.5], [0, 0.5]]
    assert wide.weight.sum() == 2
    assert narrow.weight[:, :, 0, 0].tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]


def test_dilatednet_dilations_and_what_its_context_adds():
    with torch.device("meta"):
        front, basic, large = (
            models.create(f"dilatednet_{kind}", classes=7).body for kind in ("frontend", "basic", "context")
        )
    assert [conv.dilation[0] for conv in large.context if isinstance(conv, nn.Conv2d)] == [1, 1, 2, 4, 8, 16, 1, 1]
    assert {m.dilation for m in front.encoder[4].modules() if isinstance(m, nn.Conv2d)} == {(2, 2)}
    assert {m.dilation for m in front.encoder[3].modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}
    assert front.fc[0].dilation == (4, 4)
    count = [sum(p.numel() for p in body.parameters()) for body in (front, basic, large)]
    assert count[1] - count[0] == 64 * 7**2 + 8 * 7
    assert count[2] - count[0] == 15_422 * 7**2 + 97 * 7


def test_a_trained_front_end_goes_into_the_network_with_context(tmp_path):
    front = models.create("dilatednet_frontend", classes=2, **NARROW).eval()
    nn.init.normal_(front.body.score.weight)
    save_weights(front.body, tmp_path / "front.safetensors")
    model = models.create(
        "dilatednet_basic", classes=2, weights=tmp_path / "front.safetensors", noise=0.0, **NARROW
    ).eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = front.body(image).clamp(min=logit(0.01) - 5)
        torch.testing.assert_close(model.body(image), expected, rtol=1e-4, atol=1e-4)


# DeepLab


@pytest.mark.parametrize("name", ["deeplabv1_largefov", "deeplabv2_vgg16", "deeplabv2_resnet101"])
def test_321_px_give_a_grid_of_41(name):
    body = models.create(name, classes=2, **SMALL[name]).eval().body
    with torch.no_grad():
        assert body(torch.zeros(1, 1, 321, 321)).shape == (1, 2, 41, 41)


def test_deeplab_rates():
    def dilations(module):
        return [m.dilation[0] for m in module.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]

    with torch.device("meta"):
        v1, v2, resnet = (
            models.create(name, classes=2).body
            for name in ("deeplabv1_largefov", "deeplabv2_vgg16", "deeplabv2_resnet101")
        )
    assert dilations(v1.heads) == [12]
    assert dilations(v2.heads) == dilations(resnet.heads) == [6, 12, 18, 24]
    assert dilations(v2.encoder) == [1] * 10 + [2] * 3
    assert dilations(resnet.encoder) == [1] * 7 + [2] * 23 + [4] * 3
    assert [m.stride[0] for m in resnet.encoder.modules() if isinstance(m, nn.Conv2d) and m.stride[0] > 1] == [2, 2, 2]


def test_branches_are_summed():
    branches = Branches(nn.Conv2d(2, 3, 1) for _ in range(4))
    x = torch.randn(1, 2, 4, 4)
    weight = sum(branch.weight for branch in branches)
    torch.testing.assert_close(branches(x), F.conv2d(x, weight, sum(branch.bias for branch in branches)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rates": ()}, r"rates=\(\) but whole numbers"),
        ({"rates": (6, 0)}, "at least 1"),
        ({"rates": 6}, "rates=6 but"),
        ({"rates": (6.0,)}, "rates="),
        ({"blocks": (3, 4)}, "four stages"),
        ({"blocks": (1, 0, 1, 1)}, "blocks=.* at least 1"),
    ],
)
def test_a_deeplab_that_cannot_be_is_named(options, says):
    with pytest.raises(ValueError, match=says):
        models.create("deeplabv2_resnet101", classes=1, **options)


def test_frozen_batch_norm_stays_as_it_came():
    model = models.create("deeplabv2_resnet101", classes=2, blocks=(1, 1, 1, 1), frozen_norm=True).train()
    before = {k: v.clone() for k, v in model.named_buffers()}
    model(torch.randn(2, 1, 64, 64)).mean().backward()
    assert all(torch.equal(v, before[k]) for k, v in model.named_buffers())
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(p.grad is None and not p.requires_grad for norm in norms for p in norm.parameters())
    assert model.body.encoder.conv1.weight.grad is not None
