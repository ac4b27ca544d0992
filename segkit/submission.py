"""The submission file: `image_name,class,rle`, one row for each image and class."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segkit.files import replacing
from segkit.rle import Runs

COLUMNS = ("image_name", "class", "rle")
MOST_PROBLEMS = 20


class Masks(Mapping[str, Mapping[str, Runs]]):
    """(image, class) -> Runs, read when asked for: masks["a.png"]["Radius"].

    ids: image names in order; classes: in order; sizes: {id: (H, W)} where known, else empty.
    load(id, cls) -> Runs, raising KeyError where there is none.
    """

    def __init__(
        self,
        ids: Iterable[str],
        classes: Iterable[str],
        load: Callable[[str, str], Runs],
        *,
        sizes: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.ids, self.classes = tuple(ids), tuple(classes)
        self.sizes = dict(sizes or {})
        self._load, self._known = load, frozenset(self.ids)

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


def as_masks(given: Masks | Mapping[str, Mapping[str, Any]]) -> Masks:
    """Masks of any mapping {image: {class: Runs or (H, W) mask}}: what the functions that take truth accept.

    The classes are those of all images, in the order they come. Masks come back as they are.

    >>> import numpy as np
    >>> as_masks({"a": {"x": np.ones((2, 2), bool)}})["a"]["x"].area
    4
    """
    if isinstance(given, Masks):
        return given
    classes = dict.fromkeys(cls for row in given.values() for cls in row)

    def load(image: str, cls: str) -> Runs:
        mask = given[image][cls]
        return mask if isinstance(mask, Runs) else Runs.from_mask(mask)

    return Masks(given, classes, load)


def write(path: str | Path, rows: Iterable[tuple[str, str, str | Runs]]) -> Path:
    """Write rows (image_name, class, RLE text or Runs) in the order they come, one at a time.

    The file takes its place only when the last row is written. ValueError for a mask that is neither text nor Runs.
    """
    path = Path(path)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for image, cls, mask in rows:
            if not isinstance(mask, (str, Runs)):
                raise ValueError(f"image {image}, class {cls}: RLE text or Runs are wanted, got {type(mask).__name__}")
            writer.writerow((image, cls, mask.text() if isinstance(mask, Runs) else mask))
    return path


def read(path: str | Path, *, sizes: Mapping[str, tuple[int, int]] | None = None) -> Masks:
    """Read a submission: a mapping like Truth, in the file's order of images and classes.

    Rows are matched by (image_name, class), never by position; an empty cell and NaN are an empty mask. The RLE is
    parsed when a mask is asked for: ValueError then names file, image and class. ValueError at once for missing
    columns, a row of another length and a repeated (image, class).
    """
    texts: dict[str, dict[str, str]] = {}
    classes: dict[str, None] = {}
    for number, (image, cls, text) in _rows(path):
        classes.setdefault(cls)
        row = texts.setdefault(image, {})
        if cls in row:
            raise ValueError(f"{path}, line {number}: image {image}, class {cls} was there already")
        row[cls] = text

    def load(image: str, cls: str) -> Runs:
        if cls not in texts[image]:
            raise KeyError(f"{path} has no row for image {image}, class {cls}")
        try:
            return Runs.from_text(texts[image][cls], (sizes or {}).get(image))
        except ValueError as error:
            raise ValueError(f"{path}, image {image}, class {cls}: {error}") from error

    return Masks(texts, classes, load, sizes=sizes)


def validate(
    path: str | Path,
    *,
    ids: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    like: str | Path | None = None,
) -> dict[str, int]:
    """Check a written submission; -> {"rows", "images", "classes", "empty"}.

    ids and classes: what is wanted, in order (rows are image by image, the classes of each in order); like: a sample
    submission that gives the wanted rows instead; without either, every image must have every class. sizes:
    {id: (H, W)}, runs must end inside.
    ValueError lists every problem (the first 20) with line, image and class.
    """
    if (ids is None) != (classes is None) or (like is not None and ids is not None):
        raise ValueError("either ids and classes together, or like, say which rows are wanted")
    if like is not None:
        wanted: list[tuple[str, str]] | None = [(image, cls) for _, (image, cls, _) in _rows(like)]
    elif ids is not None and classes is not None:
        wanted = [(image, cls) for image in ids for cls in classes]
    else:
        wanted = None
    problems: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    empty = 0
    for number, (image, cls, text) in _rows(path):
        where = f"line {number}, image {image}, class {cls}"
        if (image, cls) in seen:
            problems.append(f"{where}: was on line {seen[image, cls]} already")
        seen.setdefault((image, cls), number)
        empty += not text
        try:
            again = Runs.from_text(text, (sizes or {}).get(image)).text()
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        if again != " ".join(text.split()):
            problems.append(f"{where}: touching runs (they decode, but no encoder writes them)")
    if wanted is not None:
        problems += _compare_rows(list(seen), wanted)
    else:
        images, names = {i: None for i, _ in seen}, {c: None for _, c in seen}
        problems += [f"image {i}, class {c}: row is missing" for i in images for c in names if (i, c) not in seen]
    if problems:
        more = f"\n... and {len(problems) - MOST_PROBLEMS} more" if len(problems) > MOST_PROBLEMS else ""
        raise ValueError(f"{path}: {len(problems)} problems\n" + "\n".join(problems[:MOST_PROBLEMS]) + more)
    return {
        "rows": len(seen),
        "images": len({i for i, _ in seen}),
        "classes": len({c for _, c in seen}),
        "empty": empty,
    }


class Difference(NamedTuple):
    """Where two submissions differ: the Dice between them, and the pixels of each."""

    image: str
    cls: str
    dice: float
    area_a: int
    area_b: int


def diff(a: str | Path, b: str | Path) -> list[Difference]:
    """Where two submissions differ, the least alike first. ValueError where one lacks rows of the other."""
    first, second = read(a), read(b)
    only = sorted(set(first.ids) ^ set(second.ids)) or sorted(set(first.classes) ^ set(second.classes))
    if only:
        raise ValueError(f"{a} and {b} cannot be compared: only one of them has {', '.join(only[:3])}")
    out = []
    for image in first.ids:
        for cls in first.classes:
            try:
                x, y = first[image][cls], second[image][cls]
            except KeyError as error:
                raise ValueError(f"{a} and {b} cannot be compared: {error.args[0]}") from error
            if x != y:
                out.append(Difference(image, cls, x.dice(y), x.area, y.area))
    return sorted(out, key=lambda d: d.dice)


def _compare_rows(rows: list[tuple[str, str]], wanted: list[tuple[str, str]]) -> list[str]:
    have, want = set(rows), set(wanted)
    problems = [f"image {i}, class {c}: row is missing" for i, c in wanted if (i, c) not in have]
    problems += [f"image {i}, class {c}: row is not wanted" for i, c in rows if (i, c) not in want]
    if not problems:
        wrong = next((k for k, (x, y) in enumerate(zip(rows, wanted)) if x != y), None)
        if wrong is not None:
            got, asked = rows[wrong], wanted[wrong]
            problems.append(f"row {wrong + 1} is {got}, {asked} is wanted there: the order is off from here")
    return problems


def _rows(path: str | Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """(line number, (image, class, text)) of each row; NaN cells become ""."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with Path(path).open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.reader(handle)
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise ValueError(
                f"{path}: columns {', '.join(COLUMNS)} are wanted, {', '.join(missing)} missing in {header}"
            )
        places = [header.index(name) for name in COLUMNS]
        for row in reader:
            if len(row) != len(header):
                if not row:
                    continue
                raise ValueError(f"{path}, line {reader.line_num}: {len(row)} cells, {len(header)} are wanted")
            image, cls, text = (row[place] for place in places)
            yield reader.line_num, (image, cls, "" if text.strip().lower() == "nan" else text.strip())
