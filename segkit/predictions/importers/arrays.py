"""Arrays in files: .npy and .npz of anybody, and what nnU-Net saves."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from segkit.files import read_json
from segkit.predictions.importers.filling import Found, fill
from segkit.predictions.importers.names import Images, Size, among, as_classes, listed
from segkit.predictions.store import PredictionStore

UNREADABLE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)


def import_arrays(
    source: str | Path,
    out: str | Path,
    *,
    classes: Sequence[str] | None = None,
    images: Images = None,
    domain: str = "probs",
    layout: str = "chw",
    key: str | None = None,
    grid: Size | None = None,
) -> PredictionStore:
    """A folder of .npy or .npz, one file an image, named like the image. Pickled objects are never loaded.

    Args:
        source: The folder.
        out: The store to write.
        classes: In channel order; default: SOURCE/classes.txt.
        images: Where ids and sizes come from; see Images.
        domain: "probs", checked to lie in [0, 1], or "logits".
        layout: "chw" or "hwc"; (h, w) is fine for one class.
        key: Of the .npz, needed where it holds several arrays.
        grid: (h, w) of the store; default: the first array's own, at most 1024 a side.

    Returns:
        The store.

    Raises:
        ValueError: Names the file, and the class where there is one.
    """
    classes = as_classes(source, classes)
    among("domain", domain, ("probs", "logits"))
    among("layout", layout, ("chw", "hwc"))

    def load(path: Path, header: bool = False) -> np.ndarray:
        array = _channels(_read(path, key, header), len(classes), layout, path)
        if domain == "logits" and not header and array.min() >= 0 and array.max() <= 1:
            raise ValueError(f"{path}: all values lie in [0, 1]: probabilities? Pass domain='probs'")
        return array

    found = [_array(path, load) for path in listed(source, (".npy", ".npz"))]
    return fill(out, found, classes, images, grid, domain, source, (layout, key))


def import_nnunet(
    source: str | Path,
    out: str | Path,
    *,
    classes: Sequence[str] | None = None,
    images: Images = None,
    background: bool = True,
    grid: Size | None = None,
) -> PredictionStore:
    """nnU-Net's output with --save_probabilities; .pkl files are never opened.

    Its softmax gives each pixel one class: a class is above .5 only where it beats all others together.

    Args:
        source: The folder with CASE.npz, "probabilities" (C, 1, H, W) or (C, H, W) at the image's full size.
        out: The store to write.
        classes: In channel order without the background; default: those of SOURCE/dataset.json, which nnU-Net writes
            there.
        images: Where ids and sizes come from; see Images. An image CASE_0000.png is CASE.png here.
        background: The first channel is the background and dropped; False for training with regions, whose channels
            have none.
        grid: (h, w) of the store; default: the first file's own, at most 1024 a side.

    Returns:
        The store.

    Raises:
        ValueError: Names the file.
    """
    labels = Path(source) / "dataset.json"
    classes = as_classes(source, _labels(labels) if classes is None and labels.is_file() else classes)

    def load(path: Path, header: bool = False) -> np.ndarray:
        array = _read(path, "probabilities", header)
        if array.ndim == 4 and array.shape[1] == 1:
            array = array[:, 0]
        hint = f"; background={background} takes {'the first for' if background else 'none for'} the background"
        return _channels(array, len(classes) + background, "chw", path, hint)[int(background) :]

    found = [_array(path, load) for path in listed(source, (".npz",))]
    return fill(out, found, classes, images, grid, "probs", source, ("nnunet", background), channel="_0000")


def _array(path: Path, load: Callable[..., np.ndarray]) -> Found:
    def size() -> Size:
        _, height, width = load(path, header=True).shape
        return height, width

    return Found(path.stem, (path,), size, partial(load, path))


def _read(path: Path, key: str | None, header: bool = False) -> np.ndarray:
    """The floats of a .npy (mapped, not read) or .npz; header: no more than their shape and type is read."""
    try:
        if path.suffix.lower() == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        else:
            with zipfile.ZipFile(path) as archive:
                names = [name.removesuffix(".npy") for name in archive.namelist()]
                name = key or (names[0] if len(names) == 1 else None)
                if name not in names:
                    raise ValueError(f"it holds {', '.join(names)}; key={key!r} names none of them")
                with archive.open(f"{name}.npy") as handle:
                    array = _header(handle) if header else np.lib.format.read_array(handle, allow_pickle=False)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{path}: expected float probabilities or logits, got {array.dtype}")
    return array


def _header(handle: IO[bytes]) -> np.ndarray:
    """An array of the shape and type to come, which takes no memory."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[np.lib.format.read_magic(handle)](handle)
    return np.broadcast_to(np.zeros((), dtype), shape)


def _channels(array: np.ndarray, count: int, layout: str, path: Path, hint: str = "") -> np.ndarray:
    """`array` as (count, h, w)."""
    given = array.shape
    if array.ndim == 2 and count == 1:
        array = array[None]
    elif array.ndim == 3 and layout == "hwc":
        array = np.moveaxis(array, 2, 0)
    if array.ndim != 3 or array.shape[0] != count or not array.size:
        other = {"chw": (2, "hwc"), "hwc": (0, "chw")}[layout]
        if len(given) == 3 and given[other[0]] == count:
            hint += f"; layout={other[1]!r}, perhaps?"
        raise ValueError(f"{path}: expected {count} channels in layout {layout}, got shape {given}{hint}")
    return array


def _labels(path: Path) -> list[str]:
    """The classes of nnU-Net's dataset.json in the order of its channels."""
    labels = read_json(path).get("labels")
    if not isinstance(labels, dict):
        raise ValueError(f"{path}: expected 'labels' of names and numbers; or pass classes=")
    kept = {name: value for name, value in labels.items() if name not in ("background", "ignore")}
    regions = any(isinstance(value, list) for value in kept.values())
    return list(kept) if regions else sorted(kept, key=lambda name: int(kept[name]))
