"""One contract for every loss: a loss without a row fails."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import loss_twins as twins
import numpy as np
import pytest
import torch
from exclusive_rows import ROWS as EXCLUSIVE
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segkit import losses
from segkit.losses import (
    BCELoss,
    BoundaryLoss,
    ClDiceLoss,
    DiceLoss,
    FocalLoss,
    FocalTverskyLoss,
    GeneralisedDiceLoss,
    HausdorffLoss,
    JaccardLoss,
    LovaszLoss,
    TopKLoss,
    TverskyLoss,
    WeightedSum,
    build,
)
from segkit.losses.exclusive import ExclusiveLoss


class Row(NamedTuple):
    """A loss, its NumPy twin, and what is true of it.

    minimal: p = y is its minimum for soft targets; flat: and its gradient is 0 there; local: pixels matter by
    themselves, so that ignoring some is leaving them out; alone: an image costs the same in any company.
    """

    loss: torch.nn.Module
    twin: Callable
    minimal: bool = True
    flat: bool = True
    local: bool = True
    alone: bool = True


def overlap(**settings):
    return partial(twins.np_overlap, **settings)


SEMI = {"form": "semimetric"}
ROWS = {
    "bce": Row(BCELoss(), lambda x, y: twins.np_bce(x, y).mean()),
    "bce smoothed": Row(
        BCELoss(label_smoothing=0.1, pos_weight=[1.0, 3.0, 0.5]),
        partial(twins.np_weighted_bce, label_smoothing=0.1, pos_weight=[1.0, 3.0, 0.5]),
        minimal=False,
    ),
    "focal": Row(FocalLoss(), twins.np_focal),
    "focal 0": Row(FocalLoss(gamma=0), partial(twins.np_focal, gamma=0)),
    "focal 1, alpha": Row(FocalLoss(gamma=1, alpha=0.25), partial(twins.np_focal, gamma=1, alpha=0.25), flat=False),
    "focal 3": Row(FocalLoss(gamma=3), partial(twins.np_focal, gamma=3)),
    "topk": Row(TopKLoss(share=0.3), partial(twins.np_topk, share=0.3)),
    "topk batch": Row(
        TopKLoss(share=0.3, per_image=False), partial(twins.np_topk, share=0.3, per_image=False), alone=False
    ),
    "ohem": Row(TopKLoss(share=0.1, threshold=0.6), partial(twins.np_topk, share=0.1, threshold=0.6)),
    "dice": Row(DiceLoss(), overlap(form="squared")),
    "dice semimetric": Row(DiceLoss(form="semimetric"), overlap(**SEMI), flat=False),
    "dice plain": Row(DiceLoss(form="plain"), overlap(form="plain"), minimal=False),
    "dice batch": Row(DiceLoss(per_image=False), overlap(form="squared", per_image=False), alone=False),
    "dice log": Row(DiceLoss(curve="log"), overlap(form="squared", cost=lambda s: -np.log((s + 1e-7) / (1 + 1e-7)))),
    "dice logcosh": Row(DiceLoss(curve="logcosh"), overlap(form="squared", cost=lambda s: np.log(np.cosh(1 - s)))),
    "generalised dice": Row(GeneralisedDiceLoss(), twins.np_generalised_dice),
    "generalised dice 1": Row(GeneralisedDiceLoss(power=1), partial(twins.np_generalised_dice, power=1)),
    "jaccard": Row(JaccardLoss(), overlap(alpha=1, beta=1, form="squared")),
    "jaccard semimetric": Row(JaccardLoss(form="semimetric"), overlap(alpha=1, beta=1, **SEMI), flat=False),
    "tversky": Row(TverskyLoss(), overlap(**SEMI), flat=False),
    "tversky .3 .7": Row(TverskyLoss(alpha=0.3, beta=0.7), overlap(alpha=0.3, beta=0.7, **SEMI), flat=False),
    "tversky plain": Row(
        TverskyLoss(alpha=0.3, beta=0.7, form="plain"), overlap(alpha=0.3, beta=0.7, form="plain"), minimal=False
    ),
    "focal tversky": Row(
        FocalTverskyLoss(), overlap(alpha=0.3, beta=0.7, **SEMI, cost=lambda s: (1 - s) ** 0.75), flat=False
    ),
    "lovasz": Row(LovaszLoss(), twins.np_lovasz, flat=False),
    "lovasz probs": Row(LovaszLoss(errors="probs"), partial(twins.np_lovasz, probs=True), flat=False),
    "boundary": Row(BoundaryLoss(), twins.np_boundary, minimal=False, local=False),
    "hausdorff": Row(HausdorffLoss(), twins.np_hausdorff, minimal=False, local=False),
    "hausdorff 1": Row(HausdorffLoss(alpha=1), partial(twins.np_hausdorff, alpha=1), minimal=False, local=False),
    "cldice": Row(ClDiceLoss(iterations=2), partial(twins.np_cldice, iterations=2), minimal=False, local=False),
    "sum": Row(
        WeightedSum({"bce": 0.3, "dice": 0.7}),
        lambda x, y: 0.3 * twins.np_bce(x, y).mean() + 0.7 * twins.np_overlap(x, y, form="squared"),
    ),
}
every = pytest.mark.parametrize("row", ROWS)


def batch(seed=0, *, n=2, c=3, h=7, w=5, dtype=torch.float64):
    """Soft targets with a hard and an empty class among them."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, c, h, w, generator=draw, dtype=dtype) * 2
    target = torch.rand(n, c, h, w, generator=draw, dtype=dtype)
    target[:, 1] = target[:, 1].round()
    target[0, 2] = 0
    return logits, target


