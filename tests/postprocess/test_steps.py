"""Each step against scipy on random masks."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from segkit.postprocess import STEPS, closing, fill_holes, keep_largest, opening, remove_small, smooth
from segkit.rle import Runs

EIGHT = np.ones((3, 3))


def disc(radius):
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(bool)


def slow_keep_largest(mask, k):
    labels, count = ndimage.label(mask, EIGHT)  # numbered in row-major order: of equals the first
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return np.isin(labels, 1 + np.argsort(-areas, kind="stable")[:k])


def slow_remove_small(mask, min_area):
    labels, count = ndimage.label(mask, EIGHT)
    return np.isin(labels, [n for n in range(1, count + 1) if (labels == n).sum() >= min_area])


def slow_fill_holes(mask, max_area):
    labels, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    holes = [n for n in range(1, count + 1) if max_area is None or (labels == n).sum() <= max_area]
    return mask | np.isin(labels, holes)


def slow_opening(mask, radius):
    return ndimage.binary_dilation(ndimage.binary_erosion(mask, disc(radius), border_value=1), disc(radius))


def slow_closing(mask, radius):
    return ndimage.binary_erosion(ndimage.binary_dilation(mask, disc(radius)), disc(radius), border_value=1)


def slow_smooth(mask, radius):
    inside = ndimage.correlate(mask.astype(int), disc(radius).astype(int), mode="constant")
    return 2 * inside > ndimage.correlate(np.ones(mask.shape, int), disc(radius).astype(int), mode="constant")


CASES = [
    (keep_largest, slow_keep_largest, {"k": st.integers(1, 3)}),
    (remove_small, slow_remove_small, {"min_area": st.integers(0, 9)}),
    (fill_holes, slow_fill_holes, {"max_area": st.none() | st.integers(0, 5)}),
    (opening, slow_opening, {"radius": st.integers(1, 3)}),
    (closing, slow_closing, {"radius": st.integers(1, 3)}),
    (smooth, slow_smooth, {"radius": st.integers(1, 8)}),  # large discs are summed another way
]
NOT_DONE_AT_ONCE = {smooth}  # a median filter settles only after some rounds


def test_every_step_has_its_row_here():
    assert {step.__name__ for step, _, _ in CASES} == set(STEPS)


shapes = st.tuples(st.integers(1, 16), st.integers(1, 16))
speckles = shapes.flatmap(lambda s: npst.arrays(bool, s))
blobs = st.integers(0, 10_000).map(
    lambda seed: ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, (26, 31)), 1.6) > 0.05
)


@pytest.mark.parametrize(("step", "slow", "knobs"), CASES, ids=lambda c: getattr(c, "__name__", ""))
@settings(max_examples=60)
@given(data=st.data())
def test_a_step_is_its_slow_twin_and_done_when_done(step, slow, knobs, data):
    mask = data.draw(speckles | blobs)
    chosen = {name: data.draw(values) for name, values in knobs.items()}
    kept = mask.copy()
    result = step(mask, **chosen)
    assert result.dtype == bool
    assert np.array_equal(result, slow(mask, **chosen))
    assert np.array_equal(mask, kept)
    assert not np.shares_memory(mask, result)
    runs = step(Runs.from_mask(mask), **chosen)
    assert isinstance(runs, Runs)
    assert runs == Runs.from_mask(result)
    assert runs.shape == mask.shape
    assert step in NOT_DONE_AT_ONCE or np.array_equal(step(result, **chosen), result)


@pytest.mark.parametrize(("step", "slow", "knobs"), CASES, ids=lambda c: getattr(c, "__name__", ""))
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (5, 6)])
def test_full_empty_and_one_pixel(step, slow, knobs, shape):
    chosen = {"k": 1} if "k" in knobs else {"min_area": 1} if "min_area" in knobs else {}
    chosen |= {"radius": 2} if "radius" in knobs else {}
    for mask in (np.zeros(shape, bool), np.ones(shape, bool)):
        assert np.array_equal(step(mask, **chosen), mask)
    last = np.zeros(shape, bool)
    last[-1, -1] = True
    assert np.array_equal(step(last, **chosen), slow(last, **({"max_area": None} if step is fill_holes else chosen)))


def picture(text):
    return np.array([[c == "#" for c in line] for line in text.split()])


def test_corners_join_components_and_edges_alone_join_holes():
    mask = picture("#.. .#. ..#")
    assert keep_largest(mask).sum() == 3
    ring = picture(".#. #.# .#.")
    assert fill_holes(ring).sum() == 5
    leak = picture("###. #..# ####")
    assert fill_holes(leak).sum() == 11  # the background's neighbours are edges: a gap at a corner is closed
    assert fill_holes(picture("##.# #..# ####")).sum() == 9  # open to the image's edge: no hole


def test_of_equal_components_the_first_is_kept():
    assert keep_largest(picture("##.## ##.##")).tolist() == picture("##... ##...").tolist()


def test_sizes_are_counted_to_the_pixel():
    mask = picture("###.## ....## ......")
    assert remove_small(mask, min_area=3).sum() == 7
    assert remove_small(mask, min_area=4).sum() == 4
    assert remove_small(mask, min_area=4.5).sum() == 0
    ring = picture("#### #..# ####")
    assert fill_holes(ring, max_area=2).sum() == 12
    assert fill_holes(ring, max_area=1).sum() == 10


def test_a_bone_cut_by_the_images_edge_keeps_its_corners():
    shaft = np.zeros((40, 30), bool)
    shaft[20:, 8:22] = True
    opened = opening(shaft, radius=4)
    assert opened[39, 8:22].all()
    assert not opened[20, 8]  # the corner inside the image is rounded
    assert np.array_equal(closing(shaft, radius=4), shaft)
    short = shaft.copy()
    short[37:] = False
    assert closing(short, radius=4)[39, 12:18].all()


def test_smoothing_keeps_straight_edges_the_images_edge_and_the_place():
    shaft = np.zeros((60, 50), bool)
    shaft[20:, 12:38] = True
    smoothed = smooth(shaft, radius=5)
    assert np.array_equal(smoothed[30:], shaft[30:])  # straight sides, cut off by the image's edge
    assert not smoothed[20, 12]  # the corner inside the image is rounded
    assert np.array_equal(smooth(~shaft, radius=5), ~smoothed)  # a disc has an odd number of pixels: neither side wins
    ragged = shaft.copy()
    ragged[20:60:3, 11] = True
    ragged[21:60:4, 37] = False
    assert np.array_equal(smooth(ragged, radius=5)[30:54, 10:39], shaft[30:54, 10:39])
    assert np.array_equal(smooth(shaft[:, ::-1], radius=5), smoothed[:, ::-1])


def test_a_large_disc_is_counted_to_the_pixel():
    mask = np.random.default_rng(3).random((140, 150)) < 0.5  # every count is close to half
    assert np.array_equal(smooth(mask, radius=30), slow_smooth(mask, 30))


@pytest.mark.parametrize(
    ("step", "bad", "message"),
    [
        (keep_largest, {"k": 0}, "k=0"),
        (remove_small, {"min_area": -1}, "min_area=-1"),
        (remove_small, {"min_area": float("nan")}, "min_area=nan"),
        (fill_holes, {"max_area": -1}, "max_area=-1"),
        (opening, {"radius": 0}, "radius=0"),
        (closing, {"radius": -2}, "radius=-2"),
        (smooth, {"radius": 0}, "radius=0"),
    ],
)
def test_settings_that_mean_nothing(step, bad, message):
    with pytest.raises(ValueError, match=message):
        step(np.ones((3, 3), bool), **bad)


def test_runs_need_a_shape_and_masks_no_floats():
    for step, more in ((keep_largest, {}), (fill_holes, {}), (opening, {"radius": 1}), (smooth, {"radius": 1})):
        with pytest.raises(ValueError, match="with_shape"):
            step(Runs([[0, 3]]), **more)
        with pytest.raises(ValueError, match="threshold it first"):
            step(np.ones((3, 3)), **more)
