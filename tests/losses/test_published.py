"""The values that MONAI's and smp's own tests expect: reproduced where they are right, explained where they are not.

MONAI: tests/losses/test_{dice,tversky,focal,generalized_dice,hausdorff}_loss.py; smp: tests/test_losses.py. MONAI adds
1e-4 to numerator and denominator in some cases, so that its figures hold to about 1e-4.
"""

import numpy as np
import pytest
import torch
from scipy import ndimage

from segkit.losses import BCELoss, DiceLoss, FocalLoss, GeneralisedDiceLoss, HausdorffLoss, JaccardLoss, TverskyLoss
from segkit.losses.boundary import signed_distances

ONE = torch.tensor([[[[1.0, -1.0], [-1.0, 1.0]]]])
THREE_OF_FOUR = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]])
TWO = torch.cat([ONE, ONE])
FULL_AND_LEFT = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]]], [[[1.0, 0.0], [1.0, 0.0]]]])
SOFT = torch.tensor([[[[0.3, 0.4], [0.7, 0.9]]], [[[1.0, 0.1], [0.5, 0.3]]]])
TWO_CLASSES = torch.tensor([[[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])[:, :, None]
THEIR_LABELS = torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]])[:, :, None]
THREE_CLASSES = torch.tensor([[1.0, 1.0], [0.5, 0.0]]).expand(1, 3, 2, 2)
LABELS = torch.nn.functional.one_hot(torch.tensor([[[0, 1], [2, 0]]])).movedim(-1, 1).float()


@pytest.mark.parametrize(
    ("loss", "logits", "target", "published"),
    [
        (DiceLoss(form="plain"), ONE, THREE_OF_FOUR, 0.307576),
        (DiceLoss(form="plain"), TWO, FULL_AND_LEFT, 0.416657),
        (DiceLoss(form="plain"), TWO_CLASSES, THEIR_LABELS, 0.435050),
        (DiceLoss(form="plain"), SOFT.logit(), SOFT, 0.307773),  # soft_label=False: not 0 where it is right
        (DiceLoss(form="semimetric"), SOFT.logit(), SOFT, 0.0),  # soft_label=True
        (DiceLoss(form="squared"), ONE, THREE_OF_FOUR, 0.178337),
        (JaccardLoss(form="plain"), ONE, THREE_OF_FOUR, 0.470451),
        (TverskyLoss(alpha=0.3, beta=0.7, form="plain"), ONE, THREE_OF_FOUR, 0.3589),
        (TverskyLoss(alpha=0.7, beta=0.3, form="plain"), ONE, THREE_OF_FOUR, 0.247366),
        (TverskyLoss(form="plain", per_image=False), TWO_CLASSES, THEIR_LABELS, 0.422979),
        (GeneralisedDiceLoss(form="plain"), ONE, THREE_OF_FOUR, 0.307576),
        (GeneralisedDiceLoss(form="plain"), TWO, FULL_AND_LEFT, 0.416597),
        (GeneralisedDiceLoss(form="plain"), TWO_CLASSES, THEIR_LABELS, 0.469964),
        (GeneralisedDiceLoss(form="semimetric"), SOFT.logit(), SOFT, 0.0),
        (FocalLoss(), THREE_CLASSES, LABELS, 0.34959),
        (FocalLoss(), THREE_CLASSES[:, 1:], LABELS[:, 1:], 0.36498),
        (FocalLoss(alpha=0.8), THREE_CLASSES, LABELS, 0.08423),
    ],
)
def test_monai(loss, logits, target, published):
    assert loss(logits, target).item() == pytest.approx(published, abs=2e-4)


@pytest.mark.parametrize(
    ("loss", "target", "found", "published"),
    [
        (DiceLoss(form="plain"), [1, 1, 1, 1], [1, 1, 0, 0], 1 - 2 / 3),
        (TverskyLoss(form="plain"), [1, 1, 1, 1], [1, 1, 0, 0], 1 - 2 / 3),
        (JaccardLoss(form="plain"), [1, 1, 1, 1], [1, 1, 0, 0], 0.5),
        (JaccardLoss(form="plain"), [1, 1, 0, 0], [0, 1, 1, 0], 1 - 1 / 3),
        (DiceLoss(form="plain"), [0, 1, 0, 0], [1, 0, 1, 1], 1.0),
        (DiceLoss(form="plain"), [0, 0, 0, 0], [0, 0, 0, 0], 0.0),
    ],
)
def test_smp(loss, target, found, published):
    target, found = (torch.tensor(row, dtype=torch.float32).view(1, 1, 1, -1) for row in (target, found))
    assert loss(found * 100 - 50, target).item() == pytest.approx(published, abs=1e-5)


def test_smp_an_absent_class_that_is_predicted_costs_nothing():
    """Their tests call it the worst case and expect 0; it is, and so we let it cost."""
    assert DiceLoss(form="plain")(torch.full((1, 1, 1, 3), 5.0), torch.zeros(1, 1, 1, 3)) > 5


def test_monai_hausdorff_counts_from_pixel_to_pixel():
    """Theirs is .509329 of distances between pixels' centres; a contour runs half a pixel before the next centre.

    Ours are in shares of the diagonal besides, so that a loss does not grow with the size of the image.
    """
    pixels = [signed_distances(mask)[0].abs() * 8**0.5 + 0.5 for mask in (THREE_OF_FOUR > 0.5, ONE > 0)]
    theirs = (ONE.sigmoid() - THREE_OF_FOUR).square() * sum(d.square() for d in pixels)
    assert theirs.mean().item() == pytest.approx(0.509329, abs=1e-5)
    ours = (ONE.sigmoid() - THREE_OF_FOUR).square() * sum((d - 0.5).square() for d in pixels) / 8
    assert HausdorffLoss()(ONE, THREE_OF_FOUR).item() == pytest.approx(ours.mean().item())


def test_monai_hausdorff_of_a_full_target_measures_to_nowhere():
    """Their .455082 for TWO rests on SciPy's distances in a plane without background, which are of no contour."""
    assert len(np.unique(ndimage.distance_transform_edt(np.ones((2, 2))))) == 4
    full, left = (HausdorffLoss()(ONE, target[None]).item() for target in FULL_AND_LEFT)
    assert full == pytest.approx(BCELoss()(ONE, FULL_AND_LEFT[:1]).item())  # nothing to measure to: cross-entropy
    assert HausdorffLoss()(TWO, FULL_AND_LEFT).item() == pytest.approx((left + full) / 2)
