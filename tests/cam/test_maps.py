"""Class activation maps: what they are on networks where it can be said exactly, and that nothing is left behind."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segkit import cam
from segkit.cam.maps import _weighted_sum


def gap_net(seed: int = 0, *, in_channels: int = 1, bias: bool = True) -> nn.Sequential:
    """Convolutions, mean over space, linear; 4 classes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(in_channels, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 5, 3, stride=2),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(5, 4, bias=bias),
        )


def image(seed: int = 0, size: tuple[int, int] = (17, 22), n: int = 2) -> torch.Tensor:
    return torch.randn(n, 1, *size, generator=torch.Generator().manual_seed(seed))


METHODS = {
    "cam": partial(cam.cam, layer="4", head="8"),
    "grad_cam": partial(cam.grad_cam, layer="4"),
    "score_cam": partial(cam.score_cam, layer="4"),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(17, 22), (3, 3), (16, 5)])
def test_the_mean_of_cam_and_the_bias_are_the_logit(size: tuple[int, int], bias: bool) -> None:
    net, x = gap_net(bias=bias).eval(), image(size=size)
    maps = cam.cam(net, x, layer="4", head="8")
    expected = net(x) - (net[8].bias if bias else 0)
    torch.testing.assert_close(maps.mean((2, 3)), expected, rtol=1e-5, atol=1e-6)
    assert maps.shape == (2, 4, (size[0] - 1) // 2, (size[1] - 1) // 2)


def test_cam_is_grad_cam_on_a_gap_net_up_to_the_number_of_pixels() -> None:
    net, x = gap_net(), image()
    maps, graded = cam.cam(net, x, layer="4", head="8"), cam.grad_cam(net, x, layer="4")
    pixels = maps.shape[2] * maps.shape[3]
    assert maps.relu().max() > 0.01
    assert (pixels * graded - maps.relu()).abs().max() < 1e-5 * maps.abs().max()


def test_grad_cam_by_hand_where_no_mean_is_taken() -> None:
    """logit = 3 x first pixel of channel 0 - 2 x last pixel of channel 1, on 1 x 2 pixels: weights 1.5 and -1."""
    net = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.Flatten(), nn.Linear(4, 1, bias=False))
    net[0].weight.data = torch.eye(2)[..., None, None]
    net[2].weight.data = torch.tensor([[3.0, 0.0, 0.0, -2.0]])
    x = torch.tensor([[[[4.0, 1.0]], [[2.0, 5.0]]]])
    assert cam.grad_cam(net, x, layer="0").tolist() == [[[[4.0, 0.0]]]]  # 1.5 * 4 - 2, max(0, 1.5 - 5)


