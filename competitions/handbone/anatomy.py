"""Invented hands: outlines of 29 bones whose areas, places, axes and overlaps follow the measured ones.

All lengths are pixels of a 2048 x 2048 radiograph, x right and y down. A hand is built as a right hand (thumb on
the image left) and mirrored at the very end. Nothing here knows about grey values: see `radiograph`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from competitions.handbone import shapes
from competitions.handbone.facts import CLASSES, SIDE, statistics
from competitions.handbone.shapes import Outline

RAYS: dict[str, tuple[str, ...]] = {  # from the metacarpal out to the tip
    "thumb": ("finger-3", "finger-2", "finger-1"),
    "index": ("finger-7", "finger-6", "finger-5", "finger-4"),
    "middle": ("finger-11", "finger-10", "finger-9", "finger-8"),
    "ring": ("finger-15", "finger-14", "finger-13", "finger-12"),
    "little": ("finger-19", "finger-18", "finger-17", "finger-16"),
}
FOREARM = ("Radius", "Ulna")
CARPALS = CLASSES[19:27]
JOINT = 0.98, 1.02
"""Long bones are drawn this much shorter and wider than measured, which leaves the joints their gaps."""
THUMB = 0.91
"""finger-3's width was measured with its sesamoid; the metacarpal alone is this much slimmer."""
PROXIMAL_ROW = ("Scaphoid", "Lunate", "Triquetrum", "Pisiform")

_WRIST_TOP = {  # where the forearm's own origin lies: what the lower edge leaves has the measured moments
    "upright": {"Radius": (976.0, 1480.0), "Ulna": (1157.0, 1574.0)},
    "tilted": {"Radius": (899.0, 1350.0), "Ulna": (1076.0, 1474.0)},
}


@dataclass(frozen=True)
class Person:
    """What both hands of one invented person share."""

    seed: int
    sex: str
    """F or M"""
    age: int
    height: float
    """cm"""
    weight: float
    """kg"""
    size: float
    """of the hand against the mean"""
    girth: float
    """width of bones against their length"""
    cortex: float
    """thickness of the bones' shell against the usual"""
    flesh: float
    """soft tissue around the bones against the usual"""


@dataclass(frozen=True)
class Hand:
    """One hand on the detector.

    bones: class -> outline (n, 2), the sesamoid kept apart; ends: class -> (2, 2) far and near end of its axis. The
    forearm's outlines go on below the lower edge of the image.
    """

    person: Person
    side: str
    pose: str
    bones: dict[str, Outline]
    ends: dict[str, np.ndarray]
    sesamoid: Outline | None


def moments(outline: Outline) -> tuple[float, np.ndarray, np.ndarray]:
    """Area, centroid (2,) and covariance (2, 2) of the inside of a closed curve (Green's theorem).

    >>> area, centre, spread = moments(np.array([[0, 0], [4, 0], [4, 2], [0, 2]], float))
    >>> area, centre.tolist(), np.diag(spread).round(3).tolist()
    (8.0, [2.0, 1.0], [1.333, 0.333])
    """
    p, q = outline, np.roll(outline, -1, axis=0)
    cross = p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1]
    area = cross.sum() / 2
    centre = ((p + q) * cross[:, None]).sum(axis=0) / (6 * area)
    p, q = p - centre, q - centre
    cross = p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1]
    xx, yy = ((p**2 + p * q + q**2) * cross[:, None]).sum(axis=0) / (12 * area)
    mixed = (2 * p[:, 0] * p[:, 1] + 2 * q[:, 0] * q[:, 1] + p[:, 0] * q[:, 1] + q[:, 0] * p[:, 1]) * cross
    xy = mixed.sum() / (24 * area)
    return float(abs(area)), centre, np.array([[xx, xy], [xy, yy]])


