"""How the cells of a row name an image and a class: two columns, or one of a pattern such as "{image}_{class}"."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from segkit.images import without_suffix

ONLY_CLASS = "mask"
"""The class of formats that have one and do not name it."""

FIELDS = re.compile(r"\{(image|stem|class)\}")


class Keys:
    """The key of a row: its cells that say which mask it holds.

    Args:
        has_class_column: Whether the class has a column of its own.
        pattern: Of the image's cell: "{image}" or "{stem}" (the id without the ending of an image file), and with
            "{class}" where it names the class too.

    Attributes:
        has_one_class: Whether rows name no class.

    Raises:
        ValueError: For a pattern that names no image, or the class twice.
    """

    def __init__(self, has_class_column: bool, pattern: str) -> None:
        self.pattern, self.has_class_column = pattern, has_class_column
        named = FIELDS.findall(pattern)
        images, classes = len([name for name in named if name != "class"]), named.count("class")
        if images != 1 or classes > 1 or (classes and has_class_column):
            once = "and no {class}, which has a column" if has_class_column else "and {class} at most once"
            raise ValueError(f"expected a key with {{image}} or {{stem}} once {once}, got key={pattern!r}")
        self.has_one_class = not has_class_column and not classes

    def cells(self, image: str, cls: str) -> tuple[str, ...]:
        """The cells that name a mask.

        Args:
            image: The image's id.
            cls: The class.

        Returns:
            (key,), or (key, class) where the class has a column.
        """
        known = {"image": image, "stem": without_suffix(image), "class": cls}
        key = FIELDS.sub(lambda field: known[field[1]], self.pattern)
        return (key, cls) if self.has_class_column else (key,)

    def names(self, cells: Sequence[str], classes: Collection[str] | None = None) -> tuple[str, str]:
        """The image and class that cells name.

        Args:
            cells: (key,), or (key, class).
            classes: Those that there are. Without, a class in a key is what stands after the last (or before the
                first) separator; with, a class may hold the separator itself. Of a format without classes: its one
                class's name.

        Returns:
            (image, class).

        Raises:
            ValueError: For a key that is not of the pattern.
        """
        only = next(iter(classes)) if self.has_one_class and classes else ONLY_CLASS
        if self.pattern in ("{image}", "{stem}"):
            return cells[0], cells[1] if self.has_class_column else only
        known = None if classes is None or self.has_one_class else tuple(classes)
        found = _expression(self.pattern, known).fullmatch(cells[0])
        if found is None:
            among = "" if known is None else f" with a class of {', '.join(known)}"
            raise ValueError(f"expected a key like {self.pattern!r}{among}, got {cells[0]!r}")
        cls = cells[1] if self.has_class_column else only if self.has_one_class else found["cls"]
        return found["image"], cls


@lru_cache(maxsize=16)
def _expression(pattern: str, classes: tuple[str, ...] | None) -> re.Pattern[str]:
    """The pattern as a regular expression with the groups image and cls."""
    parts = []
    for number, part in enumerate(FIELDS.split(pattern)):
        if number % 2 == 0:
            parts.append(re.escape(part))
        elif part == "class":
            known = None if classes is None else "|".join(map(re.escape, sorted(classes, key=len, reverse=True)))
            parts.append(f"(?P<cls>{known or '.+?'})")
        else:
            parts.append("(?P<image>.+)" if classes is None else "(?P<image>.+?)")
    return re.compile("".join(parts), re.DOTALL)
