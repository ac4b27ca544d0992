"""Losses of shape: whether thin things hang together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from segkit.losses.shared import ABSENT, TINY, Loss, Pair
from segkit.losses.skeleton import soft_skeleton
from segkit.losses.statistics import Statistic

AT_ONCE = {"cpu": 1 << 18}  # pixels whose skeletons are differentiated at once: some 80 bytes each and iteration
MORE_AT_ONCE = 1 << 21


class ClDiceLoss(Loss):
    """1 - centerline Dice: do the skeletons lie inside the masks, both ways (Shit et al., 2021).

    iterations: of the soft skeleton, at least the radius in pixels of the thickest structure, at the network's size;
    thicker ones are judged by their corners. smooth: pixels added to both sums of a share, as in the paper's code.
    Targets are taken as foreground above one half. The paper adds it to a Dice loss, with up to half of the weight
    ("0.5*dice + 0.5*cldice"); alone it does not say how wide anything is. Not minimal at p = target for soft targets.
    Planes whose target has no skeleton (empty, or full) cost their mean cross-entropy. Skeletons are those of the
    whole target, ignored pixels too: what is unknown there should be 0. Only a few planes at a time
    keep what their gradient needs; they are computed again for it.

    >>> y = torch.zeros(1, 1, 5, 5)
    >>> y[0, 0, 2] = 1  # a line, its own skeleton
    >>> x = torch.where(y > 0, 50.0, -50.0)
    >>> x[0, 0, 2, 2] = -50  # broken: precision 1, sensitivity (4 + 1) / (5 + 1)
    >>> round(ClDiceLoss()(x, y).item(), 4)  # 1 - 2 (5 / 6) / (1 + 5 / 6)
    0.0909
    """

    def __init__(
        self, *, iterations: int = 5, smooth: float = 1.0, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__(class_weights=class_weights)
        if iterations < 1 or iterations != int(iterations):
            raise ValueError(f"iterations must be a whole number, at least 1, got {iterations}")
        if not 0 <= smooth < math.inf:
            raise ValueError(f"smooth must not be negative, got {smooth}")
        self.iterations = int(iterations)
        self.smooth = smooth

    def statistics(self) -> tuple[Statistic, ...]:
        return (ABSENT,)

    def of(self, pair: Pair) -> Tensor:
        n, c, h, w = pair.given_logits.shape
        hard = pair.target > 0.5
        edged = (hard.flatten(2).any(2) & ~hard.flatten(2).all(2)).flatten().nonzero().squeeze(1)
        y, p = (maps.reshape(n * c, 1, h, w)[edged] for maps in (hard.to(pair.dtype), pair.probs))
        counts = torch.ones_like(y)
        if pair.weight is not None:
            counts = pair.weight.reshape(n * c, 1, h, w)[edged]
            p = torch.where(counts > 0, p, y)  # what is predicted in ignored pixels has no skeleton
        size = max(1, AT_ONCE.get(y.device.type, MORE_AT_ONCE) // (h * w))
        with torch.no_grad():
            line = torch.cat([soft_skeleton(part, iterations=self.iterations) for part in y.split(size)]) * counts
        found = [
            checkpoint(self._terms, *part, use_reentrant=False, preserve_rng_state=False)
            for part in zip(*(maps.split(size) for maps in (p, y, line, counts)))
        ]
        absent = pair.background.flatten()
        terms = absent.index_copy(0, edged, torch.where(line.sum((1, 2, 3)) > 0, torch.cat(found), absent[edged]))
        return self.mean(terms.view(n, c), (pair.mass > 0).to(terms))

    def _terms(self, p: Tensor, y: Tensor, line: Tensor, counts: Tensor) -> Tensor:
        """1 - clDice of each plane, (n,)."""
        own = soft_skeleton(p, iterations=self.iterations) * counts
        precision = _share(own * y, own, self.smooth)
        sensitivity = _share(line * p, line, self.smooth)
        return 1 - 2 * precision * sensitivity / (precision + sensitivity).clamp(min=TINY)


def _share(part: Tensor, whole: Tensor, smooth: float) -> Tensor:
    return (part.sum((1, 2, 3)) + smooth) / (whole.sum((1, 2, 3)) + smooth).clamp(min=TINY)
