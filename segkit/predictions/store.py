"""PredictionStore: logits at network resolution, compressed to one byte each.

One model's predictions of 288 images x 29 classes are megabytes instead of 140 GB, any zarr reader opens them, and
everything to the right of `predict` reads nothing else.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from segkit.files import digest
from segkit.predictions.header import LEVELS, LOST, Header, Size
from segkit.predictions.values import as_values, from_probabilities, to_levels

DEFAULT_SCALE = {False: 1 / 32, True: 1 / 16}


class PredictionStore:
    """float logits in, float32 logits out, int8 on disk.

    `store[id] = (C, h, w)`, `store[id]`, `store.plane(id, cls)`. Made with `create`, found with `open`. An image that
    was never written is a KeyError, and a lost or damaged one a ValueError, never an empty mask.

    A logit is stored as round(logit / scale), cut to +-127 levels. The scale is a power of two, so that sums and
    comparisons of levels and of logits have the same bits. Where classes are exclusive, only differences between the
    classes of a pixel count: the highest class of each low-resolution pixel is stored as level 127, and the others
    relative to it, so that what is cut is 15.9 below the highest. docs/measured.md has the ceiling of each scale.

    Attributes:
        path: Folder of the store.
        ids: Image names.
        classes: Class names, in channel order.
        sizes: {id: (H, W)} of the full-resolution images.
        grid: (h, w) of the logits.
        scale: Logit per level.
        exclusive: Whether each pixel belongs to one class.
        attributes: A mapping on disk, for what else is to be known of the store: what is set is written.
    """

    def __init__(self, path: Path, group: zarr.Group, header: Header) -> None:
        self.path = path
        self.attributes: Any = group.attrs
        self.ids, self.classes, self.grid = header.ids, header.classes, header.grid
        self.sizes: dict[str, Size] = dict(zip(header.ids, header.sizes))
        self.scale, self.exclusive = float(header.scale), header.exclusive
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
        sizes: Mapping[str, Size],
        grid: Size,
        exclusive: bool = False,
        scale: float | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> PredictionStore:
        """Make a new, empty store.

        Args:
            path: A folder that is not there yet, usually NAME.zarr.
            ids: Image names.
            classes: Class names, in channel order.
            sizes: {id: (H, W)} of the full images.
            grid: (h, w) of the logits, stretched over the whole image.
            exclusive: Whether each pixel belongs to one class (softmax), or to any number (sigmoid).
            scale: Logit per level, a power of two up to 1/8; None for 1/32, and 1/16 of exclusive classes.
            attributes: What else `store.attributes` says from the first moment on, in terms of JSON.

        Returns:
            The store.

        Raises:
            ValueError: If something is at `path` already, ids or classes repeat, a size is missing, or the scale is no
                power of two up to 1/8.
        """
        path = Path(path)
        if path.exists():
            raise ValueError(f"{path} exists; open it with PredictionStore.open, or remove it")
        scale = DEFAULT_SCALE[bool(exclusive)] if scale is None else scale
        try:
            header = Header.create(ids, classes, sizes, grid, scale, exclusive)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            group = zarr.open_group(part, mode="w", zarr_format=3)
            for name, facts in header.arrays().items():
                group.create_array(name, **facts, compressors=[ZstdCodec(), Crc32cCodec()])
            group.attrs.update({**(attributes or {}), **header.to_attributes()})
            part.chmod(0o755)
            os.rename(part, path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> PredictionStore:
        """Open a store that is there.

        Args:
            path: Its folder.

        Returns:
            The store.

        Raises:
            ValueError: If `path` holds none, or one that is not as `create` made it.
        """
        path = Path(path)
        if not (path / "zarr.json").is_file():  # zarr would make the folder, and create() then find it there
            raise ValueError(f"{path} is not a PredictionStore")
        try:
            group = zarr.open_group(path, mode="r+")
            attributes = dict(group.attrs)
            _ = attributes["segkit"]
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a PredictionStore") from error
        try:
            header = Header.from_attributes(attributes)
            for name, facts in header.arrays().items():
                array: Any = group[name]
                found = {key: getattr(array, key) for key in facts}
                if found != facts:
                    raise ValueError(f"expected the array {name} to be {facts}, got {found}")
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is a damaged PredictionStore: {error}") from error
        return cls(path, group, header)

    @property
    def done(self) -> frozenset[str]:
        """The ids that have been written."""
        flags = self._read("", lambda: self._done[:])
        return frozenset(i for i, flag in zip(self.ids, flags) if flag)

    @property
    def saturation(self) -> float:
        """The largest logit that can be stored; twice that is the largest difference of exclusive classes."""
        return LEVELS * self.scale

    def saturated(self, image: str) -> dict[str, float]:
        """How much of an image was cut at the ends of what the store holds.

        Args:
            image: Its id.

        Returns:
            {class: share of its low-resolution pixels at +-127 levels}; of exclusive classes those at -127, as the
            highest is at 127 by design.
        """
        levels = self.levels(image)
        ends = (levels == -LEVELS) if self.exclusive else np.abs(levels) == LEVELS
        return {cls: float(share) for cls, share in zip(self.classes, ends.mean(axis=(1, 2)))}

    def stamp(self, ids: Iterable[str]) -> str:
        """Which predictions of some images these are.

        Args:
            ids: The images.

        Returns:
            A digest that changes when one of them is written again, and not when the store is moved.
        """
        chunks = self.path / "logits" / "c"
        files = {i: [p for p in sorted((chunks / str(self._find(i))).rglob("*")) if p.is_file()] for i in ids}
        stats = {i: [(p.relative_to(chunks).as_posix(), p.stat()) for p in found] for i, found in files.items()}
        seen = {i: [(name, s.st_size, s.st_mtime_ns) for name, s in found] for i, found in stats.items()}
        return digest([self.classes, self.grid, self.scale, self.exclusive, seen])

    def __len__(self) -> int:
        """How many images the store is for, written or not."""
        return len(self.ids)

    def __contains__(self, image: object) -> bool:
        """Whether the store is for this image, written or not."""
        return image in self._row

    def __setitem__(self, image: str, logits: object) -> None:
        """Write the logits of one image: array or tensor, float (C, h, w); neither NaN nor probabilities."""
        self._write(image, logits, "logits")

    def write_logits(self, image: str, logits: object) -> None:
        """Write the logits of one image, also if all of them lie in [0, 1].

        Args:
            image: Its id.
            logits: Array or tensor, float, shape (C, h, w).
        """
        self._write(image, logits, "surely logits")

    def write_probabilities(self, image: str, probabilities: object) -> None:
        """Write one image whose network ends in a sigmoid, or, if classes are exclusive, in a softmax.

        Args:
            image: Its id.
            probabilities: Array or tensor, float in [0, 1], shape (C, h, w).

        Raises:
            KeyError: If the store has no such image.
            ValueError: If shape or type are others, or a value is NaN or outside [0, 1].
        """
        self._write(image, probabilities, "probabilities")

    def __getitem__(self, image: str) -> np.ndarray:
        """Logits of one image, float32 (C, h, w); KeyError if it is absent or not yet written."""
        return self.levels(image).astype(np.float32) * np.float32(self.scale)

    def plane(self, image: str, cls: str) -> np.ndarray:
        """One class map; errors are those of `levels`, and KeyError for an unknown class.

        Args:
            image: Id of the image.
            cls: Name of the class.

        Returns:
            Logits, float32, shape (h, w).
        """
        if cls not in self._channel:
            raise KeyError(f"{self.path} has no class {cls!r}; it has {', '.join(self.classes)}")
        return self._levels(image, self._channel[cls]).astype(np.float32) * np.float32(self.scale)

    def planes(self, image: str) -> Iterator[tuple[str, np.ndarray]]:
        """The class maps of an image one after the other; errors are those of `levels`.

        Args:
            image: Its id.

        Returns:
            (class, logits float32 (h, w)), in channel order.
        """
        levels = self.levels(image)
        return ((cls, level.astype(np.float32) * np.float32(self.scale)) for cls, level in zip(self.classes, levels))

    def levels(self, image: str) -> np.ndarray:
        """An image as it is stored.

        Args:
            image: Its id.

        Returns:
            int8 of shape (C, h, w): logit = level * scale.

        Raises:
            KeyError: If the image is absent or not yet written.
            ValueError: If it is lost or damaged.
        """
        return self._levels(image, slice(None))

    def _levels(self, image: str, channel: int | slice) -> np.ndarray:
        row = self._find(image)
        where = f", image {image}"
        if not self._read(where, lambda: self._done[row]):
            raise KeyError(f"{self.path}: image {image!r} has not been written yet")
        levels = self._read(where, lambda: self._logits[row, channel])
        if (levels[..., 0, 0] == LOST).any():
            raise ValueError(f"{self.path}{where}: its chunk is lost; predict or import it again")
        return levels

    def _read(self, where: str, read: Callable[[], object]) -> np.ndarray:
        try:
            return np.asarray(read())
        except Exception as error:  # codecs raise what they like
            raise ValueError(f"{self.path}{where}: a chunk is damaged ({error}); predict or import it again") from error

    def _find(self, image: str) -> int:
        if image not in self._row:
            raise KeyError(f"{self.path} has no image {image!r}; it has {len(self.ids)} others")
        return self._row[image]

    def _write(self, image: str, given: object, domain: str) -> None:
        row = self._find(image)
        try:
            values = as_values(given, self.grid, self.classes)
            if domain == "logits" and values.min() >= 0 and values.max() <= 1:
                raise ValueError(
                    "all values lie in [0, 1], which looks like probabilities; pass logits, or use write_probabilities "
                    "(write_logits, if these are logits all the same)"
                )
            logits = from_probabilities(values, exclusive=self.exclusive) if domain == "probabilities" else values
            levels = to_levels(logits, scale=self.scale, exclusive=self.exclusive)
        except ValueError as error:
            raise ValueError(f"{self.path}, image {image}: {error}") from error
        self._logits[row] = levels
        self._done[row] = 1
