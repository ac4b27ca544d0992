"""EMA and SWA counted by hand, and against torch's own."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from segkit.averaging import (
    EMA,
    SWA,
)


def net(value=None):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    if value is not None:
        with torch.no_grad():
            for tensor in [*model.parameters(), model[1].running_mean, model[1].running_var]:
                tensor.fill_(value)
    return model


def test_ema_by_hand():
    """.9 of 0 and .1 of 10 is 1; then .9 of 1 and .1 of 20 is 2.9. Buffers are those of the last model."""
    ema = EMA(net(0.0), decay=0.9, warmup=False)
    ema.update(net(10.0))
    assert all(torch.allclose(p, torch.tensor(1.0)) for p in ema.module.parameters())
    ema.update(net(20.0))
    assert all(torch.allclose(p, torch.tensor(2.9)) for p in ema.module.parameters())
    assert (ema.module[1].running_mean == 20).all()


def test_ema_warmup_by_hand():
    """Keep 1/10, then 2/11, then 3/12 of the average, and never more than the decay."""
    ema = EMA(net(0.0), decay=0.2)
    kept = []
    for _ in range(4):
        before = ema.module[0].bias[0].item()
        ema.update(net(1.0))
        kept.append((1 - ema.module[0].bias[0].item()) / (1 - before))
    assert kept == pytest.approx([0.1, 2 / 11, 0.2, 0.2], abs=1e-4)


def test_ema_and_swa_agree_with_torch():
    torch.manual_seed(0)
    start = net()
    models = [net() for _ in range(4)]
    ema, swa = EMA(start, decay=0.7, warmup=False), SWA(start)
    theirs = swa_utils.AveragedModel(start, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.7))
    theirs.update_parameters(start)  # its first call copies
    equal = swa_utils.AveragedModel(start, multi_avg_fn=swa_utils.get_swa_multi_avg_fn())
    for model in models:
        ema.update(model)
        swa.update(model)
        theirs.update_parameters(model)
        equal.update_parameters(model)
    for ours, other in [(ema, theirs), (swa, equal)]:
        for a, b in zip(ours.module.parameters(), other.module.parameters(), strict=True):
            assert torch.equal(a, b)  # to the bit
    by_hand = torch.stack([model[0].weight for model in models]).mean(0)
    torch.testing.assert_close(swa.module[0].weight, by_hand)


@pytest.mark.parametrize("kind", [lambda model: EMA(model, decay=0.5), SWA])
def test_stopping_and_going_on_changes_nothing(kind, tmp_path):
    torch.manual_seed(0)
    start, models = net(), [net() for _ in range(4)]
    whole = kind(start)
    for model in models:
        whole.update(model)
    first = kind(start)
    for model in models[:2]:
        first.update(model)
    torch.save(first.state_dict(), tmp_path / "resume.ckpt")
    second = kind(net())
    second.load_state_dict(torch.load(tmp_path / "resume.ckpt", weights_only=True))
    for model in models[2:]:
        second.update(model)
    for a, b in zip(whole.module.state_dict().values(), second.module.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_average_is_apart_from_the_model():
    model = net(1.0)
    swa = SWA(model)
    swa.update(net(3.0))
    assert (model[0].weight == 1).all()
    assert not any(p.requires_grad for p in swa.module.parameters())
    assert not swa.module.training
    assert (swa.module[0].weight == 3).all()
    assert (swa.module[1].running_var == 3).all()
    assert model[0].weight.requires_grad
    assert model.training
    assert torch.equal(swa(torch.ones(1, 1, 3, 3)), swa.module(torch.ones(1, 1, 3, 3)))


def test_small_steps_survive_half_precision():
    """.999 of 1 and .001 of 2, in bfloat16, would be 1 for ever."""
    model = nn.Linear(1, 1).bfloat16()
    nn.init.ones_(model.weight)
    ema = EMA(model, decay=0.999, warmup=False)
    nn.init.constant_(model.weight, 2.0)
    for _ in range(100):
        ema.update(model)
    assert ema.module.weight.item() == pytest.approx(2 - 0.999**100, rel=1e-4)


def test_a_wrapped_model_updates_too_and_another_does_not():
    class Wrapped(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self._orig_mod = inner

    ema = EMA(net(0.0), decay=0.5, warmup=False)
    ema.update(Wrapped(net(1.0)))
    assert (ema.module[0].weight == 0.5).all()
    with pytest.raises(ValueError, match="do not fit"):
        ema.update(nn.Conv2d(1, 1, 1))
    for decay in (1.0, None, float("nan")):
        with pytest.raises(ValueError, match="decay"):
            EMA(net(), decay=decay)


@pytest.mark.parametrize("kind", [lambda model: EMA(model, decay=0.5, warmup=False), SWA])
@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_goes_on_by_itself(kind, again):
    average = kind(net(0.0))
    average.update(net(1.0))
    other = again(average)
    for value in (3.0, 5.0):
        other.update(net(value))
        average.update(net(value))
    for a, b in zip(average.module.parameters(), other.module.parameters(), strict=True):
        assert torch.equal(a, b)
    other.update(net(9.0))
    assert int(average.n_averaged) == int(other.n_averaged) - 1
