"""DilatedNet and DeepLab v1 and v2: their dilations, the context that starts as the identity, heads that are summed."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segkit import models
from segkit.models.checkpoints import save_weights
from segkit.models.layers import logit
from segkit.models.papers.deeplab import Branches
from segkit.models.papers.dilatednet import identity

NARROW = {"width": 1 / 16}


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


@pytest.mark.parametrize(
    ("name", "small"),
    [("deeplabv1_largefov", NARROW), ("deeplabv2_vgg16", NARROW), ("deeplabv2_resnet101", {"blocks": (1, 1, 1, 1)})],
)
def test_321_px_give_a_grid_of_41(name, small):
    body = models.create(name, classes=2, **small).eval().body
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
        ({"rates": ()}, r"rates: expected whole numbers of at least 1, .* got \(\)"),
        ({"rates": (6, 0)}, "at least 1"),
        ({"rates": 6}, "rates: .* got 6"),
        ({"rates": (6.0,)}, "rates: expected"),
        ({"blocks": (3, 4)}, "four stages"),
        ({"blocks": (1, 0, 1, 1)}, "blocks: .* at least 1"),
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
