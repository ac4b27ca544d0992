"""One loss for several outputs."""

import pytest
import torch
from torch.nn import functional as F

from segkit.losses import BCELoss, DeepSupervision, build


def batch(h=8, w=8):
    draw = torch.Generator().manual_seed(2)
    return torch.randn(2, 3, h, w, generator=draw), torch.rand(2, 3, h, w, generator=draw)


def at(logits, size):
    return F.interpolate(logits, size, mode="bilinear")


def test_one_output_is_the_loss_itself():
    logits, target = batch()
    loss = DeepSupervision(build("bce + dice"))
    assert loss(logits, target) == build("bce + dice")(logits, target)
    assert list(loss.terms) == ["bce", "dice"]


def test_outputs_by_name():
    logits, target = batch()
    output = {"out": logits, "aux": at(logits, 4), "deep": [at(logits, 4), at(logits, 2)]}
    loss = DeepSupervision(build("bce + dice"), weights={"aux": 0.4, "deep": 0.3}, falloff=0.5)
    total = loss(output, target)
    apart = build("bce + dice")
    half, quarter = F.avg_pool2d(target, 2), F.avg_pool2d(target, 4)
    values = [apart(logits, target), apart(at(logits, 4), half), apart(at(logits, 2), quarter)]
    torch.testing.assert_close(total, values[0] + (0.4 + 0.3 / 2) * values[1] + 0.3 / 4 * values[2])
    assert list(loss.terms) == ["bce", "dice", "aux", "deep_1", "deep_2"]
    torch.testing.assert_close(loss.terms["deep_2"], values[2])
    assert loss.terms["bce"] == BCELoss()(logits, target)  # the main output's


def test_a_bare_list_halves_from_output_to_output():
    logits, target = batch()
    total = DeepSupervision(BCELoss())([logits, at(logits, 4), at(logits, 2)], target)
    values = [BCELoss()(at(logits, 8 >> k), F.avg_pool2d(target, 1 << k)) for k in range(3)]
    torch.testing.assert_close(total, values[0] + values[1] / 2 + values[2] / 4)


@pytest.mark.parametrize(("size", "factor"), [((8, 4), 0.5**0.5), ((4, 8), 0.5**0.5), ((4, 4), 0.5), ((2, 8), 0.5)])
def test_an_output_counts_by_its_area(size, factor):
    """A quarter of the area is one halving of the side, whichever side shrinks."""
    logits, target = batch()
    total = DeepSupervision(BCELoss())([logits, at(logits, size)], target)
    small = BCELoss()(at(logits, size), F.interpolate(target, size, mode="area"))
    torch.testing.assert_close(total, BCELoss()(logits, target) + factor * small)


