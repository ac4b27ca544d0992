"""A classifier's logits and the output of one of its layers, read by a hook that leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from segkit.files import nearest


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Hold a model in evaluation mode; afterwards each of its modules is as it was.

    Args:
        model: Any module.

    Yields:
        Nothing.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def logits_and_features(model: nn.Module, image: Tensor, layer: str | nn.Module) -> tuple[Tensor, Tensor]:
    """Run a classifier and keep a layer's output.

    The graph begins at the layer: no parameter gets a gradient, and what comes after may work in place.

    Args:
        model: (N, in, H, W) -> logits (N, C).
        image: Float, shape (N, in, H, W).
        layer: A module of the model, or its name in `named_modules()`.

    Returns:
        Logits (N, C), float32 or wider, and the layer's output (N, K, h, w), with respect to which their gradients can
        be taken.

    Raises:
        ValueError: If the image, the logits or the layer's output have other shapes, or the layer does not run once.
    """
    if image.ndim != 4 or not image.is_floating_point():
        raise ValueError(f"expected float images (N, channels, H, W), got {image.dtype} {tuple(image.shape)}")
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, out: object) -> Tensor:
        if not isinstance(out, Tensor) or out.ndim != 4:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"expected a layer that gives maps (N, K, h, w), such as the last convolution, got {got}")
        outputs.append(out.detach().requires_grad_())
        return outputs[-1].clone()

    hook = find_module(model, layer).register_forward_hook(keep)
    try:
        logits = model(image)
    finally:
        hook.remove()
    if len(outputs) != 1:
        raise ValueError(f"the layer ran {len(outputs)} times on one batch; name one that runs once")
    return check_logits(logits, len(image)), outputs[0]


def find_module(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """Find a module of a model.

    Args:
        model: The model.
        layer: Its name in `named_modules()`, or the module itself.

    Returns:
        The module.

    Raises:
        ValueError: If it is no part of the model.
    """
    named = dict(model.named_modules())
    if isinstance(layer, nn.Module):
        if all(layer is not module for module in named.values()):
            raise ValueError(f"the layer {type(layer).__name__} is no part of the model; pass one of its modules")
        return layer
    if layer not in named:
        raise ValueError(f"the model has no layer {layer!r}; {nearest(layer, [name for name in named if name])}")
    return named[layer]


def check_logits(out: object, images: int) -> Tensor:
    """Check that a model's output is a classifier's.

    Args:
        out: What the model returned.
        images: Images in the batch.

    Returns:
        Logits (N, C), float32 or wider.

    Raises:
        ValueError: If it is anything else.
    """
    if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != images:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"expected a classifier's logits ({images}, C) from the model, got {got}")
    return out.to(torch.promote_types(out.dtype, torch.float32))


def class_channels(classes: Sequence[int] | None, count: int) -> list[int]:
    """Check channels of the logits.

    Args:
        classes: Channels; None for all.
        count: How many there are.

    Returns:
        The channels.

    Raises:
        ValueError: If there is none, or one is out of range.
    """
    chosen = list(range(count)) if classes is None else list(classes)
    if not chosen or any(not 0 <= c < count for c in chosen):
        raise ValueError(f"expected classes as channels of the logits, 0 to {count - 1}, got {classes}")
    return chosen
