"""Rates counted by hand."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, PolynomialLR, SequentialLR
from torch.optim.swa_utils import SWALR

from segkit.optim import schedules
from segkit.optim.schedules import constant, one_cycle, poly, swa, warmup_cosine


def rates(make, steps, lr=1.0, **settings):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = make(optimizer, **settings)
    out = []
    for _ in range(steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return out


def test_warmup_cosine_by_hand():
    """Three steps up, then cos at 0, 45, 90 and 135 degrees, then the floor for ever."""
    up, down = [0.25, 0.5, 0.75], [1.0, 0.853553, 0.5, 0.146447]
    assert rates(warmup_cosine, 9, warmup=3, total=7) == pytest.approx([*up, *down, 0, 0], abs=1e-6)
    lifted = [0.1 + 0.9 * rate for rate in [*down, 0, 0]]
    assert rates(warmup_cosine, 9, warmup=3, total=7, floor=0.1) == pytest.approx([*up, *lifted], abs=1e-6)


def test_poly_by_hand():
    assert rates(poly, 5, total=4, power=2) == pytest.approx([1, 9 / 16, 4 / 16, 1 / 16, 0])
    assert rates(poly, 4, warmup=1, total=3, power=1, floor=0.5) == pytest.approx([0.5, 1, 0.75, 0.5])


def test_constant_by_hand():
    assert rates(constant, 5, lr=2.0, warmup=3) == pytest.approx([0.5, 1, 1.5, 2, 2])


def sequential(optimizer, *, warmup, then):
    """torch's own linear warm-up, then another scheduler."""
    rise = LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return SequentialLR(optimizer, [rise, then(optimizer)], milestones=[warmup])


@pytest.mark.parametrize(("warmup", "total"), [(5, 20), (1, 4), (7, 9), (100, 1000)])
def test_cosine_and_poly_are_torchs_after_its_linear_warmup(warmup, total):
    rest = total - warmup
    for floor in (0.0, 0.2):
        theirs = rates(
            sequential, total, lr=0.3, warmup=warmup,
            then=lambda o, low=0.3 * floor: CosineAnnealingLR(o, T_max=rest, eta_min=low),
        )  # fmt: skip
        assert rates(warmup_cosine, total, lr=0.3, warmup=warmup, total=total, floor=floor) == pytest.approx(
            theirs, abs=1e-6
        )
    theirs = rates(
        sequential, total, lr=0.3, warmup=warmup, then=lambda o: PolynomialLR(o, total_iters=rest, power=0.9)
    )
    assert rates(poly, total, lr=0.3, warmup=warmup, total=total) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize(("start", "total"), [(5, 20), (1, 4), (8, 9)])
def test_swa_is_torchs(start, total):
    theirs = rates(SWALR, total, lr=0.3, swa_lr=0.12, anneal_epochs=start)
    assert rates(swa, total, lr=0.3, start=start, total=total, high=0.4) == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize(("warmup", "total"), [(5, 20), (1, 4), (7, 9)])
def test_one_cycle_is_torchs(warmup, total):
    ours = rates(one_cycle, total, lr=0.3, warmup=warmup, total=total)
    theirs = rates(
        OneCycleLR, total, lr=0.3, max_lr=0.3, total_steps=total + 1,
        pct_start=(warmup + 1) / (total + 1), cycle_momentum=False,
    )  # fmt: skip
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert max(ours) == ours[warmup] == 0.3


def test_swa_by_hand():
    """Up, half a cosine from 1 to .5, then flat; or, in threes, .5 to .2 by .1, as formula (2) of the paper has it."""
    head = [0.5, 1, 0.75]
    assert rates(swa, 7, warmup=1, start=3, total=7) == pytest.approx([*head, 0.5, 0.5, 0.5, 0.5])
    cyclic = rates(swa, 9, warmup=1, start=3, total=9, cycle=3, low=0.2)
    assert cyclic == pytest.approx([*head, 0.4, 0.3, 0.2, 0.4, 0.3, 0.2])


