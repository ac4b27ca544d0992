"""The file of score curves: one .npz."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segkit.files import replacing
from segkit.metrics import parse

if TYPE_CHECKING:
    from segkit.thresholds.score_curves import ScoreCurves


def save(curves: ScoreCurves, path: str | Path) -> None:
    """Write curves, see `ScoreCurves.save`.

    Args:
        curves: The curves.
        path: The file; an existing one is replaced.
    """
    arrays = {
        "ids": np.array(curves.ids),
        "classes": np.array(curves.classes),
        "thresholds": curves.thresholds,
        # differences are small, and many are 0: they compress far better than the counts themselves
        "tp": np.diff(curves.tp, axis=2, prepend=curves.tp.dtype.type(0)),
        "predicted": np.diff(curves.predicted, axis=2, prepend=curves.predicted.dtype.type(0)),
        "target": curves.target,
        "metric": np.array(str(curves.metric)),
    }
    if curves.pixels is not None:
        arrays["pixels"] = curves.pixels
    with replacing(path) as part, part.open("wb") as handle:
        np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]


def load(path: str | Path) -> dict[str, Any]:
    """Read a file of curves, see `ScoreCurves.load`.

    Args:
        path: The file.

    Returns:
        The arguments of `ScoreCurves`.
    """
    with np.load(path) as data:
        found = {key: data[key] for key in ("thresholds", "target")}
        for key in ("tp", "predicted"):
            found[key] = np.cumsum(data[key], axis=2, dtype=data[key].dtype)
        found["pixels"] = data.get("pixels")
        return {
            **found,
            **{key: data[key].tolist() for key in ("ids", "classes")},
            "metric": parse(str(data["metric"])),
        }


BROKEN = (ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, zipfile.BadZipFile)
"""What reading another file may raise."""