def test_every_loss_has_a_row():
    """Those of exclusive classes have theirs in test_exclusive."""
    here = {type(row.loss) for row in ROWS.values()}
    assert here | {type(row.loss) for row in EXCLUSIVE.values()} == {*losses.LOSSES.values(), WeightedSum}


@every
def test_numpy_twin(row):
    loss, twin = ROWS[row][:2]
    logits, target = batch()
    assert loss(logits, target).item() == pytest.approx(twin(logits.numpy(), target.numpy()), abs=1e-9)


@every
def test_gradcheck(row):
    loss = ROWS[row].loss
    logits, target = batch(h=3, w=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


@every
@pytest.mark.parametrize("fill", [0.0, 1.0])
@pytest.mark.parametrize("answer", [-100.0, -1.0, 0.0, 100.0])
def test_empty_and_full_targets_stay_finite(row, fill, answer):
    loss = ROWS[row].loss
    logits = torch.full((2, 3, 4, 4), answer, requires_grad=True)
    value = loss(logits, torch.full((2, 3, 4, 4), fill))
    value.backward()
    assert value.isfinite()
    assert value >= 0
    assert logits.grad.isfinite().all()
    right = (answer > 0) == (fill > 0) and abs(answer) == 100
    if right and row != "bce smoothed":
        assert value < 1e-6


@every
def test_one_pixel(row):
    loss = ROWS[row].loss
    for y in (0.0, 1.0):
        assert loss(torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), y)).isfinite()


@every
def test_a_better_prediction_costs_less(row):
    """Moving every logit towards the (hard) target lowers the loss, from wrong to nearly right."""
    loss = ROWS[row].loss
    _, target = batch()
    target = target.round()
    costs = [loss((2 * target - 1) * sure, target).item() for sure in (-4.0, -2.0, 0.0, 1.0, 2.0, 2.9)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 2 * costs[-1]


@every
def test_inputs_come_back_untouched(row):
    loss = ROWS[row].loss
    logits, target = batch()
    before = logits.clone(), target.clone()
    loss(logits.requires_grad_(), target).backward()
    assert torch.equal(logits, before[0])
    assert torch.equal(target, before[1])


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_with_more_pixels_than_it_can_count(row, dtype, autocast):
    """90,000 pixels of a class overflow a sum in float16 (smp's Dice is NaN there)."""
    loss = ROWS[row].loss
    logits = torch.full((1, 3, 300, 300), 2.0, dtype=dtype, requires_grad=True)
    target = torch.ones(1, 3, 300, 300, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = loss(logits, target)
    value.backward()
    exact = loss(torch.full((1, 3, 300, 300), 2.0, dtype=torch.float64), torch.ones(1, 3, 300, 300))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact.item(), rel=1e-4)
    assert logits.grad.dtype == dtype
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("row", [name for name, row in ROWS.items() if row.minimal])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), step=st.floats(0.01, 1.5))
@example(seed=1, step=0.25)  # a mean over pixels chosen by a threshold that soft pixels pass by their entropy alone
def test_no_lower_loss_near_the_target(row, seed, step):
    """p = y is the minimum for soft targets: no step away goes down, and where it is smooth there is no slope."""
    loss = ROWS[row].loss
    draw = torch.Generator().manual_seed(seed)
    target = torch.rand(1, 3, 4, 4, generator=draw, dtype=torch.float64) * 0.98 + 0.01
    at = target.logit().requires_grad_()
    least = loss(at, target)
    away = torch.randn(target.shape, generator=draw, dtype=torch.float64) * step
    assert loss(at + away, target) >= least - 1e-12
    if ROWS[row].flat:
        least.backward()
        assert at.grad.abs().max() < 1e-9


