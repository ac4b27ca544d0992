"""Sums of losses: the same numbers as apart, with less work."""

import pytest
import torch

from segkit.losses import LOSSES, BCELoss, DiceLoss, FocalLoss, Loss, LossInputs, TverskyLoss, WeightedSum, build


def batch():
    draw = torch.Generator().manual_seed(1)
    logits, target = torch.randn(2, 3, 6, 6, generator=draw), torch.rand(2, 3, 6, 6, generator=draw)
    return logits, target / target.sum(1, keepdim=True)  # what losses of exclusive classes take too


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
    logits, target = batch()
    loss = build("bce + dice + focal + jaccard + tversky + generalised_dice + focal_tversky")
    value = loss(logits.requires_grad_(), target)
    assert len(calls) == 1
    value.backward()
    assert len(calls) == 2  # the map is not kept, but made again


@pytest.mark.parametrize("names", [list(LOSSES), ["topk", "lovasz", "dice"], ["cldice", "boundary", "hausdorff"]])
def test_any_losses_go_together(names):
    logits, target = batch()
    weight = torch.randint(0, 3, (2, 1, 6, 6))
    together, apart = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    total = WeightedSum(dict.fromkeys(names, 0.5))(together, target, weight)
    parts = [build(name)(apart, target, weight) for name in names]
    torch.testing.assert_close(total, 0.5 * sum(parts))
    total.backward()
    (0.5 * sum(parts)).backward()
    torch.testing.assert_close(together.grad, apart.grad)


def test_weights_may_change_between_calls():
    loss = WeightedSum({"bce": 1, "dice": 0})
    first = loss(*batch())
    loss.weights["dice"] = 1.0
    torch.testing.assert_close(loss(*batch()), first + loss.terms["dice"])


def test_stages_of_weights():
    loss = build("0.3*bce + 0.7*dice; 0.6: 0.1*bce + 0.9*dice; 0.8: dice")
    seen = {}
    for share in (0, 0.3, 0.5999, 0.6, 0.79, 0.8, 1):
        loss.set_progress(share)
        seen[share] = tuple(loss.weights.values())
    assert seen == {
        0: (0.3, 0.7), 0.3: (0.3, 0.7), 0.5999: (0.3, 0.7), 0.6: (0.1, 0.9), 0.79: (0.1, 0.9), 0.8: (0, 1), 1: (0, 1),
    }  # fmt: skip
    same = WeightedSum({"bce": {0: 0.3, 0.6: 0.1, 0.8: 0}, "dice": {0.8: 1, 0.6: 0.9, 0: 0.7}})
    assert repr(same) == repr(loss)
    total = loss(*batch())
    torch.testing.assert_close(total, loss.terms["dice"])  # bce weighs 0 and is still logged
    assert set(loss.terms) == {"bce", "dice"}


def test_a_weight_may_be_a_function_of_progress():
    loss = WeightedSum({"dice": lambda share: 1 - share, "boundary": lambda share: share, "bce": 2})
    assert loss.weights == {"dice": 1, "boundary": 0, "bce": 2}
    loss.set_progress(0.25)
    assert loss.weights == {"dice": 0.75, "boundary": 0.25, "bce": 2}


def test_what_weighs_nothing_spoils_nothing():
    class Broken(torch.nn.Module):
        def forward(self, logits, target):
            return logits.sum() * float("nan")

    logits, target = batch()
    loss = WeightedSum({"bce": 1, Broken(): 0})
    total = loss(logits.requires_grad_(), target)
    total.backward()
    assert total.isfinite()
    assert logits.grad.isfinite().all()
    assert loss.terms["Broken"].isnan()


