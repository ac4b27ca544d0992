"""Samples of a COCO file: polygons, run lengths and crowds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import nearest, nfc, read_json
from segkit.images import image_size
from segkit.rle import Runs, at_least, from_coco
from segkit.samples.classes import as_classes
from segkit.samples.coco_polygons import draw_coco
from segkit.samples.grouping import Group, Strata, make_samples
from segkit.samples.listing import list_images, passed_over
from segkit.samples.outlines import as_points
from segkit.samples.source import Annotation, Problem, Size, Source

CROWD = ("ignore", "label")
"""What a crowd is: pixels that count nowhere, or pixels of its class."""


def open_coco(
    json: str | Path,
    images: str | Path,
    classes: Sequence[str] | None,
    crowd: str,
    group: Group,
    strata: Strata,
) -> Source:
    """The source of Samples.from_coco.

    Args:
        json: The file.
        images: The folder of its images.
        classes: Categories to read; None reads all.
        crowd: "ignore" or "label".
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If it is no COCO file, or none of its images is there.
    """
    if crowd not in CROWD:
        raise ValueError(f"crowd={crowd!r}: expected {' or '.join(CROWD)}")
    content = read_json(json)
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in PARTS):
        raise ValueError(f"{json}: expected an object with the lists {', '.join(PARTS)}")
    categories = _categories(content["categories"], json)
    known = tuple(dict.fromkeys(categories.values())) if classes is None else as_classes(classes)
    for cls in known:
        if cls not in categories.values():
            raise ValueError(f"{json}: no category {cls!r}; {nearest(cls, set(categories.values()))}")
    names, sizes = _images(content["images"], json)
    listing = list_images(images, beside=(".json",))
    found, problems = _files(names, listing.images, listing.problems, Path(images), json)
    rows: dict[str, list[dict[str, Any]]] = {image: [] for image in found}
    for number, row in enumerate(content["annotations"]):
        image = names.get(row.get("image_id")) if isinstance(row, dict) else None
        if image is None or row.get("category_id") not in categories:
            what = "image_id" if image is None else "category_id"
            problems.append(Problem(str(json), image or "", "", "orphan-annotation",
                                    f"annotation {number} names no {what} of this file"))  # fmt: skip
        elif image in rows and categories[row["category_id"]] in known:
            rows[image].append(row)
    reader = CocoReader(str(json), rows, categories, found, sizes, crowd)
    samples = make_samples(found, group, strata)
    return Source(samples, known, frozenset(found), reader, problems=tuple(problems), name=str(json),
                  annotation_files=dict.fromkeys(found, Path(json)))  # fmt: skip


PARTS = ("images", "annotations", "categories")


def _categories(given: list[Any], json: str | Path) -> dict[Any, str]:
    """{id: name}."""
    try:
        out = {row["id"]: nfc(row["name"]) for row in given}
    except (TypeError, KeyError) as error:
        raise ValueError(f"{json}: expected categories with id and name") from error
    if len(out) != len(given) or len(set(out.values())) != len(given) or not given:
        raise ValueError(f"{json}: expected categories, each id and name once")
    return out


def _images(given: list[Any], json: str | Path) -> tuple[dict[Any, str], dict[str, Size | None]]:
    """({image id of the file: our id}, {our id: size}); our id is the file_name."""
    names: dict[Any, str] = {}
    sizes: dict[str, Size | None] = {}
    for row in given:
        if not isinstance(row, dict) or "id" not in row or not isinstance(row.get("file_name"), str):
            raise ValueError(f"{json}: expected images with id and file_name")
        name = nfc(row["file_name"])
        if row["id"] in names or name in sizes:
            raise ValueError(f"{json}: image {name} (id {row['id']}) is listed twice")
        names[row["id"]] = name
        height, width = row.get("height"), row.get("width")
        sizes[name] = (int(height), int(width)) if isinstance(height, int) and isinstance(width, int) else None
    return names, sizes


def _files(
    names: Mapping[Any, str], listed: Mapping[str, Any], before: Sequence[Problem], root: Path, json: str | Path
) -> tuple[dict[str, Path], list[Problem]]:
    """({our id: file}, problems): by the path below `root`, else by the file's own name where that is unique."""
    problems = [problem for problem in before if problem.kind != "repeated-name"]
    below: dict[str, Path] = {nfc(path.relative_to(root).as_posix()): path for path in _paths(listed, before)}
    alone: dict[str, list[Path]] = {}
    for file in below.values():
        alone.setdefault(nfc(file.name), []).append(file)
    found: dict[str, Path] = {}
    for name in names.values():
        own = alone.get(name.rsplit("/", 1)[-1], [])
        path = below.get(name) or (own[0] if len(own) == 1 else None)
        if path is None:
            problems.append(Problem(str(json), name, "", "orphan-annotation", f"{len(own)} files of that name"))
            continue
        found[name] = path
    if not found:
        raise ValueError(f"{json}: none of its images lies below {root}; one is {next(iter(names.values()), 'none')}")
    used = set(found.values())
    return found, problems + passed_over([p for p in below.values() if p not in used], "the file does not list it")


def _paths(listed: Mapping[str, Any], before: Sequence[Problem]) -> list[Path]:
    """All image files, those of repeated names too."""
    return [*listed.values(), *(Path(problem.file) for problem in before if problem.kind == "repeated-name")]


@dataclass(frozen=True)
class CocoReader:
    """id -> Annotation, drawn as COCO's own tools draw it.

    Attributes:
        json: The file, for errors.
        rows: {id: its annotations}.
        categories: {category id: class}.
        files: {id: image file}.
        sizes: {id: the size that the file says, or None}.
        crowd: What a crowd is.
    """

    json: str
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    categories: Mapping[Any, str]
    files: Mapping[str, Path]
    sizes: Mapping[str, Size | None]
    crowd: str

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        size = self.sizes[image] or image_size(self.files[image])
        masks: dict[str, list[Runs]] = {}
        crowds: list[Runs] = []
        problems = []
        for row in self.rows[image]:
            cls = self.categories[row["category_id"]]
            where = f"{self.json}, annotation {row.get('id', '?')}, image {image}, class {cls}"
            given = row.get("segmentation")
            if not given:
                problems.append(Problem(self.json, image, cls, "no-region", f"annotation {row.get('id')} has no mask"))
                continue
            is_crowd = row.get("iscrowd") and self.crowd == "ignore"
            (crowds if is_crowd else masks.setdefault(cls, [])).append(_drawn(given, size, where))
        regions = {cls: at_least(found, 1) for cls, found in masks.items()}
        ignore = at_least(crowds, 1) if crowds else None
        if ignore is not None and regions:
            ignore = ignore - at_least(list(regions.values()), 1)  # an object counts, also inside a crowd
        return Annotation(regions, ignore, size=size, problems=tuple(problems))


def _drawn(given: object, size: Size, where: str) -> Runs:
    """The mask of polygons or run lengths."""
    try:
        if isinstance(given, Mapping):
            return from_coco(given).with_shape(size)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error
    if not isinstance(given, list):
        raise ValueError(f"{where}: expected polygons or run lengths, got {type(given).__name__}")
    for flat in given:
        if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2:
            raise ValueError(f"{where}: expected polygons [x, y, x, y, ...] of 3 points or more")
    return draw_coco([as_points(np.array(flat, object).reshape(-1, 2).tolist(), where) for flat in given], size)
