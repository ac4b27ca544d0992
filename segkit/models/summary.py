"""What a network is made of: its parts in the order they run, their layers and what they give out."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segkit.models.segmenter import Segmenter

KINDS = 4  # kinds of layers that a line names
Ended = dict[nn.Module, tuple[int, list[tuple[int, ...]]]]  # when a module ended, and the shape of what it gave last


class PartSummary(NamedTuple):
    """One part of a network.

    Attributes:
        name: In the body.
        layers: What it computes with, in words.
        shape: Of what it gives out, without the batch.
        parameters: Number.
    """

    name: str
    layers: str
    shape: tuple[int, ...]
    parameters: int


class NetworkSummary(NamedTuple):
    """The parts of a network, for images of one size.

    Attributes:
        size: (height, width) in px.
        parts: In the order they end.
        outputs: {"out": [shape], ...}: what comes out in training before it is resized.
        idle: Frozen parameters of layers that do not run.
        between: Parameters in no part.
    """

    size: tuple[int, int]
    parts: list[PartSummary]
    outputs: dict[str, list[tuple[int, ...]]]
    idle: int
    between: int


class _Row(NamedTuple):
    name: str
    module: nn.Module
    level: int


def summarise(model: Segmenter, *, size: int = 256, most: int = 20) -> NetworkSummary:
    """Summarise a network.

    Two levels of the body's modules, as long as there are at most `most`: the largest are opened first, lists whose
    members are of different sizes on the second level too. Nothing is computed: the model moves to the device without
    memory, and is of no use afterwards.

    Args:
        model: The network.
        size: Height and width of the images in px, padded to what the body takes.
        most: Largest number of parts.

    Returns:
        The summary.
    """
    body = model.to("meta").train().body
    ended: list[tuple[nn.Module, object]] = []
    for module in body.modules():
        module.register_forward_hook(lambda m, inputs, out: ended.append((m, out)))
    image = torch.zeros(1, model.in_channels, *model.padded_size(size, size), device="meta")
    with torch.no_grad():
        out = body(image)
    seen = {module: (n, _shapes(given)[-1:]) for n, (module, given) in enumerate(ended)}
    rows = _inside(_Row("", body, -1), seen)
    while fit := [(row, new) for row in rows if (new := _opened(row, seen)) and len(rows) + len(new) - 1 <= most]:
        row, new = min(fit, key=lambda each: (each[0].level, -_count(each[0].module)))
        rows = [other for other in rows if other is not row] + new
    parts: list[PartSummary] = []
    for row in sorted(rows, key=lambda row: _last(row.module, seen)[0]):
        if _is_norm(row.module) and parts:  # it belongs to what it follows
            parts[-1] = parts[-1]._replace(parameters=parts[-1].parameters + _count(row.module))
            continue
        shape = (_last(row.module, seen)[1] or [()])[0]
        parts.append(PartSummary(row.name, _layers(row.module, seen), shape, _count(row.module)))
    outputs = {key: _shapes(value) for key, value in (out if isinstance(out, dict) else {"out": out}).items()}
    aside = [p for m in body.modules() if m not in seen for p in m.parameters(recurse=False)]
    idle = sum(p.numel() for p in aside if not p.requires_grad)
    between = _count(body) - idle - sum(part.parameters for part in parts)
    return NetworkSummary(model.padded_size(size, size), parts, outputs, idle, between)


def _count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())


def _is_norm(module: nn.Module) -> bool:
    """Whether it has no weights of two axes."""
    return all(p.ndim < 2 for p in module.parameters())


def _last(module: nn.Module, seen: Ended) -> tuple[int, list[tuple[int, ...]]]:
    """When the last of its modules ended, and with what shape."""
    return max((seen[m] for m in module.modules() if m in seen), key=lambda end: end[0])


def _inside(row: _Row, seen: Ended) -> list[_Row]:
    """The children that run and have parameters; a lone one stands for its parent."""
    children = [
        (key, child)
        for key, child in row.module.named_children()
        if _count(child) and any(m in seen for m in child.modules())
    ]
    level = row.level + (len(children) > 1)
    return [_Row(f"{row.name}.{key}".lstrip("."), child, level) for key, child in children]


def _opened(row: _Row, seen: Ended) -> list[_Row]:
    """The children of a row that has more to show in them than single layers; else none."""
    inside = _inside(row, seen)
    is_list = row.module not in seen and len({str(_last(child.module, seen)[1]) for child in inside}) > 1
    deep = any(True for child in inside for _ in child.module.children())
    return inside if is_list or (deep and row.level < 1) else []


def _layers(module: nn.Module, seen: Ended) -> str:
    """Its convolutions and linear layers in words, as "2 x conv 3x3, conv 1x1 /2"."""
    kinds = Counter(kind for m in module.modules() if m in seen and (kind := _kind(m)))
    words = [kind if n == 1 else f"{n} x {kind}" for kind, n in kinds.most_common(KINDS)]
    return ", ".join(words) + (", ..." if len(kinds) > KINDS else "")


def _kind(layer: nn.Module) -> str:
    """A convolution or linear layer in words; "" for others."""
    if isinstance(layer, nn.Linear):
        return "linear"
    if not isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        return ""
    words = ["up" if isinstance(layer, nn.ConvTranspose2d) else "conv", "x".join(map(str, layer.kernel_size))]
    if layer.stride[0] > 1:
        words.append(f"/{layer.stride[0]}")
    if layer.dilation[0] > 1:
        words.append(f"rate {layer.dilation[0]}")
    if layer.groups > 1:
        words.append("each channel" if layer.groups == layer.in_channels else f"{layer.groups} groups")
    return " ".join(words)


def _shapes(out: object) -> list[tuple[int, ...]]:
    """Of every tensor, without the batch."""
    if isinstance(out, Tensor):
        return [tuple(out.shape[1:])]
    values = out.values() if isinstance(out, dict) else out if isinstance(out, (list, tuple)) else ()
    return [shape for value in values for shape in _shapes(value)]
