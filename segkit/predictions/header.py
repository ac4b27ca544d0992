"""The facts of a PredictionStore: images, classes, sizes and how logits are kept, checked when made and opened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from segkit.files import digest

VERSION = 2
LEVELS = 127
LOST = -128  # what zarr fills in for a chunk that is not there; no logit is stored so
LARGEST_SCALE = 1 / 8  # above, thresholds around .5 would be .03 apart
MAX_CHUNK_BYTES = 16 * 2**20
Size = tuple[int, int]


@dataclass(frozen=True)
class Header:
    """The facts of a store.

    Attributes:
        ids: Image names, in the order of the rows.
        classes: Class names, in channel order.
        sizes: (H, W) of each full-resolution image, in the order of `ids`.
        grid: (h, w) of the logits.
        scale: Logit per level, a power of two.
        exclusive: Whether each pixel belongs to one class.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    sizes: tuple[Size, ...]
    grid: Size
    scale: float
    exclusive: bool

    @classmethod
    def create(
        cls,
        ids: Iterable[str],
        classes: Iterable[str],
        sizes: Mapping[str, Size],
        grid: Size,
        scale: float,
        exclusive: bool,
    ) -> Header:
        """A header from what `PredictionStore.create` takes.

        Args:
            ids: Image names.
            classes: Class names, in channel order.
            sizes: {id: (H, W)}.
            grid: (h, w) of the logits.
            scale: Logit per level.
            exclusive: Whether each pixel belongs to one class.

        Returns:
            The checked header.

        Raises:
            ValueError: If any of them cannot be.
        """
        ids = tuple(ids)
        if missing := [image for image in ids if image not in sizes]:
            raise ValueError(f"no size for {len(missing)} images: {', '.join(map(str, missing[:3]))} ...")
        found = (_size(f"size of {image}", sizes[image]) for image in ids)
        header = cls(ids, tuple(classes), tuple(found), _size("grid", grid), scale, exclusive)
        header._check()
        return header

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Header:
        """The header that `attributes` of a store hold.

        Args:
            attributes: Those of its zarr group.

        Returns:
            The checked header.

        Raises:
            ValueError: If the store is of another version, or they were changed since it was made.
        """
        if attributes.get("segkit") != VERSION:
            raise ValueError(
                f"it has store version {attributes.get('segkit')!r}, this segkit reads {VERSION}, which finds lost and "
                "damaged chunks; predict or import again"
            )
        try:
            ids, sizes = list(attributes["ids"]), list(attributes["sizes"])
            if len(ids) != len(sizes):
                raise ValueError(f"expected {len(ids)} sizes, one per image, got {len(sizes)}")
            facts = (attributes[name] for name in ("classes", "grid", "scale", "exclusive"))
            classes, grid, scale, exclusive = facts
            header = cls.create(ids, classes, dict(zip(ids, sizes)), grid, scale, exclusive)
        except (KeyError, TypeError) as error:
            raise ValueError(f"its attributes are not those of a store: {error!r}") from error
        if attributes.get("checksum") != header.checksum():
            raise ValueError("its ids, classes, sizes, grid, scale or exclusive were changed since it was made")
        return header

    def to_attributes(self) -> dict[str, Any]:
        """What `from_attributes` reads, in terms of JSON.

        Returns:
            The attributes of the zarr group, with the formula that gives logits for readers of other tools.
        """
        return {
            "segkit": VERSION,
            "ids": list(self.ids),
            "classes": list(self.classes),
            "sizes": [list(size) for size in self.sizes],
            "grid": list(self.grid),
            "scale": self.scale,
            "exclusive": self.exclusive,
            "logit": "highest of the pixel + (level - 127) * scale" if self.exclusive else "level * scale",
            "checksum": self.checksum(),
        }

    def checksum(self) -> str:
        """A digest of all facts.

        Returns:
            Hexadecimal text.
        """
        return digest([self.ids, self.classes, self.sizes, self.grid, self.scale, self.exclusive])

    def arrays(self) -> dict[str, dict[str, Any]]:
        """What the arrays of the store are.

        Returns:
            {name: {attribute of a zarr array: value}}. A chunk is an image, or a class of it if it is above 16 MiB.
        """
        count, (height, width) = len(self.classes), self.grid
        together = count if count * height * width <= MAX_CHUNK_BYTES else 1
        shape, chunks = (len(self.ids), count, height, width), (1, together, height, width)
        return {
            "logits": {"shape": shape, "chunks": chunks, "dtype": np.dtype(np.int8), "fill_value": LOST},
            "done": {"shape": shape[:1], "chunks": (1,), "dtype": np.dtype(np.uint8), "fill_value": 0},
        }

    def _check(self) -> None:
        for what, names in (("id", self.ids), ("class", self.classes)):
            if not names or len(set(names)) != len(names) or not all(isinstance(name, str) and name for name in names):
                repeated = sorted({str(name) for name in names if names.count(name) > 1})[:3]
                raise ValueError(
                    f"expected at least one {what} name, each once, none empty, got {len(names)}, repeated: {repeated}"
                )
        real = isinstance(self.scale, Real) and not isinstance(self.scale, bool)
        if not real or not 0 < self.scale <= LARGEST_SCALE or math.frexp(self.scale)[0] != 0.5:
            raise ValueError(f"expected scale to be a power of two, at most 1/8, e.g. 1/32, got {self.scale!r}")
        if not isinstance(self.exclusive, bool):
            raise ValueError(f"expected exclusive to be True or False, got {self.exclusive!r}")


def _size(what: str, size: Sequence[int]) -> Size:
    try:
        height, width = size
    except (TypeError, ValueError):
        height = width = 0
    if not all(isinstance(v, Integral) and v >= 1 for v in (height, width)):
        raise ValueError(f"expected {what} to be (height, width) of at least 1 pixel, got {size!r}")
    return int(height), int(width)
