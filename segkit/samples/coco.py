"""Samples of a COCO file: polygons, run lengths and crowds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import nearest, nfc, read_json
from segkit.geometry import Polygons
from segkit.rle import Runs, at_least, from_coco
from segkit.samples.classes import as_classes
from segkit.samples.grouping import Group, Strata, make_samples
from segkit.samples.listing import list_images, passed_over
from segkit.samples.outlines import pixel_outline
from segkit.samples.source import Annotation, ClassRegion, Problem, Size, Source

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
    """The source of Samples.from_coco."""
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
    reader = CocoReader(str(json), rows, categories, {image: sizes[image] for image in found}, crowd)
    samples = make_samples(found, group, strata)
    return Source(samples, known, frozenset(found), reader, problems=tuple(problems), name=str(json))


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
    """id -> Annotation.

    Attributes:
        json: The file, for errors.
        rows: {id: its annotations}.
        categories: {category id: class}.
        sizes: {id: the size that the file says}.
        crowd: What a crowd is.
    """

    json: str
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    categories: Mapping[Any, str]
    sizes: Mapping[str, Size | None]
    crowd: str

    def __call__(self, image: str) -> Annotation:
        outlines: dict[str, list[np.ndarray]] = {}
        runs: dict[str, list[Runs]] = {}
        crowds: list[Runs] = []
        problems = []
        for row in self.rows[image]:
            cls = self.categories[row["category_id"]]
            where = f"{self.json}, annotation {row.get('id', '?')}, image {image}, class {cls}"
            given, size = row.get("segmentation"), self.sizes[image]
            if not given:
                problems.append(Problem(self.json, image, cls, "no-region", f"annotation {row.get('id')} has no mask"))
                continue
            parts = [] if isinstance(given, Mapping) else [_outline(flat, where) for flat in given]
            if row.get("iscrowd") and self.crowd == "ignore":
                if parts and size is None:
                    raise ValueError(f"{where}: a crowd of polygons needs the image's height and width")
                crowds.append(Polygons(parts).runs(size) if parts and size else _decoded(given, size, where))
            elif parts:
                outlines.setdefault(cls, []).extend(parts)
            else:
                runs.setdefault(cls, []).append(_decoded(given, size, where))
        return Annotation(
            {cls: _region(outlines.get(cls, []), runs.get(cls, [])) for cls in {**outlines, **runs}},
            _ignored(crowds, outlines, runs),
            size=self.sizes[image],
            problems=tuple(problems),
        )


def _region(outlines: list[np.ndarray], runs: list[Runs]) -> ClassRegion:
    """Polygons where there are only those, else runs of everything."""
    polygons = Polygons(outlines)
    shape = runs[0].shape if runs else None
    return polygons if shape is None else at_least([*runs, polygons.runs(shape)], 1)


def _ignored(
    crowds: list[Runs], outlines: Mapping[str, list[np.ndarray]], runs: Mapping[str, list[Runs]]
) -> Runs | None:
    """The pixels of crowds that belong to no object."""
    if not crowds:
        return None
    crowd = at_least(crowds, 1)
    assert crowd.shape is not None
    objects = [mask for masks in runs.values() for mask in masks]
    objects += [Polygons(found).runs(crowd.shape) for found in outlines.values()]
    return crowd - at_least(objects, 1) if objects else crowd


def _decoded(given: Mapping[str, Any], size: Size | None, where: str) -> Runs:
    try:
        runs = from_coco(given)
        return runs if size is None else runs.with_shape(size)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from error


def _outline(flat: object, where: str) -> np.ndarray:
    """[x, y, x, y, ...] as an outline."""
    if not isinstance(flat, list) or len(flat) < 6 or len(flat) % 2:
        raise ValueError(f"{where}: expected a polygon [x, y, x, y, ...] of 3 points or more")
    return pixel_outline([flat[at : at + 2] for at in range(0, len(flat), 2)], where)
