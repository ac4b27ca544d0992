"""Metrics from text: "dice", "fbeta(beta=0.5, average='pooled')", "0.4 * dice + 0.6 * surface_dice(tolerance=2)"."""

from __future__ import annotations

import ast
from dataclasses import fields

from segkit.files import nearest
from segkit.metrics.base import Metric
from segkit.metrics.combined import Combined
from segkit.metrics.instances import AveragePrecision
from segkit.metrics.overlap import Dice, FBeta, IoU, MeanIoU
from segkit.metrics.surface import Hausdorff, SurfaceDice

KNOWN = (Dice, IoU, FBeta, MeanIoU, AveragePrecision, SurfaceDice, Hausdorff)
METRICS: dict[str, type[Metric]] = {metric.name: metric for metric in KNOWN}
"""{name: metric}: what a spec can name."""


def parse(spec: str | Metric) -> Metric:
    """Make the metric that a spec means; `str(metric)` is such a spec. Nothing in it is executed.

    Args:
        spec: NAME, NAME(setting=value, ...) with plain values, or a sum WEIGHT * NAME(...) + WEIGHT * NAME(...). A
            metric is taken as it is.

    Returns:
        The metric.

    Raises:
        ValueError: If the spec cannot be read, or names a metric or setting that there is not: then with the nearest.

    Example:
        >>> parse("fbeta(beta=0.5, average='pooled')")
        FBeta(empty='one', average='pooled', beta=0.5)
        >>> str(parse("0.4*dice() + 0.6*iou"))
        '0.4 * dice + 0.6 * iou'
    """
    if isinstance(spec, Metric):
        return spec
    try:
        node = ast.parse(spec.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unreadable(spec) from error
    terms = _terms(node, spec)
    if len(terms) == 1 and terms[0][1] is None:
        return terms[0][0]
    return _combined(terms, spec)


def _combined(terms: list[tuple[Metric, float | None]], spec: str) -> Combined:
    metrics = [metric for metric, _ in terms]
    if len(set(metrics)) != len(metrics):
        raise ValueError(f"expected each metric once, got {spec!r}")
    return Combined({metric: 1.0 if weight is None else weight for metric, weight in terms})


def _terms(node: ast.expr, spec: str) -> list[tuple[Metric, float | None]]:
    """[(metric, weight)] of a sum; a weight is None where none is written."""
    out: list[tuple[Metric, float | None]] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        out.append(_term(node.right, spec))
        node = node.left
    return [_term(node, spec), *reversed(out)]


def _term(node: ast.expr, spec: str) -> tuple[Metric, float | None]:
    if not isinstance(node, ast.BinOp):
        return _single(node, spec), None
    weight = node.left.value if isinstance(node.left, ast.Constant) else None
    if not isinstance(node.op, ast.Mult) or isinstance(weight, bool) or not isinstance(weight, int | float):
        raise _unreadable(spec)
    return _single(node.right, spec), float(weight)


def _single(node: ast.expr, spec: str) -> Metric:
    call = node if isinstance(node, ast.Call) else None
    name = call.func if call else node
    if not isinstance(name, ast.Name) or (call and (call.args or any(k.arg is None for k in call.keywords))):
        raise _unreadable(spec)
    if name.id not in METRICS:
        raise ValueError(f"no metric {name.id!r}; {nearest(name.id, METRICS)}")
    metric = METRICS[name.id]
    known = [field.name for field in fields(metric)]  # type: ignore[arg-type]  # every metric is a dataclass
    settings = {}
    for keyword in call.keywords if call else ():
        if keyword.arg not in known:
            raise ValueError(f"{name.id} has no setting {keyword.arg!r}; {nearest(str(keyword.arg), known)}")
        try:
            settings[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError(f"{name.id}: expected a plain value of {keyword.arg}, got {spec!r}") from error
    return metric(**settings)


def _unreadable(spec: str) -> ValueError:
    return ValueError(f"cannot read the metric {spec!r}; expected one like fbeta(beta=0.5) or 0.4*dice + 0.6*iou")
