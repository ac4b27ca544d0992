"""What several commands read and print."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segkit.predictions import PredictionStore


def class_names(data: Path, names: str | None) -> list[str] | None:
    """Names of a file with one a line, or with commas between; of DATA/classes.txt for None, None without one."""
    from segkit.annotations.truth import read_classes

    if names is None:
        return list(read_classes(data / "classes.txt")) if (data / "classes.txt").is_file() else None
    return list(read_classes(Path(names))) if Path(names).is_file() else [n.strip() for n in names.split(",")]


def shape_of(store: PredictionStore) -> str:
    """How large a store is, in words."""
    return f"{len(store.ids)} images x {len(store.classes)} classes at {store.grid[0]} x {store.grid[1]}"


def persons(path: Path) -> dict[str, str]:
    """{image: person} of a CSV with the columns id (or image_name) and person; ValueError for others."""
    with path.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.DictReader(handle))
    key = next((name for name in ("id", "image_name") if rows and name in rows[0]), None)
    if key is None or "person" not in rows[0]:
        found = list(rows[0]) if rows else []
        raise ValueError(f"{path}: columns id (or image_name) and person are wanted, got {found}")
    return {row[key]: row["person"] for row in rows}
