"""What well-known libraries get wrong, computed here against smp: ours beside it, and why the numbers differ."""

import math

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from segkit.losses import BCELoss, DiceLoss, FocalLoss, FocalTverskyLoss, JaccardLoss, LovaszLoss, TverskyLoss


def batch(n=2, c=3, h=7, w=5):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(n, c, h, w, generator=draw) * 2
    return logits, torch.randint(0, 2, logits.shape, generator=draw).float()


def sure(target, wrong):
    """Logits that answer the target, but for the pixels of `wrong`."""
    return (2 * target - 1) * (1 - 2 * wrong) * 50


def test_where_they_are_right_we_agree():
    logits, target = batch()
    assert BCELoss()(logits, target).item() == pytest.approx(F.binary_cross_entropy_with_logits(logits, target).item())
    focal = sigmoid_focal_loss(logits, target, alpha=0.25, gamma=2, reduction="mean").item()
    assert FocalLoss(alpha=0.25)(logits, target).item() == pytest.approx(focal, rel=1e-5)
    one = logits[:1], target[:1]  # of one image, with every class: smp sums over the batch
    for ours, theirs in [
        (DiceLoss(form="plain"), smp.losses.DiceLoss("multilabel")),
        (DiceLoss(form="plain", curve="log"), smp.losses.DiceLoss("multilabel", log_loss=True)),
        (JaccardLoss(form="plain"), smp.losses.JaccardLoss("multilabel")),
        (JaccardLoss(form="plain", curve="log"), smp.losses.JaccardLoss("multilabel", log_loss=True)),
        (TverskyLoss(alpha=0.3, beta=0.7), smp.losses.TverskyLoss("multilabel", alpha=0.3, beta=0.7)),
        (BCELoss(pos_weight=3.0), smp.losses.SoftBCEWithLogitsLoss(pos_weight=torch.tensor(3.0))),
    ]:
        assert ours(*one).item() == pytest.approx(theirs(*one).item(), rel=1e-5)
    two = DiceLoss(form="plain", per_image=False)(logits, target)
    assert two.item() == pytest.approx(smp.losses.DiceLoss("multilabel")(logits, target).item(), rel=1e-5)
    plane = logits[0, 0][None, None], target[0, 0][None, None]
    hinge = smp.losses.LovaszLoss("binary", per_image=True)(*plane).item()
    assert LovaszLoss()(*plane).item() == pytest.approx(hinge, rel=1e-4)


def test_1_an_absent_class_that_is_fully_predicted():
    """smp's Dice: no cost and no gradient, yet it dilutes the mean. Ours: what BCE says, cost and gradient."""
    target = torch.zeros(1, 2, 8, 8)
    target[0, 0, 2:6] = 1
    logits = sure(target, torch.zeros_like(target)) / 10
    logits[0, 1] = 12
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    dice = smp.losses.DiceLoss("multilabel")(theirs, target)
    dice.backward()
    assert theirs.grad[0, 1].abs().max() == 0
    alone = smp.losses.DiceLoss("multilabel")(logits[:, :1], target[:, :1])
    assert dice.item() == pytest.approx(alone.item() / 2)
    value = DiceLoss()(ours, target)
    value.backward()
    assert value > 5
    assert ours.grad[0, 1].min() == pytest.approx(1 / 64 / 2, rel=1e-3)


def test_2_the_value_of_an_image_depends_on_its_company():
    """A small and a large object, the small one missed: per image that is half of what there is to find."""
    target = torch.zeros(2, 1, 10, 10)
    target[0, 0, :9] = 1
    target[1, 0, 0, :2] = 1
    wrong = torch.zeros_like(target)
    wrong[1, 0, 0, :2] = 1
    logits = sure(target, wrong)
    alone = [smp.losses.DiceLoss("multilabel")(logits[i : i + 1], target[i : i + 1]).item() for i in range(2)]
    together = smp.losses.DiceLoss("multilabel")(logits, target).item()
    assert sum(alone) / 2 == pytest.approx(0.5)
    assert together == pytest.approx(1 - 180 / 182)
    assert DiceLoss()(logits, target).item() == pytest.approx(0.5)
    assert DiceLoss(per_image=False)(logits, target).item() == pytest.approx(together)


