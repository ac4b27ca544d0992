"""One contract for every loss of exclusive classes, against NumPy, torch and the published Lovasz-Softmax."""

import math

import numpy as np
import pytest
import torch
from exclusive_rows import ROWS
from hypothesis import given, settings
from hypothesis import strategies as st
from segmentation_models_pytorch import losses as smp
from torch.nn import functional as F

from segkit.losses import CrossEntropyLoss, SoftmaxDiceLoss, SoftmaxLovaszLoss, build, one_hot

every = pytest.mark.parametrize("row", ROWS)


def batch(seed=0, *, n=2, h=7, w=5, dtype=torch.float64):
    """Soft targets that sum to 1, with hard pixels among them, and a class that the first image lacks."""
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 3, h, w, generator=draw, dtype=dtype) * 2
    target = torch.rand(n, 3, h, w, generator=draw, dtype=dtype) ** 3
    target[:, :, 1] = 0
    target[:, 1, 1] = 1
    target[0, 2] = 0
    return logits, target / target.sum(1, keepdim=True)


def labelled(seed=0, *, n=2, classes=4, h=9, w=8):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, h, w, generator=draw, dtype=torch.float64) * 2
    labels = torch.randint(0, classes, (n, h, w), generator=draw)
    ignored = torch.rand(n, h, w, generator=draw) < 0.2
    return logits, labels, labels.masked_fill(ignored, 255)


@every
def test_numpy_twin(row):
    logits, target = batch()
    assert ROWS[row].loss(logits, target).item() == pytest.approx(
        ROWS[row].twin(logits.numpy(), target.numpy()), abs=1e-9
    )


@every
def test_gradcheck(row):
    logits, target = batch(h=3, w=2)
    weight = torch.tensor([1.0, 0.5, 0, 2, 1, 1], dtype=torch.float64).view(1, 1, 3, 2).expand(2, 1, 3, 2)
    for given_weight in (None, weight):
        assert torch.autograd.gradcheck(
            lambda x, w=given_weight: ROWS[row].loss(x, target, w), logits.clone().requires_grad_()
        )


@pytest.mark.parametrize("row", [name for name, row in ROWS.items() if row.minimal])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), step=st.floats(0.01, 1.5))
def test_no_lower_loss_near_the_target(row, seed, step):
    loss, draw = ROWS[row].loss, torch.Generator().manual_seed(seed)
    target = torch.rand(1, 3, 4, 4, generator=draw, dtype=torch.float64) + 0.02
    target = target / target.sum(1, keepdim=True)
    least = loss(target.log(), target)
    away = torch.randn(target.shape, generator=draw, dtype=torch.float64) * step
    assert loss(target.log() + away, target) >= least - 1e-12


@every
def test_a_number_added_to_all_classes_of_a_pixel_changes_nothing(row):
    logits, target = batch()
    moved = logits + torch.randn(2, 1, 7, 5, dtype=torch.float64)
    assert ROWS[row].loss(moved, target).item() == pytest.approx(ROWS[row].loss(logits, target).item(), rel=1e-9)


@every
def test_a_better_prediction_costs_less(row):
    _, labels, _ = labelled(classes=3)
    target = one_hot(labels, 3)[0].double()
    costs = [ROWS[row].loss(target * sure, target).item() for sure in (-4.0, -2.0, 0.0, 1.0, 3.0)]
    assert costs == sorted(costs, reverse=True)
    if "smoothed" not in row:
        assert ROWS[row].loss(target * 100, target) < 1e-6


