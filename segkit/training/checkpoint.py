"""The resume file: what a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from segkit.files import replacing
from segkit.training.identity import Identity


def write(path: Path, state: dict[str, Any], identity: Identity) -> None:
    """Write a resume file of tensors and plain values, so that `torch.load(weights_only=True)` reads it.

    Args:
        path: The file.
        state: Tensors and plain values by name.
        identity: What the run is.
    """
    with replacing(path) as part:
        torch.save(state | {"identity": asdict(identity)}, part)


def read(path: Path, identity: Identity) -> dict[str, Any] | None:
    """Read the state of a run that is the same.

    Args:
        path: The resume file.
        identity: What the run is now.

    Returns:
        What `write` was given; None where there is no file.

    Raises:
        ValueError: If the run was another one, or the file cannot be read.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        before = Identity(**state.pop("identity"))
    except Exception as error:  # whatever the unpickler trips over: the file is not ours, or not whole
        raise ValueError(f"{path} cannot be resumed from ({error}); remove it, or pass resume=False") from error
    identity.check(before, path.parent)
    return state
