"""Losses of the overlap between prediction and target: Dice, Jaccard and Tversky, one index with three settings.

Every class of every image gives one term, and the loss is the mean of all terms: a batch costs the mean of
what its images cost, however it is composed. Where the target is empty, an overlap is 0 and says nothing of
how much is predicted (its gradient is near zero); there the term is the class's mean cross-entropy instead,
so that an absent class pushes back exactly as hard as it does in BCE.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segkit.files import nearest
from segkit.losses.shared import FORMS, Loss, Pair

TINY = 1e-12  # keeps 0 / 0 apart where a class is absent; far below one pixel


def overlap_loss(pair: Pair, *, alpha: float, beta: float, form: str, per_image: bool) -> Tensor:
    """1 - S, S = common / (common + alpha excess + beta lack), the mean over classes (and images): a scalar.

    common, excess (predicted beyond it) and lack (missed of the target) are sums over an image, or over the batch
    with per_image=False, as `form` measures them (`Pair.sums`).
    """
    common, mine, theirs = pair.sums(form)
    background = pair.cross_entropy.mean((2, 3))
    if not per_image:
        common, mine, theirs = (x.sum(0) for x in (common, mine, theirs))
        background = background.mean(0)
    whole = common + alpha * (mine - common) + beta * (theirs - common)
    return torch.where(theirs > 0, 1 - common / whole.clamp(min=TINY), background).mean()


class _Overlap(Loss):
    """An overlap loss with its settings."""

    forms: tuple[str, ...] = FORMS

    def __init__(self, *, alpha: float, beta: float, form: str, per_image: bool) -> None:
        super().__init__()
        if form not in self.forms:
            raise ValueError(f"no form {form!r} of {type(self).__name__}; {nearest(form, self.forms)}")
        self.alpha = alpha
        self.beta = beta
        self.form = form
        self.per_image = per_image

    def of(self, pair: Pair) -> Tensor:
        return overlap_loss(pair, alpha=self.alpha, beta=self.beta, form=self.form, per_image=self.per_image)

    def extra_repr(self) -> str:
        return f"form={self.form!r}, per_image={self.per_image}"


class DiceLoss(_Overlap):
    """1 - Dice.

    form: "squared", 2 sum p y / (sum p^2 + sum y^2) (Milletari, Navab, Ahmadi, 2016), minimal at p = target for
    soft targets too; "semimetric", 2 sum min(p, y) / (sum p + sum y) (Wang et al., 2023), minimal there as well;
    "plain", 2 sum p y / (sum p + sum y), which is not. per_image=False sums over the batch first.

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
    >>> x = torch.tensor([50.0, -50, -50, -50]).view(1, 1, 2, 2)  # one of two found: Dice is 2 / 3
    >>> round(DiceLoss()(x, y).item(), 4)
    0.3333
    """

    def __init__(self, *, form: str = "squared", per_image: bool = True) -> None:
        super().__init__(alpha=0.5, beta=0.5, form=form, per_image=per_image)


class JaccardLoss(_Overlap):
    """1 - Jaccard index (intersection over union); forms and per_image as in `DiceLoss`.

    >>> y = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
    >>> x = torch.tensor([50.0, -50, -50, -50]).view(1, 1, 2, 2)
    >>> round(JaccardLoss()(x, y).item(), 4)
    0.5
    """

    def __init__(self, *, form: str = "squared", per_image: bool = True) -> None:
        super().__init__(alpha=1.0, beta=1.0, form=form, per_image=per_image)


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
        self, *, alpha: float = 0.5, beta: float = 0.5, form: str = "semimetric", per_image: bool = True
    ) -> None:
        if alpha < 0 or beta < 0 or alpha + beta == 0:
            raise ValueError(f"alpha and beta must not be negative, nor both 0, got {alpha} and {beta}")
        super().__init__(alpha=alpha, beta=beta, form=form, per_image=per_image)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}, {super().extra_repr()}"