def test_every_name_makes_its_schedule():
    settings = {"warmup": 2, "total": 8, "start": 4, "high": 0.5, "cycle": 2}
    found = {name: rates(lambda o, n=name: schedules.create(n, o, **settings), 8) for name in schedules.NAMES}
    assert len({tuple(values) for values in found.values()}) == len(schedules.NAMES) == 6
    assert found["cosine"] == rates(warmup_cosine, 8, warmup=2, total=8)
    assert found["swa-cyclic"][4:] == pytest.approx([0.275, 0.05, 0.275, 0.05])
    assert all(max(values) == 1 for values in found.values())
    with pytest.raises(ValueError, match="did you mean cosine"):
        rates(lambda o: schedules.create("cosin", o, **settings), 1)


@pytest.mark.parametrize("make", [warmup_cosine, poly])
def test_no_warmup_begins_at_the_whole_rate_and_no_step_is_wasted(make):
    out = rates(make, 10, lr=0.03, warmup=0, total=10)
    assert out[0] == 0.03
    assert out == sorted(out, reverse=True)
    assert out[-1] > 0


def test_groups_keep_their_own_rates():
    a, b = (torch.zeros(1, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 0.1}], lr=1.0)
    schedule = warmup_cosine(optimizer, warmup=1, total=5, floor=0.2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5, 0.05])
    for _ in range(5):
        optimizer.step()
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2, 0.02])  # not one floor for all


@pytest.mark.parametrize("name", schedules.NAMES)
def test_resuming_goes_on_where_it_stopped(name, tmp_path):
    settings = {"warmup": 2, "total": 8, "start": 5, "cycle": 2}
    whole = rates(lambda o: schedules.create(name, o, **settings), 8)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = schedules.create(name, optimizer, **settings)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    torch.save([optimizer.state_dict(), schedule.state_dict()], tmp_path / "resume.ckpt")
    states = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    again = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    later = schedules.create(name, again, **settings)
    again.load_state_dict(states[0])
    later.load_state_dict(states[1])
    rest = []
    for _ in range(4):
        rest.append(again.param_groups[0]["lr"])
        again.step()
        later.step()
    assert rest == whole[4:]


@pytest.mark.parametrize(
    ("make", "settings", "says"),
    [
        (warmup_cosine, {"warmup": 5, "total": 5}, "fewer steps than total"),
        (warmup_cosine, {"warmup": -1, "total": 5}, "at least 0"),
        (warmup_cosine, {"warmup": 0, "total": 0}, "fewer steps"),
        (warmup_cosine, {"warmup": 0, "total": 5, "floor": 1.5}, "floor"),
        (poly, {"total": 5, "power": 0}, "power"),
        (poly, {"total": 5, "power": float("nan")}, "power must be a number above 0, got nan"),
        (constant, {"warmup": -1}, "warmup of at least 0 steps, got -1"),
        (one_cycle, {"warmup": 1, "total": 5, "start": 2.0}, "start"),
        (swa, {"start": 5, "total": 5}, "start < total"),
        (swa, {"start": 1, "warmup": 2, "total": 5}, "warmup <= start"),
        (swa, {"start": 1, "total": 5, "low": 0.6}, "low <= high"),
        (swa, {"start": 1, "total": 5, "cycle": 0}, "at least one step"),
        (warmup_cosine, {"warmup": 0.3, "total": 5}, r"warmup as a whole number .*, got 0.3; .*round\(share \* total"),
        (warmup_cosine, {"warmup": 1.0, "total": 5}, "whole number"),
        (warmup_cosine, {"warmup": True, "total": 5}, "whole number"),
        (one_cycle, {"warmup": 1, "total": 5.5}, "total as a whole number"),
        (constant, {"warmup": 0.5}, "whole number"),
        (swa, {"start": 0.6, "total": 5}, "start as a whole number"),
        (swa, {"start": 1, "total": 5, "cycle": 0.5}, "cycle as a whole number"),
    ],
)
def test_mistakes_are_named(make, settings, says):
    with pytest.raises(ValueError, match=says):
        rates(make, 1, **settings)
