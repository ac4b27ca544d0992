"""Losses for multi-label segmentation: raw logits and soft or hard targets, both (N, C, H, W), to a scalar.

`loss(logits, target, weight=None)`; weight: (N, 1, H, W) or (N, C, H, W), what each pixel counts, 0 to ignore it. Sums
are float32 whatever precision the network ran in, an absent class pushes back as hard as in BCE, and every loss is
minimal at p = target, soft targets included, unless its docstring says otherwise.

>>> import torch
>>> loss = build("bce + dice")
>>> loss(torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)) > 0
tensor(True)
"""

from segkit.losses.boundary import BoundaryLoss, HausdorffLoss
from segkit.losses.combine import WeightedSum, build
from segkit.losses.deep import DeepSupervision
from segkit.losses.overlap import DiceLoss, FocalTverskyLoss, GeneralisedDiceLoss, JaccardLoss, TverskyLoss
from segkit.losses.pixel import BCELoss, FocalLoss, TopKLoss
from segkit.losses.ranking import LovaszLoss
from segkit.losses.shared import Loss, Pair
from segkit.losses.spec import LOSSES
from segkit.losses.topology import ClDiceLoss

__all__ = [
    "LOSSES",
    "BCELoss",
    "BoundaryLoss",
    "ClDiceLoss",
    "DeepSupervision",
    "DiceLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GeneralisedDiceLoss",
    "HausdorffLoss",
    "JaccardLoss",
    "Loss",
    "LovaszLoss",
    "Pair",
    "TopKLoss",
    "TverskyLoss",
    "WeightedSum",
    "build",
]