def test_plain_dice_is_not_minimal_there_which_is_why_it_is_not_the_default():
    """One step up from p = y = .7 lowers the plain form: it pulls soft edges to 0 or 1."""
    target = torch.full((1, 1, 4, 4), 0.7, dtype=torch.float64)
    at, above = target.logit(), torch.full_like(target, 0.8).logit()
    assert DiceLoss(form="plain")(above, target) < DiceLoss(form="plain")(at, target) - 0.01
    assert DiceLoss()(above, target) > DiceLoss()(at, target)


def test_counted_by_hand():
    """Target 2 of 4 pixels; p = .5 everywhere: sum p y = 1, sum p^2 = 1, sum p = 2, sum y = sum y^2 = 2."""
    x, y = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 1], [0, 0]]]])
    assert DiceLoss()(x, y).item() == pytest.approx(1 - 2 / 3)
    assert DiceLoss(form="plain")(x, y).item() == pytest.approx(1 - 2 / 4)
    assert JaccardLoss()(x, y).item() == pytest.approx(1 - 1 / 2)
    assert JaccardLoss(form="plain")(x, y).item() == pytest.approx(1 - 1 / 3)
    # common 1, too much 1, missed 1
    assert TverskyLoss(alpha=0.2, beta=0.6)(x, y).item() == pytest.approx(1 - 1 / 1.8)
    assert FocalLoss()(x, y).item() == pytest.approx(0.25 * math.log(2))
    assert FocalLoss(gamma=0, alpha=0.25)(x, y).item() == pytest.approx(0.5 * math.log(2))
    assert BCELoss(pos_weight=3.0)(x, y).item() == pytest.approx(2 * math.log(2))


@every
def test_an_absent_class_pushes_back_like_bce(row):
    """Fully predicted and not there: every pixel is pushed about as BCE pushes it, and harder by none but pixel losses.

    (smp's Dice and Lovasz give it no gradient, or one at a single pixel.)
    """
    target = torch.zeros(1, 3, 8, 8)
    target[0, 0, 2:5] = 1
    for answer in (0.0, 4.0, 12.0):
        logits = torch.full((1, 3, 8, 8), answer)
        ours, bce = (logits.clone().requires_grad_() for _ in range(2))
        ROWS[row].loss(ours, target).backward()
        BCELoss()(bce, target).backward()
        ratio = ours.grad[0, 1:] / bce.grad[0, 1:]
        assert ratio.min() >= 0.15
        if "focal" not in row and "bce" not in row:
            torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=1e-4, atol=1e-4)


@every
def test_an_absent_class_does_not_end_at_the_first_trace(row):
    """From an empty target to one of a thousandth of a pixel, nothing jumps (but where targets are cut at one half)."""
    loss = ROWS[row].loss
    logits, target = batch(h=12, w=12)
    target[0, 2] = 0
    logits.requires_grad_()
    values, slopes = [], []
    for trace in (0.0, 0.001):
        target[0, 2, 3, 4] = trace
        value = loss(logits, target)
        values.append(value.item())
        slopes.append(torch.autograd.grad(value, logits)[0])
    assert values[1] == pytest.approx(values[0], abs=2e-3)
    assert (slopes[1] - slopes[0]).abs().sum() < 0.01 * slopes[0].abs().sum()


