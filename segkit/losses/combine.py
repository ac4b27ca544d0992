"""Weighted sums of losses, from dictionaries and from one line of text."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from segkit.files import nearest
from segkit.losses.overlap import DiceLoss, JaccardLoss, TverskyLoss
from segkit.losses.pixel import BCELoss, FocalLoss
from segkit.losses.shared import Loss, Pair

LOSSES: dict[str, type[Loss]] = {
    "bce": BCELoss,
    "dice": DiceLoss,
    "focal": FocalLoss,
    "jaccard": JaccardLoss,
    "tversky": TverskyLoss,
}


class WeightedSum(Loss):
    """The sum of losses times their weights. The sigmoid and the sums over pixels are computed once for all.

    terms: {loss: weight}; a loss is a name of `LOSSES`, a name with settings ("focal(gamma=3)") or a module
    that takes (logits, target). After a call `.terms` holds every loss's own value, before its weight,
    detached; `.weights` may be changed between calls. Raises ValueError for unknown names, negative or
    all-zero weights.

    >>> loss = WeightedSum({"bce": 0.3, "dice": 0.7})
    >>> total = loss(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    >>> {name: round(value.item(), 4) for name, value in loss.terms.items()}
    {'bce': 0.6931, 'dice': 0.2}
    """

    def __init__(self, terms: Mapping[str | nn.Module, float]) -> None:
        super().__init__()
        if not terms or min(terms.values()) < 0 or not max(terms.values()) > 0:
            raise ValueError(f"weights must be positive or zero, and one of them positive, got {dict(terms)}")
        self.losses = nn.ModuleDict()
        self.weights: dict[str, float] = {}
        for key, weight in terms.items():
            loss = _named(key) if isinstance(key, str) else key
            name = _name(loss, self.weights)
            self.losses[name] = loss
            self.weights[name] = float(weight)
        self.terms: dict[str, Tensor] = {}

    def of(self, pair: Pair) -> Tensor:
        values = {
            name: loss.of(pair) if isinstance(loss, Loss) else loss(pair.logits, pair.target)
            for name, loss in self.losses.items()
        }
        self.terms = {name: value.detach() for name, value in values.items()}
        return torch.stack([self.weights[name] * value for name, value in values.items()]).sum()

    def extra_repr(self) -> str:
        return " + ".join(f"{weight} {name}" for name, weight in self.weights.items())


def build(spec: str | Mapping[str | nn.Module, float] | nn.Module) -> nn.Module:
    """A loss from what a config can say: "dice", "0.3*bce + 0.7*dice", "bce + tversky(alpha=0.3, beta=0.7)", or a
    dictionary as `WeightedSum` takes it. A module comes back as it is. ValueError for what cannot be read.

    >>> build("0.3*bce + 0.7*dice").weights
    {'bce': 0.3, 'dice': 0.7}
    >>> build("dise")
    Traceback (most recent call last):
    ValueError: no loss 'dise'; did you mean dice? Known: bce, dice, focal, jaccard, tversky
    """
    if isinstance(spec, nn.Module):
        return spec
    if isinstance(spec, Mapping):
        return WeightedSum(spec)
    if not isinstance(spec, str):
        raise ValueError(f"a loss is built from text, a dictionary or a module, got {spec!r}")
    terms: dict[str | nn.Module, float] = {}
    node = _parse(spec)
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        terms = _term(node.right, spec) | terms
        node = node.left
    terms = _term(node, spec) | terms
    if len(terms) == 1 and set(terms.values()) == {1.0}:
        (loss,) = terms
        return loss if isinstance(loss, nn.Module) else _named(loss)
    return WeightedSum(terms)


def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"cannot read the loss {text!r}; write it like '0.3*bce + 0.7*dice'") from error


def _term(node: ast.expr, text: str) -> dict[str | nn.Module, float]:
    """{loss: weight} of one summand: NAME, NAME(SETTINGS), NUMBER * either."""
    weight = 1.0
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.left, ast.Constant):
        if not isinstance(node.left.value, int | float):
            raise ValueError(f"cannot read the loss {text!r}: {node.left.value!r} is no weight")
        weight, node = float(node.left.value), node.right
    return {_call(node, text): weight}


def _named(text: str) -> Loss:
    return _call(_parse(text), text)


def _call(node: ast.expr, text: str) -> Loss:
    """The loss that NAME or NAME(key=value, ...) means."""
    settings: dict[str, Any] = {}
    if isinstance(node, ast.Call) and not node.args:
        try:
            settings = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
        except ValueError as error:
            raise ValueError(f"cannot read the settings in {text!r}; they are plain numbers and words") from error
        node = node.func
    if not isinstance(node, ast.Name):
        raise ValueError(f"cannot read the loss {text!r}; write it like '0.3*bce + 0.7*tversky(alpha=0.3)'")
    if node.id not in LOSSES:
        raise ValueError(f"no loss {node.id!r}; {nearest(node.id, LOSSES)}")
    known = list(inspect.signature(LOSSES[node.id]).parameters)
    if unknown := [key for key in settings if key not in known]:
        raise ValueError(f"{node.id} has no setting {unknown[0]!r}; {nearest(unknown[0], known)}")
    return LOSSES[node.id](**settings)


def _name(loss: nn.Module, taken: Mapping[str, float]) -> str:
    """Its name in `LOSSES`, else its class's name; numbered from the second of its kind on."""
    name = next((name for name, kind in LOSSES.items() if type(loss) is kind), type(loss).__name__)
    same = sum(other == name or other.startswith(f"{name}_") for other in taken)
    return f"{name}_{same + 1}" if same else name
