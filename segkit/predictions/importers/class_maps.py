"""Pictures of probabilities: one 8-bit PNG an image and class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from segkit.files import nearest
from segkit.images import image_size
from segkit.predictions.importers.filling import Found, fill
from segkit.predictions.importers.names import Images, Size, among, as_classes, listed
from segkit.predictions.store import PredictionStore


def import_class_maps(
    source: str | Path,
    out: str | Path,
    *,
    classes: Sequence[str] | None = None,
    images: Images = None,
    missing: str = "error",
    grid: Size | None = None,
) -> PredictionStore:
    """8-bit grey PNGs, IMAGE/CLASS.png or IMAGE_CLASS.png, value / 255 the probability.

    Where a name ends like two classes (x_thumb_1.png: "1", "thumb_1"), it is of the longer one.

    Args:
        source: The folder.
        out: The store to write.
        classes: In channel order; default: SOURCE/classes.txt.
        images: Where ids and sizes come from; see Images.
        missing: What a class is that has no file: "error", or "empty".
        grid: (h, w) of the store; default: the first file's own, at most 1024 a side.

    Returns:
        The store.

    Raises:
        ValueError: Names the file, or image and class: for another kind of PNG, a class that is not among `classes`,
            maps of one image that differ in size, and an image of zeros and ones (a mask has 0 and 255).
    """
    classes = as_classes(source, classes)
    among("missing", missing, ("error", "empty"))
    maps: dict[str, dict[str, Path]] = {}
    for path in listed(source, (".png",)):
        name, cls = _name_of(path, Path(source), classes)
        if cls in maps.setdefault(name, {}):
            raise ValueError(f"image {name}, class {cls}: both {maps[name][cls]} and {path}")
        maps[name][cls] = path

    def load(name: str) -> np.ndarray:
        read = {cls: _read(path) for cls, path in maps[name].items()}
        if len({one.shape for one in read.values()}) > 1:
            sizes = ", ".join(f"{maps[name][cls]} {one.shape}" for cls, one in read.items())
            raise ValueError(f"image {name}: expected class maps of one size, got {sizes}")
        if max(int(one.max()) for one in read.values()) == 1:
            raise ValueError(f"image {name}: its class maps hold 0 and 1 only; save masks as 0 and 255")
        absent = np.zeros_like(next(iter(read.values())))
        return np.stack([read.get(cls, absent) for cls in classes])

    for name, row in maps.items():
        lacks = [cls for cls in classes if cls not in row]
        if lacks and missing == "error":
            raise ValueError(
                f"{source}: image {name} has no class map of {', '.join(lacks)}; missing='empty' takes it so"
            )
    found = [
        Found(name, tuple(row.values()), partial(image_size, min(row.values())), partial(load, name))
        for name, row in maps.items()
    ]
    return fill(out, found, classes, images, grid, "bytes", source, (missing,))


def _name_of(path: Path, source: Path, classes: Sequence[str]) -> tuple[str, str]:
    """(image, class) of IMAGE/CLASS.png or IMAGE_CLASS.png."""
    if path.stem in classes and path.parent != source:
        return path.parent.name, path.stem
    ends = [cls for cls in classes if path.stem.endswith(f"_{cls}")]
    if not ends:
        raise ValueError(f"{path} is neither IMAGE/CLASS.png nor IMAGE_CLASS.png; {nearest(path.stem, classes)}")
    cls = max(ends, key=len)
    return path.stem[: -len(cls) - 1], cls


def _read(path: Path) -> np.ndarray:
    data = np.fromfile(path, np.uint8)
    values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if values is None:
        raise ValueError(f"{path} cannot be decoded as an image ({data.size} bytes)")
    if values.ndim != 2 or values.dtype != np.uint8:
        raise ValueError(f"{path}: expected an 8-bit grey PNG, got {values.dtype} {values.shape}")
    return values