@every
def test_one_logit_that_is_no_number_is_seen(row):
    """A loss that hides NaN lets a run go on with weights that are none."""
    logits, target = batch()
    logits[0, 1, 2, 3] = math.nan
    target[0, 1, 2, 3] = 0
    assert ROWS[row].loss(logits, target).isnan()


@every
def test_an_image_costs_the_same_in_any_company(row):
    """The loss of a batch is the mean of the losses of its images, unless sums over the batch are asked for."""
    loss = ROWS[row].loss
    logits, target = batch(n=4)
    alone = np.mean([loss(logits[i : i + 1], target[i : i + 1]).item() for i in range(4)])
    together = loss(logits, target).item()
    if ROWS[row].alone:
        assert together == pytest.approx(alone, abs=1e-12)
    else:
        assert together != pytest.approx(alone, abs=1e-3)


@every
def test_targets_of_other_types(row):
    logits, target = batch(dtype=torch.float32)
    hard = target.round()
    expected = ROWS[row].loss(logits, hard).item()
    for other in (hard.bool(), hard.to(torch.uint8), hard.long(), hard.half()):
        assert ROWS[row].loss(logits, other).item() == expected


@every
def test_channels_last(row):
    loss = ROWS[row].loss
    logits, target = batch(n=3, h=9, w=6)
    grads = []
    for layout in (torch.contiguous_format, torch.channels_last):
        moved = logits.clone(memory_format=layout).requires_grad_()
        value = loss(moved, target)
        value.backward()
        grads.append(moved.grad)
    assert value.item() == pytest.approx(loss(logits, target).item(), rel=1e-12)
    torch.testing.assert_close(grads[1], grads[0])


@every
def test_weight_1_is_no_weight(row):
    loss = ROWS[row].loss
    logits, target = batch()
    expected = loss(logits, target).item()
    for ones in (torch.ones(2, 1, 7, 5), torch.ones(2, 3, 7, 5, dtype=torch.bool), torch.ones(2, 1, 7, 5).half()):
        assert loss(logits, target, ones).item() == pytest.approx(expected, rel=1e-12)


@every
def test_what_is_predicted_in_ignored_pixels_changes_nothing(row):
    loss = ROWS[row].loss
    logits, target = batch()
    weight = (torch.rand(2, 1, 7, 5, generator=torch.Generator().manual_seed(3)) < 0.7).double()
    changed = (torch.where(weight > 0, logits, 9.0)).requires_grad_()
    value = loss(changed, target, weight)
    assert value.item() == pytest.approx(loss(logits, target, weight).item(), rel=1e-12)
    value.backward()
    assert changed.grad[(weight == 0).expand_as(changed)].abs().max() == 0
    assert changed.grad.abs().sum() > 0


@pytest.mark.parametrize("row", [name for name, row in ROWS.items() if row.local])
def test_ignoring_is_cropping(row):
    loss = ROWS[row].loss
    logits, target = batch()
    weight = torch.ones(2, 1, 7, 5)
    weight[:, :, 4:] = 0
    weight[..., 3] = 0
    left = [0, 1, 2, 4]
    expected = loss(logits[:, :, :4, left], target[:, :, :4, left]).item()
    assert loss(logits, target, weight).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("row", [name for name, row in ROWS.items() if row.local and type(row.loss) is not TopKLoss])
def test_weight_2_is_the_pixel_twice(row):
    """But for the hardest share, which is counted in pixels."""
    loss = ROWS[row].loss
    logits, target = batch()
    weight = torch.ones(2, 1, 7, 5)
    weight[..., 2] = 2
    twice = [0, 1, 2, 2, 3, 4]
    expected = loss(logits[..., twice], target[..., twice]).item()
    assert loss(logits, target, weight).item() == pytest.approx(expected, rel=1e-9)


