"""Pseudo-labels on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segkit.files import read_json


class Labels:
    """Pseudo-labels in a folder, written by `Selection.write`.

    `labels[id]` is (target, weight): uint8 (C, h, w) of 0 to 255, and uint8 (C, h, w) of 0 and 1.

    Args:
        path: The folder.

    Attributes:
        ids: Images that have labels.
        classes: Names in channel order.
        grid: (h, w) of the labels.
        labelled: Groups of the images, for `guard`.
        learnt_from: Groups that the teacher was trained on, for `guard`.

    Raises:
        ValueError: If the folder holds no pseudo-labels.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "labels.json").is_file():
            raise ValueError(f"{self.path} holds no pseudo-labels; pseudo.select(...).write makes them")
        found = read_json(self.path / "labels.json")
        self.ids: tuple[str, ...] = tuple(found["ids"])
        self.classes: tuple[str, ...] = tuple(found["classes"])
        self.grid: tuple[int, int] = (int(found["grid"][0]), int(found["grid"][1]))
        self.labelled: tuple[str, ...] = tuple(found["labelled"])
        self.learnt_from: tuple[str, ...] = tuple(found["learnt_from"])
        self._index = {image: index for index, image in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, image: str) -> tuple[np.ndarray, np.ndarray]:
        if image not in self._index:
            raise KeyError(f"{self.path} has no label of image {image!r}")
        with np.load(self.path / file_name(self._index[image])) as data:
            return data["target"], data["weight"]


def file_name(index: int) -> str:
    """Name the file of one image: by its index, as an id may be any text, "../x" too.

    Args:
        index: Place of the image in `Labels.ids`.

    Returns:
        A name without folders.
    """
    return f"{index:06d}.npz"
