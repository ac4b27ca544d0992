"""Batch-norm statistics against torch's own update_bn."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from segkit import models
from segkit.averaging import (
    SWA,
    Measured,
    has_batch_norm,
    measured_bn,
    update_bn,
)


def net(value=None):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    if value is not None:
        with torch.no_grad():
            for tensor in [*model.parameters(), model[1].running_mean, model[1].running_var]:
                tensor.fill_(value)
    return model


def test_update_bn_agrees_with_torch_and_leaves_the_rest():
    """Without dropout before it, torch's own is the judge; modes and momenta come back."""
    torch.manual_seed(0)
    model = net()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    theirs = copy.deepcopy(model)
    batches = [torch.randn(3, 1, 8, 8) * 3 + 1 for _ in range(4)]
    swa_utils.update_bn(batches, theirs)
    update_bn(model, [batches[0], *({"image": b, "target": None} for b in batches[1:])])
    torch.testing.assert_close(model[1].running_mean, theirs[1].running_mean)
    torch.testing.assert_close(model[1].running_var, theirs[1].running_var)
    assert model[1].momentum == 0.1
    assert [module.training for module in model.modules()] == modes


def test_update_bn_without_inputs_leaves_the_statistics():
    model = net(4.0)
    with pytest.raises(ValueError, match="no inputs"):
        update_bn(model, [])
    assert (model[1].running_mean == 4).all()
    assert model[1].momentum == 0.1
    update_bn(nn.Conv2d(1, 1, 1), [])  # nothing to do


@pytest.mark.parametrize("wrap", [tuple, list])
def test_update_bn_takes_the_batches_of_any_loader(wrap):
    images = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 2
    one, other = net(1.0), net(1.0)
    update_bn(one, images.split(3))
    update_bn(other, [wrap([batch, torch.zeros(3)]) for batch in images.split(3)])
    assert torch.equal(one[1].running_mean, other[1].running_mean)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, torch.zeros(6)), batch_size=3)
    update_bn(other, loader)
    assert torch.equal(one[1].running_mean, other[1].running_mean)


@pytest.mark.parametrize("batch", [{"target": torch.zeros(1)}, (), ["image"], "image", None, {"image": [1.0]}])
def test_a_batch_without_an_image_is_named_and_changes_nothing(batch):
    model = net(4.0)
    with pytest.raises(ValueError, match=r"expected batches of images.*, got a "):
        update_bn(model, [batch])
    assert (model[1].running_mean == 4).all()


def test_frozen_norms_keep_their_statistics():
    """Those whose scales do not learn, and those that the network's train() leaves in eval mode, in averages of it
    too; in an average of a network that is not frozen all are estimated anew, though no parameter of it learns."""
    images = [torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))]
    half = nn.Sequential(net(4.0), nn.Conv2d(2, 1, 1), net(4.0))
    half[0][1].requires_grad_(False)
    update_bn(half, images)
    assert (half[0][1].running_mean == 4).all()
    assert (half[2][1].running_mean != 4).any()

    average = SWA(net(4.0)).module
    update_bn(average, images)
    assert (average[1].running_mean != 4).any()

    small = {"classes": ("a",), "blocks": (1, 1, 1, 1)}
    frozen = models.create("deeplabv2_resnet101", frozen_norm=True, **small)
    for model in (frozen, SWA(frozen).module):
        before = [norm.running_mean.clone() for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)]
        modes = [module.training for module in model.modules()]
        update_bn(model, [torch.randn(2, 1, 33, 33)])
        after = [norm.running_mean for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)]
        assert before
        assert all(map(torch.equal, before, after))
        assert not has_batch_norm(model)
        assert [module.training for module in model.modules()] == modes


@pytest.mark.parametrize(("wanted", "kept"), [(0.0, "after"), (4.0, "before")])
def test_estimating_anew_is_measured_and_the_better_is_kept(wanted, kept):
    """Images of mean 0 have statistics near 0: right for one score, wrong for another; neither is taken on trust."""
    model = net(4.0)
    nn.init.zeros_(model[0].bias)
    asked = []

    def score(model):
        asked.append(model[1].running_mean.mean().item())
        return -abs(asked[-1] - wanted)

    draw = torch.Generator().manual_seed(0)
    found = measured_bn(model, [torch.randn(4, 1, 8, 8, generator=draw) for _ in range(4)], score)
    assert len(asked) == 2
    assert (found.before, found.after) == tuple(-abs(value - wanted) for value in asked)
    assert found.kept == kept
    assert model[1].running_mean.mean().item() == asked[kept == "after"]
    assert measured_bn(nn.Conv2d(1, 1, 1), [], lambda model: 7.0) == Measured(7.0, 7.0)
