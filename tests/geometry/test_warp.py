"""Warps: points, polygons, masks and images move as one, by definition and by slow twins."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.geometry import polygons
from segkit.geometry.warp import TOLERANCE, WAVES, warp

SIZE = (40, 56)
CASES = {
    "affine": {"rotate": 17.0, "scale": 1.1, "shift": (0.04, -0.03)},
    "bend": {"bend": 0.3},
    "all": {"rotate": -31.0, "scale": 0.9, "shift": (-0.02, 0.05), "bend": 0.2},
}


def drawn(name, size=SIZE, **more):
    return warp(size, generator=np.random.default_rng(4), **CASES[name], **more)


def field(moved, q):
    """d at places q (n, 2), wave by wave."""
    h, w = moved.size
    out = np.zeros_like(q)
    if moved.waves is not None:
        for axis in range(2):
            for i in range(WAVES):
                for j in range(WAVES):
                    down, across = np.sin(np.pi * (i + 1) * q[:, 1] / h), np.sin(np.pi * (j + 1) * q[:, 0] / w)
                    out[:, axis] += moved.waves[axis, i, j] * down * across
    return out


def source(moved, q):
    """Where what shows at q comes from."""
    return (q + field(moved, q) - moved.matrix[:, 2]) @ np.linalg.inv(moved.matrix[:, :2]).T


@pytest.mark.parametrize("name", CASES)
def test_points_come_back(name):
    moved = drawn(name)
    points = np.random.default_rng(0).uniform(-20, 80, (200, 2))  # outside the frame too
    np.testing.assert_allclose(source(moved, moved.points(points)), points, atol=0.003)


@pytest.mark.parametrize("name", CASES)
def test_a_dot_of_the_image_goes_where_its_point_goes(name):
    moved = drawn(name)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    for at in ([20.0, 15.0], [33.5, 24.25], [26.0, 30.0]):
        dot = np.rint(255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8)).astype(np.uint8)
        seen = moved.image(dot).astype(float)
        centre = np.array([(seen * x).sum(), (seen * y).sum()]) / seen.sum()
        # A bent dot is no longer round: its centre is not quite the centre's place.
        np.testing.assert_allclose(centre, moved.points(np.array([at]))[0], atol=0.02 if name == "affine" else 0.15)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(320, 448), (250, 610)])
def test_polygons_are_drawn_as_the_mask_would_show_under_a_magnifying_glass(name, shape):
    """The slow twin: each cell asks 16 x 16 places where they come from in the full mask."""
    moved = drawn(name, shape=shape)
    outline = np.array([[0.2, 0.3], [0.55, 0.2], [0.8, 0.6], [0.5, 0.5], [0.35, 0.85]]) * shape[::-1]
    outline = outline.astype(np.int32)
    full = polygons.rasterize([outline], shape)
    fine = (np.arange(16) + 0.5) / 16
    y = (np.arange(SIZE[0])[:, None] + fine).ravel()
    x = (np.arange(SIZE[1])[:, None] + fine).ravel()
    places = source(moved, np.stack(np.broadcast_arrays(x, y[:, None]), axis=-1).reshape(-1, 2))
    column, row = np.floor(places * np.array(shape[::-1]) / SIZE[::-1]).astype(int).T
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    seen = np.zeros(len(places))
    seen[inside] = full[row[inside], column[inside]]
    slow = seen.reshape(SIZE[0], 16, SIZE[1], 16).mean(axis=(1, 3))
    fast = polygons.rasterize(moved.polygons([outline], shape), shape, size=SIZE, soft=True)
    edge = (slow > 0) & (slow < 1)
    assert np.abs(fast - slow)[edge].mean() < 0.04  # half a full-resolution pixel of rounding: a cell is 6 to 11
    assert abs(fast.sum() - slow.sum()) < 0.01 * slow.sum()
    assert np.abs(fast - slow)[~edge].max() < 0.15
    resampled = moved.masks(
        np.rint(255 * polygons.rasterize([outline], shape, size=SIZE, soft=True))[None].astype(np.uint8)
    )
    assert np.abs(fast - slow)[edge].mean() < np.abs(resampled[0] / 255 - slow)[edge].mean()  # which blurs edges


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.8))
def test_a_bend_keeps_the_frame_and_folds_nothing(seed, bend):
    moved = warp(SIZE, bend=bend, generator=np.random.default_rng(seed))
    h, w = SIZE
    along = np.linspace(0, 1, 30)
    for side in (
        np.stack([along * w, 0 * along], 1), np.stack([along * w, 0 * along + h], 1),
        np.stack([0 * along, along * h], 1), np.stack([0 * along + w, along * h], 1),
    ):  # fmt: skip
        np.testing.assert_allclose(moved.points(side), side, atol=0.002)
    q = np.random.default_rng(seed).uniform(0, [w, h], (300, 2))
    step = np.random.default_rng(1).normal(0, 1e-4, q.shape)
    change = np.linalg.norm(field(moved, q + step) - field(moved, q), axis=1) / np.linalg.norm(step, axis=1)
    assert change.max() < bend * 1.02
    assert change.max() > bend * 0.1


def test_a_long_edge_becomes_a_curve_within_the_tolerance():
    moved = warp((256, 256), bend=0.4, generator=np.random.default_rng(2))
    outline = np.array([[100, 150], [1900, 260], [1750, 1900]])
    ((chain,),) = moved.polygons([outline], (2048, 2048))
    assert len(chain) > 30
    share = np.linspace(0, 1, 4000, endpoint=False)[:, None]
    edges = [a + share * (b - a) for a, b in zip(outline, np.roll(outline, -1, axis=0))]
    curve = (moved.points((np.concatenate(edges) + 0.5) / 8) * 8 - 0.5).astype(np.float32)
    missed = [
        abs(cv2.pointPolygonTest(chain.astype(np.float32)[:, None], (float(x), float(y)), True)) for x, y in curve
    ]
    assert 0 < max(missed) / 8 < TOLERANCE
    ((straight,),) = warp((256, 256), rotate=20).polygons([outline], (2048, 2048))
    assert len(straight) == 3


def test_nothing_drawn_is_nothing_done():
    image = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    still = warp(SIZE)
    np.testing.assert_array_equal(still.image(image), image)
    outline = np.array([[0, 0], [447, 0], [447, 319], [-30, 500]])
    np.testing.assert_allclose(still.polygons([outline], (320, 448))[0][0], outline, atol=1e-9)
    assert still.polygons([], (320, 448)) == []


def test_quarter_turns_and_whole_shifts_are_exact():
    image = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    before = image.copy()
    np.testing.assert_array_equal(warp((8, 8), rotate=90).image(image), np.rot90(image, -1))
    there = warp((8, 8), shift=(0.25, -0.125)).image(image)
    np.testing.assert_array_equal(there[:7, 2:], image[1:, :6])
    assert not there[7].any()
    assert not there[:, :2].any()
    np.testing.assert_array_equal(image, before)
    one = warp((1, 1), rotate=30)
    assert one.image(np.full((1, 1), 9, np.uint8)).tolist() == [[9]]


def test_a_turn_is_a_turn_of_the_image_not_of_the_stretched_grid():
    """A grid of 40 x 40 over an image of 100 x 300: lengths in pixels of the image stay."""
    moved = warp((40, 40), rotate=30, shape=(100, 300))
    outline = np.array([[100.0, 40], [160, 40], [160, 70]])
    ((there,),) = moved.polygons([outline], (100, 300))
    np.testing.assert_allclose(np.linalg.norm(np.diff(there, axis=0), axis=1), [60, 30])
    dx, dy = there[1] - there[0]
    assert math.degrees(math.atan2(dy, dx)) == pytest.approx(30)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("channels", [1, 3, 4, 6])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_every_channel_moves_as_a_grey_image_does(name, channels, kind):
    image = np.random.default_rng(0).uniform(0, 255, (*SIZE, channels)).astype(kind)
    moved = drawn(name)
    found = moved.image(image)
    assert found.dtype == kind
    alone = np.stack([moved.image(np.ascontiguousarray(image[..., c])) for c in range(channels)], axis=-1)
    np.testing.assert_array_equal(found, alone)


def test_holes_move_with_their_outline():
    outline, hole = np.array([[10, 10], [90, 10], [90, 90], [10, 90]]), np.array([[40, 40], [60, 40], [60, 60]])
    moved = drawn("all")
    polygon, alone = moved.polygons([(outline, hole), hole], (100, 100))
    assert (len(polygon), len(alone)) == (2, 1)
    np.testing.assert_allclose(polygon[1], alone[0])
    np.testing.assert_allclose(polygon[0], moved.polygons([outline], (100, 100))[0][0])


def test_wrong_numbers_say_so():
    for settings_, message in [
        ({"scale": 0.0}, "scale above 0"), ({"rotate": np.nan}, "finite"), ({"bend": 1.0}, "fold"),
        ({"bend": 0.1}, "generator"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            warp(SIZE, **settings_)
    with pytest.raises(ValueError, match=r"scale above 0"):
        warp((0, 4))
    with pytest.raises(ValueError, match=r"\(points, 2\), got \(4,\)"):
        warp(SIZE).polygons([np.array([1, 2, 3, 4])], SIZE)
    with pytest.raises(ValueError, match=r"expected an image of size \(40, 56\).*got \(4, 4\)"):
        warp(SIZE).image(np.zeros((4, 4), np.uint8))
