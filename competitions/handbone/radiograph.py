"""A radiograph of an invented hand: what X-rays lose on their way through flesh and bone, as a detector shows it.

Every structure adds its thickness times its density to one map of attenuation (Beer and Lambert); beams, scatter,
blur, noise and the display curve come after. Lengths are pixels of a 2048 radiograph; `scale` takes them to the size
asked for. Each bone is drawn inside its own box, flesh on a coarse grid: the rest of the image costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from competitions.handbone import shapes
from competitions.handbone.anatomy import FOREARM, Hand, Outline
from competitions.handbone.facts import SIDE
from competitions.handbone.flesh import PER_CM, soft_tissue

CORTEX, SPONGE, MARROW = 1.25, 0.50, 0.10
"""attenuation per centimetre at hand voltages: what bone adds to the flesh that it displaces"""


@dataclass(frozen=True)
class Exposure:
    """How one picture was taken and shown."""

    white: float
    """how bright the densest bone is shown, 0 to 1"""
    gamma: float
    air: float
    noise: float
    scatter: float
    sharpen: float
    blur: float
    shutter: np.ndarray
    """(4, 2) corners of the lit field; the rest of the plate stayed dark"""
    mark: tuple[str, float, float, float] | None
    """letter of the side, its place x, y and its height"""


def render(hand: Hand, *, size: int = SIDE, seed: int = 0) -> np.ndarray:
    """uint8 (size, size) radiograph of `hand`; bone is bright. The same hand, size and seed give the same picture."""
    rng = np.random.default_rng([hand.person.seed, 4, hand.side == "left", seed])
    exposure = _expose(hand, rng)
    scale = size / SIDE
    depth = soft_tissue(hand, size, rng)
    for name, outline in hand.bones.items():
        _add_bone(depth, name, outline, hand.ends[name], hand.person.cortex, scale, rng)
    for outline in _small_bones(hand, rng):
        ends = np.array([outline[outline[:, 1].argmin()], outline[outline[:, 1].argmax()]])
        _add_bone(depth, "sesamoid", outline, ends, hand.person.cortex, scale, rng)
    return _develop(depth, exposure, scale, rng)


def _expose(hand: Hand, rng: np.random.Generator) -> Exposure:
    points = np.concatenate([outline for name, outline in hand.bones.items() if name not in FOREARM])
    points = np.vstack([points, *(hand.bones[name][hand.bones[name][:, 1] < SIDE] for name in FOREARM)])
    (left, top), (right, _) = points.min(axis=0), points.max(axis=0)
    low, high, up = left - rng.uniform(110, 420), right + rng.uniform(110, 420), top - rng.uniform(100, 260)
    corners = np.array([[low, up], [high, up], [high, SIDE + 90.0], [low, SIDE + 90.0]])
    if rng.random() < 0.25:  # the whole plate is lit
        corners = np.array([[-99.0, -99], [SIDE + 99, -99], [SIDE + 99, SIDE + 99], [-99, SIDE + 99]])
    turn = np.deg2rad(rng.normal(0, 0.7))
    corners = (corners - SIDE / 2) @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + SIDE / 2
    return Exposure(
        white=float(rng.uniform(0.76, 0.97)),
        gamma=float(rng.normal(1.0, 0.09)),
        air=float(rng.uniform(0.02, 0.10)),
        noise=float(rng.uniform(0.022, 0.042)),
        scatter=float(rng.uniform(0.05, 0.16)),
        sharpen=float(rng.uniform(0.1, 0.5)),
        blur=float(rng.uniform(0.9, 1.5)),
        shutter=corners,
        mark=_mark(hand, corners, points, rng) if rng.random() < 0.6 else None,
    )


def _mark(
    hand: Hand, shutter: np.ndarray, points: np.ndarray, rng: np.random.Generator
) -> tuple[str, float, float, float] | None:
    """A lead letter somewhere in the lit field and well off the bones, if there is room."""
    low, high = np.maximum(shutter.min(axis=0), 0) + 90, np.minimum(shutter.max(axis=0), SIDE) - 90
    for _ in range(20):
        at = rng.uniform(low, high)
        if np.hypot(*(points - at).T).min() > 240:
            return "L" if hand.side == "left" else "R", float(at[0]), float(at[1]), float(rng.uniform(70, 120))
    return None


@dataclass(frozen=True)
class _Build:
    """What a bone is made of: depth against width, shell at the middle (share of the radius) and at the ends (px)."""

    depth: float
    shell: float
    rind: float
    sponge: float


def _build(name: str) -> _Build:
    if name.startswith("finger-"):
        number = int(name.removeprefix("finger-"))
        if number in (3, 7, 11, 15, 19):
            return _Build(0.9, 0.32, 4.5, 0.85)
        if number in (1, 4, 8, 12, 16):
            return _Build(0.66, 0.34, 4.5, 0.9)
        return _Build(0.8, 0.32, 4.5, 0.9)
    return {"Radius": _Build(0.72, 0.30, 5.0, 0.75), "Ulna": _Build(0.9, 0.32, 4.5, 0.75)}.get(
        name, _Build(0.95, 0.0, 4.0, 0.95)
    )


def _add_bone(
    depth: np.ndarray,
    name: str,
    outline: Outline,
    ends: np.ndarray,
    cortex: float,
    scale: float,
    rng: np.random.Generator,
) -> None:
    """Add one bone's attenuation to `depth` in place."""
    size = depth.shape[0]
    points = (outline + 0.5) * scale - 0.5
    pad = 6
    left, top = np.maximum(np.floor(points.min(axis=0)).astype(int) - pad, 0)
    right, bottom = np.minimum(np.ceil(points.max(axis=0)).astype(int) + pad + 1, size)
    mask = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(mask, [np.rint((points - [left, top]) * 16).astype(np.int32)], 1, shift=4)
    edge = np.maximum(cv2.distanceTransform(mask, cv2.DIST_L2, 5) - 0.5, 0) / scale
    build = _build(name)
    radius = _local_radius(edge, scale)
    rows, columns = np.arange(top, bottom, dtype=np.float32), np.arange(left, right, dtype=np.float32)
    shaft = _shaft(name, ends, (rows[:, None] + 0.5) / scale - 0.5, (columns[None] + 0.5) / scale - 0.5)
    rind = np.minimum(build.rind * cortex / radius, 0.5)
    shell = np.minimum(rind + np.maximum(build.shell * cortex - rind, 0) * shaft, 0.85)
    off = np.clip(1 - edge / radius, 0, 1)
    outer = (1 - off * off) ** (
        0.5 if build.shell else 0.62
    )  # half a chord through a round bone; the hollow inside takes its part away
    inner = np.sqrt(np.maximum((1 - shell) ** 2 - off * off, 0))
    filling = MARROW + (build.sponge * SPONGE - MARROW) * (1 - shaft)
    filling *= 1 + (0.17 - 0.05 * shaft) * _texture(ends, (top, left), mask.shape, scale, rng)
    thick = radius * build.depth * 2 / PER_CM
    bone = thick * (CORTEX * (outer - inner) + filling * inner) * mask
    for ridge, strength in shapes.ridges(name, outline):
        line = np.zeros(mask.shape, np.float32)
        at = np.rint(((ridge + 0.5) * scale - 0.5 - [left, top]) * 16).astype(np.int32)
        cv2.polylines(line, [at], False, 1.0, max(1, round(4 * scale)), cv2.LINE_AA, 4)
        bone += cv2.GaussianBlur(line, (0, 0), 2.2 * scale + 0.1) * (strength * cortex * mask)
    depth[top:bottom, left:right] += cv2.GaussianBlur(bone, (0, 0), 1.2 * scale + 0.1)