def rotation(degrees: float) -> np.ndarray:
    """(2, 2) matrix that turns points clockwise as seen on the image (y down)."""
    turn = np.deg2rad(degrees)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def gentlest(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The symmetric linear map that takes covariance `source` to `target`: it stretches and never spins."""
    root = _root(source)
    back = np.linalg.inv(root)
    return back @ _root(root @ target @ root) @ back


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values)) @ vectors.T


@lru_cache
def mean_hand(pose: str) -> dict[str, np.ndarray]:
    """class -> (n + 2, 2): the outline at its measured place, then the far and the near end of its axis."""
    measured, upright = statistics().bones[pose], statistics().bones["upright"]
    hand = {}
    for name in CLASSES:
        bone, curve = measured[name], shapes.outline(name)
        far, near = curve[:, 1].argmin(), curve[:, 1].argmax()
        points = np.vstack([curve, [[curve[:, 0].mean(), curve[far, 1]], [curve[:, 0].mean(), curve[near, 1]]]])
        if name in FOREARM:
            hand[name] = points + _WRIST_TOP[pose][name]
            continue
        turn = bone.angle_deg - (90 if name.startswith("finger") else upright[name].angle_deg)
        points = points @ rotation((turn + 90) % 180 - 90).T
        _, centre, spread = moments(points[:-2])
        semi = np.array([bone.semi_major, bone.semi_minor])
        semi *= JOINT if name.startswith("finger") else 1
        semi[1] *= THUMB if name == "finger-3" else 1
        axes = rotation(bone.angle_deg) @ np.diag(semi)
        hand[name] = (points - centre) @ gentlest(spread, axes @ axes.T / 4) + [bone.cx, bone.cy]
    return hand


def invent_person(seed: int) -> Person:
    """A person drawn from `seed`: taller people have larger hands, older ones thinner cortex."""
    rng = np.random.default_rng([seed, 0])
    sex = "F" if rng.random() < 0.5 else "M"
    height = float(np.clip(rng.normal(160.5 if sex == "F" else 173.5, 5.5), 145, 195))
    age = int(np.clip(19 + rng.gamma(1.6, 9.0), 19, 78))
    weight = float(np.clip((height / 100) ** 2 * rng.normal(22.6, 2.8), 40, 110))
    size = float(np.clip(1.005 + 0.7 * (height / 167 - 1) + rng.normal(0, 0.045), 0.86, 1.15))
    girth = float(np.clip(rng.normal(0.985 if sex == "F" else 1.015, 0.025), 0.92, 1.08))
    cortex = float(np.clip(rng.normal(1.12 - 0.005 * (age - 20), 0.1), 0.65, 1.35))
    flesh = float(np.clip(1 + 0.03 * (weight / (height / 100) ** 2 - 22.6) + rng.normal(0, 0.05), 0.8, 1.3))
    return Person(seed, sex, age, round(height), round(weight), size, girth, cortex, flesh)


def pose_hand(person: Person, *, side: str, pose: str) -> Hand:
    """One hand of a person, put down on the detector. Drawn from the person's seed, side and pose alone.

    side: "right" or "left"; pose: one of facts.POSES. ValueError for another word.
    """
    if side not in ("right", "left") or pose not in ("upright", "tilted"):
        raise ValueError(f'side "right" or "left" and pose "upright" or "tilted" are wanted, got {side!r}, {pose!r}')
    common = np.random.default_rng([person.seed, 1])
    own = np.random.default_rng([person.seed, 2, side == "left", pose == "tilted"])
    hand = {name: points.copy() for name, points in mean_hand(pose).items()}
    _vary_forms(hand, person, common)
    _vary_fingers(hand, common, own, spread=1.0 if pose == "upright" else 1.2)
    _turn_wrist(hand, own.normal(0, 1.0 if pose == "upright" else 2.2))
    _put_down(hand, person.size, pose, own)
    sesamoid = _sesamoid(hand["finger-3"], common, own) if own.random() < statistics().sesamoid else None
    if side == "left":
        for points in hand.values():
            points[:, 0] = SIDE - 1 - points[:, 0]
        if sesamoid is not None:
            sesamoid[:, 0] = SIDE - 1 - sesamoid[:, 0]
    bones = {name: points[:-2] for name, points in hand.items()}
    return Hand(person, side, pose, bones, {name: points[-2:] for name, points in hand.items()}, sesamoid)


def _vary_forms(hand: dict[str, np.ndarray], person: Person, rng: np.random.Generator) -> None:
    """Every bone a little wider, rounder or more crooked than the mean; carpals shifted by a few pixels."""
    for name, points in hand.items():
        far, near = points[-2], points[-1]
        axis = (near - far) / np.hypot(*(near - far))
        across = np.array([-axis[1], axis[0]])
        centre = (far + near) / 2
        width = person.girth * (1 + rng.normal(0, 0.02))
        points += ((points - centre) @ across * (width - 1))[:, None] * across
        outline = points[:-2]
        turn = np.linspace(0, 2 * np.pi, len(outline), endpoint=False)
        reach = min(np.ptp(outline @ axis), np.ptp(outline @ across))
        bumps = sum(
            rng.normal(0, 0.035 / order) * np.cos(order * turn + rng.uniform(0, 2 * np.pi)) for order in range(2, 8)
        )
        outline += normals(outline) * (reach / 2 * bumps)[:, None]
        if name in CARPALS:
            points += rng.normal(0, 12 if name == "Pisiform" else 4.0, 2)


def normals(outline: Outline) -> np.ndarray:
    """(n, 2) unit vectors that point out of a closed curve, whichever way round it runs."""
    tangent = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    out = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) / np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    p, q = outline, np.roll(outline, -1, axis=0)
    return out if (p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1]).sum() > 0 else -out


def _vary_fingers(
    hand: dict[str, np.ndarray], common: np.random.Generator, own: np.random.Generator, spread: float
) -> None:
    """Longer and shorter rays; fingers spread or closed, joints a few degrees to either side."""
    fan = own.normal(0, 1.0)
    for place, (ray, chain) in enumerate(RAYS.items()):
        loose = 1.6 if ray == "thumb" else 1.0
        for rank, name in enumerate(chain):
            pivot = hand[name][-1] if rank == 0 else (hand[name][-1] + hand[chain[rank - 1]][-2]) / 2
            degrees = own.normal(0, (0.5, 1.1, 1.0, 1.2)[rank] * loose * spread)
            degrees += fan * (place - 2) * 0.8 * (rank == 1) - 1.2 * fan * (ray == "thumb" and rank == 0)
            matrix = rotation(degrees) * (1 + common.normal(0, 0.012))
            for bone in chain[rank:]:
                hand[bone] = (hand[bone] - pivot) @ matrix.T + pivot


def _turn_wrist(hand: dict[str, np.ndarray], degrees: float) -> None:
    """The hand turns on the forearm: the far row of carpals and the rays wholly, the near row by half."""
    capitate = hand["Capitate"]
    pivot = 0.3 * capitate[-2] + 0.7 * capitate[-1]
    for name in hand:
        if name not in FOREARM:
            matrix = rotation(degrees * (0.5 if name in PROXIMAL_ROW else 1.0))
            hand[name] = (hand[name] - pivot) @ matrix.T + pivot


def _put_down(hand: dict[str, np.ndarray], size: float, pose: str, rng: np.random.Generator) -> None:
    """Size, a slight turn and a place on the detector; fingers stay inside the image."""
    scatter, middle = ((25.0, 37.0), (1034.0, 780.0)) if pose == "upright" else ((40.0, 45.0), (1050.0, 950.0))
    matrix = rotation(rng.normal(0, 1.3)) * size
    shift = rng.normal(0, scatter)
    for name in hand:
        hand[name] = (hand[name] - middle) @ matrix.T + middle + shift
    fingers = np.concatenate([points for name, points in hand.items() if name not in FOREARM])
    low, high = fingers.min(axis=0), fingers.max(axis=0)
    back = np.maximum(60 - low, 0) - np.maximum(high - (SIDE - 60), 0)
    for points in hand.values():
        points += back


def _sesamoid(thumb: np.ndarray, common: np.random.Generator, own: np.random.Generator) -> Outline:
    """The sesamoid bone on the index side of the head of the thumb's metacarpal (finger-3), clear of it."""
    far, near = thumb[-2], thumb[-1]
    length = np.hypot(*(near - far))
    axis = (near - far) / length
    across = np.array([-axis[1], axis[0]])
    if across[0] < 0:
        across = -across
    along = (0.2 + own.normal(0, 0.015)) * length
    beside = np.abs((thumb - far) @ axis - along) < 0.08 * length
    curve = shapes.outline("sesamoid") @ np.array([across, axis]) * common.normal(0.95, 0.08)
    gap = (curve @ across).max() + 4 + abs(own.normal(0, 4))
    edge = ((thumb - far) @ across)[beside].max()
    return curve + far + along * axis + (edge + gap) * across


def rings(hand: Hand, *, size: int = SIDE, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """What an annotator draws round the bones: class -> rings, int32 (n, 2) of (x, y) at `size` x `size`.

    Points follow each other by at most about a pixel of the 2048 image, wander about 1 px off the bone's true edge
    and end at the last row. finger-3 has a second ring where the sesamoid bone is seen.
    """
    rng = np.random.default_rng([hand.person.seed, 3, hand.side == "left", seed])
    drawn = {name: [_trace(outline, size, rng)] for name, outline in hand.bones.items()}
    if hand.sesamoid is not None:
        drawn["finger-3"].append(_trace(hand.sesamoid, size, rng))
    return drawn


def _trace(outline: Outline, size: int, rng: np.random.Generator) -> np.ndarray:
    outline = shapes.resample(outline, 720)
    length = np.hypot(*(np.roll(outline, -1, axis=0) - outline).T).sum()
    turn = np.linspace(0, 2 * np.pi, len(outline), endpoint=False)
    orders = np.rint(length / rng.uniform(50, 300, 6))  # waves of 50 to 300 px, whole ones round the bone
    wander = sum(rng.normal(0, 0.45) * np.cos(order * turn + rng.uniform(0, 2 * np.pi)) for order in orders)
    outline = _inside(outline + normals(outline) * np.asarray(wander)[:, None])
    length = np.hypot(*np.diff(np.vstack([outline, outline[:1]]), axis=0).T).sum()
    outline = shapes.resample(outline, max(int(length / 0.75), 12))
    points = np.rint((outline + 0.5) * (size / SIDE) - 0.5).astype(np.int32).clip(0, size - 1)
    return points[np.any(points != np.roll(points, 1, axis=0), axis=1)]


def _inside(outline: Outline) -> Outline:
    """The part of a closed curve above the lower edge of the image (Sutherland and Hodgman's clipping)."""
    floor = SIDE - 1.0
    following = np.roll(outline, -1, axis=0)
    kept = []
    for p, q in zip(outline, following):
        if p[1] <= floor:
            kept.append(p)
        if (p[1] <= floor) != (q[1] <= floor):
            kept.append(p + (q - p) * (floor - p[1]) / (q[1] - p[1]))
    return np.array(kept)
