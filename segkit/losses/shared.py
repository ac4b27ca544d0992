"""What every loss works on, computed once for a batch however many of them look at it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segkit.losses.statistics import (
    CrossEntropy,
    Pixels,
    Predicted,
    Present,
    Product,
    Smaller,
    Statistic,
    once,
    per_class,
)
from segkit.losses.sums import pixel_sums as _pixel_sums

FORMS: dict[str, tuple[Statistic, Statistic, Statistic]] = {
    "squared": (Product(), Predicted(2), Present(2)),
    "semimetric": (Smaller(), Predicted(), Present()),
    "plain": (Product(), Predicted(), Present()),
}
TINY = 1e-12  # keeps 0 / 0 apart where there is nothing to average; far below one pixel


class Pair(Pixels):
    """The logits and the target of a batch, perhaps with weights of pixels, and what follows from them.

    logits, target: (N, C, H, W); target in [0, 1], hard or soft, of any number type or bool; weight: None,
    (N, 1, H, W) or (N, C, H, W), not negative, 0 for pixels to ignore. Maps and sums are float32 (float64
    where logits are): sums over more than 65,504 pixels overflow in float16. Raises ValueError for other
    shapes and types.
    """

    def __init__(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        for name, given in (("logits", logits), ("target", target), ("weight", weight)):
            if not isinstance(given, Tensor) and not (name == "weight" and given is None):
                raise ValueError(f"{name} is a {type(given).__name__}; a tensor is wanted")
        if logits.ndim != 4 or logits.shape != target.shape:
            raise ValueError(
                f"logits are {tuple(logits.shape)} and target is {tuple(target.shape)}; both must be (N, C, H, W), "
                f"one channel per class"
            )
        if not logits.is_floating_point():
            raise ValueError(f"logits are {logits.dtype}; pass what the network returns, before any threshold")
        if not logits.numel():
            raise ValueError(f"logits are {tuple(logits.shape)}: a batch without pixels costs nothing")
        if _looked_at(target) and (odd := _outside(target)) is not None:
            raise ValueError(f"target is {target.dtype} and has {odd:g}; scale it to [0, 1]")
        super().__init__(logits, target)
        self.weight = None if weight is None else _checked(weight, logits)
        self._sums: dict[Statistic, Tensor] = {}

    @once
    def mass(self) -> Tensor:
        """The weight of all pixels of each plane, (N, C): their number where none is weighted."""
        n, c, h, w = self.given_logits.shape
        if self.weight is None:
            return torch.full((n, c), float(h * w), dtype=self.dtype, device=self.given_logits.device)
        return self.weight.sum((2, 3), dtype=self.dtype)

    def prepare(self, statistics: Sequence[Statistic]) -> None:
        """Compute these sums, all in one pass over the pixels."""
        if missing := [statistic for statistic in dict.fromkeys(statistics) if statistic not in self._sums]:
            sums = _pixel_sums(self.given_logits, self.given_target, self.weight, missing)
            self._sums |= dict(zip(missing, sums.unbind(0)))

    def sum(self, statistic: Statistic) -> Tensor:
        """The weighted sum of a statistic over the pixels of each plane, (N, C)."""
        self.prepare([statistic])
        return self._sums[statistic]

    def sums(self, form: str) -> tuple[Tensor, Tensor, Tensor]:
        """What prediction and target have in common, and the size of either: three times (N, C).

        squared: sum p y, sum p^2, sum y^2 (Milletari et al., 2016). semimetric: sum min(p, y), sum p, sum y,
        the Dice semimetric losses of Wang et al., 2023, written without absolute values. plain: sum p y, sum
        p, sum y.
        """
        self.prepare(FORMS[form])
        common, mine, theirs = (self._sums[statistic] for statistic in FORMS[form])
        return common, mine, theirs

    def planes(self, values: Tensor) -> Tensor:
        """The mean of a map over the pixels of each plane, weighted: (N, C, H, W) -> (N, C)."""
        total = (values if self.weight is None else values * self.weight).sum((2, 3))
        return total / self.mass.clamp(min=TINY)

    @once
    def counted(self) -> Tensor:
        """How many pixels of each plane count, (N, C)."""
        if self.weight is None:
            return self.mass
        return (self.weight > 0).sum((2, 3), dtype=self.dtype)

    @property
    def background(self) -> Tensor:
        """What an absent class costs, (N, C): the mean cross-entropy of its plane."""
        return self.sum(ABSENT) / self.mass.clamp(min=TINY)


ABSENT = CrossEntropy()


class Loss(nn.Module):
    """A loss of logits and target: subclasses say in `of` what they make of a `Pair`.

    `loss(logits, target, weight=None)` -> scalar, float32 (float64 for float64 logits), also under autocast.
    Settings are attributes named as the constructor's parameters. class_weights: what each class counts in the
    mean over classes, in channel order; only their ratios matter.
    """

    class_weights: tuple[float, ...] | None = None

    def __init__(self, *, class_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if class_weights is not None:
            try:
                values = torch.as_tensor(class_weights, dtype=torch.float64)
            except (TypeError, ValueError, RuntimeError) as error:
                raise ValueError(f"class_weights must be one number a class, got {class_weights}") from error
            if values.ndim != 1 or not (values >= 0).all() or not (values > 0).any() or values.isinf().any():
                raise ValueError(f"class_weights must be one number a class, none negative, got {class_weights}")
            self.class_weights = tuple(values.tolist())

    def statistics(self) -> tuple[Statistic, ...]:
        """The sums over pixels that `of` asks for: a `WeightedSum` computes those of all its members in one pass."""
        return ()

    def of(self, pair: Pair) -> Tensor:
        raise NotImplementedError

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        with torch.autocast(logits.device.type if isinstance(logits, Tensor) else "cpu", enabled=False):
            pair = Pair(logits, target, weight)
            pair.prepare(self.statistics())
            return self.of(pair)

    def present_or_absent(self, terms: Tensor, size: Tensor, pair: Pair, *, per_image: bool) -> Tensor:
        """The mean of the terms of classes that are there and of the mean cross-entropy of those that are not.

        terms, size: (N, C), or (1, C) over the batch; size: of the target, as the loss sums it. Below one pixel, which
        soft targets and crops leave, a class is there by that share alone: an overlap with next to nothing says next to
        nothing, and one cell of 1/255 must not end what an absent class pushes back with.
        """
        sums = (pair.sum(ABSENT), pair.mass, pair.counted)
        absent, mass, counted = (x if per_image else x.sum(0, keepdim=True) for x in sums)
        pixels = size * counted / mass.clamp(min=TINY)  # weights count as shares of their mean
        mixed = torch.lerp(absent / mass.clamp(min=TINY), terms, pixels.clamp(max=1))
        terms = torch.where(pixels < 1, mixed, terms)  # the cross-entropy of infinite logits may be NaN: not taken here
        return self.mean(terms, (mass > 0).to(terms))

    def mean(self, terms: Tensor, counts: Tensor) -> Tensor:
        """The mean of terms, (N, C) or (1, C), each counted as often as `counts` says and as its class weighs."""
        if self.class_weights is not None:
            counts = counts * per_class("class_weights", self.class_weights, counts, counts.shape[1])
        return (terms * counts).sum() / counts.sum().clamp(min=TINY)

    def extra_repr(self) -> str:
        names = inspect.signature(type(self)).parameters
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names if hasattr(self, name))


def _checked(weight: Tensor, logits: Tensor) -> Tensor:
    n, c, h, w = logits.shape
    if tuple(weight.shape) not in ((n, 1, h, w), (n, c, h, w)):
        raise ValueError(
            f"weight is {tuple(weight.shape)} for logits {tuple(logits.shape)}; it must be (N, 1, H, W) or (N, C, H, W)"
        )
    if _looked_at(weight) and not weight.min() >= 0:
        raise ValueError(f"weight goes down to {weight.min()}; 0 ignores a pixel, and nothing counts less than that")
    return weight.to(torch.promote_types(logits.dtype, torch.float32)).expand(n, c, h, w)


def _looked_at(values: Tensor) -> bool:
    """Whether values can be out of range, and may be asked: torch.compile traces no question to data."""
    return values.dtype != torch.bool and bool(values.numel()) and not torch.compiler.is_compiling()


def _outside(target: Tensor) -> float | None:
    """A value of the target outside [0, 1]; None where none is seen.

    Whole numbers are looked at all; of fractions some of each class, on the CPU alone: a look at all of them would take
    as long as a loss, and at any on a GPU waits for it. That finds a target in 0..255, not one odd pixel.
    """
    if target.is_floating_point():
        if target.device.type != "cpu":
            return None
        flat = target.is_contiguous()
        target = target.detach().flatten()[:: max(1, target.numel() >> 14)] if flat else target[:, :, ::4, ::4]
    least, most = target.aminmax()
    return next((float(value) for value in (most, least) if not 0 <= value <= 1), None)