def test_3_ignored_pixels_in_focal():
    """smp's multi-label focal raises with ignore_index. Ours takes weights, as every loss here."""
    logits, target = batch()
    marked = target.clone()
    marked[..., 3:] = 255
    with pytest.raises(IndexError):
        smp.losses.FocalLoss("multilabel", ignore_index=255)(logits, marked)
    ours = FocalLoss()(logits, target, (marked[:, :1] != 255))
    assert ours.item() == pytest.approx(FocalLoss()(logits[..., :3], target[..., :3]).item(), rel=1e-5)


def test_4_lovasz_ranks_each_class_by_itself():
    """smp's multi-label Lovasz ranks the pixels of all classes together, which lets a small class drown."""
    target = torch.zeros(1, 2, 10, 10)
    target[0, 0, :5] = 1
    target[0, 1, 0, 0] = 1
    logits = torch.where(target > 0, 2.0, -2.0)
    logits[0, 1, 0, 0] = -2.0  # the small one is missed: error 3, all of its union
    theirs = smp.losses.LovaszLoss("multilabel")(logits, target).item()
    assert theirs == pytest.approx(3 / 51)
    assert LovaszLoss()(logits, target).item() == pytest.approx((0 + 3) / 2)
    quiet = smp.losses.LovaszLoss("multilabel", from_logits=False)(logits.sigmoid(), target).item()
    loud = smp.losses.LovaszLoss("multilabel", from_logits=True)(logits.sigmoid(), target).item()
    assert quiet == loud  # the option is ignored
    probs = LovaszLoss(errors="probs")(logits, target).item()
    assert probs == pytest.approx((F.sigmoid(torch.tensor(-2.0)) + F.sigmoid(torch.tensor(2.0))).item() / 2, rel=0.2)


def test_5_focal_tversky_has_its_power_inside_the_mean():
    """Two classes, 1 - T = .2 and .8: the paper's mean of powers; smp takes the power of the mean."""
    target = torch.zeros(1, 2, 10, 10)
    target[0, 0, :10] = 1
    target[0, 1, :10] = 1
    wrong = torch.zeros_like(target)
    wrong[0, 0, :2] = 1
    wrong[0, 1, :8] = 1
    logits = sure(target, wrong)
    ours = FocalTverskyLoss(alpha=1, beta=1, gamma=4 / 3)(logits, target).item()
    theirs = smp.losses.TverskyLoss("multilabel", alpha=1, beta=1, gamma=0.75)(logits, target).item()
    assert ours == pytest.approx((0.2**0.75 + 0.8**0.75) / 2)
    assert theirs == pytest.approx(0.5**0.75)


def test_6_ignored_pixels_leave_the_denominator():
    """Half of the pixels ignored, the others at p = .5: the mean over what counts is log 2."""
    logits, target = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    target[..., 2:] = -100
    theirs = smp.losses.SoftBCEWithLogitsLoss(ignore_index=-100)(logits, target).item()
    assert theirs == pytest.approx(math.log(2) / 2)
    assert BCELoss()(logits, target.clamp(min=0), target >= 0).item() == pytest.approx(math.log(2))


def test_7_sums_in_half_precision():
    """More pixels than float16 counts: smp's Dice is not a number."""
    logits = torch.full((1, 1, 300, 300), 5.0, dtype=torch.float16)
    target = torch.ones_like(logits)
    assert not smp.losses.DiceLoss("multilabel")(logits, target).isfinite()
    assert DiceLoss(form="plain")(logits, target).item() == pytest.approx(1 - 2 * 0.99331 / 1.99331, rel=1e-3)
