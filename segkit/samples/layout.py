"""Where images and their polygon JSON lie, and how one JSON is read.

ROOT/train/DCM/PERSON/IMAGE.png            ROOT/train/outputs_json/PERSON/IMAGE.json
ROOT/test/DCM/PERSON/IMAGE.png
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segkit.files import nearest, read_json
from segkit.geometry.polygons import FARTHEST
from segkit.images import SUFFIXES

Rings = dict[str, list[np.ndarray]]
"""class -> rings, each (n, 2) of (x, y) in pixels of the full image."""


class Item(NamedTuple):
    """One image: id is its base name (the submission's image_name); json is None where there is no annotation."""

    id: str
    person: str
    image: Path
    json: Path | None


def index(root: str | Path, split: str = "train") -> list[Item]:
    """The images of a split, sorted by (person, image name).

    root: the folder that holds `split`, or the split's own folder. An image is paired with the JSON of its person
    and stem; the JSON's own `filename` is not believed. ValueError where there are no images, or two images share
    a name (rows of a submission are told apart by it).
    """
    folder = split_folder(root, split)
    items: dict[str, Item] = {}
    for item in list_images(folder):
        if item.id in items:
            raise ValueError(f"two images are named {item.id}: {items[item.id].image} and {item.image}")
        items[item.id] = item
    if not items:
        raise ValueError(f"no images under {folder / 'DCM'}; ROOT/{split}/DCM/PERSON/IMAGE.png is wanted")
    return list(items.values())


def list_images(folder: Path) -> Iterator[Item]:
    """Every image of a split's folder, sorted by (person, image name), repeated names too."""
    for path in sorted((folder / "DCM").glob("*/*"), key=lambda p: (p.parent.name, p.name)):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            person = path.parent.name
            annotation = folder / "outputs_json" / person / f"{path.stem}.json"
            yield Item(path.name, person, path, annotation if annotation.is_file() else None)


def split_folder(root: str | Path, split: str) -> Path:
    """ROOT/split, or ROOT itself where it already is that folder. ValueError names what was looked for."""
    root = Path(root)
    if (root / split / "DCM").is_dir():
        return root / split
    if root.name == split and (root / "DCM").is_dir():
        return root
    raise ValueError(f"{root / split / 'DCM'} is not a folder; ROOT/{split}/DCM/PERSON/IMAGE.png is wanted")


def read(path: str | Path, classes: Sequence[str] | None = None) -> Rings:
    """The rings of one annotation file: {class: [float or int (n, 2) arrays of (x, y)]}, every class present.

    classes: the channel order; a class without a label has an empty list, several rings of one class are all kept,
    a label that is no class is an error. None takes the labels as they come. The file's `filename` and `metadata`
    are not believed. ValueError names the file, and the class where there is one.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise ValueError(f"{path}: an object with a list 'annotations' is wanted")
    rings: Rings = {name: [] for name in classes or ()}
    for number, annotation in enumerate(content["annotations"]):
        where = f"{path}, annotation {number}"
        if not isinstance(annotation, dict) or not isinstance(label := annotation.get("label"), str):
            raise ValueError(f"{where}: has no label")
        if classes is not None and label not in rings:
            raise ValueError(f"{where}: label {label!r} is not a class; {nearest(label, classes)}")
        rings.setdefault(label, []).append(_ring(annotation.get("points"), f"{where}, class {label}"))
    return rings


def _ring(points: object, where: str) -> np.ndarray:
    try:
        ring = np.array(points, dtype=np.float64)
    except (TypeError, ValueError):
        ring = np.zeros(0)
    if ring.ndim != 2 or ring.shape[1] != 2 or not len(ring):
        raise ValueError(f"{where}: points [[x, y], ...] are wanted")
    if not np.isfinite(ring).all() or np.abs(ring).max() > FARTHEST:
        raise ValueError(f"{where}: a point is not finite or beyond +-{FARTHEST} pixels")
    rounded = np.rint(ring)
    return rounded.astype(np.int32) if np.array_equal(rounded, ring) else ring