@every
@pytest.mark.parametrize("answer", [-100.0, 0.0, 100.0])
def test_one_class_everywhere_stays_finite(row, answer):
    logits = torch.zeros(2, 3, 4, 4)
    logits[:, 0] = answer
    target = torch.zeros(2, 3, 4, 4)
    target[:, 1] = 1
    logits.requires_grad_()
    value = ROWS[row].loss(logits, target)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
    if answer == 100 and "lovasz" not in row:  # wrong and sure: an absent class that is predicted everywhere goes down
        assert (logits.grad[:, 0] > 0).all()


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_with_more_pixels_than_it_can_count(row, dtype, autocast):
    logits = torch.zeros(1, 3, 300, 300, dtype=dtype)
    logits[:, 0] = 2
    target = torch.zeros(1, 3, 300, 300, dtype=dtype)
    target[:, 0] = 1
    exact = ROWS[row].loss(logits.double(), target).item()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = ROWS[row].loss(logits.requires_grad_(), target)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(exact, rel=1e-4)
    assert logits.grad.dtype == dtype
    assert logits.grad.isfinite().all()


@every
def test_one_logit_that_is_no_number_is_seen(row):
    logits, target = batch()
    logits[0, 1, 2, 3] = math.nan
    assert ROWS[row].loss(logits, target).isnan()


@every
def test_an_image_costs_the_same_in_any_company(row):
    logits, target = batch(n=4)
    alone = np.mean([ROWS[row].loss(logits[i : i + 1], target[i : i + 1]).item() for i in range(4)])
    together = ROWS[row].loss(logits, target).item()
    if ROWS[row].alone:
        assert together == pytest.approx(alone, abs=1e-12)
    else:
        assert together != pytest.approx(alone, abs=1e-4)


@every
def test_ignoring_is_cropping_and_what_is_there_does_not_matter(row):
    logits, target = batch()
    weight = torch.ones(2, 1, 7, 5)
    weight[:, :, 4:] = 0
    weight[..., 3] = 0
    left = [0, 1, 2, 4]
    expected = ROWS[row].loss(logits[:, :, :4, left], target[:, :, :4, left]).item()
    changed = torch.where(weight > 0, logits, 9.0).requires_grad_()
    value = ROWS[row].loss(changed, target * (weight > 0), weight)
    assert value.item() == pytest.approx(expected, rel=1e-9)
    value.backward()
    assert changed.grad[(weight == 0).expand_as(changed)].abs().max() == 0
    assert changed.grad.abs().sum() > 0


@every
def test_weights(row):
    loss = ROWS[row].loss
    logits, target = batch()
    plain = loss(logits, target).item()
    assert loss(logits, target, torch.ones(2, 1, 7, 5)).item() == pytest.approx(plain, rel=1e-12)
    assert loss(logits, target, torch.ones(2, 3, 7, 5, dtype=torch.bool)).item() == pytest.approx(plain, rel=1e-12)
    weight, twice = torch.ones(2, 1, 7, 5), [0, 1, 2, 2, 3, 4]
    weight[..., 2] = 2
    expected = loss(logits[..., twice], target[..., twice]).item()
    assert loss(logits, target, weight).item() == pytest.approx(expected, rel=1e-9)
    images = torch.tensor([3.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 7, 5)
    copies = [0, 0, 0, 1]
    assert loss(logits, target, images).item() == pytest.approx(loss(logits[copies], target[copies]).item(), rel=1e-9)
    nothing = logits.clone().requires_grad_()
    value = loss(nothing, target, torch.zeros(2, 1, 7, 5))
    value.backward()
    assert value == 0
    assert nothing.grad.abs().max() == 0


@every
def test_class_numbers_are_the_one_hot_target(row):
    logits, _, ignored = labelled(classes=3)
    target = F.one_hot(ignored.masked_fill(ignored == 255, 0), 3).movedim(-1, 1)
    weight = (ignored != 255)[:, None]
    expected = ROWS[row].loss(logits, target, weight).item()
    for labels in (ignored, ignored.to(torch.uint8), ignored.masked_fill(ignored == 255, -100)):
        assert ROWS[row].loss(logits, labels).item() == pytest.approx(expected, rel=1e-12)
    half = torch.ones(2, 1, 9, 8)
    half[:, :, :4] = 0.5
    assert ROWS[row].loss(logits, ignored, half).item() == pytest.approx(
        ROWS[row].loss(logits, target, half * weight).item(), rel=1e-12
    )


@every
def test_inputs_come_back_untouched_in_any_layout(row):
    logits, target = batch(n=3)
    before = logits.clone(), target.clone()
    values = []
    for layout in (torch.contiguous_format, torch.channels_last):
        moved = logits.clone(memory_format=layout).requires_grad_()
        value = ROWS[row].loss(moved, target)
        value.backward()
        values.append((value.item(), moved.grad))
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-12)
    torch.testing.assert_close(values[0][1], values[1][1])
    assert torch.equal(logits, before[0])
    assert torch.equal(target, before[1])


