"""Masks: (image, class) -> Runs, what everything that takes predictions or truth accepts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from segkit.rle import Runs


class MaskSet(Mapping[str, Mapping[str, Runs]]):
    """(image, class) -> Runs, read when asked for: masks["a.png"]["Radius"].

    ids: image names in order; classes: in order; sizes: {id: (H, W)} where known, else empty; rows: the (id, class)
    there are, in a file's order, by default every class of every image; name: what errors call them, such as a path.
    load(id, cls) -> Runs, raising KeyError where there is none.
    """

    def __init__(
        self,
        ids: Iterable[str],
        classes: Iterable[str],
        load: Callable[[str, str], Runs],
        *,
        sizes: Mapping[str, tuple[int, int]] | None = None,
        rows: Collection[tuple[str, str]] | None = None,
        name: str = "",
    ) -> None:
        self.ids, self.classes = tuple(ids), tuple(classes)
        self.sizes = dict(sizes or {})
        self.name, self._rows = name, rows
        self._load, self._known = load, frozenset(self.ids)

    @property
    def rows(self) -> Iterator[tuple[str, str]]:
        """The (image, class) that are there, in order."""
        return iter(self._rows) if self._rows is not None else product(self.ids, self.classes)

    def __getitem__(self, image: str) -> Mapping[str, Runs]:
        if image not in self._known:
            raise KeyError(f"no image {image!r} among the {len(self.ids)} here")
        return _Row(image, self.classes, self._load)

    def __contains__(self, image: object) -> bool:
        return image in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


class _Row(Mapping[str, Runs]):
    def __init__(self, image: str, classes: tuple[str, ...], load: Callable[[str, str], Runs]) -> None:
        self._image, self._classes, self._load = image, classes, load

    def __getitem__(self, cls: str) -> Runs:
        if cls not in self._classes:
            raise KeyError(f"no class {cls!r} for image {self._image!r}; known: {', '.join(self._classes)}")
        return self._load(self._image, cls)

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def true_runs(truth: MaskSet, image: str, cls: str, size: tuple[int, int] | None = None, *, of: object = "") -> Runs:
    """The truth's runs of an image and class, in an image of `size` where that is known.

    ValueError where the truth lacks them, or they are of another size; of: what is scored, for that error.
    """
    try:
        runs = truth[image][cls]
    except KeyError as error:
        raise ValueError(f"the truth lacks image {image}, class {cls}: {error.args[0]}") from error
    try:
        return runs if size is None else runs.with_shape(size)
    except ValueError as error:
        where = f"{of}, image {image}" if of else f"image {image}"
        raise ValueError(f"{where}, class {cls}: the truth does not fit: {error}") from error


def as_masks(given: MaskSet | Mapping[str, Mapping[str, Any]]) -> MaskSet:
    """Masks of any mapping {image: {class: Runs or (H, W) mask}}: what the functions that take truth accept.

    The classes are those of all images, in the order they come. MaskSet come back as they are.

    >>> import numpy as np
    >>> as_masks({"a": {"x": np.ones((2, 2), bool)}})["a"]["x"].area
    4
    """
    if isinstance(given, MaskSet):
        return given
    classes = dict.fromkeys(cls for row in given.values() for cls in row)

    def load(image: str, cls: str) -> Runs:
        mask = given[image][cls]
        try:
            return mask if isinstance(mask, Runs) else Runs.from_mask(mask)
        except ValueError as error:
            raise ValueError(f"image {image}, class {cls}: {error}") from error

    return MaskSet(given, classes, load, rows=[(image, cls) for image, row in given.items() for cls in row])
