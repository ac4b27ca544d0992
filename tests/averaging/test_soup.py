"""Averages and soups of checkpoints, through files."""

import copy

import pytest
import torch
from torch import nn

from segkit.averaging import (
    average,
    greedy_soup,
    load_weights,
    save_weights,
)


def net(value=None):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    if value is not None:
        with torch.no_grad():
            for tensor in [*model.parameters(), model[1].running_mean, model[1].running_var]:
                tensor.fill_(value)
    return model


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


def test_a_model_instead_of_its_state_is_named():
    with pytest.raises(ValueError, match=r"checkpoint 0 is a Sequential; expected a state dict \(model.state_dict"):
        average([net()])
    with pytest.raises(ValueError, match="checkpoint 1 is a Sequential"):
        greedy_soup([net().state_dict(), net()], lambda state: 0.0)


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
    with pytest.raises(ValueError, match="each of 2 checkpoints, got 1 scores"):
        greedy_soup([{}, {}], score, scores=[1.0])


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
