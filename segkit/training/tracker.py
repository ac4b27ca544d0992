"""LossTracker: means of the loss over an epoch, and a stop at the first loss that is not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class LossTracker:
    """The mean of the loss and of its terms over an epoch.

    A value is read one batch late, so that a GPU has work while it is waited for.

    Args:
        names: What errors call the images, by index; None shows the indices.
        epoch: The epoch, from 0, for errors.
    """

    def __init__(self, names: Sequence[str] | None, epoch: int) -> None:
        self.names, self.epoch = names, epoch
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self.last: tuple[Tensor, Tensor] | None = None

    def update(self, loss: Tensor, terms: Mapping[str, Any], indices: Tensor) -> None:
        """Add one batch.

        Args:
            loss: Its loss, a scalar.
            terms: {name: value} of the parts of the loss.
            indices: Indices of its images, int (N,).

        Raises:
            ValueError: If the loss of the batch before is not finite; names its images.
        """
        self._check()
        self.last = loss.detach(), indices
        self.count += 1
        for name, value in {"loss": loss, **{f"loss/{name}": term for name, term in terms.items()}}.items():
            value = torch.as_tensor(value).detach()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def means(self) -> dict[str, float]:
        """Mean over the batches.

        Returns:
            {"loss": mean, "loss/TERM": mean}.

        Raises:
            ValueError: If the loss of the last batch is not finite.
        """
        self._check()
        return {name: float(value) / self.count for name, value in self.sums.items()}

    def _check(self) -> None:
        if self.last is None or torch.isfinite(self.last[0]):
            return
        indices = self.last[1].tolist()
        images = ", ".join(str(index) if self.names is None else self.names[index] for index in indices)
        raise ValueError(
            f"the loss is {self.last[0].item()} in epoch {self.epoch + 1} on images {images}; "
            "look at these, or lower lr, or use precision='32-true'"
        )
