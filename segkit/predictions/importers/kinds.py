"""The importers by name, and which of them a folder fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segkit.files import visible_files
from segkit.predictions.importers.arrays import import_arrays, import_nnunet
from segkit.predictions.importers.class_maps import import_class_maps

KINDS: dict[str, Callable[..., Any]] = {
    "arrays": import_arrays,
    "nnunet": import_nnunet,
    "class-maps": import_class_maps,
}
"""kind -> its function, called as function(source, out, ...)."""


def kind_of(source: str | Path) -> str:
    """The importer that a folder fits.

    Args:
        source: A folder. With .npz and nnU-Net's dataset.json or .pkl it is "nnunet", any other of .npy or .npz
            "arrays", one of .png alone "class-maps".

    Returns:
        A key of KINDS.

    Raises:
        ValueError: Where none fits.
    """
    source = Path(source)
    if source.is_file():
        raise ValueError(f"{source} is a file, expected a folder; masks in a CSV: segkit rle convert")
    endings = {path.suffix.lower() for path in visible_files(source)}
    if ".npz" in endings and (".pkl" in endings or (source / "dataset.json").is_file()):
        return "nnunet"
    if endings & {".npy", ".npz"}:
        return "arrays"
    if ".png" in endings:
        return "class-maps"
    held = ", ".join(sorted(endings)) or "nothing"
    raise ValueError(f"{source}: expected .npy, .npz or .png files, got {held}")
