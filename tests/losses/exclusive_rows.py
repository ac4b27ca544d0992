"""The rows of the contract of losses of exclusive classes, with NumPy twins."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from segkit.losses import CrossEntropyLoss, SoftmaxDiceLoss, SoftmaxLovaszLoss, WeightedSum


class Row(NamedTuple):
    """A loss, its NumPy twin, and what is true of it.

    minimal: p = y is its minimum for soft targets; alone: an image costs the same in any company, and the parts of a
    batch are its images.
    """

    loss: torch.nn.Module
    twin: Callable
    minimal: bool = True
    alone: bool = True


def np_softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def np_cross_entropy(x, y, *, label_smoothing=0.0, weights=None):
    w = np.ones(x.shape[1]) if weights is None else np.array(weights)
    smooth = y * (1 - label_smoothing) + label_smoothing / x.shape[1]
    costs = -(smooth * np.log(np_softmax(x)) * w[:, None, None]).sum()
    return costs / (y * w[:, None, None]).sum()


def np_terms(x, y, term, *, per_image=True, present=False):
    """The mean of term(p, y) over class maps; below one pixel, by that share, of the mean of -log(1 - p).

    present: of those that are there alone.
    """
    p = np_softmax(x)
    if not per_image:
        p, y = (np.moveaxis(a, 1, 0).reshape(1, a.shape[1], -1, 1) for a in (p, y))
    values, weights = [], []
    for n in range(len(p)):
        for c in range(p.shape[1]):
            there = min(y[n, c].sum(), 1)
            absent = 0 if present else -np.log(1 - p[n, c]).mean()
            values.append((there and there * term(p[n, c].ravel(), y[n, c].ravel())) + (1 - there) * absent)
            weights.append(there if present else 1)
    values, weights = (np.reshape(a, p.shape[:2]) for a in (values, weights))
    return (values.sum(axis=1) / weights.sum(axis=1)).mean()


def dice_term(p, y, *, form):
    shared = np.minimum(p, y) if form == "semimetric" else p * y
    power = 2 if form == "squared" else 1
    return 1 - 2 * shared.sum() / ((p**power).sum() + (y**power).sum())


def lovasz_term(p, y):
    """The sum over ranks of error times the growth of 1 - Jaccard, which is counted anew at each rank."""
    errors = np.abs(p - y)
    order = np.argsort(-errors, kind="stable")
    total = before = 0.0
    for rank in range(1, len(order) + 1):
        wrong = order[:rank]
        after = 1 - (y.sum() - y[wrong].sum()) / (y.sum() + (1 - y[wrong]).sum())
        total += errors[order[rank - 1]] * (after - before)
        before = after
    return total


def dice(form, **more):
    return partial(np_terms, term=partial(dice_term, form=form), **more)


ROWS = {
    "cross entropy": Row(CrossEntropyLoss(), np_cross_entropy),
    "cross entropy smoothed, weighted": Row(
        CrossEntropyLoss(label_smoothing=0.1, class_weights=[1, 3, 0.5]),
        partial(np_cross_entropy, label_smoothing=0.1, weights=[1, 3, 0.5]),
        minimal=False,
        alone=False,
    ),
    "dice": Row(SoftmaxDiceLoss(), dice("squared")),
    "dice semimetric": Row(SoftmaxDiceLoss(form="semimetric"), dice("semimetric")),
    "dice plain": Row(SoftmaxDiceLoss(form="plain"), dice("plain"), minimal=False),
    "dice batch": Row(SoftmaxDiceLoss(per_image=False), dice("squared", per_image=False), alone=False),
    "lovasz": Row(SoftmaxLovaszLoss(), partial(np_terms, term=lovasz_term, present=True)),
    "lovasz batch": Row(
        SoftmaxLovaszLoss(per_image=False),
        partial(np_terms, term=lovasz_term, per_image=False, present=True),
        alone=False,
    ),
    "sum": Row(
        WeightedSum({"cross_entropy": 0.3, "softmax_dice": 0.7}),
        lambda x, y: 0.3 * np_cross_entropy(x, y) + 0.7 * dice("squared")(x, y),
    ),
}
