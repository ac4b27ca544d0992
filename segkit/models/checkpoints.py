"""Weights on disk: plain safetensors files that any tool reads, whole or absent, with metadata beside the weights."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from segkit.files import replacing

State = dict[str, Tensor]
TIED = "segkit.tied"  # key in the file: JSON of {name left out: name that holds its values}
METADATA = "segkit.metadata"  # key in the file: JSON of what the user stored


def save_weights(
    model: nn.Module | Mapping[str, Tensor],
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write weights as safetensors, beside and renamed. Equal weights and metadata give equal bytes.

    Args:
        model: A module or a state dict. Tensors on any device, in any memory format (channels_last too); tied tensors
            are written once and come back under every name.
        path: Ends in .safetensors; folders are made.
        metadata: What JSON can say, read back by `load_metadata`: classes, image spec, configuration.

    Raises:
        ValueError: For an entry that is no tensor, another suffix, or metadata that JSON cannot say.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> save_weights({"weight": torch.ones(2)}, file, {"classes": ["lung"]})
        >>> load_weights(file)
        {'weight': tensor([1., 1.])}
        >>> load_metadata(file)
        {'classes': ['lung']}
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} would be safetensors by content; name it {path.with_suffix('.safetensors').name}")
    try:
        stored = json.dumps(dict(metadata or {}), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: expected metadata that JSON can say, got {metadata!r} ({error})") from error
    state = model.state_dict() if isinstance(model, nn.Module) else model
    kept: dict[tuple[object, ...], str] = {}
    tensors: State = {}
    tied: dict[str, str] = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{path.name}: entry {name!r} is a {type(value).__name__}, weights are tensors only")
        where = (value.data_ptr(), value.device, value.dtype, value.shape, value.stride())
        if value.numel() and where in kept:
            tied[name] = kept[where]
            continue
        kept[where] = name
        tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    with replacing(path) as part:
        save_file(tensors, part, metadata={"format": "pt", TIED: json.dumps(tied), METADATA: stored})
        _sort_metadata(Path(part))


def load_weights(path: str | os.PathLike[str]) -> State:
    """Read a state dict onto the CPU.

    Args:
        path: A .safetensors file, or a torch file (.pth, .pt) of tensors only.

    Returns:
        State dict.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is broken, is no flat state dict, or would need arbitrary code to unpickle.
    """
    path = _existing(path)
    if path.suffix == ".safetensors":
        state, texts = _read(path, weights=True)
        tied = _json(path, texts.get(TIED, "{}"))
        if missing := [held for held in tied.values() if held not in state]:
            raise ValueError(f"{path} names tied weights {missing[:3]} that it does not hold; copy or write it again")
        return state | {name: state[held] for name, held in tied.items()}
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} holds more than tensors, or is broken; save model.state_dict() instead") from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        inside = list(found)[:5] if isinstance(found, Mapping) else type(found).__name__
        raise ValueError(f"{path} is no flat state dict (it holds {inside}); save the inner state dict alone")
    return dict(found)


def load_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the metadata that `save_weights` stored, without the weights.

    Args:
        path: A .safetensors file.

    Returns:
        The metadata; {} where there is none, as in other tools' files.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is broken, or no .safetensors file.
    """
    path = _existing(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} holds no metadata; expected a .safetensors file")
    return _json(path, _read(path, weights=False)[1].get(METADATA, "{}"))


def _existing(path: str | os.PathLike[str]) -> Path:
    """The path; FileNotFoundError where there is no such file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; give the path of a .safetensors or .pth file")
    return path


def _read(path: Path, *, weights: bool) -> tuple[State, dict[str, str]]:
    """Tensors, if asked for, and texts of a safetensors file."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys() if weights else ()
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file ({error}); copy or write it again") from error


def _json(path: Path, text: str) -> dict[str, Any]:
    """A dictionary from JSON in a file's header."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{path} has damaged metadata ({text[:60]!r}); copy or write it again")
    return found


def _sort_metadata(path: Path) -> None:
    """Put the texts of a safetensors file in order, in place: the library writes them in any."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(size)
        if len(text) == size:  # only the order may differ
            file.seek(8)
            file.write(text)
