"""A network's plan: its parts in the order they run, what each is made of and what it gives out, read off one pass."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from segkit.models.wrapper import Segmenter

KINDS = 4  # kinds of layers that a line names
Seen = dict[nn.Module, tuple[int, list[tuple[int, ...]]]]  # when a module ended, and the shape of what it gave last


class Part(NamedTuple):
    """name: in the body; layers: what it computes with; shape: of what it gives out, the batch apart."""

    name: str
    layers: str
    shape: tuple[int, ...]
    parameters: int


class Plan(NamedTuple):
    """Of images of `size` (height, width). parts: in the order they end; outputs: what comes out in training before it
    is resized, {"out": [shape], ...}; idle: frozen parameters of layers that do not run; between: those of no part.
    """

    size: tuple[int, int]
    parts: list[Part]
    outputs: dict[str, list[tuple[int, ...]]]
    idle: int
    between: int


class _Row(NamedTuple):
    name: str
    module: nn.Module
    level: int


def plan(model: Segmenter, *, size: int = 256, most: int = 20) -> Plan:
    """What the network is made of, at images of `size` px padded to what its body takes.

    Two levels of the body's modules, as long as there are at most `most`: the largest are opened first, lists whose
    members are of different sizes on the second level too. Nothing is computed: the model moves to the device without
    memory, and is of no use afterwards.
    """
    body = model.to("meta").train().body
    ended: list[tuple[nn.Module, Any]] = []
    for module in body.modules():
        module.register_forward_hook(lambda m, inputs, out: ended.append((m, out)))
    image = torch.zeros(1, model.in_channels, *model.padded(size, size), device="meta")
    with torch.no_grad():
        out = body(image)
    seen = {module: (n, _shapes(given)[-1:]) for n, (module, given) in enumerate(ended)}
    rows = _inside(_Row("", body, -1), seen)
    while fit := [(row, new) for row in rows if (new := _opened(row, seen)) and len(rows) + len(new) - 1 <= most]:
        row, new = min(fit, key=lambda pair: (pair[0].level, -_count(pair[0].module)))
        rows = [other for other in rows if other is not row] + new
    parts: list[Part] = []
    for row in sorted(rows, key=lambda row: _last(row.module, seen)[0]):
        if _is_norm(row.module) and parts:  # it belongs to what it follows
            parts[-1] = parts[-1]._replace(parameters=parts[-1].parameters + _count(row.module))
            continue
        shape = (_last(row.module, seen)[1] or [()])[0]
        parts.append(Part(row.name, _layers(row.module, seen), shape, _count(row.module)))
    outputs = {key: _shapes(value) for key, value in (out if isinstance(out, dict) else {"out": out}).items()}
    aside = [p for m in body.modules() if m not in seen for p in m.parameters(recurse=False)]
    idle = sum(p.numel() for p in aside if not p.requires_grad)
    between = _count(body) - idle - sum(part.parameters for part in parts)
    return Plan(model.padded(size, size), parts, outputs, idle, between)


def lines(found: Plan) -> list[str]:
    """The plan as text: a line a part, in columns, and what is in none of them."""
    rows = [(p.name, p.layers, _text(p.shape), f"{p.parameters:,}") for p in found.parts]
    wide = [max(len(row[i]) for row in rows) for i in range(4)]
    text = [f"{a:{wide[0]}}  {b:{wide[1]}}  {c:>{wide[2]}}  {d:>{wide[3]}}" for a, b, c, d in rows]
    left = ((found.between, "between them"), (found.idle, "frozen: no output needs them"))
    return text + [f"and {count:,} {words}" for count, words in left if count]


def extras(found: Plan) -> str:
    """What comes out in training beside the logits, as "aux 21 x 64 x 64"; "" where there is nothing."""
    return "; ".join(f"{key} {', '.join(map(_text, shapes))}" for key, shapes in found.outputs.items() if key != "out")


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _is_norm(module: nn.Module) -> bool:
    return all(p.ndim < 2 for p in module.parameters())


def _last(module: nn.Module, seen: Seen) -> tuple[int, list[tuple[int, ...]]]:
    """When the last of its modules ended, and with what shape."""
    return max((seen[m] for m in module.modules() if m in seen), key=lambda end: end[0])


def _inside(row: _Row, seen: Seen) -> list[_Row]:
    """The children that run and have parameters; a lone one stands for its parent."""
    children = [
        (key, child)
        for key, child in row.module.named_children()
        if _count(child) and any(m in seen for m in child.modules())
    ]
    level = row.level + (len(children) > 1)
    return [_Row(f"{row.name}.{key}".lstrip("."), child, level) for key, child in children]


def _opened(row: _Row, seen: Seen) -> list[_Row]:
    """The children of a row that has more to show in them than single layers; else none."""
    inside = _inside(row, seen)
    is_list = row.module not in seen and len({str(_last(child.module, seen)[1]) for child in inside}) > 1
    deep = any(True for child in inside for _ in child.module.children())
    return inside if is_list or (deep and row.level < 1) else []


def _layers(module: nn.Module, seen: Seen) -> str:
    """Its convolutions and linear layers in words, as "2 x conv 3x3, conv 1x1 /2"."""
    kinds = Counter(kind for m in module.modules() if m in seen and (kind := _kind(m)))
    words = [kind if n == 1 else f"{n} x {kind}" for kind, n in kinds.most_common(KINDS)]
    return ", ".join(words) + (", ..." if len(kinds) > KINDS else "")


def _kind(layer: nn.Module) -> str:
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


def _shapes(out: Any) -> list[tuple[int, ...]]:
    """Of every tensor, without the batch."""
    if isinstance(out, Tensor):
        return [tuple(out.shape[1:])]
    values = out.values() if isinstance(out, dict) else out if isinstance(out, (list, tuple)) else ()
    return [shape for value in values for shape in _shapes(value)]
