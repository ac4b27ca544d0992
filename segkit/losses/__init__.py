"""Losses for overlapping and for exclusive classes: raw logits and targets, both (N, C, H, W), to a scalar.

`loss(logits, target, weight=None)`; weight: (N, 1, H, W) or (N, C, H, W). A pixel of weight w counts as w pixels, an
image of weight w as w images, in every loss; 0 ignores a pixel. Sums are float32 whatever precision the network ran in,
an absent class pushes back as hard as in BCE, and every loss is minimal at p = target, soft targets included, unless
its docstring says otherwise. cross_entropy, softmax_dice and softmax_lovasz are for exclusive classes, all others see
each class by itself. Class numbers (N, H, W) are taken as targets too.

Example:
    >>> import torch
    >>> loss = build("bce + dice")
    >>> loss(torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)) > 0
    tensor(True)
"""

from segkit.losses.base import Loss
from segkit.losses.boundary import BoundaryLoss, HausdorffLoss
from segkit.losses.combine import WeightedSum, build
from segkit.losses.deep import DeepSupervision
from segkit.losses.exclusive import CrossEntropyLoss, SoftmaxDiceLoss, SoftmaxLovaszLoss
from segkit.losses.inputs import LossInputs
from segkit.losses.labels import one_hot
from segkit.losses.overlap import DiceLoss, FocalTverskyLoss, GeneralisedDiceLoss, JaccardLoss, TverskyLoss
from segkit.losses.pixel import BCELoss, FocalLoss, TopKLoss
from segkit.losses.ranking import LovaszLoss
from segkit.losses.spec import LOSSES
from segkit.losses.topology import ClDiceLoss

__all__ = [
    "LOSSES",
    "BCELoss",
    "BoundaryLoss",
    "ClDiceLoss",
    "CrossEntropyLoss",
    "DeepSupervision",
    "DiceLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GeneralisedDiceLoss",
    "HausdorffLoss",
    "JaccardLoss",
    "Loss",
    "LossInputs",
    "LovaszLoss",
    "SoftmaxDiceLoss",
    "SoftmaxLovaszLoss",
    "TopKLoss",
    "TverskyLoss",
    "WeightedSum",
    "build",
    "one_hot",
]
