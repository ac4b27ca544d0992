"""The soft tissue of an invented hand: its outline from the bones inside, its depth from the outline.

Lengths are pixels of a 2048 radiograph; everything but the skin's edge is smooth and drawn on a coarse grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from competitions.handbone.anatomy import CARPALS, FOREARM, RAYS, Hand
from competitions.handbone.facts import SIDE

PER_CM = 84.0
"""pixels of a 2048 radiograph in a centimetre of hand"""
FLESH = 0.28
"""attenuation per centimetre at hand voltages"""
COARSE = 4
"""pixels of a 2048 radiograph in a cell of the coarse grid"""


def soft_tissue(hand: Hand, size: int, rng: np.random.Generator) -> np.ndarray:
    """Attenuation (size, size) float32 of a hand without its bones; `rng` makes it a little uneven.

    Fingers are round and palms thick: depth grows with the distance from the skin, fat under the skin is thinner.
    """
    inside = _silhouette(hand)
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    away = cv2.GaussianBlur(away * COARSE, (0, 0), 2.2)
    bulk = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 34)
    patchy = cv2.resize(rng.normal(0, 1, (24, 24)).astype(np.float32), inside.shape, interpolation=cv2.INTER_CUBIC)
    core = 120 * np.clip((bulk - 0.55) / 0.45, 0, 1) * (1 + 0.05 * patchy)
    density = FLESH * (0.86 + 0.14 * np.clip(away / 45, 0, 1)) * (1 + 0.025 * patchy) / PER_CM
    away, core, density = (
        cv2.resize(plane, (size, size), interpolation=cv2.INTER_LINEAR) for plane in (away, core, density)
    )
    radius = 88.0 * hand.person.size
    near = np.clip(away, 0, radius)
    thick = 2 * np.sqrt(near * (2 * radius - near))
    thick += core * (near / radius)
    return thick * density


def _silhouette(hand: Hand) -> np.ndarray:
    """The hand's shadow as uint8 0 and 1 on the coarse grid."""
    below = 40  # the arm goes on under the lower edge
    room = np.zeros((SIDE // COARSE + below, SIDE // COARSE), np.uint8)
    unit, ends = hand.person.size, hand.ends
    stout = unit * (0.75 + 0.25 * hand.person.flesh)
    carpus, arm = ([hand.bones[name] for name in names] for names in (CARPALS, FOREARM))
    palm = [hand.bones[RAYS[ray][0]] for ray in ("index", "middle", "ring", "little")]
    for bones in (carpus + palm, carpus[4:] + arm):
        points = np.concatenate([outline[outline[:, 1] < SIDE + 300] for outline in bones])
        hull = cv2.convexHull(np.rint(points / COARSE).astype(np.int32))
        cv2.fillConvexPoly(room, hull, 1)
        cv2.polylines(room, [hull], True, 1, round(2 * 53 * stout / COARSE))
    belly = np.array([np.mean([outline[outline[:, 1] > SIDE - 300, 0].mean() for outline in arm]), SIDE + 150.0])
    _sausage(room, [belly, belly - [0, 420 * unit]], [235 * stout, 190 * stout])
    room = cv2.morphologyEx(room, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (61, 61)))
    for ray, chain in RAYS.items():
        joints = [ends[chain[0]][1]] + [(ends[a][0] + ends[b][1]) / 2 for a, b in pairwise(chain)]
        tip, base = ends[chain[-1]]
        inward = (base - tip) / np.hypot(*(base - tip))
        widths = (92, 106, 82, 60) if ray == "thumb" else (70, 82, 74, 66, 53)
        radii = [(width - 9 * (ray == "little")) * stout for width in widths]
        _sausage(room, [*joints, tip + inward * (radii[-1] - 24 * unit)], radii)
    if hand.sesamoid is not None:
        _sausage(room, [hand.sesamoid.mean(axis=0)], [62 * stout])
    thumb, index, little = (ends[RAYS[ray][0]] for ray in ("thumb", "index", "little"))
    heel = np.array([0.35 * thumb[0] + 0.65 * thumb[1], thumb[1], little[1], little[0], index[0]])
    web = np.array([0.55 * thumb[0] + 0.45 * thumb[1], 0.65 * index[0] + 0.35 * index[1], index[1], thumb[1]])
    for polygon in (heel, web):
        cv2.fillPoly(room, [np.rint(polygon / COARSE).astype(np.int32)], 1)
    _sausage(room, [little[0], (little[0] + little[1]) / 2, little[1]], [84 * stout, 100 * stout, 92 * stout])
    return (cv2.GaussianBlur(room.astype(np.float32), (0, 0), 4)[:-below] > 0.5).astype(np.uint8)


def _sausage(room: np.ndarray, joints: list[np.ndarray], radii: Sequence[float]) -> None:
    """Fill discs of changing radius along a chain of joints."""
    path = np.array(joints)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    for at in np.arange(0.0, along[-1] + 1, 10.0):
        x, y = np.interp(at, along, path[:, 0]), np.interp(at, along, path[:, 1])
        radius = np.interp(at, along, radii)
        cv2.circle(room, (round(x / COARSE), round(y / COARSE)), round(radius / COARSE), 1, -1)
