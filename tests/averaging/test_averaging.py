"""Averages counted by hand, against torch's own, and through files."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import swa_utils

from segkit import models
from segkit.averaging import (
    EMA,
    SWA,
    Measured,
    average,
    greedy_soup,
    has_batch_norm,
    load_weights,
    measured_bn,
    save_weights,
    update_bn,
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
    equal = swa_utils.AveragedModel(start)
    for model in models:
        ema.update(model)
        swa.update(model)
        theirs.update_parameters(model)
        equal.update_parameters(model)
    for ours, other in [(ema, theirs), (swa, equal)]:
        for a, b in zip(ours.module.parameters(), other.module.parameters(), strict=True):
            torch.testing.assert_close(a, b)
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


def test_the_average_is_apart_from_the_model_and_can_be_written_back():
    model = net(1.0)
    swa = SWA(model)
    swa.update(net(3.0))
    assert (model[0].weight == 1).all()
    assert not any(p.requires_grad for p in swa.module.parameters())
    assert not swa.module.training
    swa.copy_to(model)
    assert (model[0].weight == 3).all()
    assert (model[1].running_var == 3).all()
    assert model[0].weight.requires_grad
    assert model.training


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


def test_average_of_dicts_and_files(tmp_path):
    states = [net(v).state_dict() for v in (1.0, 2.0, 6.0)]
    for step, state in enumerate(states):
        state["1.num_batches_tracked"] += step
    save_weights(states[1], tmp_path / "b.safetensors")
    torch.save(states[2], tmp_path / "c.pth")
    before = copy.deepcopy(states[0])
    mean = average([states[0], tmp_path / "b.safetensors", str(tmp_path / "c.pth")])
    assert mean.keys() == states[0].keys()
    assert mean["1.num_batches_tracked"] == 2
    assert all((v == 3).all() for k, v in mean.items() if k != "1.num_batches_tracked")
    assert all(v.dtype == states[0][k].dtype for k, v in mean.items())
    assert all(torch.equal(v, before[k]) for k, v in states[0].items())
    net().load_state_dict(mean)
    save_weights(mean, tmp_path / "mean.safetensors")
    assert load_weights(tmp_path / "mean.safetensors").keys() == mean.keys()


def test_average_does_not_depend_on_order_and_keeps_half_precision():
    draw = torch.Generator().manual_seed(0)
    states = [{"w": torch.randn(1000, generator=draw)} for _ in range(7)]
    assert torch.equal(average(states)["w"], average(states[::-1])["w"])
    halves = [{"w": torch.tensor([60000.0]).half()}] * 3
    assert average(halves)["w"].item() == 60000
    assert average(halves)["w"].dtype == torch.float16


@pytest.mark.parametrize("other", [{"w": torch.zeros(2), "b": torch.zeros(1)}, {"w": torch.zeros(3)}, {}])
def test_average_refuses_strangers(other):
    with pytest.raises(ValueError, match=r"checkpoint 1 differs from those before in '[wb]'"):
        average([{"w": torch.zeros(2)}, other])
    with pytest.raises(ValueError, match="no checkpoints"):
        average([])


def test_greedy_soup_keeps_what_helps():
    """The best value is 5: from 4, adding 7 overshoots less (5.5) than it was short; adding 0 or 20 does not help."""
    asked = []

    def score(state):
        asked.append(state["w"].item())
        return -abs(state["w"].item() - 5)

    soup = greedy_soup([{"w": torch.tensor([v])} for v in (20.0, 7.0, 4.0, 0.0)], score)
    assert soup.state["w"].item() == 5.5
    assert soup.members == (2, 1)
    assert (soup.score, soup.scores) == (-0.5, (-15, -2, -1, -5))
    assert asked[:4] == [20, 7, 4, 0]
    assert len(asked) == 7
    known = greedy_soup([{"w": torch.tensor([v])} for v in (20.0, 7.0, 4.0, 0.0)], score, scores=soup.scores)
    assert known == soup
    assert len(asked) == 7 + 3
    alone = greedy_soup([{"w": torch.tensor([v])} for v in (5.0, 5.0, 9.0)], lambda s: -abs(s["w"].item() - 5))
    assert alone.state["w"].item() == 5
    assert alone.members == (0,)
    with pytest.raises(ValueError, match="soup"):
        greedy_soup([], score)
    with pytest.raises(ValueError, match="1 scores for 2 checkpoints"):
        greedy_soup([{}, {}], score, scores=[1.0])


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
    with pytest.raises(ValueError, match="are wanted as a batch, got a "):
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


def test_nan_never_wins_a_soup(tmp_path):
    score = {1.0: float("nan"), 3.0: 0.2, 5.0: 0.6}
    soup = greedy_soup(
        [{"w": torch.tensor([v])} for v in score], lambda state: score.get(state["w"].item(), float("nan"))
    )
    assert soup.members == (2,)
    assert soup.score == 0.6
    assert len(soup.scores) == 3
    save_weights({"w": torch.tensor([1.0])}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"every checkpoint scores NaN \(number 0, .*b\.safetensors\)"):
        greedy_soup([{"w": torch.tensor([1.0])}, tmp_path / "b.safetensors"], lambda state: float("nan"))


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
