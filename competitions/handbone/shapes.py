"""The outlines of the 29 bones as they look on a right hand, drawn by eye, before any measurement counts.

Long bones point up (tip at the top) in hundredths of their length; carpals and the forearm are drawn in pixels of
an upright hand around their own centre. Only form matters here: `anatomy` stretches every outline to the place,
the axes and the direction that were measured. Curves are written as "x y, x y, ..."; y runs down.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

Outline = np.ndarray
"""float64 (n, 2) closed curve of (x, y)"""

_SIDES = {  # half-widths of long bones from tip (-50) to base (50): "y left right"
    "distal": "-47 10 10, -40 16.5 16.5, -31 16.5 16.5, -16 11.5 11.5, 4 11 11, 22 15.5 15.5, 36 22.5 22.5, "
    "44 22.5 22.5",
    "middle": "-46 15 15, -38 19 19, -28 17 17, -8 13 13, 12 14.5 14.5, 30 20 20, 41 23.5 23.5, 46 21 21",
    "proximal": "-47 9.5 9.5, -40 12.8 12.8, -31 11.3 11.3, -12 8.9 8.9, 10 9.8 9.8, 28 13 13, 41 16.8 16.8, 47 15 15",
    "metacarpal": "-48 5.5 5.5, -43 9.3 9.3, -36 9.6 9.6, -27 7.4 7.4, -8 5.5 5.5, 12 5.7 5.7, 28 7.4 7.4, "
    "39 9.6 9.6, 46 9.2 9.2",
    "thumb": "-48 6 6, -43 9.6 9.6, -35 10 10, -26 8.4 8.4, -6 6.6 6.6, 14 7 7, 29 9 9.6, 40 10.2 12, 46 8.5 11.5",
}

_ENDS = {  # what closes the two sides: at the tip from left to right, at the base from right to left
    "distal": ("0 -50", "12 49, 0 47.5, -12 49"),
    "middle": ("-8 -50, 0 -48.2, 8 -50", "12 49.5, 0 47, -12 49.5"),
    "proximal": ("-5 -50, 0 -49, 5 -50", "8 49.5, 0 47, -8 49.5"),
    "flat": ("0 -50", "5 49, -4 49.5"),
    "forked": ("0 -50", "6 50, 1 46.5, -5 49"),
    "styloid": ("0 -50", "6 50.5, -2 51, -8.5 51.5"),
    "tubercle": ("0 -50", "9 50, 1 47.5, -6 46.5"),
    "saddle": ("0 -50", "7 49, 0 47.5, -5 48.8"),
}

_LONG = {  # finger number: (sides, ends, factor on the left, on the right, bend to the right at the middle)
    1: ("distal", "distal", 1.0, 1.0, 0.0),
    2: ("proximal", "proximal", 1.2, 1.1, 0.5),
    3: ("thumb", "saddle", 1.0, 1.0, -0.8),
    4: ("distal", "distal", 1.0, 1.0, 0.3),
    5: ("middle", "middle", 1.0, 1.0, 0.4),
    6: ("proximal", "proximal", 1.0, 1.0, 0.4),
    7: ("metacarpal", "forked", 1.0, 0.95, 0.6),
    8: ("distal", "distal", 1.0, 1.0, 0.0),
    9: ("middle", "middle", 1.0, 1.0, 0.0),
    10: ("proximal", "proximal", 1.0, 1.0, 0.0),
    11: ("metacarpal", "styloid", 1.0, 1.0, 0.2),
    12: ("distal", "distal", 1.0, 1.0, -0.3),
    13: ("middle", "middle", 1.0, 1.0, -0.3),
    14: ("proximal", "proximal", 1.0, 1.0, -0.3),
    15: ("metacarpal", "flat", 0.95, 1.0, -0.3),
    16: ("distal", "distal", 1.0, 1.0, -0.6),
    17: ("middle", "middle", 1.0, 1.0, -0.6),
    18: ("proximal", "proximal", 1.0, 1.0, -0.5),
    19: ("metacarpal", "tubercle", 1.0, 1.1, -1.0),
}

_SHORT = {
    "Trapezium": "-52 -18, -30 -46, 4 -38, 34 -58, 52 -34, 50 14, 32 54, -8 58, -40 32",
    "Trapezoid": "-40 -12, -18 -40, 24 -38, 46 -14, 40 20, 14 42, -20 36, -42 16",
    "Capitate": "-48 -90, 0 -95, 48 -91, 53 -60, 43 -14, 50 30, 43 72, 12 96, -26 90, -44 56, -40 12, -42 -24, -55 -58",
    "Hamate": "-44 -66, 4 -74, 54 -70, 76 -48, 60 -4, 26 42, -8 78, -40 80, -48 38, -42 -12",
    "Scaphoid": "-56 -46, -30 -64, 0 -54, 16 -26, 38 -4, 64 28, 52 62, 14 66, -26 46, -58 10, -70 -20",
    "Lunate": "-54 -20, -26 -40, 10 -24, 44 -34, 58 0, 50 38, 12 54, -30 46, -58 18",
    "Triquetrum": "-48 14, -32 -20, 4 -46, 38 -54, 54 -30, 42 8, 14 42, -28 50",
    "Pisiform": "0 -42, 24 -32, 33 -6, 27 26, 6 41, -20 34, -33 8, -26 -26",
    # the shafts of the forearm leave the image far below
    "Radius": "-100 -6, -78 10, -40 40, 8 58, 60 64, 104 62, 112 96, 96 150, 72 230, 56 330, 52 460, 54 700, "
    "58 1000, 60 1300, 0 1310, -60 1300, -58 1000, -54 700, -54 460, -62 330, -84 220, -110 125, -120 66, -116 20",
    "Ulna": "-56 36, -46 4, -12 -8, 18 -2, 32 8, 38 -22, 50 -28, 60 8, 57 64, 45 130, 38 220, 37 500, 38 1000, "
    "40 1300, 0 1310, -40 1300, -40 1000, -38 500, -38 220, -48 130, -58 76",
    # beside the head of finger-3, long axis up
    "sesamoid": "0 -27, 15 -19, 20 2, 13 22, -3 28, -17 17, -20 -4, -13 -20",
}

_RIDGES = {  # lines inside a bone where a second wall lies edge-on to the beam: (curve, attenuation)
    "distal": [("-15 44, -8 41, 0 40, 8 41, 15 44", 0.25)],
    "middle": [("-16 43, -8 40, 0 39, 8 40, 16 43", 0.25), ("-12 -40, 0 -36, 12 -40", 0.12)],
    "proximal": [("-12 44, -6 41.5, 0 40.5, 6 41.5, 12 44", 0.28), ("-8 -42, 0 -39, 8 -42", 0.12)],
    "metacarpal": [("-7 -36, -3 -39, 3 -39, 7 -36", 0.12), ("-8 45, 0 43.5, 8 45", 0.2)],
    "thumb": [("-7 -36, -3 -39, 3 -39, 7 -36", 0.12), ("-8 45, 0 43.5, 8 45", 0.2)],
    "Hamate": [("6 -26, 24 -22, 32 0, 26 24", 0.22), ("26 24, 10 30, -2 14, -4 -10, 6 -26", 0.1)],
    "Scaphoid": [("-58 -16, -40 -26, -24 -20, -18 -4", 0.25), ("-30 24, 0 36, 28 40", 0.15)],
    "Trapezium": [("-34 0, -10 -14, 20 -12, 40 -20", 0.25)],
    "Capitate": [("-36 -60, 0 -66, 38 -62", 0.22), ("-30 60, 0 74, 28 64", 0.15)],
    "Lunate": [("-40 0, -10 -6, 20 -4, 44 -14", 0.28)],
    "Radius": [
        ("-98 20, -60 44, -10 76, 50 88, 98 84", 0.22),
        ("-20 84, -26 130, -22 190", 0.12),
        ("92 78, 88 100, 96 126", 0.2),
    ],
    "Ulna": [("-42 22, -10 14, 22 22, 44 30", 0.18)],
}


@lru_cache
def outline(name: str) -> Outline:
    """The smooth closed curve of a class, or of the "sesamoid", by 360 points; read-only.

    >>> outline("Capitate").shape
    (360, 2)
    """
    if not name.startswith("finger-"):
        return _smooth(_curve(_SHORT[name]))
    sides, ends, left, right, bend = _LONG[int(name.removeprefix("finger-"))]
    halves = _curve(_SIDES[sides])
    tip, base = (_curve(text) for text in _ENDS[ends])
    down, up = halves[:, [2, 0]] * [right, 1], halves[::-1, [1, 0]] * [-left, 1]
    points = np.concatenate([tip, down, base, up])
    points[:, 0] += bend * (1 - (points[:, 1] / 50) ** 2)
    return _smooth(points)


def ridges(name: str, drawn: Outline) -> list[tuple[np.ndarray, float]]:
    """The inner lines of a bone where it lies: [((n, 2) points, attenuation)].

    drawn: the bone's outline, point by point the one of `outline(name)`, wherever it was moved and stretched.
    """
    kind = _LONG[int(name.removeprefix("finger-"))][0] if name.startswith("finger-") else name
    if kind not in _RIDGES:
        return []
    template = outline(name)
    moved, *_ = np.linalg.lstsq(np.c_[template, np.ones(len(template))], drawn, rcond=None)
    lines = [(_curve(text), attenuation) for text, attenuation in _RIDGES[kind]]
    return [(np.c_[line, np.ones(len(line))] @ moved, attenuation) for line, attenuation in lines]


def resample(curve: Outline, count: int) -> Outline:
    """The closed curve again with `count` points evenly spaced along its length."""
    closed = np.vstack([curve, curve[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0, along[-1], count, endpoint=False)
    return np.stack([np.interp(at, along, closed[:, axis]) for axis in (0, 1)], axis=1)


def _curve(text: str) -> np.ndarray:
    return np.array([point.split() for point in text.split(",")], np.float64)


def _smooth(points: np.ndarray) -> Outline:
    closed = np.vstack([points, points[:1]])
    chord = np.sqrt(np.hypot(*np.diff(closed, axis=0).T))  # centripetal: no loops where spacing is uneven
    knots = np.concatenate([[0.0], np.cumsum(chord)])
    curve = CubicSpline(knots, closed, bc_type="periodic")(np.linspace(0, knots[-1], 2000, endpoint=False))
    curve = resample(curve, 360)
    curve.setflags(write=False)
    return curve
