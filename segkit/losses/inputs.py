"""What every loss works on, computed once for a batch however many losses share it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from segkit.losses.maps import LazyTensor, PixelMaps
from segkit.losses.statistics import CrossEntropySum, MinSum, PredictionSum, ProductSum, Statistic, TargetSum
from segkit.losses.sums import pixel_sums

OVERLAP_FORMS: dict[str, tuple[Statistic, Statistic, Statistic]] = {
    "squared": (ProductSum(), PredictionSum(2), TargetSum(2)),
    "semimetric": (MinSum(), PredictionSum(), TargetSum()),
    "plain": (ProductSum(), PredictionSum(), TargetSum()),
}
CROSS_ENTROPY = CrossEntropySum()
TINY = 1e-12  # denominators are at least this, far below one pixel


class LossInputs(PixelMaps):
    """Logits, target and weights of a batch, checked, with the maps and sums that follow from them.

    A pixel of weight w counts as w pixels, in every sum. Weights say two things, which `mean_weight` keeps apart: 0
    leaves a pixel out, and the mean weight of the others says how often the image, or a class of it, counts in a batch.

    Args:
        logits: Raw logits, floating point, shape (N, C, H, W).
        target: Hard or soft, in [0, 1], any number type or bool, shape (N, C, H, W).
        weight: Shape (N, 1, H, W) or (N, C, H, W), not negative, 0 ignores a pixel; None for 1 everywhere.

    Raises:
        ValueError: For other types, shapes or values.
    """

    def __init__(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
        for name, given in (("logits", logits), ("target", target), ("weight", weight)):
            if not isinstance(given, Tensor) and not (name == "weight" and given is None):
                raise ValueError(f"{name}: expected a tensor, got a {type(given).__name__}")
        if logits.ndim != 4 or logits.shape != target.shape:
            raise ValueError(
                f"logits are {tuple(logits.shape)} and target is {tuple(target.shape)}; both must be (N, C, H, W), "
                f"one channel per class"
            )
        if not logits.is_floating_point():
            raise ValueError(f"logits are {logits.dtype}; pass what the network returns, before any threshold")
        if not logits.numel():
            raise ValueError(f"logits are {tuple(logits.shape)}: a batch without pixels has no loss")
        if _can_be_checked(target):
            _check_target(target)
        super().__init__(logits, target)
        self.weight = None if weight is None else _checked_weight(weight, logits)
        self._sums: dict[Statistic, Tensor] = {}

    def compute_sums(self, statistics: Sequence[Statistic]) -> None:
        """Compute these sums, all in one pass over the pixels.

        Args:
            statistics: What `sum` will be asked for.
        """
        if missing := [statistic for statistic in dict.fromkeys(statistics) if statistic not in self._sums]:
            sums = pixel_sums(self.raw_logits, self.raw_target, self.weight, missing)
            self._sums |= dict(zip(missing, sums.unbind(0)))

    def sum(self, statistic: Statistic) -> Tensor:
        """Weighted sum of a statistic over the pixels.

        Args:
            statistic: What to sum.

        Returns:
            Shape (N, C).
        """
        self.compute_sums([statistic])
        return self._sums[statistic]

    def overlap_sums(self, form: str) -> tuple[Tensor, Tensor, Tensor]:
        """Intersection of prediction and target, and the size of either.

        Args:
            form: "squared": sum p y, sum p^2, sum y^2. "semimetric": sum min(p, y), sum p, sum y. "plain": sum p y,
                sum p, sum y.

        Returns:
            Three tensors of shape (N, C).

        References:
            Milletari, Navab, Ahmadi, 2016 (squared); Wang et al., 2023 (semimetric, here without absolute values).
        """
        self.compute_sums(OVERLAP_FORMS[form])
        intersection, prediction, target = (self._sums[statistic] for statistic in OVERLAP_FORMS[form])
        return intersection, prediction, target

    def mean_over_pixels(self, values: Tensor) -> Tensor:
        """Weighted mean of a map over the pixels.

        Args:
            values: Shape (N, C, H, W).

        Returns:
            Shape (N, C).
        """
        total = (values if self.weight is None else values * self.weight).sum((2, 3))
        return total / self.weight_sum.clamp(min=TINY)

    @LazyTensor
    def weight_sum(self) -> Tensor:
        """Sum of the weights of all pixels, shape (N, C); their number where there are no weights."""
        n, c, h, w = self.raw_logits.shape
        if self.weight is None:
            return torch.full((n, c), float(h * w), dtype=self.dtype, device=self.raw_logits.device)
        return self.weight.sum((2, 3), dtype=self.dtype)

    @LazyTensor
    def num_valid(self) -> Tensor:
        """Number of pixels that are not ignored, shape (N, C)."""
        if self.weight is None:
            return self.weight_sum
        return (self.weight > 0).sum((2, 3), dtype=self.dtype)

    @LazyTensor
    def mean_weight(self) -> Tensor:
        """Mean weight of the pixels that are not ignored, shape (N, C): how often a class map counts."""
        return self.weight_sum / self.num_valid.clamp(min=1)

    @LazyTensor
    def log_softmax(self) -> Tensor:
        """Logarithm of the softmax over classes, shape (N, C, H, W)."""
        return F.log_softmax(self.logits, 1)

    @LazyTensor
    def softmax(self) -> Tensor:
        """Softmax over classes, shape (N, C, H, W)."""
        return self.log_softmax.exp()

    @property
    def mean_cross_entropy(self) -> Tensor:
        """Mean cross-entropy of each class map, shape (N, C): what an absent class costs."""
        return self.sum(CROSS_ENTROPY) / self.weight_sum.clamp(min=TINY)


def _checked_weight(weight: Tensor, logits: Tensor) -> Tensor:
    """Float32 (or float64) weights of shape (N, C, H, W)."""
    n, c, h, w = logits.shape
    if tuple(weight.shape) not in ((n, 1, h, w), (n, c, h, w)):
        raise ValueError(
            f"weight is {tuple(weight.shape)} for logits {tuple(logits.shape)}; it must be (N, 1, H, W) or "
            f"(N, C, H, W); weights of images are weight.view(-1, 1, 1, 1).expand(-1, 1, H, W)"
        )
    if _can_be_checked(weight) and not weight.min() >= 0:
        raise ValueError(f"weight goes down to {weight.min()}; 0 ignores a pixel, and nothing counts less than that")
    return weight.to(torch.promote_types(logits.dtype, torch.float32)).expand(n, c, h, w)


def _can_be_checked(values: Tensor) -> bool:
    """Whether values can be out of range; torch.compile traces no question to data."""
    return values.dtype != torch.bool and bool(values.numel()) and not torch.compiler.is_compiling()


def _check_target(target: Tensor) -> None:
    """ValueError for a value outside [0, 1].

    All whole numbers are checked; of fractions some of each class, on the CPU alone: to check them all would take as
    long as a loss, and any on a GPU would wait for it. That finds a target in 0..255, not one odd pixel.
    """
    sample = target
    if target.is_floating_point():
        if target.device.type != "cpu":
            return
        flat = target.is_contiguous()
        sample = target.detach().flatten()[:: max(1, target.numel() >> 14)] if flat else target[:, :, ::4, ::4]
    low, high = sample.aminmax()
    odd = next((float(value) for value in (high, low) if not 0 <= value <= 1), None)
    if odd is None:
        return
    advice = "scale it to [0, 1]"
    if odd == 255:
        ignore = "pass target.masked_fill(target == 255, 0) and weight=(target != 255)"
        labels = bool(((target == 0) | (target == 1) | (target == 255)).all() and (target == 1).any())
        advice = ignore if labels else f"{advice}; if 255 marks pixels to ignore, {ignore}"
    raise ValueError(f"target is {target.dtype} and has {odd:g}; {advice}")
