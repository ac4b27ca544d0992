"""Optimisers by name, with rates of their own for encoder and decoder; timm is imported nowhere else for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from segkit.files import nearest

NOT_OFFERED = ("adahessian", "bnb", "fused", "kron")
"""Names of timm's that begin so: they want second derivatives, packages of their own, or a compiler."""


def create(
    model: nn.Module,
    name: str = "adamw",
    *,
    lr: float,
    weight_decay: float = 1e-2,
    encoder_lr: float = 1.0,
    **options: Any,
) -> torch.optim.Optimizer:
    """An optimiser over the parameters of `model` that want a gradient.

    name: of `names()`: "adamw" (Loshchilov and Hutter, 2019), "sgd" (with Nesterov's momentum), "lion", "adan",
    "muon" ...; each wants a rate of its own: Lion about a tenth of AdamW's, SGD ten times it and more. lr: of
    decoder and head; encoder_lr: the encoder's as a share of lr; weight_decay: of parameters with two and more
    dimensions (see `parameter_groups`); options: the optimiser's own, such as momentum=0.95. ValueError for an
    unknown name (with its neighbours), an option that it has not, or a model without the encoder that encoder_lr
    asks for.

    >>> create(nn.Linear(2, 1), "lion", lr=1e-4).param_groups[0]["lr"]
    0.0001
    """
    if name not in names():
        raise ValueError(f"no optimiser {name!r}; {nearest(name, names())}")
    from timm.optim import create_optimizer_v2

    groups = parameter_groups(model, lr=lr, weight_decay=weight_decay, encoder_lr=encoder_lr)
    try:
        optimizer = create_optimizer_v2(groups, opt=name, lr=lr, weight_decay=weight_decay, **options)
    except TypeError as error:
        raise ValueError(f"the optimiser {name} does not take {options}: {error}") from error
    return optimizer


def names() -> list[str]:
    """Every name that `create` takes, sorted; timm's `get_optimizer_info(name)` tells each one's paper."""
    from timm.optim import list_optimizers

    return sorted(name for name in list_optimizers() if not name.startswith(NOT_OFFERED))


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, encoder_lr: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for any optimiser: weights decay, what has one dimension (norms, biases) does not.

    With encoder_lr other than 1 the encoder's parameters are groups of their own at encoder_lr * lr, after the
    others. Parameters that want no gradient are left out, and so are empty groups. ValueError unless encoder_lr is
    above 0 (to keep an encoder as it is, freeze it) and the model has the encoder it asks for.
    """
    if not encoder_lr > 0:
        raise ValueError(f"encoder_lr={encoder_lr}: a share of lr above 0 is wanted; to keep an encoder, freeze it")
    encoder = set() if encoder_lr == 1 else {id(p) for p in encoder_of(model).parameters()}
    groups = []
    for inside, rate in ((False, lr), (True, lr * encoder_lr)):
        for many, decay in ((True, weight_decay), (False, 0.0)):
            params = [
                p for p in model.parameters() if p.requires_grad and (id(p) in encoder, p.ndim > 1) == (inside, many)
            ]
            if params:
                groups.append({"params": params, "weight_decay": decay, "lr": rate})
    return groups


def encoder_of(model: nn.Module) -> nn.Module:
    """The part that pretrained weights fill: `model.encoder` (segkit's and smp's networks), or `model.backbone`.

    ValueError for a model that has neither.
    """
    for name in ("encoder", "backbone"):
        part = getattr(model, name, None)
        if isinstance(part, nn.Module):
            return part
    raise ValueError(
        f"{type(model).__name__} has no part named encoder or backbone, so it can have no rate of its own and cannot "
        "be frozen; name that part so, or leave encoder_lr at 1 and freeze_epochs at 0"
    )
