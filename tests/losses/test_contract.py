"""One contract for every loss: a loss without a row fails."""

import math

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from segkit import losses
from segkit.losses import BCELoss, DiceLoss, FocalLoss, JaccardLoss, TverskyLoss, WeightedSum, build


def np_sigmoid(x):
    return 1 / (1 + np.exp(-x))


def np_bce(x, y):
    p = np_sigmoid(x)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def np_overlap(x, y, *, alpha=0.5, beta=0.5, form, per_image=True):
    """Image by image and class by class, as one would on paper."""
    p = np_sigmoid(x)
    if not per_image:
        p, y, x = (np.moveaxis(a, 0, 1).reshape(1, a.shape[1], -1, 1) for a in (p, y, x))
    terms = []
    for n in range(len(p)):
        for c in range(p.shape[1]):
            a, b = p[n, c], y[n, c]
            common = np.minimum(a, b).sum() if form == "semimetric" else (a * b).sum()
            mine, theirs = ((a**2).sum(), (b**2).sum()) if form == "squared" else (a.sum(), b.sum())
            index = common / (common + alpha * (mine - common) + beta * (theirs - common))
            terms.append(1 - index if b.any() else np_bce(x[n, c], b).mean())
    return np.mean(terms)


def np_focal(x, y, *, gamma=2.0, alpha=None):
    weight = 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return (weight * np.abs(y - np_sigmoid(x)) ** gamma * np_bce(x, y)).mean()


def np_weighted_bce(x, y, *, label_smoothing=0.0, pos_weight=1.0):
    y = y * (1 - label_smoothing) + label_smoothing / 2
    p, w = np_sigmoid(x), np.reshape(pos_weight, (-1, 1, 1))
    return -(w * y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


# name: (loss, NumPy twin, whether p = y is its minimum for soft targets)
ROWS = {
    "bce": (BCELoss(), lambda x, y: np_bce(x, y).mean(), True),
    "bce smoothed": (
        BCELoss(label_smoothing=0.1, pos_weight=[1.0, 3.0, 0.5]),
        lambda x, y: np_weighted_bce(x, y, label_smoothing=0.1, pos_weight=[1.0, 3.0, 0.5]),
        False,
    ),
    "focal": (FocalLoss(), np_focal, True),
    "focal 1, alpha": (FocalLoss(gamma=1, alpha=0.25), lambda x, y: np_focal(x, y, gamma=1, alpha=0.25), True),
    "dice": (DiceLoss(), lambda x, y: np_overlap(x, y, form="squared"), True),
    "dice semimetric": (DiceLoss(form="semimetric"), lambda x, y: np_overlap(x, y, form="semimetric"), True),
    "dice plain": (DiceLoss(form="plain"), lambda x, y: np_overlap(x, y, form="plain"), False),
    "dice batch": (DiceLoss(per_image=False), lambda x, y: np_overlap(x, y, form="squared", per_image=False), True),
    "jaccard": (JaccardLoss(), lambda x, y: np_overlap(x, y, alpha=1, beta=1, form="squared"), True),
    "jaccard semimetric": (
        JaccardLoss(form="semimetric"),
        lambda x, y: np_overlap(x, y, alpha=1, beta=1, form="semimetric"),
        True,
    ),
    "tversky": (TverskyLoss(), lambda x, y: np_overlap(x, y, form="semimetric"), True),
    "tversky .3 .7": (
        TverskyLoss(alpha=0.3, beta=0.7),
        lambda x, y: np_overlap(x, y, alpha=0.3, beta=0.7, form="semimetric"),
        True,
    ),
    "tversky plain": (
        TverskyLoss(alpha=0.3, beta=0.7, form="plain"),
        lambda x, y: np_overlap(x, y, alpha=0.3, beta=0.7, form="plain"),
        False,
    ),
    "sum": (
        WeightedSum({"bce": 0.3, "dice": 0.7}),
        lambda x, y: 0.3 * np_bce(x, y).mean() + 0.7 * np_overlap(x, y, form="squared"),
        True,
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
    assert {type(loss) for loss, _, _ in ROWS.values()} == {*losses.LOSSES.values(), WeightedSum}


@every
def test_numpy_twin(row):
    loss, twin, _ = ROWS[row]
    logits, target = batch()
    assert loss(logits, target).item() == pytest.approx(twin(logits.numpy(), target.numpy()), abs=1e-9)


@every
def test_gradcheck(row):
    loss, _, _ = ROWS[row]
    logits, target = batch(h=3, w=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


@every
@pytest.mark.parametrize("fill", [0.0, 1.0])
@pytest.mark.parametrize("answer", [-100.0, -1.0, 0.0, 100.0])
def test_empty_and_full_targets_stay_finite(row, fill, answer):
    loss, _, _ = ROWS[row]
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
    loss, _, _ = ROWS[row]
    for y in (0.0, 1.0):
        assert loss(torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), y)).isfinite()


@every
def test_a_better_prediction_costs_less(row):
    """Moving every logit towards the (hard) target lowers the loss, from wrong to nearly right."""
    loss, _, _ = ROWS[row]
    _, target = batch()
    target = target.round()
    costs = [loss((2 * target - 1) * sure, target).item() for sure in (-4.0, -2.0, 0.0, 1.0, 2.0, 2.9)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > costs[-1] + 0.1


@every
def test_inputs_come_back_untouched(row):
    loss, _, _ = ROWS[row]
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
    loss, _, _ = ROWS[row]
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


KINKED = {"focal 1, alpha", "dice semimetric", "jaccard semimetric", "tversky", "tversky .3 .7"}  # |y - p| inside


@pytest.mark.parametrize("row", [name for name, (_, _, minimal) in ROWS.items() if minimal])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), step=st.floats(0.01, 1.5))
def test_no_lower_loss_near_the_target(row, seed, step):
    """p = y is the minimum for soft targets: no step away goes down, and where it is smooth there is no slope."""
    loss, _, _ = ROWS[row]
    draw = torch.Generator().manual_seed(seed)
    target = torch.rand(1, 3, 4, 4, generator=draw, dtype=torch.float64) * 0.98 + 0.01
    at = target.logit().requires_grad_()
    least = loss(at, target)
    away = torch.randn(target.shape, generator=draw, dtype=torch.float64) * step
    assert loss(at + away, target) >= least - 1e-12
    if row not in KINKED:
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


def test_hard_targets_agree_with_other_libraries():
    logits, target = batch(dtype=torch.float32)
    target = target.round()
    assert BCELoss()(logits, target).item() == pytest.approx(F.binary_cross_entropy_with_logits(logits, target).item())
    focal = sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2, reduction="mean").item()
    assert FocalLoss(alpha=0.25)(logits, target).item() == pytest.approx(focal, rel=1e-5)
    present = (logits[1:], target[1:])  # the first image lacks a class
    dice = smp.losses.DiceLoss("multilabel")(*present).item()
    assert DiceLoss(form="plain")(*present).item() == pytest.approx(dice, rel=1e-5)
    jaccard = smp.losses.JaccardLoss("multilabel")(*present).item()
    assert JaccardLoss(form="plain")(*present).item() == pytest.approx(jaccard, rel=1e-5)
    tversky = smp.losses.TverskyLoss("multilabel", alpha=0.3, beta=0.7)(*present).item()
    ours = TverskyLoss(alpha=0.3, beta=0.7)(*present).item()
    assert ours == pytest.approx(tversky, rel=1e-5)  # semimetric: the same for hard targets


