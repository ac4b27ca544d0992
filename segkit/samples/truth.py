"""Truth: (image, class) -> Runs, from polygons or from a CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segkit import submission
from segkit.files import nearest
from segkit.geometry import polygons
from segkit.images import image_size
from segkit.masks import MaskSet
from segkit.rle import Runs
from segkit.samples.classes import read_classes
from segkit.samples.fixes import apply_fixes
from segkit.samples.layout import Item, Rings, index, read


def load(items: Sequence[Item], classes: Sequence[str], fixes: Sequence[Any] = ()) -> dict[str, Rings]:
    """{image id: {class: rings}} of all annotated items, fixes applied; excluded images are left out.

    ValueError names the file that cannot be read, an item that has no annotation, or a fix that matches nothing.
    """
    missing = [item.id for item in items if item.json is None]
    if missing:
        raise ValueError(f"{len(missing)} images have no annotation file: {', '.join(missing[:3])} ...")
    return apply_fixes({item.id: read(item.json, classes) for item in items if item.json}, fixes)


class Truth(MaskSet):
    """Masks that are believed: truth[id][cls] -> Runs for every class; .ids, .classes, .sizes (folders only)."""

    @classmethod
    def open(cls, path: str | Path, classes: Sequence[str] | None = None) -> Truth:
        """Truth of a CSV (image_name, class, rle) or of a folder in the competition's layout (its train split).

        classes: the channel order; default: the rows' order, or the folder's `classes.txt`, or the labels sorted.
        Images without an annotation are left out of a folder's truth. ValueError for a class that a CSV has not.
        """
        path = Path(path)
        if path.is_file():
            masks = submission.read(path)
            names = masks.classes if classes is None else tuple(classes)
            for name in names:
                if name not in masks.classes:
                    raise ValueError(f"{path}: no class {name!r}; {nearest(name, masks.classes)}")
            rows = [row for row in masks.rows if row[1] in names]
            return cls(masks.ids, names, lambda i, c: masks[i][c], rows=rows, name=str(path))
        if not path.is_dir():
            raise ValueError(f"{path} is neither a file nor a folder")
        items = [item for item in index(path) if item.json is not None]
        return cls.from_items(items, classes or find_classes(path, items))

    @classmethod
    def from_items(
        cls,
        items: Sequence[Item],
        classes: Sequence[str],
        *,
        fixes: Sequence[Any] = (),
        labels: Mapping[str, Rings] | None = None,
    ) -> Truth:
        """Truth of annotated items; labels: what load() gave, where it was called already."""
        rings = load(items, classes, fixes) if labels is None else labels
        kept = [item for item in items if item.id in rings]
        sizes = {item.id: image_size(item.image) for item in kept}
        drawn: dict[tuple[str, str], Runs] = {}

        def mask(image: str, name: str) -> Runs:
            if (image, name) not in drawn:
                drawn[image, name] = Runs.from_mask(polygons.rasterize(rings[image][name], sizes[image]))
            return drawn[image, name]

        return cls([item.id for item in kept], classes, mask, sizes=sizes)


def find_classes(root: str | Path, items: Sequence[Item]) -> tuple[str, ...]:
    """The classes of a folder: `classes.txt` in it or above it, else every label of its files, sorted."""
    for folder in (Path(root), Path(root).parent):
        if (folder / "classes.txt").is_file():
            return read_classes(folder / "classes.txt")
    return tuple(sorted({label for item in items if item.json for label in read(item.json)}))
