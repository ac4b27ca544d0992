"""Losses of exclusive classes: torch's answers, hand-counted values, and what is true of each of them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segkit.losses import SOFTMAX_LOSSES, CrossEntropyLoss, SoftmaxDiceLoss, SoftmaxLovaszLoss, build

every = pytest.mark.parametrize("name", SOFTMAX_LOSSES)


def batch(seed=0, *, n=2, c=4, h=6, w=5):
    """Logits, class indices; the last class is in no image."""
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, c, h, w, generator=draw, dtype=torch.float64)
    return logits, torch.randint(0, c - 1, (n, h, w), generator=draw)


def channels(index, c=4):
    return F.one_hot(index, c).permute(0, 3, 1, 2).double()


def test_cross_entropy_is_torchs():
    logits, index = batch()
    weights = [1.0, 2.0, 0.5, 3.0]
    known = index.masked_fill(index == 1, 255)
    for ours, theirs in (
        (CrossEntropyLoss()(logits, index), F.cross_entropy(logits, index)),
        (CrossEntropyLoss()(logits, channels(index)), F.cross_entropy(logits, index)),
        (
            CrossEntropyLoss(class_weights=weights)(logits, index),
            F.cross_entropy(logits, index, torch.tensor(weights).double()),
        ),
        (CrossEntropyLoss(ignore_index=255)(logits, known), F.cross_entropy(logits, known, ignore_index=255)),
        (CrossEntropyLoss(label_smoothing=0.1)(logits, index), F.cross_entropy(logits, index, label_smoothing=0.1)),
    ):
        assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)


def test_dice_by_hand():
    """Two classes, two pixels, p = .5 everywhere: 1 - 2 * .5 / (.5 + 1) for each class."""
    index = torch.tensor([[[0, 1]]])
    assert SoftmaxDiceLoss()(torch.zeros(1, 2, 1, 2), index).item() == pytest.approx(1 - 1 / 1.5)


def lovasz_twin(logits, index):
    """Berman's algorithm in NumPy, present classes of each image."""
    probs = torch.softmax(logits, 1).numpy()
    terms = []
    for p, y in zip(probs, index.numpy()):
        for c in np.unique(y):
            truth = (y == c).ravel().astype(float)
            errors = np.abs(truth - p[c].ravel())
            order = np.argsort(-errors, kind="stable")
            truth = truth[order]
            union = truth.sum() + np.cumsum(1 - truth)
            jaccard = 1 - (truth.sum() - np.cumsum(truth)) / union
            terms.append(np.dot(errors[order], np.diff(jaccard, prepend=0)))
    return np.mean(terms)


def test_lovasz_softmax_is_the_papers():
    logits, index = batch()
    assert SoftmaxLovaszLoss()(logits, index).item() == pytest.approx(lovasz_twin(logits, index), abs=1e-9)


@every
def test_gradients(name):
    loss = SOFTMAX_LOSSES[name]()
    logits, index = batch(h=3, w=2)
    assert torch.autograd.gradcheck(lambda x: loss(x, channels(index)), logits.requires_grad_())


@every
def test_ignored_pixels_are_as_if_they_were_not_there(name):
    loss = SOFTMAX_LOSSES[name]()
    logits, index = batch()
    weight = torch.ones(2, 1, 6, 5)
    weight[:, :, 4:] = 0
    for x in (logits, logits + torch.randn(logits.shape) * (weight == 0)):
        assert loss(x, index, weight).item() == pytest.approx(loss(logits[:, :, :4], index[:, :4]).item())


@every
def test_an_image_of_weight_two_counts_as_two(name):
    loss = SOFTMAX_LOSSES[name]()
    logits, index = batch()
    weight = torch.tensor([2.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 6, 5)
    thrice = [torch.cat([x, x[:1]]) for x in (logits, index)]
    assert loss(logits, index, weight).item() == pytest.approx(loss(*thrice).item())


@every
def test_a_better_prediction_costs_less_and_a_right_one_nothing(name):
    loss = SOFTMAX_LOSSES[name]()
    _, index = batch()
    costs = [loss(certainty * channels(index), index).item() for certainty in (-2.0, 0.0, 1.0, 3.0, 50.0)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(0, abs=1e-6)


def test_a_class_that_is_absent_pushes_back():
    """Its whole softmax mass is wrong: the gradient is as large as cross-entropy's, not next to nothing."""
    index = torch.zeros(1, 8, 8, dtype=torch.long)
    logits = torch.zeros(1, 3, 8, 8, requires_grad=True)
    SoftmaxDiceLoss()(logits, index).backward()
    dice = logits.grad[:, 2].sum()
    logits.grad = None
    CrossEntropyLoss()(logits, index).backward()
    assert dice > 0.3 * logits.grad[:, 2].sum() > 0


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite(name, dtype):
    logits, index = batch(h=64, w=64)
    half = (100 * logits).to(dtype).requires_grad_()
    value = SOFTMAX_LOSSES[name]()(half, index)
    value.backward()
    assert value.isfinite()
    assert half.grad.isfinite().all()


def test_they_are_read_from_text_and_summed():
    logits, index = batch()
    loss = build("cross_entropy + 0.5*softmax_dice + softmax_lovasz(ignore_index=255)")
    target = channels(index)
    parts = [CrossEntropyLoss(), SoftmaxDiceLoss(), SoftmaxLovaszLoss()]
    expected = sum(w * part(logits, target) for w, part in zip((1, 0.5, 1), parts))
    assert loss(logits, target).item() == pytest.approx(expected.item())
    assert list(loss.terms) == ["cross_entropy", "softmax_dice", "softmax_lovasz"]


def test_bad_targets_are_named():
    logits, index = batch()
    with pytest.raises(ValueError, match=r"target has class 9, expected 0 to 3; ignore_index=9"):
        CrossEntropyLoss()(logits, index.masked_fill(index == 0, 9))
    with pytest.raises(ValueError, match="expected class indices"):
        CrossEntropyLoss()(logits, index.double())
    with pytest.raises(ValueError, match="expected a share"):
        CrossEntropyLoss(label_smoothing=1)