def test_score_cam_by_hand_on_a_linear_toy() -> None:
    """Two channels of two pixels; masks [1, 0] and [0, 1]; the logit is the first pixel plus twice the second."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AvgPool2d(1), nn.Flatten(), nn.Linear(4, 1, bias=False))
    net[0].weight.data = torch.tensor([2.0, -1.0]).view(2, 1, 1, 1)
    net[3].weight.data = torch.tensor([[0.5, 1.0, 0.0, 0.0]])
    x = torch.tensor([[[[3.0, 1.0]]]])  # channels [6, 2] and [-3, -1]
    a, b = math.exp(3.0 * 2 * 0.5), math.exp(1.0 * 2)  # the image is [3, 0] under one mask, [0, 1] under the other
    expected = (torch.tensor([6.0, 2.0]) * a + torch.tensor([-3.0, -1.0]) * b) / (a + b)
    torch.testing.assert_close(cam.score_cam(net, x, layer="0")[0, 0, 0], expected.relu())
    seen = cam.score_cam(net, x, layer="0", fill=4.0)[0, 0, 0]
    c, d = math.exp(3.0 + 2 * 4.0), math.exp(4.0 + 2 * 1.0)  # [3, 4] and [4, 1]
    expected = (torch.tensor([6.0, 2.0]) * c + torch.tensor([-3.0, -1.0]) * d) / (c + d)
    torch.testing.assert_close(seen, expected.relu())


def test_score_cam_is_its_slow_twin_whatever_the_batch() -> None:
    net, x = gap_net(3).eval(), image(4)
    with torch.no_grad():
        features = net[:5](x)
        slow = torch.zeros(2, 4, *features.shape[2:])
        for n in range(2):
            for c in range(4):
                scores = []
                for plane in features[n]:
                    mask = (plane - plane.min()) / (plane.max() - plane.min())
                    mask = F.interpolate(mask[None, None], x.shape[2:], mode="bilinear")
                    scores.append(net(x[n : n + 1] * mask)[0, c])
                weights = torch.stack(scores).softmax(0)
                slow[n, c] = (weights[:, None, None] * features[n]).sum(0).relu()
    for batch_size in (1, 3, 32):
        torch.testing.assert_close(cam.score_cam(net, x, layer="4", batch_size=batch_size), slow)


def test_a_channel_that_masks_nothing_has_no_weight() -> None:
    net = gap_net(5).eval()
    blank = torch.zeros(1, 1, 9, 9)
    net[0].padding = net[3].padding = (0, 0)
    assert not cam.score_cam(net, blank, layer="4").any()  # every channel is the same everywhere


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_left_behind(name: str) -> None:
    net, x = gap_net(), image()
    net.train()
    net[1].eval()
    net[3].weight.requires_grad_(False)
    net[0].weight.grad = torch.full_like(net[0].weight, 7)
    modes = {k: m.training for k, m in net.named_modules()}
    state, untouched = {k: v.clone() for k, v in net.state_dict().items()}, x.clone()
    maps = METHODS[name](net, x)
    assert not maps.requires_grad
    assert {k: m.training for k, m in net.named_modules()} == modes
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in state.items())
    assert all(not m._forward_hooks and not m._backward_hooks for m in net.modules())
    assert (net[0].weight.grad == 7).all()
    assert net[8].weight.grad is None
    assert torch.equal(x, untouched)
    assert x.grad is None


@pytest.mark.parametrize("name", METHODS)
def test_a_network_that_fails_is_left_as_it_was(name: str) -> None:
    net = gap_net().train()
    with pytest.raises(RuntimeError):
        METHODS[name](net, torch.zeros(2, 3, 9, 9))  # one channel is wanted
    assert all(module.training and not module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("name", METHODS)
def test_each_image_and_class_for_itself(name: str) -> None:
    net, x = gap_net(), image(n=3)
    whole = METHODS[name](net, x)
    torch.testing.assert_close(METHODS[name](net, x[1:2]), whole[1:2])
    torch.testing.assert_close(METHODS[name](net, x, classes=[2, 0]), whole[:, [2, 0]])


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_in_any_mode_and_of_frozen_weights(name: str, around: type) -> None:
    net, x = gap_net().requires_grad_(False), image()
    expected = METHODS[name](gap_net(), x)
    with around():
        torch.testing.assert_close(METHODS[name](net, x.clone()), expected)


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_networks_have_maps_in_full(name: str) -> None:
    net, x = gap_net(), image()
    expected = METHODS[name](net, x)
    with torch.autocast("cpu", torch.bfloat16):
        found = METHODS[name](net, x)
    halved = METHODS[name](net.bfloat16(), x.bfloat16())
    for maps in (found, halved):
        assert maps.dtype == torch.float32
        torch.testing.assert_close(maps, expected, rtol=0.05, atol=0.05 * expected.abs().max().item())


def test_devices_without_autocast_weigh_too() -> None:
    weights, planes = torch.ones(5, 4, device="meta"), torch.ones(5, 8, 10, device="meta")
    assert _weighted_sum("kc,khw->chw", weights, planes).shape == (4, 8, 10)


def test_layers_are_modules_too_and_what_follows_may_work_in_place() -> None:
    net, x = gap_net(), image()
    before = cam.grad_cam(net, x, layer=net[3])  # an in-place ReLU follows
    plain = gap_net()
    plain[4] = nn.ReLU()
    torch.testing.assert_close(before, cam.grad_cam(plain, x, layer="3"))
    torch.testing.assert_close(cam.cam(net, x, layer=net[4], head=net[8]), cam.cam(net, x, layer="4", head="8"))


def test_a_classifiers_own_maps_are_its_cam() -> None:
    torch.manual_seed(0)
    model = cam.Classifier(nn.Conv2d(1, 5, 3, stride=2), channels=5, classes=3).eval()
    x = image()
    torch.testing.assert_close(cam.cam(model, x, layer="features", head="head"), model.maps(x))
    torch.testing.assert_close(model(x), model.maps(x).mean((2, 3)))


def test_views_of_an_equivariant_network_say_what_one_look_says() -> None:
    x = image(size=(8, 12))
    look = cam.over_views(lambda shown: torch.cat([shown, 2 * shown], 1), x, views="d4")
    torch.testing.assert_close(look, torch.cat([x, 2 * x], 1))
    flat = torch.full((1, 1, 9, 13), 0.5)  # the same at every scale
    torch.testing.assert_close(cam.over_views(lambda s: 3 * s, flat, views="hflip, scale(0.5), scale(2)"), 3 * flat)


def test_views_of_coarse_maps_come_out_at_the_images_size_and_swap_sides() -> None:
    net, x = gap_net(), image(size=(16, 16))
    maps = partial(cam.cam, net, layer="4", head="8")
    one = F.interpolate(maps(x), x.shape[2:], mode="bilinear")
    mirrored = F.interpolate(maps(x.flip(-1)), x.shape[2:], mode="bilinear").flip(-1)[:, [1, 0, 2, 3]]
    torch.testing.assert_close(cam.over_views(maps, x, views="hflip", class_swaps=[(0, 1)]), (one + mirrored) / 2)
    torch.testing.assert_close(cam.over_views(maps, x, views="none"), one)


def test_grad_cam_of_a_torchvision_classifier() -> None:
    resnet = pytest.importorskip("torchvision").models.resnet18(weights=None, num_classes=3)
    x = torch.randn(1, 3, 64, 64)
    maps = cam.cam(resnet, x, layer="layer4", head="fc")
    graded = cam.grad_cam(resnet, x, layer="layer4")
    assert maps.shape == (1, 3, 2, 2)
    assert (4 * graded - maps.relu()).abs().max() < 1e-4 * maps.abs().max()


class Twice(nn.Module):
    """Runs a layer twice, and has one that does nothing for the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.aside, self.linear = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), nn.Linear(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.aside(x)
        return self.linear(self.layer(self.layer(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, x: cam.cam(n, x, layer="4", head="3"), "as head, got Conv2d"),
        (lambda n, x: cam.cam(n, x, layer="2", head="8"), "the head takes 5 channels for 4 classes"),
        (lambda n, x: cam.cam(n, x, layer="3", head="8"), "the maps' means are not the logits"),
        (lambda n, x: cam.grad_cam(n, x, layer="44"), "no layer '44'; did you mean 4"),
        (lambda n, x: cam.grad_cam(n, x, layer=nn.ReLU()), "no part of the model"),
        (lambda n, x: cam.grad_cam(n, x, layer="6"), r"got \(2, 5\)"),
        (lambda n, x: cam.grad_cam(n, x, layer="4", classes=[4]), "0 to 3"),
        (lambda n, x: cam.grad_cam(n, x, layer="4", classes=[]), "0 to 3"),
        (lambda n, x: cam.grad_cam(n, x[0], layer="4"), "expected float images"),
        (lambda n, x: cam.grad_cam(n, x.to(torch.uint8), layer="4"), "expected float images"),
        (lambda n, x: cam.grad_cam(n[:5], x, layer="4"), "a classifier's logits"),
        (lambda n, x: cam.grad_cam(Twice(), x, layer="layer"), "ran 2 times"),
        (lambda n, x: cam.grad_cam(Twice(), x, layer="aside"), "do not depend on the layer"),
        (lambda n, x: cam.score_cam(n, x, layer="4", batch_size=0), "batch_size of at least 1, got 0"),
        (lambda n, x: cam.over_views(n.eval(), x), r"expected maps \(N, C, h, w\), got \(2, 4\)"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(gap_net(), image())  # type: ignore[operator]


def test_maps_point_at_what_a_trained_network_names() -> None:
    """A spot of one of two signs says the class; the map's maximum lies on it, as an untrained network's does not."""
    random = np.random.default_rng(0)
    x = torch.zeros(64, 1, 16, 16)
    places = random.integers(2, 14, (64, 2))
    signs = random.integers(0, 2, 64)
    for n, (top, left) in enumerate(places):
        x[n, 0, top - 1 : top + 2, left - 1 : left + 2] = 1 if signs[n] else -1
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU())
    model = cam.Classifier(body, channels=8, classes=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    labels = F.one_hot(torch.from_numpy(signs), 2).float()
    for _ in range(60):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(x), labels).backward()
        optimizer.step()
    for maps in (cam.cam(model, x, layer="features", head="head"), cam.grad_cam(model, x, layer="features")):
        best = maps[torch.arange(64), signs].flatten(1).argmax(1)
        away = np.abs(np.stack([best // 16, best % 16], 1) - places).max(1)
        assert (away <= 2).mean() > 0.95
