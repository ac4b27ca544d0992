"""Where two submissions differ, mask by mask and in sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from segkit.masks import MaskSet
from segkit.submission.table import DEFAULT, SubmissionFormat


class Difference(NamedTuple):
    """Where two submissions differ.

    Attributes:
        image: The image's id.
        cls: The class.
        dice: Between the two masks.
        area_a: Pixels of the first.
        area_b: Pixels of the second.
    """

    image: str
    cls: str
    dice: float
    area_a: int
    area_b: int


class Summary(NamedTuple):
    """The differences of one class or image.

    Attributes:
        name: Of the class or image.
        dice: Mean over all its masks, those that are alike too (1.0).
        masks: How many there are.
        differ: How many of them differ.
        only_a: Of these, empty in the second submission.
        only_b: Empty in the first.
        area_a: Pixels of those that differ, in the first.
        area_b: In the second.
    """

    name: str
    dice: float
    masks: int
    differ: int
    only_a: int
    only_b: int
    area_a: int
    area_b: int


def diff(a: str | Path | MaskSet, b: str | Path | MaskSet, format: SubmissionFormat = DEFAULT) -> list[Difference]:
    """Where two submissions differ; one mask of each is in memory at a time.

    Args:
        a: A file, or masks.
        b: Another.
        format: Of the files. Sizes are not needed: Dice and pixels are the same along the texts.

    Returns:
        The masks that differ, the least alike first.

    Raises:
        ValueError: Where one lacks rows of the other.
    """
    form = format.without_order()
    first, second = (given if isinstance(given, MaskSet) else form.read(given) for given in (a, b))
    names = [masks.name or f"the {place} submission" for masks, place in ((first, "first"), (second, "second"))]
    rows = (set(first.rows), set(second.rows))
    for name, other, lacking in ((names[0], names[1], rows[1] - rows[0]), (names[1], names[0], rows[0] - rows[1])):
        if lacking:
            image, cls = min(lacking)
            some = f"{len(lacking)} rows of {other}, image {image}, class {cls} for one"
            raise ValueError(f"{names[0]} and {names[1]} cannot be compared: {name} lacks {some}")
    out = []
    for image, cls in first.rows:
        x, y = first[image][cls], second[image][cls]
        if x != y:
            out.append(Difference(image, cls, x.dice(y), x.area, y.area))
    return sorted(out, key=lambda d: d.dice)


def summarise(
    found: Sequence[Difference], rows: Iterable[tuple[str, str]], by: Literal["image", "class"]
) -> list[Summary]:
    """The differences in sum.

    Args:
        found: What diff() gave.
        rows: All (image, class) of the submissions, as MaskSet.rows gives them.
        by: Sum up by image or class.

    Returns:
        One summary for each that differs, the least alike first.

    Raises:
        ValueError: For another `by`.

    Example:
        >>> summarise([Difference("a", "x", 0.5, 10, 30)], [("a", "x"), ("b", "x")], "class")
        [Summary(name='x', dice=0.75, masks=2, differ=1, only_a=0, only_b=0, area_a=10, area_b=30)]
    """
    if by not in ("image", "class"):
        raise ValueError(f"expected by 'image' or 'class', got {by!r}")
    counts = Counter(image if by == "image" else cls for image, cls in rows)
    groups: dict[str, list[Difference]] = {}
    for d in found:
        groups.setdefault(d.image if by == "image" else d.cls, []).append(d)
    out = [
        Summary(
            name,
            1 - sum(1 - d.dice for d in group) / counts[name],
            counts[name],
            len(group),
            sum(not d.area_b for d in group),
            sum(not d.area_a for d in group),
            sum(d.area_a for d in group),
            sum(d.area_b for d in group),
        )
        for name, group in groups.items()
    ]
    return sorted(out, key=lambda s: s.dice)