@every
def test_an_image_of_weight_w_counts_w_times(row):
    """The weighted mean of what the images cost alone, whichever losses are in the sum; ignored pixels beside."""
    loss = ROWS[row].loss
    logits, target = batch(n=3)
    image_weights = torch.tensor([1.0, 0.0, 2.5], dtype=torch.float64)
    weight = image_weights.view(-1, 1, 1, 1).expand(-1, 1, 7, 5).clone()
    weight[:, :, 6] = 0  # a row that is ignored in all images
    valid = (weight > 0).double()
    value = loss(logits, target, weight).item()
    assert loss(logits, target, 40 * weight).item() == pytest.approx(value, rel=1e-9)
    if ROWS[row].alone:
        alone = [loss(logits[i : i + 1], target[i : i + 1], valid[i : i + 1]).item() for i in (0, 2)]
        assert value == pytest.approx(np.average(alone, weights=[1, 2.5]), rel=1e-9)


@every
def test_a_whole_weight_is_that_many_copies_of_the_image(row):
    """Losses over the batch included."""
    loss = ROWS[row].loss
    logits, target = batch(n=2, h=10, w=4)
    weight = torch.tensor([3.0, 1.0]).view(-1, 1, 1, 1).expand(-1, 1, 10, 4)
    copies = [0, 0, 0, 1]
    assert loss(logits, target, weight).item() == pytest.approx(loss(logits[copies], target[copies]).item(), rel=1e-9)


@pytest.mark.parametrize("row", [name for name in ROWS if "generalised" not in name and name != "bce smoothed"])
def test_a_class_of_weight_w_counts_w_times(row):
    """Where weights differ from class to class of an image, as of pseudo-labels (classes that share no ratio)."""
    loss = ROWS[row].loss
    logits, target = batch(n=1)
    weight = torch.tensor([1.0, 4.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1).expand(1, 3, 7, 5)
    alone = [loss(logits[:, c : c + 1], target[:, c : c + 1]).item() for c in (0, 1)]
    assert loss(logits, target, weight).item() == pytest.approx((alone[0] + 4 * alone[1]) / 5, rel=1e-9)


@every
def test_everything_ignored_costs_nothing(row):
    logits, target = batch()
    logits.requires_grad_()
    value = ROWS[row].loss(logits, target, torch.zeros(2, 1, 7, 5))
    value.backward()
    assert value == 0
    assert logits.grad.abs().max() == 0


@every
def test_gradcheck_with_weights(row):
    logits, target = batch(h=3, w=3)
    weight = torch.rand(2, 3, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64).round(decimals=1)
    weight[weight < 0.3] = 0
    assert torch.autograd.gradcheck(lambda x: ROWS[row].loss(x, target, weight), logits.requires_grad_())


@pytest.mark.parametrize("name", [n for n, kind in losses.LOSSES.items() if not issubclass(kind, ExclusiveLoss)])
def test_class_weights(name):
    """Only the classes with weight count, and only the ratios of weights matter."""
    logits, target = batch()
    only = build(f"{name}(class_weights=[0, 5, 0])")(logits, target).item()
    assert only == pytest.approx(build(name)(logits[:, 1:2], target[:, 1:2]).item(), rel=1e-12)
    same = build(f"{name}(class_weights=[2, 2, 2])")(logits, target).item()
    assert same == pytest.approx(build(name)(logits, target).item(), rel=1e-12)
    if name != "generalised_dice":  # there they change what is in the ratio
        first, last = (build(name)(logits[:, c : c + 1], target[:, c : c + 1]).item() for c in (0, 2))
        both = build(f"{name}(class_weights=[1, 0, 3])")(logits, target).item()
        assert both == pytest.approx((first + 3 * last) / 4, rel=1e-12)
    with pytest.raises(ValueError, match="has 2 numbers but there are 3 classes"):
        build(f"{name}(class_weights=[1, 2])")(logits, target)


@pytest.mark.parametrize(
    ("logits", "target", "says"),
    [
        (torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4), r"\(1, 2, 4, 4\) and target is \(1, 1, 4, 4\)"),
        (torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), r"must be \(N, C, H, W\)"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.long), torch.zeros(1, 1, 4, 4), "before any threshold"),
        (torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 255, dtype=torch.uint8), "scale it"),
        (torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), -1), "has -1; scale it"),
        (torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 255.0), "has 255; scale it"),
        (torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), math.nan), "has nan; scale it"),
        (torch.zeros(0, 1, 4, 4), torch.zeros(0, 1, 4, 4), "without pixels"),
        (np.zeros((1, 1, 4, 4)), torch.zeros(1, 1, 4, 4), "logits: expected a tensor, got a ndarray"),
        (torch.zeros(1, 1, 1, 3), torch.tensor([[[[0, 1, 255]]]]), r"255; pass .*weight=\(target != 255\)"),
        (torch.zeros(1, 1, 1, 3), torch.tensor([[[[0, 1, 255.0]]]]), r"255; pass .*weight=\(target != 255\)"),
        (torch.zeros(1, 1, 1, 3), torch.tensor([[[[0, 9, 255]]]]), r"scale it .*weight=\(target != 255\)"),
    ],
)
@every
def test_wrong_input_is_refused(row, logits, target, says):
    with pytest.raises(ValueError, match=says):
        ROWS[row].loss(logits, target)


