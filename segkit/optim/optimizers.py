"""Optimisers by name and parameter groups, on timm."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from segkit.files import nearest

NOT_OFFERED = ("adahessian", "bnb", "fused", "kron")
"""Names of timm's that begin so: they need second derivatives, packages of their own, or a compiler."""


def create(
    model: nn.Module,
    name: str = "adamw",
    *,
    lr: float,
    weight_decay: float = 1e-2,
    encoder_lr_mult: float = 1.0,
    **options: object,
) -> torch.optim.Optimizer:
    """Make an optimiser over the parameters of a model that need a gradient.

    Args:
        model: The network.
        name: One of `names()`: "adamw", "sgd" (with Nesterov momentum), "lion", "adan", "muon" ... Each needs a rate of
            its own: Lion about a tenth of AdamW's, SGD ten times it and more.
        lr: Learning rate of decoder and head.
        weight_decay: Of the parameters that decay, see `parameter_groups`.
        encoder_lr_mult: Learning rate of the encoder, times `lr`.
        **options: The optimiser's own, such as momentum=0.95.

    Returns:
        The optimiser; the decoder's groups come first.

    Raises:
        ValueError: For an unknown name (with its neighbours), an option that the optimiser does not take, or a model
            without the encoder that encoder_lr_mult asks for.

    Example:
        >>> create(nn.Linear(2, 1), "lion", lr=1e-4).param_groups[0]["lr"]
        0.0001
    """
    if name not in names():
        raise ValueError(f"no optimiser {name!r}; {nearest(name, names())}")
    from timm.optim import create_optimizer_v2

    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay, encoder_lr_mult=encoder_lr_mult)
    try:
        optimizer = create_optimizer_v2(groups, opt=name, lr=lr, weight_decay=weight_decay, **options)
    except TypeError as error:
        raise ValueError(f"the optimiser {name} does not take {options}: {error}") from error
    return optimizer


def names() -> list[str]:
    """List every name that `create` takes.

    Returns:
        Sorted names; timm's `get_optimizer_info(name)` describes each one.
    """
    from timm.optim import list_optimizers

    return sorted(name for name in list_optimizers() if not name.startswith(NOT_OFFERED))


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, encoder_lr_mult: float = 1.0
) -> list[dict[str, Any]]:
    """Make parameter groups for any optimiser, by timm's `param_groups_weight_decay`.

    Norms and biases (one dimension) do not decay, nor does what the model or a part of it names in `no_weight_decay()`:
    position embeddings and class tokens of transformers. Parameters without a gradient are left out.

    Args:
        model: The network.
        lr: Learning rate of decoder and head.
        weight_decay: Of the other parameters.
        encoder_lr_mult: Learning rate of the encoder, times `lr`; other than 1 it makes groups of their own, after the
            others.

    Returns:
        Groups with "params", "weight_decay" and "lr".

    Raises:
        ValueError: Unless encoder_lr_mult is above 0 (to keep an encoder as it is, freeze it) and the model has the
            encoder it asks for.
    """
    if not encoder_lr_mult > 0:
        raise ValueError(f"expected encoder_lr_mult above 0, got {encoder_lr_mult}; to keep an encoder, freeze it")
    from timm.optim import param_groups_weight_decay

    encoder = set() if encoder_lr_mult == 1 else {id(p) for p in encoder_of(model).parameters()}
    decays = param_groups_weight_decay(model, weight_decay, no_weight_decay_list=_without_decay(model))
    groups = []
    for inside, rate in ((False, lr), (True, lr * encoder_lr_mult)):
        for group in decays:
            params = [p for p in group["params"] if (id(p) in encoder) == inside]
            if params:
                groups.append({**group, "params": params, "lr": rate})
    return groups


def encoder_of(model: nn.Module) -> nn.Module:
    """Find the part that pretrained weights fill.

    Args:
        model: A network.

    Returns:
        `model.encoder` (segkit's and smp's networks), or `model.backbone`.

    Raises:
        ValueError: For a model that has neither.
    """
    for name in ("encoder", "backbone"):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            return part
    raise ValueError(
        f"{type(model).__name__} has no part named encoder or backbone, so it can have no rate of its own and cannot "
        "be frozen; name that part so, or leave encoder_lr_mult at 1 and freeze_epochs at 0"
    )


def _without_decay(model: nn.Module) -> set[str]:
    """Names of the parameters that the model and its parts exempt from weight decay."""
    found = set()
    for prefix, module in model.named_modules():
        exempt = getattr(module, "no_weight_decay", None)
        if callable(exempt):
            found |= {f"{prefix}.{name}" if prefix else name for name in exempt()}
    return found
