"""Losses from text: "0.3*bce + 0.7*tversky(alpha=0.3); 0.6: bce + dice"."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from segkit.files import nearest
from segkit.losses.base import Loss
from segkit.losses.boundary import BoundaryLoss, HausdorffLoss
from segkit.losses.exclusive import CrossEntropyLoss, SoftmaxDiceLoss, SoftmaxLovaszLoss
from segkit.losses.overlap import DiceLoss, FocalTverskyLoss, GeneralisedDiceLoss, JaccardLoss, TverskyLoss
from segkit.losses.pixel import BCELoss, FocalLoss, TopKLoss
from segkit.losses.ranking import LovaszLoss
from segkit.losses.topology import ClDiceLoss

LOSSES: dict[str, type[Loss]] = {
    "bce": BCELoss,
    "boundary": BoundaryLoss,
    "cldice": ClDiceLoss,
    "cross_entropy": CrossEntropyLoss,
    "dice": DiceLoss,
    "focal": FocalLoss,
    "focal_tversky": FocalTverskyLoss,
    "generalised_dice": GeneralisedDiceLoss,
    "hausdorff": HausdorffLoss,
    "jaccard": JaccardLoss,
    "lovasz": LovaszLoss,
    "softmax_dice": SoftmaxDiceLoss,
    "softmax_lovasz": SoftmaxLovaszLoss,
    "topk": TopKLoss,
    "tversky": TverskyLoss,
}
"""By name. cross_entropy, softmax_dice and softmax_lovasz are for exclusive classes."""

Stages = list[tuple[float, dict[str, float]]]


def parse_stages(text: str) -> Stages:
    """Read "SUM" or "SUM; START: SUM; ...".

    Args:
        text: Sums of losses with weights.

    Returns:
        [(start, {loss as text: weight}), ...], starts as fractions of training.

    Raises:
        ValueError: For what cannot be read.

    Example:
        >>> parse_stages("0.3*bce + 0.7*dice; 0.6: dice")
        [(0.0, {'bce': 0.3, 'dice': 0.7}), (0.6, {'dice': 1.0})]
    """
    first, *later = text.split(";")
    found = [(0.0, _sum(first, text))]
    for part in later:
        start, colon, rest = part.partition(":")
        try:
            at = float(start)
        except ValueError:
            at = -1.0
        if not colon or not found[-1][0] < at < 1:
            raise ValueError(
                f"cannot read the stage {part.strip()!r}; write it like '0.6: 0.1*bce + 0.9*dice', where .6 is the "
                "fraction of training after which it begins, later than the stage before it and below 1"
            )
        found.append((at, _sum(rest, text)))
    return found


def parse_loss(text: str) -> Loss:
    """Build one loss from text.

    Args:
        text: NAME or NAME(key=value, ...).

    Returns:
        The loss.

    Raises:
        ValueError: For unknown names and settings, with the nearest ones.
    """
    node = _parse(text, text)
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
    known = inspect.signature(LOSSES[node.id]).parameters
    for key, value in settings.items():
        if key not in known:
            raise ValueError(f"{node.id} has no setting {key!r}; {nearest(key, known)}")
        if isinstance(known[key].default, bool) and not isinstance(value, bool):
            raise ValueError(f"{node.id}: {key} is True or False, got {value!r}")
    try:
        return LOSSES[node.id](**settings)
    except TypeError as error:
        raise ValueError(f"cannot use the settings in {text!r}: {error}") from error


def _sum(text: str, whole: str) -> dict[str, float]:
    """{loss: weight} of one sum."""
    terms: dict[str, float] = {}
    node = _parse(text, whole)
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        terms = _term(node.right, whole, terms) | terms
        node = node.left
    return _term(node, whole, terms) | terms


def _term(node: ast.expr, whole: str, taken: dict[str, float]) -> dict[str, float]:
    """{loss: weight} of one summand: NAME, NAME(SETTINGS), NUMBER * either."""
    weight = 1.0
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.left, ast.Constant):
        if isinstance(node.left.value, bool) or not isinstance(node.left.value, int | float):
            raise ValueError(f"cannot read the loss {whole!r}: {node.left.value!r} is no weight")
        weight, node = float(node.left.value), node.right
    name = ast.unparse(node)
    if not isinstance(node, ast.Name | ast.Call):
        raise ValueError(f"cannot read the loss {whole!r}; write it like '0.3*bce + 0.7*tversky(alpha=0.3)'")
    if name in taken:
        raise ValueError(f"{name} is twice in the sum {whole!r}; add up its weights")
    return {name: weight}


def _parse(text: str, whole: str) -> ast.expr:
    """One expression; ValueError where it is none."""
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"cannot read the loss {whole!r}; write it like '0.3*bce + 0.7*dice'") from error
