"""Losses for multi-label segmentation: raw logits and soft or hard targets, both (N, C, H, W), to a scalar.

Sums are float32 whatever precision the network ran in, and every loss is minimal at p = target, soft targets
included, unless its docstring says otherwise.

>>> import torch
>>> loss = build("bce + dice")
>>> loss(torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)) > 0
tensor(True)
"""

from segkit.losses.combine import LOSSES, WeightedSum, build
from segkit.losses.overlap import DiceLoss, JaccardLoss, TverskyLoss
from segkit.losses.pixel import BCELoss, FocalLoss
from segkit.losses.shared import Loss, Pair

__all__ = [
    "LOSSES",
    "BCELoss",
    "DiceLoss",
    "FocalLoss",
    "JaccardLoss",
    "Loss",
    "Pair",
    "TverskyLoss",
    "WeightedSum",
    "build",
]