@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (torch.ones(1), r"weights of images are weight.view"),
        (torch.ones(1, 4, 4), r"\(1, 4, 4\) for logits \(1, 2, 4, 4\)"),
        (torch.ones(1, 3, 4, 4), "must be"),
        (-torch.ones(1, 1, 4, 4), "goes down to -1"),
        (torch.full((1, 1, 4, 4), math.nan), "goes down to nan"),
    ],
)
def test_wrong_weights_are_refused(weight, says):
    with pytest.raises(ValueError, match=says):
        DiceLoss()(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), weight)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: BCELoss(label_smoothing=1.0), "label_smoothing"),
        (lambda: BCELoss(pos_weight=[1.0, 0.0]), "pos_weight"),
        (lambda: BCELoss(pos_weight=[1.0, 2.0])(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)), "3 classes"),
        (lambda: FocalLoss(gamma=0.5), "gamma"),
        (lambda: FocalLoss(alpha=1.0), "alpha"),
        (lambda: TverskyLoss(alpha=0, beta=0), "nor both 0"),
        (lambda: TverskyLoss(form="squared"), "no form 'squared'"),
        (lambda: DiceLoss(form="square"), "did you mean squared"),
        (lambda: DiceLoss(curve="cosh"), "did you mean logcosh"),
        (lambda: GeneralisedDiceLoss(form="square"), "did you mean squared"),
        (lambda: GeneralisedDiceLoss(power=-1), "power"),
        (lambda: FocalTverskyLoss(gamma=0.75), "at least 1"),
        (lambda: FocalTverskyLoss(form="squared"), "no form 'squared'"),
        (lambda: LovaszLoss(errors="prob"), "did you mean probs"),
        (lambda: HausdorffLoss(alpha=0), "alpha must be positive"),
        (lambda: ClDiceLoss(iterations=0), "iterations"),
        (lambda: ClDiceLoss(iterations=2.5), "whole number"),
        (lambda: DiceLoss(class_weights={"a": 1}), "one number a class"),
        (lambda: DiceLoss()(torch.zeros(1, 1, 2, 2), None), "target: expected a tensor, got a NoneType"),
        (lambda: ClDiceLoss(smooth=-1), "smooth"),
        (lambda: TopKLoss(share=0), "share"),
        (lambda: BCELoss(pos_weight=math.nan), "pos_weight"),
        (lambda: FocalLoss(gamma=math.nan), "gamma"),
        (lambda: TverskyLoss(alpha=math.nan), "alpha"),
        (lambda: FocalTverskyLoss(gamma=math.inf), "gamma"),
        (lambda: GeneralisedDiceLoss(power=math.nan), "power"),
        (lambda: ClDiceLoss(smooth=math.nan), "smooth"),
        (lambda: DiceLoss(class_weights=[1, math.inf]), "one number a class"),
        (lambda: TopKLoss(threshold=1), "threshold"),
        (lambda: DiceLoss(class_weights=[1, -1]), "none negative"),
        (lambda: DiceLoss(class_weights=2.0), "one number a class"),
    ],
)
def test_wrong_settings_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
