"""Losses of the overlap between prediction and target: Dice, Jaccard, Tversky and their relatives.

Every class of every image gives one term, and the loss is the mean of all terms: a batch costs the mean of what its
images cost, however it is composed. Where the target is empty, an overlap is 0 and says nothing of how much is
predicted (its gradient is near zero). There the term is the mean cross-entropy of the class map instead, so that an
absent class pushes back exactly as hard as it does in BCE. Where soft targets sum up to less than one pixel, the term
is a mix of both. Class maps without a pixel that counts give no term.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from segkit.files import nearest
from segkit.losses.base import Loss
from segkit.losses.inputs import CROSS_ENTROPY, OVERLAP_FORMS, TINY, LossInputs
from segkit.losses.maps import per_class
from segkit.losses.statistics import Statistic

CURVES = ("linear", "log", "logcosh")
FLOOR = 1e-7  # of an overlap in a logarithm, and of 1 - overlap under a root


class _Overlap(Loss):
    """1 - S, S = intersection / (intersection + alpha too much + beta missed), measured as `form` says."""

    forms: tuple[str, ...] = tuple(OVERLAP_FORMS)

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        form: str,
        per_image: bool,
        curve: str = "linear",
        class_weights: Sequence[float] | None,
    ) -> None:
        super().__init__(class_weights=class_weights)
        if form not in self.forms:
            raise ValueError(f"no form {form!r} of {type(self).__name__}; {nearest(form, self.forms)}")
        if curve not in CURVES:
            raise ValueError(f"no curve {curve!r} of {type(self).__name__}; {nearest(curve, CURVES)}")
        if not (0 <= alpha < math.inf and 0 <= beta < math.inf) or alpha + beta == 0:
            raise ValueError(f"alpha and beta must not be negative, nor both 0, got {alpha} and {beta}")
        self.alpha, self.beta, self.form, self.per_image, self.curve = alpha, beta, form, per_image, curve

    @override
    def statistics(self) -> tuple[Statistic, ...]:
        return (*OVERLAP_FORMS[self.form], CROSS_ENTROPY)

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        sums = inputs.overlap_sums(self.form)
        intersection, prediction, target = (x if self.per_image else x.sum(0, keepdim=True) for x in sums)
        union = intersection + self.alpha * (prediction - intersection) + self.beta * (target - intersection)
        terms = self._cost(intersection / union.clamp(min=TINY))
        return self.mean_with_absent_classes(terms, target, inputs, per_image=self.per_image)

    def _cost(self, index: Tensor) -> Tensor:
        """What an overlap costs: 0 where it is 1."""
        if self.curve == "log":
            return ((1 + FLOOR) / (index + FLOOR)).log()
        if self.curve == "logcosh":
            return torch.log1p(2 * ((1 - index) / 2).sinh().square())  # cosh near 0 is 1, in float32
        return 1 - index


class _SymmetricOverlap(_Overlap):
    """Overlap in which what is too much and what is missed cost alike."""

    error_cost: float

    def __init__(
        self,
        *,
        form: str = "squared",
        per_image: bool = True,
        curve: str = "linear",
        class_weights: Sequence[float] | None = None,
    ) -> None:
        cost = self.error_cost
        super().__init__(
            alpha=cost, beta=cost, form=form, per_image=per_image, curve=curve, class_weights=class_weights
        )


class DiceLoss(_SymmetricOverlap):
    """1 - Dice.

    Args:
        form: "squared", 2 sum p y / (sum p^2 + sum y^2), minimal at p = target for soft targets too; "semimetric",
            2 sum min(p, y) / (sum p + sum y), minimal there as well; "plain", 2 sum p y / (sum p + sum y), which is
            not.
        per_image: One Dice per image; False sums over the batch first.
        curve: "linear"; "log", -log Dice, steep where almost nothing is found; "logcosh", log cosh (1 - Dice), flat
            near the optimum.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For an unknown form or curve.

    Example:
        >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
        >>> x = torch.tensor([50.0, -50, -50, -50]).view(1, 1, 2, 2)  # one of two found: Dice is 2 / 3
        >>> round(DiceLoss()(x, y).item(), 4)
        0.3333

    References:
        Milletari, Navab, Ahmadi, 2016 (squared); Wang et al., 2023 (semimetric); Wong et al., 2018 (log); Jadon, 2020
        (logcosh).
    """

    error_cost = 0.5


class JaccardLoss(_SymmetricOverlap):
    """1 - Jaccard index (intersection over union).

    Args:
        form: As in `DiceLoss`.
        per_image: One index per image; False sums over the batch first.
        curve: As in `DiceLoss`.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For an unknown form or curve.

    Example:
        >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
        >>> x = torch.tensor([50.0, -50, -50, -50]).view(1, 1, 2, 2)
        >>> round(JaccardLoss()(x, y).item(), 4)
        0.5
    """

    error_cost = 1.0


class TverskyLoss(_Overlap):
    """1 - Tversky index; alpha = beta = .5 is Dice, alpha = beta = 1 Jaccard.

    Args:
        alpha: Cost of what is predicted too much.
        beta: Cost of what is missed.
        form: "semimetric" measures the intersection as sum min(p, y): p = target is the minimum for soft targets
            whatever alpha and beta are, and hard targets give the paper's loss; "plain" is the paper's sum p y, which
            pulls soft edges apart.
        per_image: One index per image; False sums over the batch first.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For an unknown form, and for alpha and beta that are negative or both 0.

    Example:
        >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
        >>> x = torch.tensor([50.0, -50, 50, -50]).view(1, 1, 2, 2)  # one hit, one miss, one false alarm
        >>> round(TverskyLoss(alpha=0.25, beta=0.75)(x, y).item(), 4)
        0.5

    References:
        Salehi, Erdogmus, Gholipour, 2017; Wang et al., 2023 (semimetric).
    """

    forms = ("semimetric", "plain")

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        beta: float = 0.5,
        form: str = "semimetric",
        per_image: bool = True,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(alpha=alpha, beta=beta, form=form, per_image=per_image, class_weights=class_weights)


class FocalTverskyLoss(_Overlap):
    """(1 - Tversky)^(1 / gamma) of each class of each image, then the mean.

    The root is cut off at 1 - Tversky = 1e-7, where its slope would have a pole.

    Args:
        alpha: Cost of what is predicted too much.
        beta: Cost of what is missed; the paper's is .7.
        gamma: The paper's, 1 to 3: above 1, classes that are nearly right keep more of their gradient; 1 is Tversky.
        form: As in `TverskyLoss`.
        per_image: One index per image; False sums over the batch first.
        class_weights: Weight of each class in the mean, in channel order.

    Raises:
        ValueError: For an unknown form, for alpha and beta that are negative or both 0, and for gamma below 1.

    Example:
        >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
        >>> x = torch.tensor([50.0, -50, 50, -50]).view(1, 1, 2, 2)
        >>> round(FocalTverskyLoss(gamma=2)(x, y).item() ** 2, 4)
        0.5

    References:
        Abraham, Khan, 2019.
    """

    forms = ("semimetric", "plain")

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 4 / 3,
        form: str = "semimetric",
        per_image: bool = True,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(alpha=alpha, beta=beta, form=form, per_image=per_image, class_weights=class_weights)
        if not 1 <= gamma < math.inf:
            raise ValueError(f"gamma must be at least 1, got {gamma}; the cost is (1 - Tversky)^(1 / gamma)")
        self.gamma = gamma

    @override
    def _cost(self, index: Tensor) -> Tensor:
        missing = 1 - index
        return torch.where(missing <= FLOOR, 0.0, missing.clamp(min=FLOOR) ** (1 / self.gamma))


class GeneralisedDiceLoss(Loss):
    """1 - the Dice of all classes of an image together, small ones weighing more.

    A class weighs 1 / size^power. Absent classes have no such weight: the loss is the mean over classes of the present
    ones' common value and the absent ones' mean cross-entropy.

    Args:
        power: 2 is the paper's; 1 and 0 weigh large classes more.
        form: As in `DiceLoss`.
        per_image: One Dice per image; False sums over the batch first.
        class_weights: Factor of 1 / size^power of each class, in channel order.

    Raises:
        ValueError: For an unknown form or a negative power.

    Example:
        >>> y = torch.tensor([1.0, 1, 0, 0, 1, 0, 0, 0]).view(1, 2, 2, 2)
        >>> x = torch.where(y > 0, 50.0, -50.0)
        >>> x[0, 1] = -50  # the small class, 4 times the weight of the other, is missed
        >>> round(GeneralisedDiceLoss()(x, y).item(), 4)  # 1 - 2 (2 / 4) / (4 / 4 + 1)
        0.5

    References:
        Sudre et al., 2017.
    """

    def __init__(
        self,
        *,
        power: float = 2.0,
        form: str = "squared",
        per_image: bool = True,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(class_weights=class_weights)
        if form not in OVERLAP_FORMS:
            raise ValueError(f"no form {form!r} of GeneralisedDiceLoss; {nearest(form, OVERLAP_FORMS)}")
        if not 0 <= power < math.inf:
            raise ValueError(f"power must not be negative, got {power}; 2 is the paper's")
        self.power, self.form, self.per_image = power, form, per_image

    @override
    def statistics(self) -> tuple[Statistic, ...]:
        return (*OVERLAP_FORMS[self.form], OVERLAP_FORMS["plain"][2], CROSS_ENTROPY)

    @override
    def compute(self, inputs: LossInputs) -> Tensor:
        size = inputs.sum(OVERLAP_FORMS["plain"][2])
        sums = (*inputs.overlap_sums(self.form), size, inputs.weight_sum, inputs.num_valid)
        intersection, prediction, target, size, weight_sum, num_valid = (
            x if self.per_image else x.sum(0, keepdim=True) for x in sums
        )
        one = (weight_sum / num_valid.clamp(min=1)).clamp(min=TINY)  # a pixel's mean weight
        weight = torch.maximum(size, one) ** -self.power * (size / one).clamp(max=1) ** (1 + self.power)  # a trace: 0
        if self.class_weights is not None:
            weight = weight * per_class("class_weights", self.class_weights, weight, weight.shape[1])
        weight = weight / weight.amax(1, keepdim=True).clamp(min=TINY)  # the largest is 1: nothing under- or overflows
        both = (weight * (prediction + target)).sum(1, keepdim=True)
        together = 1 - 2 * (weight * intersection).sum(1, keepdim=True) / both.clamp(min=TINY)
        return self.mean_with_absent_classes(together.expand_as(size), size, inputs, per_image=self.per_image)
