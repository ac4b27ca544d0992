"""What only this competition knows: two hands a person, right before left, two poses, five bad labels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from competitions.handbone.facts import SIDE
from segkit.audit import Case, Fix, Problem
from segkit.geometry import Polygons
from segkit.masks import MaskSet
from segkit.rle import Runs

TILTED_ABOVE = 22.0
"""Degrees between the image's vertical and the line from the Capitate to the middle finger's tip: upright hands
measure about 0, tilted ones about 45."""

AXIS = ("Capitate", "finger-8")
SIDES = ("finger-1", "finger-16")
"""Thumb's and little finger's tips: the thumb lies on the image left of a right hand."""

# Read in several teams' public write-ups; what they call wrong without saying how to repair it is left out.
FIXES: tuple[Fix, ...] = (
    Fix(
        "image1661392103627",
        "relabel",
        {
            "finger-1": "finger-3", "finger-3": "finger-1", "Trapezium": "Hamate", "Hamate": "Trapezium",
            "Trapezoid": "Capitate", "Capitate": "Trapezoid", "Radius": "Ulna", "Ulna": "Radius",
            "Pisiform": "Scaphoid", "Scaphoid": "Triquetrum", "Triquetrum": "Lunate", "Lunate": "Pisiform",
        },
        "ID058: labelled as its mirror image",
    ),
    Fix("image1661821711879", "relabel", {"Trapezium": "Trapezoid", "Trapezoid": "Trapezium"}, "ID089: swapped"),
    Fix("image1664846270124", "exclude", why="ID325: the lower carpal row is wrong"),
    Fix("image1664935962797", "drop_inner", ("finger-14",), "ID363: a polygon inside finger-14"),
    Fix("image1667353928376", "exclude", why="ID547: Pisiform drawn on the Ulna"),
)  # fmt: skip


def hands(cases: Sequence[Case]) -> Iterator[Problem]:
    """Two images a person, the right hand's timestamp before the left's."""
    persons: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        persons.setdefault((case.split, case.sample.group), []).append(case)
    for (split, person), both in persons.items():
        if len(both) != 2:
            names = ", ".join(case.sample.id for case in both)
            yield Problem(str(both[0].sample.files[0].parent), both[0].sample.id, "", "hands",
                          f"{split}/{person} has {len(both)} images, expected 2: {names}")  # fmt: skip
            continue
        first, second = sorted(both, key=lambda case: taken(case.sample.id))
        for case, expected in ((first, "right"), (second, "left")):
            found = side(_centres(case, SIDES))
            if found not in (None, expected):
                yield Problem(str(case.sample.image), case.sample.id, "", "side",
                              f"a {found} hand by its thumb, a {expected} one by its time")  # fmt: skip


def poses(cases: Sequence[Case]) -> Iterator[Problem]:
    """Poses that are neither upright nor tilted, and the shares: a score on upright hands alone misleads."""
    tilts = {case.sample.id: tilt(_centres(case, AXIS)) for case in cases if case.regions}
    known = [angle for angle in tilts.values() if angle is not None]
    if known:
        share = sum(angle > TILTED_ABOVE for angle in known) / len(known)
        yield Problem("", "", "", "note", f"{share:.0%} of {len(known)} annotated hands are tilted; of the test 58 %")
    for case in cases:
        angle = tilts.get(case.sample.id)
        if angle is not None and abs(angle - TILTED_ABOVE) < 5:
            yield Problem(str(case.sample.image), case.sample.id, "", "pose", f"tilt {angle:.0f} degrees: neither pose")


def strata(truth: MaskSet) -> dict[str, dict[str, str]]:
    """{"pose": {id: "upright" or "tilted"}, "hand": {id: "right" or "left"}}, where truth has the bones to tell."""
    pose: dict[str, str] = {}
    hand: dict[str, str] = {}
    for image in truth.ids:
        row = truth[image]
        width = truth.sizes.get(image, (SIDE, SIDE))[1]  # a CSV knows no sizes; these radiographs are all alike
        centres = {cls: centre(row[cls], width) for cls in {*AXIS, *SIDES} if row[cls]}
        if (angle := tilt(centres)) is not None:
            pose[image] = "tilted" if angle > TILTED_ABOVE else "upright"
        if (found := side(centres)) is not None:
            hand[image] = found
    return {"pose": pose, "hand": hand}


def tilt(centres: Mapping[str, tuple[float, float]]) -> float | None:
    """Degrees of the hand's axis off the vertical, of either hand; None where an end is missing.

    >>> round(tilt({"Capitate": (971, 1277), "finger-8": (1733, 519)}))
    45
    """
    if not all(cls in centres for cls in AXIS):
        return None
    (x0, y0), (x1, y1) = (centres[cls] for cls in AXIS)
    return abs(math.degrees(math.atan2(x1 - x0, y0 - y1)))


def side(centres: Mapping[str, tuple[float, float]]) -> str | None:
    """Which hand it is, by the side its thumb lies on; None where a tip is missing."""
    if not all(cls in centres for cls in SIDES):
        return None
    thumb, little = (centres[cls][0] for cls in SIDES)
    return "right" if thumb < little else "left"


def taken(image: str) -> int:
    """The timestamp in a file's name.

    >>> taken("image1661130828152_R.png")
    1661130828152
    """
    found = re.search(r"\d+", image)
    return int(found.group()) if found else 0


def centre(runs: Runs, width: int) -> tuple[float, float]:
    """(x, y) of a mask's centre of mass, from its runs.

    >>> centre(Runs([[1, 3], [5, 7]]), 4)
    (1.5, 0.5)
    """
    start, end = runs.array[:, 0], runs.array[:, 1]
    length = end - start
    row = start // width  # a run of a bone does not reach from one row into the next
    middle = (start + end - 1) / 2 - row * width
    return float(np.average(middle, weights=length)), float(np.average(row, weights=length))


def _centres(case: Case, classes: Sequence[str]) -> dict[str, tuple[float, float]]:
    """The middle of each class's points."""
    out: dict[str, tuple[float, float]] = {}
    for cls in classes:
        region = (case.regions or {}).get(cls)
        if isinstance(region, Polygons) and region:
            x, y = np.concatenate(region.outlines).mean(axis=0).tolist()
            out[cls] = (x, y)
    return out
