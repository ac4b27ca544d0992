"""MaskSet: (image, class) -> Runs, what everything that takes predictions or truth accepts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from segkit.rle import Runs


class MaskSet(Mapping[str, Mapping[str, Runs]]):
    """Masks by image and class, read when asked for: masks["a.png"]["Radius"].

    Args:
        ids: Image ids, in order.
        classes: Class names, in channel order.
        load: (id, class) -> Runs; raises KeyError where there is none.
        sizes: {id: (height, width)} where known; may read a file's header when asked.
        rows: The (id, class) that there are, in the order of a file; default: every class of every image.
        name: What errors call the masks, such as a path.
        ignore: id -> Runs of the pixels that count nowhere, or None; default: no image has any.

    Attributes:
        ids: Image ids, in order.
        classes: Class names, in channel order.
        sizes: {id: (height, width)} where known, else empty.
        name: What errors call the masks.
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
        ignore: Callable[[str], Runs | None] | None = None,
    ) -> None:
        self.ids, self.classes = tuple(ids), tuple(classes)
        self.sizes = {} if sizes is None else sizes
        self.name, self._rows, self._ignore = name, rows, ignore
        self._load, self._known = load, frozenset(self.ids)

    @classmethod
    def from_dict(cls, masks: Mapping[str, Mapping[str, Any]], *, name: str = "") -> MaskSet:
        """Masks of {image: {class: mask}}.

        Args:
            masks: {id: {class: Runs, or a bool or integer array (H, W), set where not zero}}. The classes are those of
                all images, in the order they come.
            name: What errors call the masks.

        Returns:
            The masks; a class that an image lacks is a KeyError there.

        Raises:
            ValueError: When a mask is asked for that is no mask; names image and class.

        Example:
            >>> import numpy as np
            >>> MaskSet.from_dict({"a": {"x": np.ones((2, 2), bool)}})["a"]["x"].area
            4
        """
        classes = dict.fromkeys(cls for row in masks.values() for cls in row)
        rows = [(image, cls) for image, row in masks.items() for cls in row]
        shapes = {image: [getattr(mask, "shape", None) for mask in row.values()] for image, row in masks.items()}
        known = {image: [shape for shape in found if shape and len(shape) == 2] for image, found in shapes.items()}
        sizes = {image: (int(found[0][0]), int(found[0][1])) for image, found in known.items() if found}
        return cls(masks, classes, _Given(masks), sizes=sizes, rows=rows, name=name)

    @property
    def rows(self) -> Iterator[tuple[str, str]]:
        """The (image, class) that are there, in order."""
        return iter(self._rows) if self._rows is not None else product(self.ids, self.classes)

    def ignore(self, image: str) -> Runs | None:
        """The pixels of an image that count nowhere.

        Args:
            image: The image's id.

        Returns:
            Runs, or None where every pixel counts.

        Raises:
            KeyError: If there is no such image.
        """
        self._check(image)
        return None if self._ignore is None else self._ignore(image)

    def subset(self, ids: Iterable[str]) -> MaskSet:
        """The masks of some images.

        Args:
            ids: Image ids, in the order wanted.

        Returns:
            Masks that share what was read already.

        Raises:
            KeyError: If there is no such image.
        """
        ids = tuple(ids)
        for image in ids:
            self._check(image)
        place = {image: number for number, image in enumerate(ids)}
        rows = None if self._rows is None else [row for row in self._rows if row[0] in place]
        if rows is not None:
            rows.sort(key=lambda row: place[row[0]])
        return MaskSet(
            ids, self.classes, self._load, sizes=self.sizes, rows=rows, name=self.name, ignore=self._ignore
        )  # fmt: skip

    def _check(self, image: object) -> None:
        if image not in self._known:
            raise KeyError(f"no image {image!r} among the {len(self.ids)} here")

    def __getitem__(self, image: str) -> Mapping[str, Runs]:
        self._check(image)
        return _Row(image, self.classes, self._load)

    def __contains__(self, image: object) -> bool:
        return image in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


class _Row(Mapping[str, Runs]):
    """The masks of one image."""

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


class _Given:
    """The loader of MaskSet.from_dict."""

    def __init__(self, masks: Mapping[str, Mapping[str, Any]]) -> None:
        self._masks = masks

    def __call__(self, image: str, cls: str) -> Runs:
        mask = self._masks[image][cls]
        try:
            return mask if isinstance(mask, Runs) else Runs.from_mask(mask)
        except ValueError as error:
            raise ValueError(f"image {image}, class {cls}: {error}") from error


def true_runs(truth: MaskSet, image: str, cls: str, size: tuple[int, int] | None = None, *, of: object = "") -> Runs:
    """The truth's mask of an image and class, in an image of `size` where that is known.

    Args:
        truth: The masks that are believed.
        image: Image id.
        cls: Class name.
        size: (height, width) of what is scored, or None.
        of: What is scored, for errors.

    Returns:
        The runs, with `size` as their shape.

    Raises:
        ValueError: If the truth lacks them, or they are of another size.
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
    """What the functions that take truth or predictions accept, as a MaskSet.

    Args:
        given: A MaskSet, which comes back as it is, or {image: {class: Runs or (H, W) mask}}.

    Returns:
        The masks; see MaskSet.from_dict.

    Example:
        >>> import numpy as np
        >>> as_masks({"a": {"x": np.ones((2, 2), bool)}})["a"]["x"].area
        4
    """
    return given if isinstance(given, MaskSet) else MaskSet.from_dict(given)
