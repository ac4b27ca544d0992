"""The doors by name, and which of them a file or folder fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segkit.predictions.importers.arrays import import_arrays, import_nnunet
from segkit.predictions.importers.class_maps import import_planes
from segkit.predictions.importers.tables import import_csv

KINDS: dict[str, Callable[..., Any]] = {
    "arrays": import_arrays,
    "nnunet": import_nnunet,
    "planes": import_planes,
    "csv": import_csv,
}
"""kind -> its function, called as function(source, out, ...)."""


def kind_of(source: str | Path) -> str:
    """The door that `source` fits: "csv" a file; a folder with .npz and nnU-Net's dataset.json or .pkl is "nnunet".

    Any other folder of .npy or .npz is "arrays", one of .png alone "planes". ValueError where none fits.
    """
    source = Path(source)
    if source.is_file() and source.suffix.lower() == ".csv":
        return "csv"
    endings = {path.suffix.lower() for path in source.rglob("*") if path.is_file()}
    if ".npz" in endings and (".pkl" in endings or (source / "dataset.json").is_file()):
        return "nnunet"
    if endings & {".npy", ".npz"}:
        return "arrays"
    if ".png" in endings:
        return "planes"
    held = f"holds {', '.join(sorted(endings))}" if endings else "is neither a CSV nor a folder with files"
    raise ValueError(f"{source} {held}; .npy, .npz or .png files or a .csv are wanted")
