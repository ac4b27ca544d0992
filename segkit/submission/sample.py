"""What a sample submission tells of its format, and what it does not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from segkit.images import without_suffix
from segkit.rle import TextLayout, read_text
from segkit.rle.tables import Table, plain_text
from segkit.submission.keys import ONLY_CLASS
from segkit.submission.known import KNOWN

DEFAULTS = {"order": "C", "start": 1, "relative": False, "empty": "", "objects": False}
MOST_ROWS = 20_000
PAIRS = re.compile(r"\s*\d+\s+\d+(\s+\d+\s+\d+)*\s*", re.ASCII)
IMAGE_WORDS = {"image", "images", "img", "id", "file", "name", "record", "filename", "imagename", "imageid"}
CLASS_WORDS = {"class", "classes", "label", "labels", "category", "type", "cls", "structure", "classid"}
RLE_WORDS = {
    "rle",
    "pixels",
    "segmentation",
    "predicted",
    "prediction",
    "annotation",
    "mask",
    "string",
    "encodedpixels",
}
SEPARATORS = "_-/:| "


def infer(path: str | Path, known: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The settings of a SubmissionFormat that a file tells.

    Args:
        path: A sample submission, or a train.csv with RLE; its first 20,000 rows are looked at.
        known: Settings that need not be inferred.

    Returns:
        The settings, those known among them; and in words which ones were taken without a sign, "" where none.

    Raises:
        ValueError: Where the columns cannot be told apart.
    """
    table = Table(path, known.get("columns", ()))
    rows = [row.cells for row in islice(table.rows(), MOST_ROWS)]
    found: dict[str, Any] = dict(known)
    notes: list[str] = []
    if "columns" not in known:
        found["columns"] = _columns(table, rows, notes)
    at = [table.header.index(name) for name in found["columns"]]
    cells = [[row[place] for place in at] for row in rows]
    if "key" not in known:
        found["key"] = _key(found["columns"], [row[0] for row in cells], notes)
    texts = [row[-1] for row in cells]
    signs = _signs(texts, [tuple(row[:-1]) for row in cells])
    unknown = [name for name in DEFAULTS if name not in known and name not in signs]
    found.update({name: value for name, value in (DEFAULTS | signs).items() if name not in known})
    if unknown:
        taken = ", ".join(f"{name}={DEFAULTS[name]!r}" for name in unknown)
        others = [name for name, spec in KNOWN.items() if spec.startswith(f"columns={','.join(found['columns'])} ")]
        hint = f" ({', '.join(f'{name}: {KNOWN[name]}' for name in others)})" if others else ""
        notes.append(f"a sample does not tell {', '.join(unknown)}: taken as {taken}; pass what you know{hint}")
    return found, "; ".join(notes)


def _columns(table: Table, rows: Sequence[Sequence[str]], notes: list[str]) -> tuple[str, ...]:
    """The columns of image, class and RLE, or of key and RLE."""
    header = [name for name in table.header if name and not name.startswith("Unnamed: ")]
    if len(header) < 2:
        raise ValueError(f"{table.path}: expected columns of a key and RLE at least, got {table.header}")
    place = {name: table.header.index(name) for name in header}
    holds = [name for name in header if any(PAIRS.fullmatch(row[place[name]]) for row in rows)]
    named = [name for name in header[1:] if _words(name) & RLE_WORDS]
    rle = holds[0] if len(holds) == 1 else next((n for n in named if n in holds or not holds), header[-1])
    others = [name for name in header if name != rle]
    image = next((name for name in others if _words(name) & IMAGE_WORDS), others[0])
    rest = [name for name in others if name != image]
    cls = next((name for name in rest if _words(name) & CLASS_WORDS), rest[0] if len(rest) == 1 else None)
    if unused := [name for name in rest if name != cls]:
        notes.append(f"column {', '.join(unused)} has no part in the format; write(like=...) copies it")
    return (image, rle) if cls is None else (image, cls, rle)


def _key(columns: Sequence[str], keys: Sequence[str], notes: list[str]) -> str | None:
    """The pattern of the first column's cells."""
    words = _words(columns[0])
    pattern: str | None = None
    if len(columns) == 2 and words & IMAGE_WORDS and words & CLASS_WORDS:
        mark = next((mark for mark in SEPARATORS if keys and all(mark in key for key in keys)), "_")
        images = [key.rpartition(mark)[0] for key in keys]
        pattern = f"{mark}{{class}}"
        if not keys:
            notes.append(f"no row shows how column {columns[0]} is made: taken as key='{{image}}{pattern}'")
    else:
        images = list(keys)
        if len(columns) == 2 and keys and (sign := _looks_like_product(keys)):
            notes.append(
                f"cells of {columns[0]} such as {keys[0]!r} may name a class after {sign!r}: taken for images of the "
                f"one class {ONLY_CLASS!r}; else pass key='{{image}}{sign}{{class}}'"
            )
    is_stem = bool(images) and not any(without_suffix(image) != image for image in images)
    if pattern is None and not is_stem:
        return None
    return ("{stem}" if is_stem else "{image}") + (pattern or "")


def _looks_like_product(keys: Sequence[str]) -> str | None:
    """The separator by which every cell has one of a few ends, the same ones for every beginning."""
    for mark in ("_", "-"):
        split = [key.rpartition(mark) for key in keys]
        ends = Counter(end for _, _, end in split)
        begins = {begin for begin, _, _ in split}
        if "" not in begins and 1 < len(ends) <= 100 and len(set(keys)) == len(begins) * len(ends) and len(begins) > 1:
            return mark
    return None


def _signs(texts: Sequence[str], keys: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """The settings that RLE texts and keys show."""
    signs: dict[str, Any] = {}
    masks = [text for text in texts if PAIRS.fullmatch(text)]
    others = {"" if plain_text(text) == "" else text.strip() for text in texts if not PAIRS.fullmatch(text)}
    others |= {text.strip() for text in masks if int(text.split()[1]) == 0}
    if len(others) == 1:
        signs["empty"] = others.pop()
    masks = [text for text in masks if int(text.split()[1])]
    if any(int(text.split()[0]) == 0 for text in masks):
        signs["start"] = 0
    several = [text for text in masks if len(text.split()) > 2]
    broken = [text for text in several if not _reads(text, TextLayout(start=0))]
    if several:
        signs["relative"] = bool(broken) and all(_reads(text, TextLayout(start=0, relative=True)) for text in broken)
        if signs["relative"]:
            signs["start"] = 0  # the one convention of relative starts that is known
    if len(set(keys)) < len(keys):
        signs["objects"] = True
    return signs


def _reads(text: str, layout: TextLayout) -> bool:
    try:
        read_text(text, None, layout)
    except ValueError:
        return False
    return True


def _words(name: str) -> set[str]:
    """The words of a column's name, in lower case.

    "ImageId_ClassId" has image, id and class.
    """
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    return {part.lower() for part in parts} | {name.lower()}
