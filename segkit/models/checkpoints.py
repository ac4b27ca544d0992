"""Weights on disk: plain safetensors files that any tool reads, whole or absent."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from segkit.files import replacing

State = dict[str, Tensor]
TIED = "segkit.tied"  # metadata key: JSON of {name left out: name that holds its values}


def save_weights(model: nn.Module | Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write a module's state dict, or a state dict, as safetensors.

    Tensors on any device, in any memory format (channels_last too); tied tensors are written once and come
    back under every name. The file is written beside and renamed. ValueError for an entry that is no tensor
    or for a name that does not end in .safetensors.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_weights({"weight": torch.ones(2)}, file)
    >>> load_weights(file)
    {'weight': tensor([1., 1.])}
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} would be safetensors by content; name it {path.with_suffix('.safetensors').name}")
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
        save_file(tensors, part, metadata={"format": "pt", TIED: json.dumps(tied)})


def load_weights(path: str | os.PathLike[str]) -> State:
    """A state dict on the CPU from a .safetensors file, or from a torch file (.pth, .pt) of tensors only.

    FileNotFoundError where there is no such file; ValueError where it is broken, is no flat state dict, or
    would need arbitrary code to unpickle.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; give the path of a .safetensors or .pth file")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
                tied = json.loads((file.metadata() or {}).get(TIED, "{}"))
        except SafetensorError as error:
            raise ValueError(f"{path} is no whole safetensors file ({error}); copy or write it again") from error
        return state | {name: state[held] for name, held in tied.items()}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} holds more than tensors, or is broken; save model.state_dict() instead") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        inside = list(state)[:5] if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"{path} is no flat state dict (it holds {inside}); save the inner state dict alone")
    return dict(state)