@every
def test_overlapping_targets_are_refused(row):
    logits, target = batch()
    both = torch.zeros_like(target)
    both[:, 1:] = 1
    for wrong, total in ((both, "2"), (target * 0, "0")):
        with pytest.raises(ValueError, match=f"sums to {total} over the classes; expected 1, as classes are exclusive"):
            ROWS[row].loss(logits, wrong)
    assert ROWS[row].loss(logits, (target * 255).round() / 255).isfinite()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 0.0]])
def test_cross_entropy_is_that_of_torch(smoothing, weights):
    logits, labels, ignored = labelled()
    loss = CrossEntropyLoss(label_smoothing=smoothing, class_weights=weights)
    theirs = {
        "weight": None if weights is None else torch.tensor(weights, dtype=torch.float64),
        "label_smoothing": smoothing,
    }
    assert loss(logits, labels).item() == pytest.approx(F.cross_entropy(logits, labels, **theirs).item(), rel=1e-9)
    if weights is None or not smoothing:  # torch smooths ignored pixels' weights away with them, as we do
        expected = F.cross_entropy(logits, ignored, ignore_index=255, **theirs).item()
        assert loss(logits, ignored).item() == pytest.approx(expected, rel=1e-9)
    if weights is None:
        _, soft = batch()
        soft_logits = torch.randn(2, 3, 7, 5, dtype=torch.float64)
        expected = F.cross_entropy(soft_logits, soft, label_smoothing=smoothing).item()
        assert loss(soft_logits, soft).item() == pytest.approx(expected, rel=1e-9)


def test_softmax_dice_is_smps_where_all_classes_are_present():
    logits, labels, ignored = labelled()
    ours = SoftmaxDiceLoss(form="plain", per_image=False)
    assert ours(logits, labels).item() == pytest.approx(smp.DiceLoss("multiclass")(logits, labels).item(), abs=1e-6)
    theirs = smp.DiceLoss("multiclass", ignore_index=255)(logits, ignored).item()
    assert ours(logits, ignored).item() == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("per_image", [False, True])
def test_softmax_lovasz_is_the_published_one(per_image):
    logits, labels, ignored = labelled(classes=4)
    logits = torch.cat([logits, logits[:, :1]], dim=1).float()  # the fifth class is in no image
    labels[0, labels[0] == 1] = ignored[0, ignored[0] == 1] = 0  # and the second one not in the first
    theirs = smp.LovaszLoss("multiclass", per_image=per_image, ignore_index=255)
    ours = SoftmaxLovaszLoss(per_image=per_image)
    for given_labels in (labels, ignored):
        x, y = (logits.clone().requires_grad_() for _ in range(2))
        mine, published = ours(x, given_labels), theirs(y, given_labels)
        assert mine.item() == pytest.approx(published.item(), abs=1e-6)
        mine.backward()
        published.backward()
        torch.testing.assert_close(x.grad, y.grad, atol=1e-7, rtol=1e-4)


