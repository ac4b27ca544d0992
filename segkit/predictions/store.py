"""PredictionStore: what a network said, at its own grid, as compressed int8 logits.

One model's predictions of 288 images x 29 classes are megabytes instead of 140 GB, any zarr reader opens them, and
everything to the right of `predict` reads nothing else.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from segkit.files import digest

LEVELS = 127
MOST_CHUNK_BYTES = 16 * 2**20
VERSION = 1


class PredictionStore:
    """float logits in, float32 logits out, int8 on disk: store[id] = (C, h, w); store[id]; store.plane(id, cls).

    A logit is stored as round(logit / scale), clipped to +-127. The scale is a power of two, so that sums and
    comparisons of levels and of logits have the same bits. 1/32 saturates at +-3.97 (probabilities .019 to .981):
    finer steps at the edge matter more than how sure the middle is. An image that was never written is a KeyError,
    never an empty mask. Made with create(), found with open().
    """

    def __init__(self, path: Path, group: zarr.Group) -> None:
        attributes: dict[str, Any] = dict(group.attrs)
        self.path = path
        self.attributes: Any = group.attrs  # a mapping on disk: what is set is written
        self.ids: tuple[str, ...] = tuple(attributes["ids"])
        self.classes: tuple[str, ...] = tuple(attributes["classes"])
        self.sizes: dict[str, tuple[int, int]] = {
            i: (int(h), int(w)) for i, (h, w) in zip(self.ids, attributes["sizes"])
        }
        self.grid: tuple[int, int] = (int(attributes["grid"][0]), int(attributes["grid"][1]))
        self.scale = float(attributes["scale"])
        self._logits: Any = group["logits"]
        self._done: Any = group["done"]
        self._row = {i: k for k, i in enumerate(self.ids)}
        self._channel = {cls: k for k, cls in enumerate(self.classes)}

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        ids: Iterable[str],
        classes: Sequence[str],
        sizes: Mapping[str, tuple[int, int]],
        grid: tuple[int, int],
        scale: float = 1 / 32,
        attributes: Mapping[str, Any] | None = None,
    ) -> PredictionStore:
        """A new, empty store at `path` (a folder, usually NAME.zarr).

        ids: image names; classes: in channel order; sizes: {id: (H, W)} of the full images; grid: (h, w) of the
        logits, stretched over the whole image. attributes: what else store.attributes says from the first moment on,
        in terms of JSON, such as what it is made of. ValueError where something is there already, ids or classes
        repeat, a size is missing, or scale is no power of two up to 1/8.
        """
        path, ids, classes = Path(path), tuple(ids), tuple(classes)
        if path.exists():
            raise ValueError(f"{path} exists; open it with PredictionStore.open, or remove it")
        for what, names in (("id", ids), ("class", classes)):
            if len(set(names)) != len(names) or not names:
                twice = sorted({n for n in names if names.count(n) > 1})[:3]
                raise ValueError(f"{len(names)} {what} names, repeated: {twice}; at least one, each once, is wanted")
        missing = [i for i in ids if i not in sizes]
        if missing:
            raise ValueError(f"no size for {len(missing)} images: {', '.join(missing[:3])} ...")
        height, width = int(grid[0]), int(grid[1])
        if height < 1 or width < 1:
            raise ValueError(f"grid={grid}: (height, width) of at least 1 is wanted")
        if not 0 < scale <= 1 / 8 or math.frexp(scale)[0] != 0.5:  # above, cuts as probabilities would run together
            raise ValueError(f"scale={scale}: a power of two, 1/8 at most, is wanted, e.g. 1/32")
        planes = len(classes) if len(classes) * height * width <= MOST_CHUNK_BYTES else 1
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            group = zarr.open_group(part, mode="w", zarr_format=3)
            group.create_array(
                "logits",
                shape=(len(ids), len(classes), height, width),
                chunks=(1, planes, height, width),
                dtype="int8",
            )
            group.create_array("done", shape=(len(ids),), chunks=(1,), dtype="uint8")
            group.attrs.update(
                {
                    **(attributes or {}),
                    "segkit": VERSION,
                    "ids": list(ids),
                    "classes": list(classes),
                    "sizes": [[int(v) for v in sizes[i]] for i in ids],
                    "grid": [height, width],
                    "scale": scale,
                    "saturation": LEVELS * scale,
                }
            )
            part.chmod(0o755)
            os.rename(part, path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> PredictionStore:
        """An existing store. ValueError where `path` holds none."""
        path = Path(path)
        if not (path / "zarr.json").is_file():  # zarr would make the folder, and create() then find it there
            raise ValueError(f"{path} is not a PredictionStore")
        try:
            group = zarr.open_group(path, mode="r+")
            version = group.attrs["segkit"]
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is not a PredictionStore") from error
        if version != VERSION:
            raise ValueError(f"{path} has store version {version}, this segkit reads {VERSION}")
        return cls(path, group)

    @property
    def done(self) -> frozenset[str]:
        """The ids that have been written."""
        flags = np.asarray(self._done[:])
        return frozenset(i for i, flag in zip(self.ids, flags) if flag)

    @property
    def saturation(self) -> float:
        """The largest logit that can be stored."""
        return LEVELS * self.scale

    def stamp(self, ids: Iterable[str]) -> str:
        """Which predictions of these images these are: it changes when one is written again, not when all is moved."""
        chunks = self.path / "logits" / "c"
        files = {i: [p for p in sorted((chunks / str(self._find(i))).rglob("*")) if p.is_file()] for i in ids}
        stats = {i: [(p.relative_to(chunks).as_posix(), p.stat()) for p in found] for i, found in files.items()}
        seen = {i: [(name, s.st_size, s.st_mtime_ns) for name, s in found] for i, found in stats.items()}
        return digest([self.classes, self.grid, self.scale, seen])

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, image: object) -> bool:
        return image in self._row

    def __setitem__(self, image: str, logits: np.ndarray) -> None:
        """Write one image: (C, h, w) float logits, raw (not probabilities). ValueError for another shape or NaN."""
        row = self._find(image)
        logits = np.asarray(logits)
        wanted = (len(self.classes), *self.grid)
        if logits.shape != wanted or not np.issubdtype(logits.dtype, np.floating):
            raise ValueError(
                f"{self.path}, image {image}: float logits of shape {wanted} are wanted, "
                f"got {logits.dtype} {logits.shape}"
            )
        if np.isnan(logits).any():
            bad = [self.classes[c] for c in np.flatnonzero(np.isnan(logits).any(axis=(1, 2)))]
            raise ValueError(f"{self.path}, image {image}: NaN in class {', '.join(bad)}")
        levels = np.rint(np.clip(logits.astype(np.float32) * np.float32(1 / self.scale), -LEVELS, LEVELS))
        self._logits[row] = levels.astype(np.int8)
        self._done[row] = 1

    def __getitem__(self, image: str) -> np.ndarray:
        """Logits of one image, float32 (C, h, w). KeyError where it is absent or not yet written."""
        return self.levels(image).astype(np.float32) * np.float32(self.scale)

    def plane(self, image: str, cls: str) -> np.ndarray:
        """Logits of one class, float32 (h, w). KeyError where image or class is absent."""
        if cls not in self._channel:
            raise KeyError(f"{self.path} has no class {cls!r}; it has {', '.join(self.classes)}")
        row = self._written(image)
        return np.asarray(self._logits[row, self._channel[cls]]).astype(np.float32) * np.float32(self.scale)

    def planes(self, image: str) -> Iterator[tuple[str, np.ndarray]]:
        """(class, float32 (h, w) logits) one after the other: store[image] without all of it at once."""
        levels = self.levels(image)
        return ((cls, level.astype(np.float32) * np.float32(self.scale)) for cls, level in zip(self.classes, levels))

    def levels(self, image: str) -> np.ndarray:
        """int8 (C, h, w) as stored: logit = level * scale."""
        return np.asarray(self._logits[self._written(image)])

    def _written(self, image: str) -> int:
        row = self._find(image)
        if not self._done[row]:
            raise KeyError(f"{self.path}: image {image!r} has not been written yet")
        return row

    def _find(self, image: str) -> int:
        if image not in self._row:
            raise KeyError(f"{self.path} has no image {image!r}; it has {len(self.ids)} others")
        return self._row[image]
