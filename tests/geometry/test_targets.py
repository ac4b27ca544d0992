"""Soft targets: polygons and runs alike, still and moved, with padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.geometry import draw_soft, polygons, resize
from segkit.geometry.warp import warp
from segkit.rle import Runs

SHAPE = (320, 448)
SIZE = (40, 56)
OUTLINE = np.array([[90, 96], [246, 64], [358, 192], [224, 160], [157, 272]])
HOLE = np.array([[190, 110], [230, 110], [235, 140], [195, 140]])
POLYGONS = [(OUTLINE, HOLE), np.array([[300, 250], [340, 250], [330, 290]])]
WARPS = {
    "affine": {"rotate": 17.0, "scale": 1.1, "shift": (0.04, -0.03)},
    "bend": {"bend": 0.3},
    "all": {"rotate": -31.0, "scale": 0.9, "shift": (-0.02, 0.05), "bend": 0.2},
}


def drawn(region, shape=SHAPE, size=SIZE, **options):
    out = np.zeros(size, np.uint8)
    draw_soft(out, region, shape, **options)
    return out


def moved(name, size=SIZE, shape=SHAPE):
    return warp(size, shape=shape, generator=np.random.default_rng(4), **WARPS[name])


def runs_of(region, shape=SHAPE):
    return Runs.from_mask(polygons.rasterize(region, shape))


@settings(max_examples=100)
@given(
    st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.integers(1, 35), st.integers(1, 35)), st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)  # fmt: skip
def test_runs_give_the_coverage_of_their_mask(seed, shape, size, share):
    mask = np.random.default_rng(seed).random(shape) < share
    expected = np.rint(resize.coverage(mask, size) * 255)
    np.testing.assert_array_equal(drawn(Runs.from_mask(mask), shape, size), expected)
    np.testing.assert_array_equal(drawn(polygons.trace(Runs.from_mask(mask)), shape, size), expected)


def test_runs_without_a_shape_take_the_images():
    assert drawn(Runs([[14, 16]]), (4, 4), (2, 2)).tolist() == [[0, 0], [0, 128]]


def test_polygons_and_runs_of_one_mask_are_one_target():
    still = drawn(POLYGONS)
    np.testing.assert_array_equal(drawn(runs_of(POLYGONS)), still)
    np.testing.assert_array_equal(still, np.rint(polygons.rasterize(POLYGONS, SHAPE, size=SIZE, soft=True) * 255))
    assert still[15, 26] == 0  # inside the hole


@pytest.mark.parametrize("name", WARPS)
def test_moved_runs_are_moved_polygons(name):
    """Traced outlines follow the drawn pixels, annotated ones the line between the points: half a pixel apart.

    A low-resolution pixel is 8 wide, so on an edge the two differ by a twentieth on average; inside not at all.
    """
    one, other = (drawn(region, warp=moved(name)) / 255 for region in (POLYGONS, runs_of(POLYGONS)))
    edge = ((one > 0) & (one < 1)) | ((other > 0) & (other < 1))
    assert np.abs(one - other)[edge].mean() < 0.05
    assert np.abs(one - other).max() < 0.25
    np.testing.assert_array_equal(one[~edge], other[~edge])
    assert abs(one.sum() - other.sum()) < 0.01 * one.sum()


@pytest.mark.parametrize("name", WARPS)
def test_a_hole_stays_a_hole_under_a_warp(name):
    solid = [OUTLINE, POLYGONS[1]]
    for make in (list, runs_of):
        with_hole, without = (drawn(make(region), warp=moved(name)).astype(int) for region in (POLYGONS, solid))
        assert (with_hole <= without).all()
        lost = (without - with_hole).sum() / 255 * 64  # in full-resolution pixels
        assert 0.5 * 40 * 30 < lost < 1.5 * 40 * 30


def test_a_still_warp_changes_nothing():
    still = warp(SIZE, shape=SHAPE)
    for region in (POLYGONS, runs_of(POLYGONS)):
        np.testing.assert_array_equal(drawn(region, warp=still), drawn(region))


@pytest.mark.parametrize("options", [{}, {"warp": moved("all")}, {"box": (8, 0, 32, 34)}])
def test_a_polygons_value_is_drawn_as_its_outlines(options):
    np.testing.assert_array_equal(drawn(polygons.Polygons(POLYGONS), **options), drawn(POLYGONS, **options))
    np.testing.assert_array_equal(drawn(polygons.Polygons(), **options), np.zeros(SIZE))


@pytest.mark.parametrize("region", [POLYGONS, runs_of(POLYGONS)], ids=["polygons", "runs"])
def test_padding_stays_empty_and_the_box_is_the_target_of_its_size(region):
    box = (8, 0, 32, 34)  # 24 x 34 of 40 x 56
    padded = drawn(region, box=box)
    np.testing.assert_array_equal(padded[8:32, :34], drawn(region, size=(24, 34)))
    padded[8:32, :34] = 0
    assert not padded.any()
    still = drawn(region, warp=warp(SIZE), box=box) / 255
    assert np.abs(still - drawn(region, box=box) / 255).max() < 0.06  # a canvas of whole pixels: half a pixel of 13
    shifted = drawn(region, warp=warp(SIZE, shift=(22 / 56, 8 / 40)), box=box) / 255
    np.testing.assert_allclose(shifted[16:, 22:], still[8:32, :34], atol=0.06)


@pytest.mark.parametrize("region", [POLYGONS, runs_of(POLYGONS)], ids=["polygons", "runs"])
@pytest.mark.parametrize("size", [SIZE, (37, 50)])
def test_a_box_beyond_the_target_makes_it_a_window(region, size):
    whole = np.pad(drawn(region, size=size), 9).astype(int)
    for top, left, h, w in ((-5, -9, 20, 20), (7, 13, 16, 24), (20, 30, 26, 29), (0, 0, *size), (12, -3, 5, 90)):
        window = drawn(region, size=(h, w), box=(-top, -left, size[0] - top, size[1] - left))
        right = min(left + w, size[1] + 9)
        part = whole[top + 9 : top + 9 + h, left + 9 : right + 9]
        assert np.abs(window[:, : part.shape[1]] - part).max() <= (size != SIZE)  # sums of other fractions round apart
        assert not window[:, part.shape[1] :].any()


@pytest.mark.parametrize(
    ("region", "options", "message"),
    [
        (POLYGONS, {"warp": warp((4, 4))}, r"expected a warp of size \(40, 56\)"),
        (POLYGONS, {"box": (40, 0, 50, 4)}, "holds nothing"),
        (POLYGONS, {"box": (4, 4, 4, 8)}, "holds nothing"),
        (Runs([[0, 1]], (2, 2)), {}, "image"),
        ([np.zeros((3, 3))], {}, "expected a polygon"),
    ],
)
def test_what_does_not_fit_is_refused(region, options, message):
    with pytest.raises(ValueError, match=message):
        drawn(region, **options)
