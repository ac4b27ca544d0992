"""Samples of LabelMe files: one JSON an image, beside it."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segkit.files import nfc, read_json, visible_files
from segkit.geometry import Polygons
from segkit.rle import Runs, at_least
from segkit.samples.classes import as_classes, labels_of
from segkit.samples.grouping import Group, Strata, make_samples
from segkit.samples.listing import Listing, list_images
from segkit.samples.outlines import containing_pixels
from segkit.samples.source import Annotation, ClassRegion, Problem, Size, Source


def open_labelme(
    folder: str | Path,
    images: str | Path | None,
    classes: Sequence[str] | None,
    group: Group,
    strata: Strata,
) -> Source:
    """The source of Samples.from_labelme.

    Args:
        folder: The folder of the JSON files.
        images: The folder of the images; None: they lie beside.
        classes: In channel order; None takes every label.
        group: As Samples.from_folder takes it.
        strata: {name: {id: value}}.

    Returns:
        The source.

    Raises:
        ValueError: If there is no file of an image.
    """
    listing = list_images(folder if images is None else images, beside=(".json",))
    files, orphans = _pair(Path(folder), listing, images is None)
    if not files:
        raise ValueError(f"{folder}: no JSON file of an image; expected IMAGE.json beside IMAGE.jpg, or images=")
    reader = LabelMeReader(files)
    known = labels_of(files, reader) if classes is None else as_classes(classes)
    return Source(
        make_samples(listing.images, group, strata), known, frozenset(files), reader,
        problems=(*listing.problems, *orphans), refused=listing.refused, annotation_files=files, name=str(folder),
    )  # fmt: skip


def _pair(folder: Path, listing: Listing, beside: bool) -> tuple[dict[str, Path], list[Problem]]:
    """({id: file}, files of no image): by the stem, in the same folder where images lie beside; else by imagePath."""
    by_stem: dict[tuple[Path | None, str], list[str]] = {}
    for image, path in listing.images.items():
        assert isinstance(path, Path)
        by_stem.setdefault((path.parent if beside else None, nfc(path.stem)), []).append(image)
    files: dict[str, Path] = {}
    orphans = []
    for path in visible_files(folder):
        if path.suffix.lower() != ".json":
            continue
        found = by_stem.get((path.parent if beside else None, nfc(path.stem)), []) or _named(path, listing)
        for image in found:
            if image in files:
                orphans.append(Problem(str(path), image, "", "shared-annotation", f"{files[image]} is of it as well"))
            files[image] = path
        if not found:
            orphans.append(Problem(str(path), path.stem, "", "orphan-annotation", "an annotation without an image"))
    return files, orphans


def _named(path: Path, listing: Listing) -> list[str]:
    """The image that the file names."""
    try:
        content = read_json(path)
    except ValueError:
        return []
    name = content.get("imagePath") if isinstance(content, dict) else None
    base = nfc(name.replace("\\", "/").rsplit("/", 1)[-1]) if isinstance(name, str) else ""
    return [base] if base in listing.images else []


@dataclass(frozen=True)
class LabelMeReader:
    """id -> Annotation.

    Attributes:
        files: {id: JSON file}.
    """

    files: Mapping[str, Path]

    def __call__(self, image: str) -> Annotation:
        """Read the annotation of an image."""
        path = self.files[image]
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise ValueError(f"{path}: expected an object with a list 'shapes'")
        height, width = content.get("imageHeight"), content.get("imageWidth")
        size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        outlines: dict[str, list[np.ndarray]] = {}
        runs: dict[str, list[Runs]] = {}
        problems = []
        for number, shape in enumerate(content["shapes"]):
            where = f"{path}, shape {number}"
            if not isinstance(shape, dict) or not isinstance(label := shape.get("label"), str):
                raise ValueError(f"{where}: has no label")
            cls, kind = nfc(label), shape.get("shape_type") or "polygon"
            where += f", class {cls}"
            if kind == "mask":
                runs.setdefault(cls, []).append(_mask(shape, size, where))
            elif kind in SHAPES:
                outlines.setdefault(cls, []).append(
                    containing_pixels(SHAPES[kind](shape.get("points"), where), where, size)
                )
            else:
                problems.append(Problem(str(path), image, cls, "no-region", f"shape {number} is a {kind}: no area"))
        regions = {cls: _region(outlines.get(cls, []), runs.get(cls, [])) for cls in {**outlines, **runs}}
        return Annotation(regions, size=size, problems=tuple(problems))


def _region(outlines: list[np.ndarray], runs: list[Runs]) -> ClassRegion:
    """Polygons where there are only those, else runs of everything."""
    shape = runs[0].shape if runs else None
    return Polygons(outlines) if shape is None else at_least([*runs, Polygons(outlines).runs(shape)], 1)


def _polygon(points: object, where: str) -> list[object]:
    if not isinstance(points, list) or len(points) < 3:
        raise ValueError(f"{where}: expected a polygon of 3 points or more")
    return points


def _rectangle(points: object, where: str) -> np.ndarray:
    """Its corners, of two opposite ones or of all four."""
    given = _numbers(points, (2, 4), where)
    (left, top), (right, bottom) = given.min(axis=0), given.max(axis=0)
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _circle(points: object, where: str) -> np.ndarray:
    """64 points at the distance of the second point around the first."""
    (x, y), (end_x, end_y) = _numbers(points, (2,), where)
    angle = np.arange(64) * (2 * math.pi / 64)
    radius = math.hypot(end_x - x, end_y - y)
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)])


SHAPES = {"polygon": _polygon, "rectangle": _rectangle, "circle": _circle}
"""Kinds of shapes that have an area: their outlines."""


def _numbers(points: object, counts: tuple[int, ...], where: str) -> np.ndarray:
    try:
        given = np.array(points, dtype=np.float64)
    except (TypeError, ValueError):
        given = np.zeros(0)
    if given.ndim != 2 or given.shape[1] != 2 or len(given) not in counts or not np.isfinite(given).all():
        raise ValueError(f"{where}: expected {' or '.join(map(str, counts))} points [[x, y], ...]")
    return given


def _mask(shape: Mapping[str, Any], size: Size | None, where: str) -> Runs:
    """A drawn mask: a PNG in base64 at the first point."""
    corners = np.floor(_numbers(shape.get("points"), (2,), where)).astype(int)
    try:
        data = np.frombuffer(base64.b64decode(shape["mask"], validate=True), np.uint8)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"{where}: expected a mask in base64") from error
    mask = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if mask is None or mask.ndim != 2 or size is None:
        raise ValueError(f"{where}: expected a mask as grey PNG, and imageHeight and imageWidth")
    try:
        return Runs.from_region(mask != 0, int(corners[0, 1]), int(corners[0, 0]), size)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
