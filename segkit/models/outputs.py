"""What networks return, whoever wrote them: read here, and nowhere else.

A tensor is the logits. A dictionary holds them under "out" (segkit, torchvision) or "logits" (Hugging Face). A sequence
has them first: smp's networks with aux_params return (masks, labels), networks with deep supervision a list of logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

Output = Tensor | Mapping[str, object] | Sequence[Tensor]
MAIN = ("out", "logits")  # names under which dictionaries hold the logits
EXPECTED = "expected logits (N, C, H, W), a dictionary with them under 'out' or 'logits', or a sequence, logits first"


def main_logits(output: Output, *, source: str = "the network") -> Tensor:
    """The logits of what a network returned.

    Args:
        output: What came out of the network, in training or in evaluation.
        source: Who returned it, for the error.

    Returns:
        Logits, shape (N, C, H, W).

    Raises:
        ValueError: If no logits of that shape are found; says what came and what was expected.

    Example:
        >>> import torch
        >>> main_logits({"out": torch.zeros(1, 2, 4, 4), "aux": torch.zeros(1, 2, 4, 4)}).shape
        torch.Size([1, 2, 4, 4])
        >>> main_logits((torch.zeros(1, 3), torch.zeros(1, 2, 4, 4)))
        Traceback (most recent call last):
        ValueError: the network returned a tuple of (1, 3), (1, 2, 4, 4); expected logits (N, C, H, W), ...
    """
    found: object = output
    if isinstance(output, Mapping):
        found = next((output[name] for name in MAIN if name in output), None)
    elif isinstance(output, Sequence):
        found = output[0] if len(output) else None
    if not isinstance(found, Tensor) or found.ndim != 4:
        raise ValueError(f"{source} returned {_described(output)}; {EXPECTED}")
    return found


def named_outputs(output: Output, *, source: str = "the network") -> dict[str, Tensor | list[Tensor]]:
    """All outputs of a network by name, for losses that judge each of them.

    Args:
        output: What came out of the network in training.
        source: Who returned it, for the error.

    Returns:
        "out", the logits (N, C, H, W), first. Then the other entries of a dictionary: tensors or lists of tensors. Of
        Hugging Face's (with "logits") there are none: its hidden states and attentions are no predictions. Of a
        sequence: "deep", its other logits (N, C, h, w), and "cls", scores (N, C) of whole images.

    Raises:
        ValueError: If an output is no tensor or list of tensors, or no logits are found.

    Example:
        >>> import torch
        >>> list(named_outputs((torch.zeros(1, 2, 4, 4), torch.zeros(1, 2))))
        ['out', 'cls']
    """
    named: dict[str, Tensor | list[Tensor]] = {"out": main_logits(output, source=source)}
    others: dict[str, object] = {}
    if isinstance(output, Mapping):
        others = {name: value for name, value in output.items() if name != "out"} if "out" in output else {}
    elif not isinstance(output, Tensor):
        deep = [value for value in output[1:] if not isinstance(value, Tensor) or value.ndim != 2]
        labels = [value for value in output[1:] if isinstance(value, Tensor) and value.ndim == 2]
        others = ({"deep": deep} if deep else {}) | ({"cls": labels[0]} if labels else {})
    for name, value in others.items():
        if isinstance(value, Tensor):
            named[name] = value
        elif isinstance(value, Sequence) and all(isinstance(each, Tensor) and each.ndim == 4 for each in value):
            named[name] = list(value)
        else:
            came = f"output {name!r} of {source} is {_described(value)}"
            raise ValueError(f"{came}; expected a tensor or a list of logits")
    return named


def _described(output: object) -> str:
    """An output in a few words, for errors."""
    if isinstance(output, Tensor):
        return f"a tensor of {tuple(output.shape)}"
    kind = type(output).__name__
    if isinstance(output, Mapping):
        return f"a {kind} with {', '.join(map(repr, output)) or 'nothing'}"
    if isinstance(output, list | tuple):
        inside = (str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__ for x in output[:6])
        return f"a {kind} of {', '.join(inside) or 'nothing'}"
    return f"a {kind}"
