"""The outlines of the 29 bones as they look on a right hand, drawn by hand, before any measurement is imposed.

Long bones point up (tip at the top) in units of a hundredth of their length; carpals and the forearm are drawn in
pixels of an upright hand around their own centre. Only form matters here: `anatomy` stretches every outline to the
place, axes and direction that were measured.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

Outline = np.ndarray
"""float64 (n, 2) closed curve of (x, y)"""

# Half-widths of long bones from tip (-50) to base (50): (y, left, right).
_DISTAL = [
    (-47, 10, 10),
    (-40, 16.5, 16.5),
    (-31, 16.5, 16.5),
    (-16, 11.5, 11.5),
    (4, 11, 11),
    (22, 15.5, 15.5),
]
_DISTAL += [(36, 22.5, 22.5), (44, 22.5, 22.5)]
_MIDDLE = [(-46, 15, 15), (-38, 19, 19), (-28, 17, 17), (-8, 13, 13), (12, 14.5, 14.5), (30, 20, 20)]
_MIDDLE += [(41, 23.5, 23.5), (46, 21, 21)]
_PROXIMAL = [
    (-47, 9.5, 9.5),
    (-40, 12.8, 12.8),
    (-31, 11.3, 11.3),
    (-12, 8.9, 8.9),
    (10, 9.8, 9.8),
    (28, 13, 13),
]
_PROXIMAL += [(41, 16.8, 16.8), (47, 15, 15)]
_METACARPAL = [
    (-48, 5.5, 5.5),
    (-43, 9.3, 9.3),
    (-36, 9.6, 9.6),
    (-27, 7.4, 7.4),
    (-8, 5.5, 5.5),
    (12, 5.7, 5.7),
]
_METACARPAL += [(28, 7.4, 7.4), (39, 9.6, 9.6), (46, 9.2, 9.2)]
_THUMB = [(-48, 6, 6), (-43, 9.6, 9.6), (-35, 10, 10), (-26, 8.4, 8.4), (-6, 6.6, 6.6), (14, 7, 7)]
_THUMB += [(29, 9, 9.6), (40, 10.2, 12), (46, 8.5, 11.5)]

_CENTRE_LINES = {  # what lies between the sides: (x, y) at the tip, left to right, and at the base, right to left
    "distal": ([(0, -50)], [(12, 49), (0, 47.5), (-12, 49)]),
    "middle": ([(-8, -50), (0, -48.2), (8, -50)], [(12, 49.5), (0, 47), (-12, 49.5)]),
    "proximal": ([(-5, -50), (0, -49), (5, -50)], [(8, 49.5), (0, 47), (-8, 49.5)]),
    "metacarpal": ([(0, -50)], [(5, 49), (-4, 49.5)]),
    "forked": ([(0, -50)], [(6, 50), (1, 46.5), (-5, 49)]),
    "styloid": ([(0, -50)], [(5, 47.5), (-3, 47.5), (-8.5, 51)]),
    "tubercle": ([(0, -50)], [(9, 50), (1, 47.5), (-6, 46.5)]),
    "saddle": ([(0, -50)], [(7, 49), (0, 47.5), (-5, 48.8)]),
}

_LONG = {  # finger number: (sides, ends, factor on left, factor on right, bend to the right at the middle)
    1: (_DISTAL, "distal", 1.0, 1.0, 0.0),
    2: (_PROXIMAL, "proximal", 1.2, 1.1, 0.5),
    3: (_THUMB, "saddle", 1.0, 1.0, -0.8),
    4: (_DISTAL, "distal", 1.0, 1.0, 0.3),
    5: (_MIDDLE, "middle", 1.0, 1.0, 0.4),
    6: (_PROXIMAL, "proximal", 1.0, 1.0, 0.4),
    7: (_METACARPAL, "forked", 1.0, 0.95, 0.6),
    8: (_DISTAL, "distal", 1.0, 1.0, 0.0),
    9: (_MIDDLE, "middle", 1.0, 1.0, 0.0),
    10: (_PROXIMAL, "proximal", 1.0, 1.0, 0.0),
    11: (_METACARPAL, "styloid", 1.0, 1.0, 0.2),
    12: (_DISTAL, "distal", 1.0, 1.0, -0.3),
    13: (_MIDDLE, "middle", 1.0, 1.0, -0.3),
    14: (_PROXIMAL, "proximal", 1.0, 1.0, -0.3),
    15: (_METACARPAL, "metacarpal", 0.95, 1.0, -0.3),
    16: (_DISTAL, "distal", 1.0, 1.0, -0.6),
    17: (_MIDDLE, "middle", 1.0, 1.0, -0.6),
    18: (_PROXIMAL, "proximal", 1.0, 1.0, -0.5),
    19: (_METACARPAL, "tubercle", 1.0, 1.1, -1.0),
}

_CARPALS = {
    "Trapezium": [
        (-52, -18),
        (-30, -46),
        (4, -38),
        (34, -58),
        (52, -34),
        (50, 14),
        (32, 54),
        (-8, 58),
        (-40, 32),
    ],
    "Trapezoid": [(-40, -12), (-18, -40), (24, -38), (46, -14), (40, 20), (14, 42), (-20, 36), (-42, 16)],
    "Capitate": [
        (-48, -84),
        (0, -94),
        (48, -86),
        (52, -58),
        (43, -14),
        (50, 30),
        (43, 72),
        (12, 96),
        (-26, 90),
    ]
    + [(-44, 56), (-40, 12), (-42, -24), (-55, -58)],
    "Hamate": [(-44, -66), (4, -74), (54, -70), (76, -48), (60, -4), (26, 42), (-8, 78), (-40, 80), (-48, 38)]
    + [(-42, -12)],
    "Scaphoid": [
        (-56, -46),
        (-30, -64),
        (0, -54),
        (16, -26),
        (38, -4),
        (64, 28),
        (52, 62),
        (14, 66),
        (-26, 46),
    ]
    + [(-58, 10), (-70, -20)],
    "Lunate": [
        (-54, -20),
        (-26, -40),
        (10, -24),
        (44, -34),
        (58, 0),
        (50, 38),
        (12, 54),
        (-30, 46),
        (-58, 18),
    ],
    "Triquetrum": [(-48, 14), (-32, -20), (4, -46), (38, -54), (54, -30), (42, 8), (14, 42), (-28, 50)],
    "Pisiform": [(0, -42), (24, -32), (33, -6), (27, 26), (6, 41), (-20, 34), (-33, 8), (-26, -26)],
}

_FOREARM = {  # the shafts leave the image far below
    "Radius": [
        (-100, -6),
        (-78, 10),
        (-40, 40),
        (8, 58),
        (60, 64),
        (104, 62),
        (112, 96),
        (96, 150),
        (72, 230),
    ]
    + [
        (56, 330),
        (52, 460),
        (54, 700),
        (58, 1000),
        (60, 1300),
        (0, 1310),
        (-60, 1300),
        (-58, 1000),
        (-54, 700),
    ]
    + [(-54, 460), (-62, 330), (-84, 220), (-110, 125), (-120, 66), (-116, 20)],
    "Ulna": [
        (-54, 34),
        (-44, 6),
        (-10, -6),
        (18, 0),
        (30, 8),
        (38, -22),
        (50, -26),
        (58, 12),
        (54, 64),
        (42, 130),
    ]
    + [
        (35, 220),
        (35, 500),
        (36, 1000),
        (38, 1300),
        (0, 1310),
        (-38, 1300),
        (-38, 1000),
        (-36, 500),
        (-36, 220),
    ]
    + [(-46, 130), (-56, 76)],
}

SESAMOID = [(0, -27), (15, -19), (20, 2), (13, 22), (-3, 28), (-17, 17), (-20, -4), (-13, -20)]
"""Control points of the sesamoid bone beside the head of finger-3, pixels around its centre, long axis up."""


@lru_cache
def outline(name: str) -> Outline:
    """The smooth closed curve of a class, about one point every unit; read-only.

    >>> outline("Capitate").shape[1]
    2
    """
    if name.startswith("finger-"):
        points = _long_bone(*_LONG[int(name.removeprefix("finger-"))])
    else:
        points = (_CARPALS | _FOREARM)[name]
    curve = smooth(points)
    curve.setflags(write=False)
    return curve


def smooth(points: list[tuple[float, float]], *, count: int = 360) -> Outline:
    """A closed cubic curve through control points, `count` points evenly spaced along it."""
    closed = np.array([*points, points[0]], np.float64)
    chord = np.sqrt(np.hypot(*np.diff(closed, axis=0).T))  # centripetal: no loops at uneven spacing
    knots = np.concatenate([[0.0], np.cumsum(chord)])
    curve = CubicSpline(knots, closed, bc_type="periodic")(np.linspace(0, knots[-1], 4 * count + 1))
    return resample(curve[:-1], count)


def resample(curve: Outline, count: int) -> Outline:
    """The closed curve again with `count` points evenly spaced along its length."""
    closed = np.vstack([curve, curve[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0, along[-1], count, endpoint=False)
    return np.stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)], axis=1)


def _long_bone(
    sides: list[tuple[float, float, float]], ends: str, left: float, right: float, bend: float
) -> list[tuple[float, float]]:
    tip, base = _CENTRE_LINES[ends]
    points = [*tip]
    points += [(right * half, y) for y, _, half in sides]
    points += base
    points += [(-left * half, y) for y, half, _ in reversed(sides)]
    return [(x + bend * (1 - (y / 50) ** 2), y) for x, y in points]
