"""Losses of the overlap between prediction and target: Dice, Jaccard, Tversky and their relatives.

Every class of every image gives one term, and the loss is the mean of all terms: a batch costs the mean of
what its images cost, however it is composed. Where the target is empty, an overlap is 0 and says nothing of
how much is predicted (its gradient is near zero); there the term is the class's mean cross-entropy instead,
so that an absent class pushes back exactly as hard as it does in BCE; where soft targets sum up to less than one
pixel, it is a mix of both. Planes without a pixel that counts give no term.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from segkit.files import nearest
from segkit.losses.shared import ABSENT, FORMS, TINY, Loss, Pair
from segkit.losses.statistics import Statistic, per_class

CURVES = ("linear", "log", "logcosh")
FLOOR = 1e-7  # of an overlap in a logarithm, and of 1 - overlap under a root


class _Overlap(Loss):
    """1 - S, S = common / (common + alpha excess + beta lack), with its settings.

    common, excess (predicted beyond it) and lack (missed of the target) are sums over an image, or over the batch
    with per_image=False, as `form` measures them (`Pair.sums`).
    """

    alpha: float
    beta: float
    form: str
    per_image: bool
    curve: str = "linear"
    forms: tuple[str, ...] = tuple(FORMS)

    def _set(self, *, alpha: float, beta: float, form: str, per_image: bool, curve: str = "linear") -> None:
        if form not in self.forms:
            raise ValueError(f"no form {form!r} of {type(self).__name__}; {nearest(form, self.forms)}")
        if curve not in CURVES:
            raise ValueError(f"no curve {curve!r} of {type(self).__name__}; {nearest(curve, CURVES)}")
        if not (0 <= alpha < math.inf and 0 <= beta < math.inf) or alpha + beta == 0:
            raise ValueError(f"alpha and beta must not be negative, nor both 0, got {alpha} and {beta}")
        self.alpha, self.beta, self.form, self.per_image, self.curve = alpha, beta, form, per_image, curve

    def statistics(self) -> tuple[Statistic, ...]:
        return (*FORMS[self.form], ABSENT)

    def of(self, pair: Pair) -> Tensor:
        common, mine, theirs = (x if self.per_image else x.sum(0, keepdim=True) for x in pair.sums(self.form))
        whole = common + self.alpha * (mine - common) + self.beta * (theirs - common)
        terms = self._cost(common / whole.clamp(min=TINY))
        return self.present_or_absent(terms, theirs, pair, per_image=self.per_image)

    def _cost(self, index: Tensor) -> Tensor:
        """What an overlap costs: 0 where it is 1."""
        if self.curve == "log":
            return ((1 + FLOOR) / (index + FLOOR)).log()
        if self.curve == "logcosh":
            return torch.log1p(2 * ((1 - index) / 2).sinh().square())  # cosh near 0 is 1, in float32
        return 1 - index


class DiceLoss(_Overlap):
    """1 - Dice.

    form: "squared", 2 sum p y / (sum p^2 + sum y^2) (Milletari, Navab, Ahmadi, 2016), minimal at p = target for
    soft targets too; "semimetric", 2 sum min(p, y) / (sum p + sum y) (Wang et al., 2023), minimal there as well;
    "plain", 2 sum p y / (sum p + sum y), which is not. per_image=False sums over the batch first.
    curve: "log", -log Dice, steep where almost nothing is found (Wong et al., 2018); "logcosh", log cosh (1 - Dice),
    flat near the optimum (Jadon, 2020).

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
    >>> x = torch.tensor([50.0, -50, -50, -50]).view(1, 1, 2, 2)  # one of two found: Dice is 2 / 3
    >>> round(DiceLoss()(x, y).item(), 4)
    0.3333
    """

    def __init__(
        self,
        *,
        form: str = "squared",
        per_image: bool = True,
        curve: str = "linear",
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(class_weights=class_weights)
        self._set(alpha=0.5, beta=0.5, form=form, per_image=per_image, curve=curve)


class JaccardLoss(_Overlap):
    """1 - Jaccard index (intersection over union); settings as in `DiceLoss`.

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
    >>> x = torch.tensor([50.0, -50, -50, -50]).view(1, 1, 2, 2)
    >>> round(JaccardLoss()(x, y).item(), 4)
    0.5
    """

    def __init__(
        self,
        *,
        form: str = "squared",
        per_image: bool = True,
        curve: str = "linear",
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(class_weights=class_weights)
        self._set(alpha=1.0, beta=1.0, form=form, per_image=per_image, curve=curve)


class TverskyLoss(_Overlap):
    """1 - Tversky index (Salehi, Erdogmus, Gholipour, 2017).

    alpha: cost of what is predicted too much, beta: of what is missed; .5 and .5 is Dice, 1 and 1 Jaccard.

    form: "semimetric" measures what is common as sum min(p, y), in the way of Wang et al., 2023, which makes
    p = target the minimum for soft targets whatever alpha and beta are, and equals the paper's for hard ones;
    "plain" is the paper's sum p y, which pulls soft edges apart. per_image=False sums over the batch first.

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
    >>> x = torch.tensor([50.0, -50, 50, -50]).view(1, 1, 2, 2)  # one hit, one miss, one false alarm
    >>> round(TverskyLoss(alpha=0.25, beta=0.75)(x, y).item(), 4)
    0.5
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
        super().__init__(class_weights=class_weights)
        self._set(alpha=alpha, beta=beta, form=form, per_image=per_image)