def _local_radius(edge: np.ndarray, scale: float) -> np.ndarray:
    """Half the bone's width around each pixel, from the distances to its edge."""
    step = max(round(4 * scale), 1)
    small = cv2.resize(edge, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    reach = max(int(edge.max() * scale / step * 0.8), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    widest = cv2.GaussianBlur(cv2.dilate(small, disc), (0, 0), max(reach / 2, 0.5))
    return np.maximum(cv2.resize(widest, edge.shape[::-1], interpolation=cv2.INTER_LINEAR), 4.0)


def _shaft(name: str, ends: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """1 in the tube of a long bone, 0 in its ends and in bones that have none."""
    axis = ends[1] - ends[0]
    length = np.hypot(*axis)
    along = ((x - ends[0][0]) * axis[0] + (y - ends[0][1]) * axis[1]) / length
    if name in FOREARM:
        return np.clip((along - 110) / 260, 0, 1).astype(np.float32)
    if not name.startswith("finger-"):
        return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    middle = np.abs(2 * along / length - 1.0)
    return np.clip((0.92 - middle) / 0.55, 0, 1).astype(np.float32)


def _texture(
    ends: np.ndarray, corner: tuple[int, int], shape: tuple[int, int], scale: float, rng: np.random.Generator
) -> np.ndarray:
    """Struts of spongy bone along the bone's axis, mean 0 and deviation 1, cut from the shared tile."""
    tile = _struts()
    axis = ends[1] - ends[0]
    turn = np.arctan2(axis[0], axis[1])
    cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
    shift = rng.uniform(0, tile.shape[0], 2)
    back = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])
    return cv2.warpAffine(
        tile, back, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP
    )


@lru_cache
def _struts() -> np.ndarray:
    rng = np.random.default_rng(20)
    total = np.zeros((1024, 1024), np.float32)
    for across, along, weight in ((1.2, 6.0, 1.0), (4.0, 1.2, 0.6), (2.0, 2.6, 0.8), (9.0, 14.0, 0.3)):
        noise = cv2.GaussianBlur(rng.standard_normal(total.shape, np.float32), (0, 0), across, sigmaY=along)
        total += weight * noise / noise.std()
    total = np.maximum(total / total.std(), -2.5)
    total.setflags(write=False)
    return total


def _small_bones(hand: Hand, rng: np.random.Generator) -> list[Outline]:
    """The labelled sesamoid bone, and now and then another that nobody labels, over a metacarpal's head."""
    found = [] if hand.sesamoid is None else [hand.sesamoid]
    for name, chance in (("finger-3", 0.7), ("finger-7", 0.25), ("finger-19", 0.4)):
        if rng.random() < chance:
            far, near = hand.ends[name]
            axis = near - far
            across = np.array([-axis[1], axis[0]]) * (1 if hand.side == "left" else -1)
            outward = -0.045 if name == "finger-3" else 0.07
            at = far + 0.09 * axis + (outward + rng.normal(0, 0.012)) * across * (-1 if name == "finger-7" else 1)
            found.append(shapes.outline("sesamoid") * rng.uniform(0.5, 0.85) * hand.person.size + at)
    return found


def _develop(depth: np.ndarray, exposure: Exposure, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Attenuation -> grey values: lead mark, scatter, blur, edge enhancement, noise, display curve, shutter."""
    size = depth.shape[0]
    coarse = cv2.resize(depth, (SIDE // 8, SIDE // 8), interpolation=cv2.INTER_AREA)
    densest = np.percentile(coarse, 99.9)
    if exposure.mark is not None:
        letter, x, y, height = exposure.mark
        at = (round((x - 0.4 * height) * scale), round((y + 0.5 * height) * scale))
        lead = np.zeros(depth.shape, np.uint8)
        thickness = max(round(height * 0.13 * scale), 1)
        cv2.putText(lead, letter, at, cv2.FONT_HERSHEY_SIMPLEX, height * scale / 22, 255, thickness, cv2.LINE_AA)
        depth += lead * np.float32(3 / 255)
    haze = exposure.scatter * cv2.GaussianBlur(coarse, (0, 0), 20) - exposure.sharpen * cv2.GaussianBlur(
        coarse, (0, 0), 2.5
    )
    tilt = np.linspace(-1, 1, SIDE // 8, dtype=np.float32) * rng.normal(0, 0.025)
    haze += tilt[None]
    depth = cv2.GaussianBlur(depth, (0, 0), exposure.blur * scale + 0.05)
    depth *= 1 + exposure.sharpen - exposure.scatter
    depth += cv2.resize(haze, (size, size), interpolation=cv2.INTER_LINEAR)
    grain = _grain()
    row, column = rng.integers(0, grain.shape[0] - size + 1, 2)
    quanta = cv2.exp(np.minimum(depth, 4.0) * 0.5)
    depth += grain[row : row + size, column : column + size] * quanta * exposure.noise
    light = np.clip(depth * np.float32(exposure.white / densest), 0, 1)
    shown = exposure.air + (1 - exposure.air) * cv2.pow(light, exposure.gamma)
    field = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(field, np.rint(exposure.shutter * scale * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
    field = cv2.blur(field, (5, 5))
    return cv2.multiply(shown, field, scale=1.0, dtype=cv2.CV_8U)


@lru_cache
def _grain() -> np.ndarray:
    """Slightly correlated detector noise, deviation 1, larger than an image so that each cuts its own window."""
    noise = np.random.default_rng(21).standard_normal((SIDE + 512, SIDE + 512), np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.7)
    noise /= noise.std()
    noise.setflags(write=False)
    return noise
