"""Sums of losses: the same numbers as apart, with less work."""

import pytest
import torch

from segkit.losses import BCELoss, DiceLoss, FocalLoss, Loss, Pair, TverskyLoss, WeightedSum, build


def batch():
    draw = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, 6, 6, generator=draw), torch.rand(2, 3, 6, 6, generator=draw)


def test_a_sum_is_its_parts_in_value_and_gradient():
    logits, target = batch()
    together, apart = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = WeightedSum({"bce": 0.5, "dice": 2, "focal(gamma=3)": 1, TverskyLoss(alpha=0.3, beta=0.7): 0.25})
    total = loss(together, target)
    parts = [BCELoss(), DiceLoss(), FocalLoss(gamma=3), TverskyLoss(alpha=0.3, beta=0.7)]
    values = [part(apart, target) for part in parts]
    expected = sum(w * v for w, v in zip((0.5, 2, 1, 0.25), values, strict=True))
    torch.testing.assert_close(total, expected)
    total.backward()
    expected.backward()
    torch.testing.assert_close(together.grad, apart.grad)
    assert list(loss.terms) == ["bce", "dice", "focal", "tversky"]
    for term, value in zip(loss.terms.values(), values, strict=True):
        torch.testing.assert_close(term, value.detach())
        assert not term.requires_grad


def test_the_sigmoid_is_computed_once(monkeypatch):
    calls = []
    original = torch.Tensor.sigmoid
    monkeypatch.setattr(torch.Tensor, "sigmoid", lambda x: calls.append(1) or original(x))
    build("bce + dice + focal + jaccard + tversky")(*batch())
    assert len(calls) == 1


def test_weights_may_change_between_calls():
    loss = WeightedSum({"bce": 1, "dice": 0})
    first = loss(*batch())
    loss.weights["dice"] = 1.0
    torch.testing.assert_close(loss(*batch()), first + loss.terms["dice"])


def test_foreign_modules_and_two_of_a_kind():
    class Plus(torch.nn.Module):
        def forward(self, logits, target):
            return (logits.sigmoid() - target).square().mean()

    loss = WeightedSum({Plus(): 1, "tversky(alpha=0.3)": 1, "tversky(alpha=0.7)": 1})
    loss(*batch())
    assert list(loss.terms) == ["Plus", "tversky", "tversky_2"]


@pytest.mark.parametrize(
    ("spec", "weights"),
    [
        ("bce + dice", {"bce": 1, "dice": 1}),
        ("0.3*bce + 0.7*dice", {"bce": 0.3, "dice": 0.7}),
        (" 2 * dice ", {"dice": 2}),
        ("dice+focal+3*bce", {"dice": 1, "focal": 1, "bce": 3}),
        ({"bce": 1, "dice": 1}, {"bce": 1, "dice": 1}),
        ({"bce": 1}, {"bce": 1}),
    ],
)
def test_build_reads_sums(spec, weights):
    loss = build(spec)
    assert isinstance(loss, WeightedSum)
    assert list(loss.weights.items()) == list(weights.items())


def test_build_reads_single_losses_and_settings():
    assert type(build("dice")) is DiceLoss
    assert build("focal(gamma=3, alpha=0.25)").alpha == 0.25
    assert build("dice(form='plain', per_image=False)").form == "plain"
    given = BCELoss()
    assert build(given) is given
    loss = build("0.5*bce + tversky(alpha=0.3, beta=0.7)")
    assert loss.losses["tversky"].beta == 0.7


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("dise", "did you mean dice"),
        ("bce + dise", "did you mean dice"),
        ({"focl": 1}, "did you mean focal"),
        ("focal(gama=3)", "did you mean gamma"),
        ("focal(3)", "cannot read"),
        ("focal(gamma=x)", "cannot read the settings"),
        ("bce - dice", "cannot read"),
        ("bce dice", "write it like"),
        ("'a'*bce", "no weight"),
        ("", "cannot read"),
        ({}, "weights must be"),
        ({"bce": -1, "dice": 1}, "weights must be"),
        ("0*bce", "weights must be"),
        (3, "got 3"),
    ],
)
def test_build_names_what_it_cannot_read(spec, says):
    with pytest.raises(ValueError, match=says):
        build(spec)


def test_a_new_loss_is_one_method():
    class Brier(Loss):
        def of(self, pair: Pair):
            return (pair.probs - pair.target).square().mean()

    logits, target = batch()
    loss = WeightedSum({"dice": 1, Brier(): 2})
    loss(logits.half(), target)
    assert loss.terms["Brier"].dtype == torch.float32
    torch.testing.assert_close(loss.terms["Brier"], (logits.half().float().sigmoid() - target).square().mean())
