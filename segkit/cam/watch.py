"""What a layer of a classifier says while it looks at an image, read without leaving a trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from segkit.files import nearest


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode for a while, each of its modules as it was afterwards."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def observed(model: nn.Module, image: Tensor, layer: str | nn.Module) -> tuple[Tensor, Tensor]:
    """Logits (N, C), float32 or wider, and the layer's output (N, K, h, w), by which their gradients can be asked for.

    The graph begins at the layer: no parameter gets a gradient, and what comes after may work in place.
    """
    if image.ndim != 4 or not image.is_floating_point():
        raise ValueError(f"images are floats (N, channels, H, W), got {image.dtype} {tuple(image.shape)}")
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, out: object) -> Tensor:
        if not isinstance(out, Tensor) or out.ndim != 4:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"the layer gives {got}; name one that gives maps (N, K, h, w), the last convolution's")
        seen.append(out.detach().requires_grad_())
        return seen[-1].clone()

    hook = found(model, layer).register_forward_hook(keep)
    try:
        logits = model(image)
    finally:
        hook.remove()
    if len(seen) != 1:
        raise ValueError(f"the layer ran {len(seen)} times on one batch; name one that runs once")
    return as_logits(logits, len(image)), seen[0]


def found(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """A module of the model, by name or itself."""
    named = dict(model.named_modules())
    if isinstance(layer, nn.Module):
        if all(layer is not module for module in named.values()):
            raise ValueError(f"the layer {type(layer).__name__} is no part of the model; pass one of its modules")
        return layer
    if layer not in named:
        raise ValueError(f"the model has no layer {layer!r}; {nearest(layer, [name for name in named if name])}")
    return named[layer]


def as_logits(out: object, images: int) -> Tensor:
    """What the model returned, where it is a classifier's."""
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != images:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"the model returned {got}; a classifier's logits ({images}, C) are wanted")
    return out.to(torch.promote_types(out.dtype, torch.float32))


def channels(classes: Sequence[int] | None, count: int) -> list[int]:
    """The asked-for channels of the logits, all by default."""
    chosen = list(range(count)) if classes is None else list(classes)
    if not chosen or any(not 0 <= c < count for c in chosen):
        raise ValueError(f"classes={classes}: channels of the logits, 0 to {count - 1}, are wanted")
    return chosen