def test_a_foreign_module_gets_the_weights_of_pixels_where_there_are_some():
    class Brier(torch.nn.Module):
        def forward(self, logits, target, weight=None):
            cost = (logits.sigmoid() - target).square()
            return cost.mean() if weight is None else (cost * weight).sum() / weight.sum()

    logits, target = batch()
    weight = torch.zeros(2, 1, 6, 6)
    weight[..., :2] = 1
    value = WeightedSum({Brier(): 1})(logits, target, weight)
    torch.testing.assert_close(value, Brier()(logits[..., :2], target[..., :2]))


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
        ({"bce": None}, "weight of bce is None"),
        ({"bce": "x"}, "weight of bce is 'x'"),
        ({"bce": [1, 2]}, "expected a number, stages or a function"),
        ({1: 1}, "expected a loss, .* got 1"),
        ("dice(per_image='no')", "per_image is True or False, got 'no'"),
        ("bce + 2*bce", "bce is twice"),
        ("True*bce", "no weight"),
        ("dice(class_weights=1)", "one number a class"),
        ("bce; 0.6", "cannot read the stage '0.6'"),
        ("bce; 0.6: dice; 0.5: bce", "later than the stage before"),
        ("bce; 1: dice", "below 1"),
        ("bce; half: dice", "cannot read the stage"),
        ("bce; 0.5: 0*bce", "weights must be"),
        ({"bce": float("nan")}, "weights must be"),
        ("1e400*bce", "weights must be"),
        ({"bce": {0.5: 1}}, "the first at 0"),
        ({"bce": {0: 1, 1.5: 2}}, "the first at 0"),
        ({"bce": {0: 1, 0.5: -2}}, "weights must be"),
        (DiceLoss, r"got the class DiceLoss; write DiceLoss\(\)"),
        ({DiceLoss: 1}, r"got the class DiceLoss; write DiceLoss\(\)"),
    ],
)
def test_build_names_what_it_cannot_read(spec, says):
    with pytest.raises(ValueError, match=says):
        build(spec)


@pytest.mark.parametrize("terms", [["bce", "dice"], "bce + dice", DiceLoss()])
def test_a_sum_takes_a_dictionary(terms):
    with pytest.raises(ValueError, match=r"expected \{loss: weight\}, .* got a (list|str|DiceLoss)"):
        WeightedSum(terms)


@pytest.mark.parametrize(
    ("loss", "weight", "says"),
    [
        (torch.nn.BCEWithLogitsLoss(), torch.ones(2, 1, 6, 6), r"BCEWithLogitsLoss takes \(input, target\).*weight="),
        (torch.nn.BCEWithLogitsLoss(reduction="none"), None, r"returned \(2, 3, 6, 6\); expected a scalar"),
    ],
)
def test_a_foreign_loss_that_cannot_be_added_up_is_named(loss, weight, says):
    with pytest.raises(ValueError, match=says):
        WeightedSum({loss: 1})(*batch(), weight)


def test_progress_is_a_fraction():
    with pytest.raises(ValueError, match=r"between 0 and 1, got 3"):
        build("bce + dice").set_progress(3)


def test_what_a_run_was_trained_with_is_in_its_name():
    """fit() compares the text of losses to tell runs apart: every setting is in it."""
    specs = [
        *LOSSES,
        "dice(curve='log')", "dice(per_image=False)", "dice(class_weights=[1, 2])", "lovasz(errors='probs')",
        "bce + dice", "bce + 2*dice", "bce + dice; 0.5: dice", "bce(pos_weight=2)", "focal(alpha=0.25)",
    ]  # fmt: skip
    assert len({repr(build(spec)) for spec in specs}) == len(specs)


def test_a_new_loss_is_one_method():
    class Brier(Loss):
        def compute(self, inputs: LossInputs):
            return (inputs.probs - inputs.target).square().mean()

    logits, target = batch()
    loss = WeightedSum({"dice": 1, Brier(): 2})
    loss(logits.half(), target)
    assert loss.terms["Brier"].dtype == torch.float32
    torch.testing.assert_close(loss.terms["Brier"], (logits.half().float().sigmoid() - target).square().mean())


@pytest.mark.parametrize(
    "spec", ["bce + dice + focal + tversky", "topk", "generalised_dice", "0.5*focal_tversky + jaccard"]
)
def test_torch_compile_sees_one_graph(spec):
    """Where a compiler is there it fuses whole maps; traced here without one."""
    torch._dynamo.reset()
    loss, (logits, target), weight = build(spec), batch(), torch.linspace(0, 1, 72).view(2, 1, 6, 6)
    plain, traced = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    compiled(traced, target, weight).backward()
    terms = dict(getattr(loss, "terms", {}))
    expected = loss(plain, target, weight)
    expected.backward()
    torch.testing.assert_close(compiled(traced, target, weight), expected)
    torch.testing.assert_close(traced.grad, plain.grad)
    assert terms.keys() == getattr(loss, "terms", {}).keys()
