"""An eye on the loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from segkit.training.batches import image_names


class Watch:
    """The mean of loss and terms over an epoch, and an error at the first loss that is not finite.

    A value is read one batch late, so that a GPU has work while it is waited for.
    """

    def __init__(self, data: Any, epoch: int) -> None:
        self.data, self.epoch = data, epoch
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self.last: tuple[Tensor, Tensor] | None = None

    def saw(self, loss: Tensor, terms: Mapping[str, Any], indices: Tensor) -> None:
        self._check()
        self.last = loss.detach(), indices
        self.count += 1
        for name, value in {"loss": loss, **{f"loss/{name}": term for name, term in terms.items()}}.items():
            value = torch.as_tensor(value).detach()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def means(self) -> dict[str, float]:
        self._check()
        return {name: float(value) / self.count for name, value in self.sums.items()}

    def _check(self) -> None:
        if self.last is None or torch.isfinite(self.last[0]):
            return
        images = ", ".join(image_names(self.data, self.last[1].tolist()))
        raise ValueError(
            f"the loss is {self.last[0].item()} in epoch {self.epoch + 1} on images {images}; "
            "look at these, or lower lr, or use precision='32-true'"
        )
