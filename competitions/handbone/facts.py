"""What is known about the hand-bone competition: its 29 classes and what was measured on its radiographs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from segkit import files

CLASSES: tuple[str, ...] = (
    *(f"finger-{number}" for number in range(1, 20)),
    *("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform"),
    *("Radius", "Ulna"),
)
"""The 29 names in channel order, fingers from the thumb's tip on: 3, 7, 11, 15 and 19 are metacarpals."""

SIDE = 2048
"""Height and width in pixels of every radiograph; the unit of all lengths in `statistics`."""

POSES = ("upright", "tilted")


@dataclass(frozen=True)
class Bone:
    """One class in one pose, right hand (thumb on the image left), pixels of a 2048 x 2048 image.

    semi_major, semi_minor: twice the standard deviation of the pixels along the principal axes (an ellipse's
    own semi-axes); angle_deg: direction of the long axis, x right and y down, 0 to 180.
    """

    area_mean: float
    area_sd: float
    cx: float
    cy: float
    cx_sd: float
    cy_sd: float
    semi_major: float
    semi_minor: float
    angle_deg: float


@dataclass(frozen=True)
class Statistics:
    bones: dict[str, dict[str, Bone]]
    """pose -> class -> Bone"""
    pair_iou: dict[tuple[str, str], float]
    """mean IoU of the neighbours that overlap"""
    foreground: float
    """share of pixels with any label"""
    overlapping: float
    """share of pixels with two labels or more"""
    tilted_train: float
    tilted_test: float
    sesamoid: float
    """share of images whose finger-3 has a second component, the sesamoid bone"""


@lru_cache
def statistics() -> Statistics:
    """The numbers of phantom_statistics.json: aggregates over 96 test radiographs, left hands mirrored.

    >>> bone = statistics().bones["upright"]["Capitate"]
    >>> bone.cx, bone.cy, bone.area_mean
    (1034, 1403, 16167)
    """
    raw = files.read_json(Path(__file__).with_name("phantom_statistics.json"))
    measured = {pose: {name: Bone(*raw["bones"][pose][name]) for name in CLASSES} for pose in POSES}
    return Statistics(
        bones=measured,
        pair_iou={(pair.split("|")[0], pair.split("|")[1]): value for pair, value in raw["pair_iou"].items()},
        foreground=raw["foreground"],
        overlapping=raw["overlapping"],
        tilted_train=raw["tilted_train"],
        tilted_test=raw["tilted_test"],
        sesamoid=raw["sesamoid"],
    )
