"""SegNet: what unpooling keeps, which sizes survive it, and what its dropout says about doubt."""

import pytest
import torch
from torch import nn

from segkit import models
from segkit.models.papers.segnet import UnpoolingNet, monte_carlo

NARROW = {"width": 1 / 16}


def test_only_the_maxima_come_back_and_to_their_places():
    """One level of nothing but pooling: of each 2 x 2 the largest stays; the odd last row and column are lost."""
    plain = nn.ModuleList([nn.Identity()])
    body = UnpoolingNet(plain, plain, nn.Conv2d(1, 1, 1), dropout=(0,))
    nn.init.ones_(body.head.weight)
    nn.init.zeros_(body.head.bias)
    image = torch.tensor([[1.0, 2, 5, 1, 9], [3, 4, 2, 3, 9], [9, 9, 9, 9, 9]])[None, None]
    kept = [[0, 0, 5, 0, 0], [0, 4, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert body(image)[0, 0].tolist() == kept


@pytest.mark.parametrize("name", ["segnet", "segnet_basic"])
@pytest.mark.parametrize("size", [(33, 32), (67, 135), (64, 95)])
def test_sizes_that_pooling_does_not_divide(name, size):
    body = models.create(name, classes=2, **NARROW).eval().body
    with torch.no_grad():
        assert body(torch.randn(1, 1, *size)).shape == (1, 2, *size)


def test_the_plans():
    with torch.device("meta"):
        full, basic = (models.create(name, classes=4, in_channels=3).body for name in ("segnet", "segnet_basic"))
    convs = [[m.out_channels for m in block.modules() if isinstance(m, nn.Conv2d)] for block in full.decoder]
    assert convs == [[512, 512, 512], [512, 512, 256], [256, 256, 128], [128, 64], [64]]
    assert full.head.kernel_size == (3, 3)
    assert [len(basic.encoder), len(basic.decoder)] == [4, 4]
    assert isinstance(basic.first, nn.LocalResponseNorm)
    assert {
        m.kernel_size for part in (basic.encoder, basic.decoder) for m in part.modules() if isinstance(m, nn.Conv2d)
    } == {(7, 7)}
    assert not any(isinstance(m, nn.ReLU) for m in basic.decoder.modules())


def test_bayesian_segnet_drops_at_the_three_deepest_levels_both_ways():
    body = models.create("segnet_bayesian", classes=2, **NARROW).train().body
    calls = []
    for level, drop in enumerate(body.drops):
        drop.register_forward_hook(lambda module, args, out, level=level: calls.append((level, type(module).__name__)))
    body(torch.randn(1, 1, 64, 64))
    dropped = [level for level, kind in calls if kind == "Dropout"]
    assert dropped == [2, 3, 4, 4, 3, 2]
    assert {drop.p for drop in body.drops[2:]} == {0.5}


def test_monte_carlo_is_mean_and_variance_of_the_runs():
    model = models.create("segnet_bayesian", classes=2, **NARROW).eval()
    nn.init.normal_(model.body.head.weight)
    image = torch.randn(2, 1, 40, 33)
    torch.manual_seed(5)
    mean, variance = monte_carlo(model, image, samples=7)
    assert not any(module.training for module in model.modules())

    for drop in model.body.drops[2:]:
        drop.train()
    torch.manual_seed(5)
    with torch.no_grad():
        runs = torch.stack([model(image).sigmoid() for _ in range(7)])
    torch.testing.assert_close(mean, runs.mean(0))
    torch.testing.assert_close(variance, runs.var(0))
    assert variance.max() > 1e-4

    model.train()
    monte_carlo(model, image, samples=2)
    assert all(module.training for module in model.modules())


def test_monte_carlo_wants_dropout_and_two_samples():
    with pytest.raises(ValueError, match="no dropout"):
        monte_carlo(models.create("segnet", classes=1, **NARROW), torch.zeros(1, 1, 64, 64))
    with pytest.raises(ValueError, match="at least 2"):
        monte_carlo(models.create("segnet_bayesian", classes=1, **NARROW), torch.zeros(1, 1, 64, 64), samples=1)
