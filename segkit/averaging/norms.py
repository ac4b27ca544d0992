"""Batch-norm statistics of averaged weights: estimated anew, and kept where that scores higher."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def update_bn(model: nn.Module, inputs: Iterable[Any]) -> None:
    """Estimate batch-norm statistics anew, in place, as the equal average over the batches of `inputs`.

    inputs: image tensors (N, in, H, W), dictionaries with such an "image", or tuples and lists that begin with one, as
    data loaders give them. Only batch norms are in training mode meanwhile, dropout is not. Frozen ones (their scales
    do not learn, or the model's own train() leaves them in eval mode) keep their statistics. Averaged weights change
    what batch norms see: the authors of SWA require this, others report harm; score the model before and after.
    Raises ValueError where `inputs` is empty, with the model as it was, and for a batch without an image.
    """
    if not (norms := _learning(model)):
        return
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    device = next(model.parameters()).device
    seen = False
    try:
        model.eval()
        for norm in norms:
            norm.train()
        for batch in inputs:
            image = _image(batch).to(device)
            if not seen:
                for norm in norms:
                    norm.reset_running_stats()
                    norm.momentum = None  # torch's word for an equal average
            seen = True
            model(image)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes.items():
            module.training = training
    if not seen:
        raise ValueError("no inputs to estimate batch-norm statistics from; pass batches of images")


class Measured(NamedTuple):
    """Scores with the statistics as they were and estimated anew; of equals the old ones are kept."""

    before: float
    after: float

    @property
    def kept(self) -> str:
        """What is left in the model: "after" where that is better, else "before"."""
        return "after" if self.after > self.before else "before"


def measured_bn(model: nn.Module, inputs: Iterable[Any], score: Callable[[nn.Module], float]) -> Measured:
    """Try update_bn and keep, in place, what scores higher: the authors of SWA require it, others report harm.

    inputs: see update_bn. score: a model -> a number on held-out data, higher is better; called twice, once for a model
    without batch norms, to which nothing happens.
    """
    before = score(model)
    if not has_batch_norm(model):
        return Measured(before, before)
    old = copy.deepcopy(model.state_dict())
    update_bn(model, inputs)
    found = Measured(before, score(model))
    if found.kept == "before":
        model.load_state_dict(old)
    return found


def has_batch_norm(model: nn.Module) -> bool:
    """Whether the model has batch norms whose running statistics learn."""
    return bool(_learning(model))


def _learning(model: nn.Module) -> list[_BatchNorm]:
    """Batch norms with running statistics that are not frozen. In a model that is frozen as a whole, as averages are,
    scales that do not learn say nothing."""
    modes = {module: module.training for module in model.modules()}
    model.train()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.training]
    for module, training in modes.items():
        module.training = training
    if any(parameter.requires_grad for parameter in model.parameters()):
        norms = [norm for norm in norms if norm.weight is None or norm.weight.requires_grad]
    return norms


def _image(batch: Any) -> Tensor:
    """The images of a batch."""
    found = batch
    if isinstance(batch, Mapping):
        found = batch.get("image")
    elif isinstance(batch, (tuple, list)):
        found = batch[0] if batch else None
    if not isinstance(found, Tensor):
        got = f"a {type(batch).__name__}" + (f" of {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else "")
        raise ValueError(f'images (N, in, H, W), {{"image": images}} or (images, ...) are wanted as a batch, got {got}')
    return found
