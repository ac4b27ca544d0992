"""What several commands read and print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segkit.rle.files import read_sizes
from segkit.rle.tables import by_image

if TYPE_CHECKING:
    from segkit.predictions import PredictionStore


def class_names(data: Path, names: str | None) -> list[str] | None:
    """Names of a file with one a line, or with commas between; of DATA/classes.txt for None, None without one."""
    from segkit.samples.classes import read_classes

    if names is None:
        return list(read_classes(data / "classes.txt")) if (data / "classes.txt").is_file() else None
    return list(read_classes(Path(names))) if Path(names).is_file() else [n.strip() for n in names.split(",")]


def shape_of(store: PredictionStore) -> str:
    """How large a store is, in words."""
    return f"{len(store.ids)} images x {len(store.classes)} classes at {store.grid[0]} x {store.grid[1]}"


def persons(path: Path) -> dict[str, str]:
    """{image: person} of a CSV with the columns id (or image_name) and person; ValueError for others."""
    return {image: cells[0] for image, cells in by_image(path, ["person"]).items()}


def sizes_of(size: tuple[int, int] | None, sizes: Path | None) -> Any:
    """What --size or --sizes says: one (H, W) for all, {image: (H, W)}, or None."""
    if size is not None and sizes is not None:
        raise ValueError("either --size or --sizes says how large the images are, not both")
    return read_sizes(sizes) if sizes else size