class FocalTverskyLoss(_Overlap):
    """(1 - Tversky)^(1 / gamma) of each class of each image, then the mean (Abraham and Khan, 2019).

    gamma: the paper's, 1 to 3: above 1, classes that are nearly right keep more of their gradient; 1 is Tversky.
    alpha (too much), beta (missed), form and per_image as in `TverskyLoss`; the paper weighs misses .7. The root
    is cut at 1 - Tversky = 1e-7, where its slope would have a pole.

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
    >>> x = torch.tensor([50.0, -50, 50, -50]).view(1, 1, 2, 2)
    >>> round(FocalTverskyLoss(gamma=2)(x, y).item() ** 2, 4)
    0.5
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
        super().__init__(class_weights=class_weights)
        if not 1 <= gamma < math.inf:
            raise ValueError(f"gamma must be at least 1, got {gamma}; the cost is (1 - Tversky)^(1 / gamma)")
        self._set(alpha=alpha, beta=beta, form=form, per_image=per_image)
        self.gamma = gamma

    def _cost(self, index: Tensor) -> Tensor:
        lacking = 1 - index
        return torch.where(lacking <= FLOOR, 0.0, lacking.clamp(min=FLOOR) ** (1 / self.gamma))


class GeneralisedDiceLoss(Loss):
    """1 - the Dice of all classes of an image together, small ones weighing more (Sudre et al., 2017).

    A class weighs 1 / size^power: 2 is the paper's, 1 and 0 weigh large classes more. Absent classes have no such
    weight: the loss is the mean over classes of the present ones' common value and the absent ones' mean
    cross-entropy. form and per_image as in `DiceLoss`; class_weights multiply 1 / size^power.

    >>> y = torch.tensor([1.0, 1, 0, 0, 1, 0, 0, 0]).view(1, 2, 2, 2)
    >>> x = torch.where(y > 0, 50.0, -50.0)
    >>> x[0, 1] = -50  # the small class, 4 times the weight of the other, is missed
    >>> round(GeneralisedDiceLoss()(x, y).item(), 4)  # 1 - 2 (2 / 4) / (4 / 4 + 1)
    0.5
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
        if form not in FORMS:
            raise ValueError(f"no form {form!r} of GeneralisedDiceLoss; {nearest(form, FORMS)}")
        if not 0 <= power < math.inf:
            raise ValueError(f"power must not be negative, got {power}; 2 is the paper's")
        self.power, self.form, self.per_image = power, form, per_image

    def statistics(self) -> tuple[Statistic, ...]:
        return (*FORMS[self.form], FORMS["plain"][2], ABSENT)

    def of(self, pair: Pair) -> Tensor:
        values = (*pair.sums(self.form), pair.sum(FORMS["plain"][2]), pair.mass, pair.counted)
        common, mine, theirs, size, mass, counted = (x if self.per_image else x.sum(0, keepdim=True) for x in values)
        one = (mass / counted.clamp(min=1)).clamp(min=TINY)  # pixel's mean weight
        weight = torch.maximum(size, one) ** -self.power * (size / one).clamp(max=1) ** (1 + self.power)  # a trace: 0
        if self.class_weights is not None:
            weight = weight * per_class("class_weights", self.class_weights, weight, weight.shape[1])
        weight = weight / weight.amax(1, keepdim=True).clamp(min=TINY)  # the largest is 1: nothing under- or overflows
        parts = (weight * (mine + theirs)).sum(1, keepdim=True)
        together = 1 - 2 * (weight * common).sum(1, keepdim=True) / parts.clamp(min=TINY)
        return self.present_or_absent(together.expand_as(size), size, pair, per_image=self.per_image)