def test_counted_by_hand():
    """Two pixels, two classes, p = (.5, .5) and (.8, .2); the second pixel is of class 1."""
    logits = torch.tensor([[[[0.0, math.log(4)]], [[0.0, 0.0]]]])
    labels = torch.tensor([[[0, 1]]])
    assert CrossEntropyLoss()(logits, labels).item() == pytest.approx((math.log(2) + math.log(5)) / 2)
    assert CrossEntropyLoss(class_weights=[3, 1])(logits, labels).item() == pytest.approx(
        (3 * math.log(2) + math.log(5)) / 4
    )
    assert SoftmaxDiceLoss(form="plain")(logits, labels).item() == pytest.approx(
        1 - (2 * 0.5 / (1.3 + 1) + 2 * 0.2 / (0.7 + 1)) / 2
    )
    # class 0: errors .8 (background, 1 - J grows from 0 to 1/2) and .5 (to 1); class 1: .8 (to 1), then .5 (stays)
    assert SoftmaxLovaszLoss()(logits, labels).item() == pytest.approx(((0.8 + 0.5) / 2 + 0.8) / 2)


def test_one_hot():
    target, weight = one_hot(torch.tensor([[[0, 2], [7, 1]]]), 3, ignore_index=7)
    assert target.int().tolist() == [[[[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 1], [0, 0]]]]
    assert weight.int().tolist() == [[[[1, 1], [0, 1]]]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: one_hot(torch.tensor([[[0, 11]]]), 11),
            "labels have 11; expected 0 to 10 for 11 classes.*ignore_index=11",
        ),
        (lambda: one_hot(torch.zeros(1, 2, 2), 3), "expected class numbers, integer"),
        (lambda: build("cross_entropy")(torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2), 3)), "labels have 3"),
        (lambda: build("dice")(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2)), "expected class numbers"),
        (
            lambda: build("cross_entropy")(torch.zeros(1, 2, 2, 2), torch.zeros(1, 3, 3, dtype=torch.long)),
            "both must be",
        ),
        (lambda: CrossEntropyLoss(label_smoothing=1), "label_smoothing must be"),
        (
            lambda: CrossEntropyLoss(class_weights=[1, 2])(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2).long()),
            "3 classes",
        ),
        (lambda: SoftmaxDiceLoss(form="square"), "did you mean squared"),
        (lambda: SoftmaxDiceLoss(ignore_index=1.5), "ignore_index to be a whole number"),
        (lambda: build("cross_entropy(ignore_index=3) + softmax_dice(ignore_index=4)"), "one ignore_index for all"),
    ],
)
def test_what_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_a_sum_reads_class_numbers_once_and_knows_what_is_ignored():
    logits, labels, _ = labelled(classes=3)
    loss = build("cross_entropy(ignore_index=2) + softmax_dice + softmax_lovasz")
    valid = (labels != 2)[:, None]
    target = one_hot(labels, 3)[0] & valid
    assert loss(logits, labels).item() == pytest.approx(loss(logits, target, valid).item(), rel=1e-12)
    assert list(loss.terms) == ["cross_entropy", "softmax_dice", "softmax_lovasz"]


@pytest.mark.parametrize("name", ["cross_entropy", "softmax_dice", "softmax_lovasz"])
def test_class_weights_keep_their_ratios(name):
    logits, target = batch()
    even = build(name)(logits, target).item()
    assert build(f"{name}(class_weights=[2, 2, 2])")(logits, target).item() == pytest.approx(even, rel=1e-9)
    one, two = (build(f"{name}(class_weights={w})")(logits, target).item() for w in ("[1, 3, 0]", "[2, 6, 0]"))
    assert one == pytest.approx(two, rel=1e-12)
    assert one != pytest.approx(even, rel=1e-3)


def test_an_absent_class_is_pushed_down_by_dice_as_by_cross_entropy():
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    slopes = []
    for loss in (SoftmaxDiceLoss(), CrossEntropyLoss()):
        logits = torch.zeros(1, 3, 8, 8, requires_grad=True)
        loss(logits, labels).backward()
        slopes.append(logits.grad[:, 2].sum())
    assert slopes[0] > 0.3 * slopes[1] > 0