@pytest.mark.parametrize(
    "loss", [DiceLoss(), DiceLoss(form="plain"), JaccardLoss(), TverskyLoss(), build("bce + dice")]
)
def test_an_absent_class_pushes_back_like_bce(loss):
    """Fully predicted and not there: smp's Dice has gradient 0; ours pushes every pixel as BCE does."""
    target = torch.zeros(1, 2, 8, 8)
    target[0, 0] = 1
    for answer in (0.0, 4.0, 12.0):
        logits = torch.full((1, 2, 8, 8), answer)
        ours, bce, theirs = (logits.clone().requires_grad_() for _ in range(3))
        loss(ours, target).backward()
        BCELoss()(bce, target).backward()
        smp.losses.DiceLoss("multilabel")(theirs, target).backward()
        assert theirs.grad[0, 1].abs().max() == 0
        ratio = ours.grad[0, 1] / bce.grad[0, 1]
        assert ratio.min() >= 0.999
        assert ratio.max() <= 2.001


@every
def test_an_image_costs_the_same_in_any_company(row):
    """The loss of a batch is the mean of the losses of its images, unless sums over the batch are asked for."""
    loss, _, _ = ROWS[row]
    logits, target = batch(n=4)
    alone = np.mean([loss(logits[i : i + 1], target[i : i + 1]).item() for i in range(4)])
    together = loss(logits, target).item()
    if row == "dice batch":
        assert together != pytest.approx(alone, abs=1e-3)
    else:
        assert together == pytest.approx(alone, abs=1e-12)


def test_soft_targets_of_other_types():
    logits, target = batch(dtype=torch.float32)
    hard = target.round()
    for other in (hard.bool(), hard.to(torch.uint8), hard.long(), hard.half()):
        assert build("bce + dice")(logits, other).item() == build("bce + dice")(logits, hard).item()


@pytest.mark.parametrize(
    ("logits", "target", "says"),
    [
        (torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4), r"\(1, 2, 4, 4\) and target is \(1, 1, 4, 4\)"),
        (torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), r"must be \(N, C, H, W\)"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.long), torch.zeros(1, 1, 4, 4), "before any threshold"),
        (torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 255, dtype=torch.uint8), "scale it"),
    ],
)
def test_wrong_input_is_refused(logits, target, says):
    with pytest.raises(ValueError, match=says):
        DiceLoss()(logits, target)


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
    ],
)
def test_wrong_settings_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
