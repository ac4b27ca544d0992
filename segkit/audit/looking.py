"""One image and its annotation, looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from shapely import LineString, is_valid_reason
from shapely import Polygon as ShapelyPolygon

from segkit.geometry import Polygons
from segkit.images import combine, is_grey, orientation
from segkit.rle import Runs, at_least
from segkit.samples import Annotation, Problem, Sample, Samples
from segkit.samples.source import ClassRegion, Size

TINY_AREA = 16.0  # px: a polygon below this is a slip of the mouse
HUGE_SHARE = 0.5  # of the image


class Case(NamedTuple):
    """What the audit knows of one image; a recipe's rule gets all of them: rule(cases) -> problems.

    Attributes:
        sample: The sample.
        split: "train" or "test".
        size: (height, width), or None where the image cannot be read.
        regions: {label: Polygons or Runs} as they come, or None without an annotation that can be read.
    """

    sample: Sample
    split: str
    size: Size | None
    regions: Mapping[str, ClassRegion] | None


Rule = Callable[[Sequence[Case]], Iterable[Problem]]


@dataclass
class Look:
    """What was seen of one image.

    Attributes:
        sample: The sample.
        problems: Findings about it alone.
        facts: Kinds of conversions that it undergoes.
        size: (height, width), None where it cannot be read.
        digest: Of its stored pixels.
        labels: Labels that cover something, None without an annotation that can be read.
    """

    sample: Sample
    problems: list[Problem] = field(default_factory=list)
    facts: set[str] = field(default_factory=set)
    size: Size | None = None
    digest: str = ""
    labels: frozenset[str] | None = None


def look_at(samples: Samples, image: str, *, labelled: Collection[str], wanted: bool) -> Look:
    """Look at one image and its annotation; nothing is raised.

    Args:
        samples: The samples.
        image: The image's id.
        labelled: Ids of those that have an annotation.
        wanted: Whether an image without annotation is a finding.

    Returns:
        What was seen.
    """
    look = Look(samples[image])
    if image in samples.refused:
        return look  # reported while the files were listed
    file = str(look.sample.files[0]) if look.sample.files else ""
    try:
        _look_at_image(samples, look)
    except ValueError as error:
        look.problems.append(Problem(file, image, "", "unreadable-image", str(error)))
    if image not in labelled:
        if wanted:
            look.problems.append(Problem(file, image, "", "unlabelled", "no annotation"))
        return look
    try:
        annotation = samples.annotation(image)
    except ValueError as error:
        where = samples.annotation_file(image)
        look.problems.append(Problem(where, image, "", "unreadable-annotation", str(error)))
        return look
    look.labels = frozenset(cls for cls, region in annotation.regions.items() if region)
    look.problems += _annotation_problems(samples, look, annotation)
    return look


def _look_at_image(samples: Samples, look: Look) -> None:
    """Decode the image as stored, and note what becomes of it."""
    sample, spec = look.sample, samples.image_spec
    parts = samples.stored_pixels(sample.id)
    look.size = (parts[0].shape[0], parts[0].shape[1])
    total = hashlib.blake2b(digest_size=16)
    for part in parts:
        total.update(repr((part.shape, part.dtype.str)).encode() + np.ascontiguousarray(part).tobytes())
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            bad = int(part.size - np.isfinite(part).sum())
            file = str(sample.files[0]) if sample.files else ""
            look.problems.append(Problem(file, sample.id, "", "not-finite", f"{bad} values are NaN or infinite"))
        if part.dtype not in (np.uint8, bool):
            look.facts.add("depth")
        if spec.channels in ("grey", "rgb") and part.shape[2] in (2, 4):
            look.facts.add("alpha")
        if spec.channels == "grey" and part.shape[2] in (3, 4) and not is_grey(part):
            look.facts.add("colour")
    look.digest = total.hexdigest()
    if any(orientation(path) != 1 for path in sample.files):
        look.facts.add("orientation")
    combine(parts, spec, [str(path) for path in sample.files] or [f"image {sample.id}"])


def _annotation_problems(samples: Samples, look: Look, annotation: Annotation) -> Iterator[Problem]:
    image, file, size = look.sample.id, samples.annotation_file(look.sample.id), look.size
    yield from annotation.problems
    for cls in annotation.regions:
        if cls not in samples.classes:
            yield Problem(file, image, cls, "unknown-label", f"label {cls!r} is not a class")
    if not look.labels:
        yield Problem(file, image, "", "negative", "the annotation names nothing")
    if size is None:
        return
    if annotation.size is not None and annotation.size != size:
        said = f"{annotation.size[0]} x {annotation.size[1]}"
        kind = "unreadable-annotation" if annotation.size_binds else "metadata"
        yield Problem(file, image, "", kind, f"says {said}, the image is {size[0]} x {size[1]}")
        if annotation.size_binds:
            return
    for cls, region in annotation.regions.items():
        for outline in region.outlines if isinstance(region, Polygons) else ():
            for kind, message in _outline_problems(outline, size):
                yield Problem(file, image, cls, kind, message)
    if samples.exclusive and (shared := _shared_pixels(annotation, size)):
        yield Problem(file, image, "", "overlap", f"{shared} pixels have two classes or more; classes are exclusive")


def _shared_pixels(annotation: Annotation, size: Size) -> int:
    """Pixels of more than one class."""
    found = [region if isinstance(region, Runs) else region.runs(size) for region in annotation.regions.values()]
    return at_least(found, 2).area if len(found) > 1 else 0


def _outline_problems(outline: np.ndarray, size: Size) -> Iterator[tuple[str, str]]:
    """(kind, message) of one outline."""
    if len(outline) < 3:
        yield "tiny-polygon", f"{len(outline)} points"
        return
    x, y = outline[:, 0].astype(np.float64), outline[:, 1].astype(np.float64)
    area = abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2
    if area < TINY_AREA:
        yield "tiny-polygon", f"area {area:.1f} px"
    if area > HUGE_SHARE * size[0] * size[1]:
        yield "huge-polygon", f"area {area:.0f} px, {area / size[0] / size[1]:.0%} of the image"
    edge = 1e-6 if outline.dtype.kind == "f" else -0.5  # whole numbers name pixels, fractions may lie on the border
    if x.min() < 0 or y.min() < 0 or x.max() > size[1] + edge or y.max() > size[0] + edge:
        yield (
            "outside",
            f"points span x {x.min():g}..{x.max():g}, y {y.min():g}..{y.max():g}; the image is {size[1]} x {size[0]}",
        )
    if np.ptp(x) * np.ptp(y) >= TINY_AREA:  # a bow tie's area may be 0
        reason = is_valid_reason(ShapelyPolygon(outline))
        if reason.startswith("Self-intersection"):
            yield "self-crossing", f"the polygon crosses itself near {reason.partition('[')[2].rstrip(']')}"
        elif reason != "Valid Geometry" and not LineString(np.r_[outline, outline[:1]]).is_simple:
            yield "touching", "the polygon touches itself"
