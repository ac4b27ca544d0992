"""What the U-Nets' papers say about them, beyond what every network promises."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segkit import models
from segkit.models.layers import centre_crop
from segkit.models.papers.attention_unet import Gate
from segkit.models.papers.multiresunet import split
from segkit.models.papers.resunet import Residual
from segkit.models.papers.unet import UnpaddedUNet, mirrored
from segkit.models.papers.unet3plus import ABSENT, gated


def unpadded(width=0.05):
    return UnpaddedUNet(1, 2, width=width, dropout=0.0).eval()


def build(name, **options):
    torch.manual_seed(0)
    return models.create(name, classes=2, **({"width": 0.125} | options))


@pytest.mark.parametrize(("inside", "outside"), [(572, 388), (188, 4), (204, 20)])
def test_the_unpadded_original_gives_the_paper_s_sizes(inside, outside):
    with torch.no_grad():
        assert unpadded()(torch.zeros(1, 1, inside, inside)).shape == (1, 2, outside, outside)


@pytest.mark.parametrize("size", [(190, 188), (188, 200), (172, 188)])
def test_sizes_whose_pools_would_drop_a_pixel_are_refused(size):
    with pytest.raises(ValueError, match=f"16 n .* got {size[0]} x {size[1]}"):
        unpadded()(torch.zeros(1, 1, *size))


def test_overlap_tile_gives_the_mirrored_image_s_own_answer():
    """Any size, and away from the border the very numbers of the bare network on the bare image."""
    torch.manual_seed(0)
    model = build("unet2015", width=0.05).eval()
    image = torch.randn(1, 1, 300, 332)
    with torch.no_grad():
        whole = model(image)
        part = model.body.net(image[..., 20:224, 36:240])  # 16 n - 92: the pools fall alike
        assert whole.shape == (1, 2, 300, 332)
        torch.testing.assert_close(whole[..., 112:132, 128:148], part, atol=1e-5, rtol=1e-5)
        padded = np.pad(image[0, 0].numpy(), ((92, 92 + 8), (92, 92 + 8)), mode="reflect")  # to 16 n + 12
        slow = model.body.net(torch.from_numpy(padded)[None, None])[..., :300, :332]
        assert torch.equal(whole, slow)


@pytest.mark.parametrize("side", [1, 2, 3, 50])
def test_mirrored_is_numpy_s_reflection(side):
    x = torch.randn(2, side)
    expected = np.pad(x.numpy(), ((0, 0), (7, 9)), mode="reflect")
    assert np.array_equal(mirrored(x, -1, before=7, after=9).numpy(), expected)


def test_centre_leaves_as_much_on_either_side():
    assert centre_crop(torch.arange(7.0)[None], (1, 3)).tolist() == [[2, 3, 4]]


def test_a_padded_unet_of_2015_and_one_with_norm():
    assert not any(isinstance(m, nn.BatchNorm2d) for m in build("unet").modules())
    normed = build("unet", norm=True)
    convs = [m for m in normed.body.encoder.modules() if isinstance(m, nn.Conv2d)]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in normed.body.encoder.modules()) == len(convs) == 10
    assert all(conv.bias is None for conv in convs)


def test_dropout_is_at_the_end_of_the_contracting_path():
    with_drop, without = build("unet", dropout=0.5), build("unet", dropout=0.0)
    without.load_state_dict(with_drop.state_dict())
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        assert not torch.equal(with_drop.train()(image), with_drop(image))
        assert torch.equal(without.train()(image), without.eval()(image))
        assert torch.equal(with_drop.eval()(image), without(image))


def test_he_normal_keeps_the_spread_of_a_deep_plain_network():
    torch.manual_seed(0)
    x = torch.randn(1, 1, 128, 128)
    for block in list(build("unet", width=0.5).body.encoder):
        x = block(x)
    assert 0.2 < x.square().mean().sqrt() < 5


# U-Net++


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_a_head_needs_no_deeper_node(levels):
    """The pruned network has none of them, and gives the whole network's answer at that head."""
    whole = build("unetpp", deep_supervision=True)
    pruned = build("unetpp", levels=levels)
    rows = {int(key.split("_")[0]) + int(key.split("_")[1]) for key in pruned.body.nodes}
    assert max(rows) == levels == len(pruned.body.encoder) - 1
    found = pruned.load_state_dict(whole.state_dict(), strict=False)
    assert not found.missing_keys
    image = torch.randn(2, 1, 64, 80)
    with torch.no_grad():
        deep = whole.train()(image)["deep"]
        assert len(deep) == 4
        expected = torch.stack(deep).mean(0) if levels == 4 else deep[levels - 1]
        assert torch.equal(pruned.eval()(image), expected)


def test_pruning_leaves_out_work():
    counts = [sum(p.numel() for p in build("unetpp", levels=n).parameters()) for n in (1, 2, 3, 4)]
    assert counts[0] * 3 < counts[1]
    assert counts[1] * 3 < counts[2]
    assert counts[2] * 3 < counts[3]


def test_the_answer_is_the_mean_of_the_heads():
    model = build("unetpp", deep_supervision=True)
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        out = model.train()(image)
        torch.testing.assert_close(out["out"], sum(out["deep"]) / 4)
        assert torch.equal(model.eval()(image), out["out"])


def test_on_an_encoder_the_name_is_the_library_s():
    ours = models.create("unetpp", classes=2, encoder="tu-resnet18")
    theirs = models.create("unetplusplus", classes=2, encoder="tu-resnet18")
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert ours.config["name"] == "unetpp"
    assert type(ours.body) is type(theirs.body)


