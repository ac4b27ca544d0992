"""What a killed run needs to go on as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from segkit.files import replacing


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a resume file: tensors and plain values only, so that torch.load(weights_only=True) reads it."""
    with replacing(path) as part:
        torch.save(state, part)


def read(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The state of a run with the same settings; None where there is none.

    ValueError names each setting that is another one now, or a file that cannot be read.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        before = state["settings"]
    except Exception as error:  # whatever the unpickler trips over: the file is not ours, or not whole
        raise ValueError(f"{path} cannot be resumed from ({error}); remove it, or pass resume=False") from error
    changed = [
        f"{name} was {before.get(name)}, is {settings.get(name)}"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    if changed:
        raise ValueError(
            f"{path.parent} holds a run with other settings: {'; '.join(changed)}. "
            "Train into another folder, or pass resume=False to begin anew"
        )
    return state
