"""Batch-norm statistics of averaged weights: estimated again, and kept where that scores higher."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import swa_utils


def update_bn(model: nn.Module, inputs: Iterable[Any]) -> None:
    """Estimate batch-norm statistics again, in place, as the equal average over batches.

    It is torch.optim.swa_utils.update_bn on batch norms alone: dropout stays off, and frozen norms (their scales do not
    learn, or the model's own train() leaves them in eval mode) keep their statistics. Averaged weights change what
    batch norms see: the authors of SWA require this, others report harm; score the model before and after.

    Args:
        model: A model, whose parameters and modes stay as they are.
        inputs: Batches as data loaders give them: image tensors (N, in, H, W), dictionaries with such an "image", or
            tuples and lists that begin with one.

    Raises:
        ValueError: If `inputs` is empty or a batch has no image; where it is the first, the model is as it was.
    """
    if not (norms := _learning(model)):
        return
    images = (_image(batch) for batch in inputs)
    if (first := next(images, None)) is None:
        raise ValueError("no inputs to estimate batch-norm statistics from; pass batches of images")
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    model.eval()
    try:
        swa_utils.update_bn(chain([first], images), _Norms(model, norms), next(model.parameters()).device)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training


class _Norms(nn.Module):
    """A model of which torch's update_bn finds, and puts into training mode, only some norms."""

    def __init__(self, model: nn.Module, norms: list[_BatchNorm]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)
        self.call = model.__call__

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.call(image)
        return out


class Measured(NamedTuple):
    """Scores with the statistics as they were and estimated again; where they are equal the old ones are kept.

    Attributes:
        before: With the statistics as they were.
        after: With those estimated again.
    """

    before: float
    after: float

    @property
    def kept(self) -> str:
        """What is left in the model: "after" where that is better, else "before"."""
        return "after" if self.after > self.before else "before"


def measured_bn(model: nn.Module, inputs: Iterable[Any], score: Callable[[nn.Module], float]) -> Measured:
    """Try `update_bn` and keep, in place, what scores higher.

    Args:
        model: A model; without batch norms nothing happens to it.
        inputs: Batches, see `update_bn`.
        score: A model -> a number on held-out data, higher is better. Called twice, or once without batch norms.

    Returns:
        Both scores.
    """
    before = score(model)
    if not has_batch_norm(model):
        return Measured(before, before)
    old = copy.deepcopy(model.state_dict())
    update_bn(model, inputs)
    scores = Measured(before, score(model))
    if scores.kept == "before":
        model.load_state_dict(old)
    return scores


def has_batch_norm(model: nn.Module) -> bool:
    """Tell whether a model has batch norms whose running statistics learn.

    Args:
        model: Any model; left in its modes.

    Returns:
        False where all of them are frozen.
    """
    return bool(_learning(model))


def _learning(model: nn.Module) -> list[_BatchNorm]:
    """Batch norms with running statistics that are not frozen.

    In a model that is frozen as a whole, as averages are, scales that do not learn say nothing.
    """
    modes = {module: module.training for module in model.modules()}
    model.train()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.training]
    for module, training in modes.items():
        module.training = training
    if any(parameter.requires_grad for parameter in model.parameters()):
        norms = [norm for norm in norms if norm.weight is None or norm.weight.requires_grad]
    return norms


def _image(batch: object) -> Tensor:
    """The images of a batch."""
    image = batch
    if isinstance(batch, Mapping):
        image = batch.get("image")
    elif isinstance(batch, (tuple, list)):
        image = batch[0] if batch else None
    if not isinstance(image, Tensor):
        got = f"a {type(batch).__name__}" + (f" of {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else "")
        raise ValueError(f'expected batches of images (N, in, H, W), {{"image": images}} or (images, ...), got {got}')
    return image