def test_an_image_of_weight_w_counts_w_times_in_every_output():
    logits, target = batch()
    output = {"out": logits, "aux": at(logits, 4), "cls": torch.randn(2, 3)}
    weight = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    copies = [0, 1, 1, 1]
    repeated = {name: logits[copies] for name, logits in output.items()}
    loss = DeepSupervision(build("bce + dice"))
    torch.testing.assert_close(loss(output, target, weight), loss(repeated, target[copies]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    logits, target = batch()
    output = {"out": logits.to(dtype), "aux": at(logits, 4).to(dtype), "cls": torch.zeros(2, 3, dtype=dtype)}
    loss = DeepSupervision(build("bce + dice + lovasz"))
    exact = loss({name: value.float() for name, value in output.items()}, target, torch.ones(2, 1, 8, 8))
    value = loss(output, target.to(dtype), torch.ones(2, 1, 8, 8, dtype=dtype))
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, rtol=1e-2, atol=1e-2)


def test_heads_of_one_size_count_alike():
    """UNet++: all heads are as large as the output."""
    logits, target = batch()
    total = DeepSupervision(BCELoss(), weights={"deep": 0.25})({"out": logits, "deep": [logits] * 4}, target)
    torch.testing.assert_close(total, 2 * BCELoss()(logits, target))


def test_whether_a_class_is_there_at_all():
    """An output (N, C) costs its cross-entropy, but where it is not known: unseen, and ignored in part."""
    logits, target = batch()
    target[:] = target.round()
    target[0, 1] = 0.2
    target[1, 2] = 0
    target[1, 2, 0, 0] = 1
    loss, there = DeepSupervision(BCELoss()), torch.tensor([[1.0, 0.2, 1], [1, 1, 1]])
    output = {"out": logits, "cls": torch.randn(2, 3)}
    loss(output, target)
    torch.testing.assert_close(loss.terms["cls"], F.binary_cross_entropy_with_logits(output["cls"], there))
    weight = torch.ones(2, 1, 8, 8)
    weight[1, 0, 0, 0] = 0  # the only pixel of class 2 in image 1; the others are seen elsewhere
    loss(output, target, weight)
    known = torch.tensor([[True, True, True], [True, True, False]])
    expected = F.binary_cross_entropy_with_logits(output["cls"][known], there[known])
    torch.testing.assert_close(loss.terms["cls"], expected)


def test_a_class_that_nobody_knows_teaches_no_presence():
    """A plane of a pseudo-label that was not kept: neither there nor absent."""
    output = {"out": torch.zeros(1, 2, 4, 4), "cls": torch.zeros(1, 2, requires_grad=True)}
    weight = torch.ones(1, 2, 4, 4)
    weight[0, 1] = 0
    loss = DeepSupervision(BCELoss())
    loss(output, torch.ones(1, 2, 4, 4), weight).backward()
    assert output["cls"].grad.tolist() == [[-0.25, 0.0]]
    loss(output, torch.ones(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))
    assert loss.terms["cls"] == 0


def test_ignored_pixels_are_ignored_at_every_size():
    """What the target holds where nothing counts reaches no smaller target."""
    logits, target = batch()
    weight = torch.ones(2, 1, 8, 8)
    weight[:, :, :3] = 0
    other = target.clone()
    other[:, :, :3] = 1
    output = {"out": logits, "aux": at(logits, 4)}
    loss = DeepSupervision(build("bce + dice"))
    torch.testing.assert_close(loss(output, target, weight), loss(output, other, weight))
    half = F.avg_pool2d(target[:, :, 4:], 2)
    loss.weights["aux"] = 1
    small = loss({"out": torch.zeros_like(logits), "aux": at(logits, 4)}, target, weight)
    small = small - build("bce + dice")(torch.zeros_like(logits), target, weight)
    # rows of two: the first pair is ignored, the second counts half and holds its lower row alone
    rows = torch.cat([F.avg_pool2d(target[:, :, 3:4].repeat(1, 1, 2, 1), 2), half], 2)
    counts = torch.tensor([0.5, 1, 1]).view(1, 1, 3, 1).expand(2, 1, 3, 4)
    torch.testing.assert_close(small, build("bce + dice")(at(logits, 4)[:, :, 1:], rows, counts))


def test_gradients_reach_every_output():
    logits, target = batch(6, 9)
    outputs = [at(logits, size).requires_grad_() for size in ((6, 9), (3, 5), (1, 1))]
    DeepSupervision(build("dice"))(outputs, target.to(torch.float16)).backward()
    assert all(output.grad.abs().sum() > 0 for output in outputs)


def test_targets_of_any_type():
    logits, target = batch()
    loss = DeepSupervision(BCELoss())
    hard = target.round()
    expected = loss([logits, at(logits, 4)], hard)
    for other in (hard.bool(), hard.to(torch.uint8), hard.half()):
        assert loss([logits, at(logits, 4)], other) == expected


def test_any_function_will_do_and_progress_is_passed_on():
    logits, target = batch()
    loss = DeepSupervision(lambda logits, target: (logits.sigmoid() - target).abs().mean())
    assert loss({"out": logits, "aux": logits}, target) > 0
    loss.set_progress(0.5)
    inner = build("bce + dice; 0.5: dice")
    DeepSupervision(inner).set_progress(0.7)
    assert inner.weights == {"bce": 0, "dice": 1}


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ({"out": torch.zeros(1, 1, 4, 4), "other": torch.zeros(1, 1, 4, 4)}, "'other' has no weight"),
        ({"main": torch.zeros(1, 1, 4, 4)}, "a dict with 'main'; expected .* under 'out' or 'logits'"),
        ({"out": torch.zeros(1, 1, 8, 8)}, r"\(8, 8\) and the target \(4, 4\)"),
        ([], "a list of nothing; expected"),
        ([torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 4, 4)], r"output 1 is \(4, 4\), larger than the first, \(2, 4\)"),
        ((torch.zeros(1, 1, 4, 4), torch.zeros(1, 3)), r"'cls' is \(1, 3\); expected \(1, 1\), .*weights=\{'cls': 0\}"),
        ({"out": torch.zeros(1, 1, 4, 4), "aux": None}, "'aux' of the network is a NoneType"),
    ],
)
def test_wrong_outputs_are_refused(output, says):
    with pytest.raises(ValueError, match=says):
        DeepSupervision(BCELoss())(output, torch.zeros(1, 1, 4, 4))


def test_a_name_is_no_loss():
    with pytest.raises(ValueError, match=r"see losses\.build"):
        DeepSupervision("dice")


def test_wrong_weights_are_refused():
    with pytest.raises(ValueError, match="must not be negative"):
        DeepSupervision(BCELoss(), weights={"aux": -1})