# U-Net 3+


def test_every_decoder_stage_takes_all_five_scales():
    body = build("unet3plus").body
    assert sorted(body.take) == [f"{d}_{source}" for d in range(4) for source in range(5)]
    body.eval()
    with torch.no_grad():
        image = torch.randn(1, 1, 64, 64)
        before = body(image)
        for take in body.take.values():  # each matters
            kept = take[0].weight.clone()
            take[0].weight.zero_()
            assert not torch.equal(body(image), before)
            take[0].weight.copy_(kept)
        assert torch.equal(body(image), before)


def test_full_scale_deep_supervision():
    model = build("unet3plus", deep_supervision=True).train()
    image = torch.randn(1, 1, 64, 96)
    raw = model.body(image)["deep"]
    assert [tuple(x.shape[-2:]) for x in raw] == [(32, 48), (16, 24), (8, 12), (4, 6)]
    assert [tuple(x.shape) for x in model(image)["deep"]] == [(1, 2, 64, 96)] * 4


def test_the_gate_is_a_product_of_probabilities():
    torch.manual_seed(0)
    logits, cls = 4 * torch.randn(3, 2, 5, 5).double(), 4 * torch.randn(3, 2).double()
    soft = gated(logits, cls, hard=False)
    torch.testing.assert_close(soft.sigmoid(), logits.sigmoid() * cls.sigmoid()[..., None, None])
    far = gated(torch.full((1, 1, 1, 1), 200.0), torch.tensor([[-300.0]]), hard=False)
    assert far.item() == -300  # where the product itself would be 0 and its logit infinite
    hard = gated(logits, cls, hard=True)
    for image, label in np.ndindex(3, 2):
        kept = cls[image, label] > 0
        assert torch.equal(hard[image, label], logits[image, label]) == kept
        assert kept or (hard[image, label] <= ABSENT).all()


def test_the_gate_trains_by_its_own_loss_and_by_the_pixels():
    model = build("unet3plus", cgm=True).train()
    out = model(torch.randn(2, 1, 64, 64))
    assert set(out) == {"out", "cls"}
    assert out["cls"].shape == (2, 2)
    weight = model.body.cgm[1].weight
    (own,) = torch.autograd.grad(out["cls"].sum(), weight, retain_graph=True)
    (pixels,) = torch.autograd.grad(out["out"].sum(), weight)
    assert own.any()
    assert pixels.any()


def test_the_gate_learns_which_classes_an_image_holds():
    """Bright images hold the first class, dark ones the second; a few steps on "cls" alone find it."""
    model = build("unet3plus", cgm=True).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    bright = torch.tensor([1.0, -1.0, 1.0, -1.0])
    image = bright[:, None, None, None] + 0.2 * torch.randn(4, 1, 64, 64)
    present = torch.stack([bright > 0, bright < 0], 1).float()
    for _ in range(30):
        loss = F.binary_cross_entropy_with_logits(model(image)["cls"], present)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
    with torch.no_grad():
        logits = model.train()(image)["out"]
    assert (logits.sigmoid().amax((2, 3))[present == 0] < 0.2).all()


# The others


def test_residual_blocks_are_pre_activated_and_the_shortcut_is_linear():
    block = Residual(4, 8, stride=2)
    assert isinstance(block.body[0], nn.BatchNorm2d)
    assert not isinstance(Residual(4, 8, first=True).body[0], nn.BatchNorm2d)
    nn.init.zeros_(block.body[-1].weight)
    nn.init.zeros_(block.body[-1].bias)
    block.eval()
    x, y = torch.randn(2, 1, 4, 9, 9)
    with torch.no_grad():
        zero = block(torch.zeros_like(x))
        torch.testing.assert_close(block(x + y) - zero, block(x) + block(y) - 2 * zero, atol=1e-5, rtol=1e-5)


def test_attention_weighs_pixels_between_0_and_1():
    torch.manual_seed(0)
    gate = Gate(6).eval()
    signal, skip = torch.randn(2, 6, 5, 7), torch.randn(2, 6, 5, 7)
    with torch.no_grad():
        weights = gate.weights(signal, skip)
        assert weights.shape == (2, 1, 5, 7)
        assert ((weights > 0) & (weights < 1)).all()
        torch.testing.assert_close(gate(signal, skip), skip * weights)
        nn.init.zeros_(gate.psi[0].weight)
        nn.init.constant_(gate.psi[0].bias, 50.0)  # wide open: the plain U-Net's skip
        torch.testing.assert_close(gate(signal, skip), skip)


def test_multires_blocks_split_as_the_paper_does():
    """1.67 x 32 = 53.44, of which 1/6, 1/3 and 1/2."""
    assert split(32) == [8, 17, 26]
    body = models.create("multiresunet", classes=1).body
    assert [len(path.bodies) for path in body.paths] == [4, 3, 2, 1]
    assert [block.channels for block in body.encoder] == [51, 105, 212, 426, 853]


@pytest.mark.parametrize("name", ["unet", "unetpp", "unet3plus", "resunet", "attention_unet", "multiresunet"])
def test_thirty_steps_learn_a_square(name):
    model = build(name, **({"dropout": 0.0} if name == "unet" else {})).train()
    target = torch.zeros(1, 2, 64, 64)
    target[..., 16:40, 20:50] = 1
    image = target[:, :1] + 0.1 * torch.randn(1, 1, 64, 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3 if name in ("unet", "unetpp") else 1e-2)
    losses = []
    for _ in range(30):
        losses.append(F.binary_cross_entropy_with_logits(model(image), target))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 4
