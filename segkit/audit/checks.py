"""Every problem of a data folder, with file, image and class, before it costs a night of training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from shapely import LineString, is_valid_reason
from shapely import Polygon as ShapelyPolygon

from segkit.files import read_json
from segkit.images import image_size, read_image
from segkit.samples.layout import Item, Rings, list_images, read, split_folder

TINY_AREA = 16.0  # px: a ring below this is a slip of the mouse
HUGE_SHARE = 0.5  # of the image
NOTES = ("filename", "metadata", "touching", "missing-label", "unlabelled", "note")


class Problem(NamedTuple):
    """One finding. cls is "" where no class is meant; kinds in NOTES are harmless here and known to be common."""

    file: str
    image: str
    cls: str
    kind: str
    message: str

    @property
    def severity(self) -> str:
        return "note" if self.kind in NOTES else "problem"


class Case(NamedTuple):
    """What the audit knows of one image; a recipe's rule gets the list of all: rule(cases) -> problems."""

    item: Item
    split: str
    size: tuple[int, int] | None
    rings: Rings | None


Rule = Callable[[Sequence[Case]], Iterable[Problem]]


def audit(root: str | Path, classes: Sequence[str] | None = None, *, rules: Sequence[Rule] = ()) -> list[Problem]:
    """Every problem of the train and test splits under `root`, sorted by file.

    classes: the wanted labels; None accepts any. Looks for images that cannot be decoded, JSON that cannot be
    parsed, orphans on either side, repeated names, unknown labels, classes without a label, rings that are tiny, huge,
    self-crossing or outside the image, and a `filename` or `metadata` that contradicts the image. rules: the
    recipe's own, functions of all cases. ValueError only where there is no data at all.
    """
    problems: list[Problem] = []
    cases: list[Case] = []
    for split in ("train", "test"):
        try:
            folder = split_folder(root, split)
        except ValueError:
            if split == "train":
                raise
            continue
        items = list(list_images(folder))
        with ThreadPoolExecutor() as pool:
            for case, found in pool.map(partial(_look, split=split, classes=classes), items):
                cases.append(case)
                problems += found
        problems += [*_repeated(items), *_orphans(folder, items)]
    if not cases:
        raise ValueError(f"no images under {root}; ROOT/train/DCM/PERSON/IMAGE.png is wanted")
    for rule in rules:
        problems += rule(cases)
    return sorted(problems)


def summarise(problems: Sequence[Problem]) -> dict[str, int]:
    """{kind: how many}, the most frequent first."""
    return dict(Counter(problem.kind for problem in problems).most_common())


def _look(item: Item, split: str, classes: Sequence[str] | None) -> tuple[Case, list[Problem]]:
    problems: list[Problem] = []

    def say(kind: str, message: str, *, file: Path | None = None, cls: str = "") -> None:
        problems.append(Problem(str(file or item.image), item.id, cls, kind, message))

    size = rings = None
    try:
        size = image_size(item.image)
        read_image(item.image)
    except ValueError as error:
        say("unreadable-image", str(error))
    if item.json is None:
        if split == "train":
            say("missing-json", "no annotation file for this image")
        return Case(item, split, size, None), problems
    try:
        rings = read(item.json)
    except ValueError as error:
        say("unreadable-json", str(error), file=item.json)
        return Case(item, split, size, None), problems
    for cls in rings:
        if classes is not None and cls not in classes:
            say("unknown-label", f"label {cls!r} is not a class", file=item.json, cls=cls)
    missing = [cls for cls in classes or () if not rings.get(cls)]
    if missing and len(missing) == len(classes or ()):
        say("unlabelled", "no class has a label", file=item.json)
    else:
        for cls in missing:
            say("missing-label", "the class has no label", file=item.json, cls=cls)
    if size is not None:
        for cls, parts in rings.items():
            for ring in parts:
                for kind, message in _ring_problems(ring, size):
                    say(kind, message, file=item.json, cls=cls)
    content: Any = read_json(item.json)
    if isinstance(name := content.get("filename"), str) and name != item.id:
        say("filename", f"says {name!r}, the image is {item.id!r}", file=item.json)
    meta = content.get("metadata")
    if size is not None and isinstance(meta, dict) and (meta.get("height"), meta.get("width")) != size:
        said = f"{meta.get('height')} x {meta.get('width')}"
        say("metadata", f"says {said}, the image is {size[0]} x {size[1]}", file=item.json)
    return Case(item, split, size, rings), problems


def _ring_problems(ring: np.ndarray, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    if len(ring) < 3:
        yield "tiny-ring", f"{len(ring)} points"
        return
    x, y = ring[:, 0].astype(np.float64), ring[:, 1].astype(np.float64)
    area = abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2
    if area < TINY_AREA:
        yield "tiny-ring", f"area {area:.1f} px"
    if area > HUGE_SHARE * size[0] * size[1]:
        yield "huge-ring", f"area {area:.0f} px, {area / size[0] / size[1]:.0%} of the image"
    if x.min() < 0 or y.min() < 0 or x.max() >= size[1] or y.max() >= size[0]:
        yield (
            "outside",
            f"points span x {x.min():g}..{x.max():g}, y {y.min():g}..{y.max():g}; the image is {size[1]} x {size[0]}",
        )
    if np.ptp(x) * np.ptp(y) >= TINY_AREA:  # a bow tie's area may be 0
        reason = is_valid_reason(ShapelyPolygon(ring))
        if reason.startswith("Self-intersection"):
            yield "self-crossing", f"the ring crosses itself near {reason.partition('[')[2].rstrip(']')}"
        elif reason != "Valid Geometry" and not LineString(np.r_[ring, ring[:1]]).is_simple:
            yield "touching", "the ring touches itself"


def _repeated(items: Sequence[Item]) -> Iterator[Problem]:
    names: dict[str, Item] = {}
    annotated: dict[Path, Item] = {}
    for item in items:
        first = names.setdefault(item.id, item)
        if first is not item:
            yield Problem(str(item.image), item.id, "", "repeated-name", f"{first.image} has the same name")
        if item.json is not None and (other := annotated.setdefault(item.json, item)) is not item:
            yield Problem(str(item.json), item.id, "", "shared-json", f"belongs to {other.id} as well")


def _orphans(folder: Path, items: Sequence[Item]) -> Iterator[Problem]:
    paired = {item.json for item in items}
    for path in sorted((folder / "outputs_json").rglob("*.json")):
        if path not in paired:
            yield Problem(str(path), path.stem, "", "orphan-json", "an annotation without an image")
