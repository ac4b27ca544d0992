"""Where two submissions differ, mask by mask and in sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from segkit.masks import MaskSet
from segkit.submission.table import read


class Difference(NamedTuple):
    """Where two submissions differ: the Dice between them, and the pixels of each."""

    image: str
    cls: str
    dice: float
    area_a: int
    area_b: int


class Summary(NamedTuple):
    """The differences of one class or image. dice: the mean over all its masks, those that are alike too (1.0).

    masks: how many there are; differ: how many of them differ; only_a, only_b: empty in the other submission;
    area_a, area_b: the pixels of those that differ.
    """

    name: str
    dice: float
    masks: int
    differ: int
    only_a: int
    only_b: int
    area_a: int
    area_b: int


def diff(a: str | Path | MaskSet, b: str | Path | MaskSet) -> list[Difference]:
    """Where two submissions (CSVs, or MaskSet) differ, the least alike first; one mask of each is in memory at a time.

    ValueError where one lacks rows of the other.
    """
    first, second = (given if isinstance(given, MaskSet) else read(given) for given in (a, b))
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
    """The differences in sum, for each class or image that differs, the least alike first.

    rows: all (image, class) of the submissions, as MaskSet.rows gives them. ValueError for another `by`.

    >>> summarise([Difference("a", "x", 0.5, 10, 30)], [("a", "x"), ("b", "x")], "class")
    [Summary(name='x', dice=0.75, masks=2, differ=1, only_a=0, only_b=0, area_a=10, area_b=30)]
    """
    if by not in ("image", "class"):
        raise ValueError(f"by={by!r}: image or class is wanted")
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
