"""The geometry against torch, OpenCV and slow exact twins; regions and runs against the whole plane, bit for bit."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from segkit.geometry import resize
from segkit.rle import Runs

RATIOS = [((32, 32), (512, 512)), ((100, 64), (777, 1001)), ((37, 53), (500, 499)), ((48, 31), (48, 400))]
logits = st.integers(-127, 127).map(lambda level: level / 32)
numbers = logits | st.floats(-20, 20, width=32) | st.floats(-1e6, 1e6, width=32)
planes = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(lambda s: npst.arrays(np.float32, s, elements=numbers))
sizes = st.tuples(st.integers(1, 33), st.integers(1, 33))


def smooth_plane(shape, seed=0):
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.normal(0, 6, shape), (0, 0), 1.5).astype(np.float32)


@pytest.mark.parametrize(("low", "full"), RATIOS)
def test_torch_and_opencv_agree(low, full):
    torch = pytest.importorskip("torch")
    plane = smooth_plane(low)
    ours = resize.upsample(plane, full)
    theirs = {
        "torch": torch.nn.functional.interpolate(
            torch.from_numpy(plane)[None, None], size=full, mode="bilinear", align_corners=False
        )[0, 0].numpy(),
        "cv2": cv2.resize(plane, full[::-1], interpolation=cv2.INTER_LINEAR),
    }
    assert ours.dtype == np.float32
    assert ours.shape == full
    for name, other in theirs.items():
        assert np.abs(ours - other).max() < 1e-5 * max(1.0, np.abs(plane).max()), name
        assert ((ours > 0) != (other > 0)).mean() <= 1e-5, name


def test_counted_by_hand():
    assert resize.upsample(np.array([[0.0, 4.0]]), (1, 8)).tolist() == [[0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]]
    assert resize.upsample(np.array([[0.0, 3.0]]), (2, 3)).tolist() == [[0, 1.5, 3]] * 2


def test_the_same_size_is_the_same_plane():
    plane = smooth_plane((9, 7))
    assert np.array_equal(resize.upsample(plane, (9, 7)), plane)


@given(planes, sizes, st.data())
def test_a_region_is_that_part_of_the_whole(plane, size, data):
    top, bottom = sorted(data.draw(st.tuples(st.integers(0, size[0]), st.integers(0, size[0]))))
    left, right = sorted(data.draw(st.tuples(st.integers(0, size[1]), st.integers(0, size[1]))))
    kept = plane.copy()
    part = resize.upsample(plane, size, region=(top, left, bottom, right))
    assert part.tobytes() == resize.upsample(plane, size)[top:bottom, left:right].tobytes()
    assert part.shape == (bottom - top, right - left)
    assert np.array_equal(plane, kept)


@settings(max_examples=40)
@given(planes, st.tuples(st.integers(1, 15), st.integers(1, 15)))
def test_a_pixel_never_leaves_the_range_of_its_cells_not_even_by_rounding(plane, size):
    value = resize.upsample(plane, size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = np.clip((row + 0.5) * plane.shape[0] / size[0] - 0.5, 0, plane.shape[0] - 1)
            x = np.clip((column + 0.5) * plane.shape[1] / size[1] - 0.5, 0, plane.shape[1] - 1)
            cells = plane[int(y + 1e-9) : int(np.ceil(y - 1e-9)) + 1, int(x + 1e-9) : int(np.ceil(x - 1e-9)) + 1]
            assert cells.min() <= value[row, column] <= cells.max()


@settings(max_examples=60)
@given(st.floats(-100, 100, width=32), st.tuples(st.integers(1, 6), st.integers(1, 6)), sizes)
def test_a_constant_stays_that_constant(value, shape, size):
    assert (resize.upsample(np.full(shape, value, np.float32), size) == np.float32(value)).all()


@settings(max_examples=200)
@given(planes, sizes, st.floats(0.01, 0.99) | st.sampled_from([0.0, 0.5, 1.0]) | logits.map(resize.sigmoid).map(float))
def test_runs_above_is_the_thresholded_plane(plane, size, threshold):
    runs = resize.runs_above(plane, size, threshold)
    whole = resize.upsample(plane, size)
    assert runs == Runs.from_mask(whole > resize.threshold_logit(threshold))
    assert runs.shape == size
    box = resize.active_region(plane, size, resize.threshold_logit(threshold))
    outside = np.ones(size, bool)
    if box is not None:
        outside[box[0] : box[2], box[1] : box[3]] = False
    assert (whole[outside] <= resize.threshold_logit(threshold)).all()


def test_a_blob_is_found_in_its_box_alone():
    plane = np.full((64, 64), -3.0, np.float32)
    plane[10:20, 30:34] = 3
    top, left, bottom, right = resize.active_region(plane, (640, 640), np.float32(0))
    assert (top, left, bottom, right) == (95, 295, 205, 345)
    assert resize.active_region(plane, (640, 640), np.float32(4)) is None
    assert not resize.runs_above(plane, (640, 640), 0.99)


def test_strictly_above():
    assert resize.runs_above(np.zeros((2, 2)), (4, 4), 0.5).area == 0
    assert resize.runs_above(np.full((2, 2), 1e-3), (4, 4), 0.5).area == 16
    assert resize.runs_above(np.full((2, 2), -50.0), (4, 4), 0.0).area == 16
    assert resize.runs_above(np.full((2, 2), 50.0), (4, 4), 1.0).area == 0


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((1, 2, 2)), np.zeros((0, 3))])
def test_a_class_map_has_two_axes(bad):
    with pytest.raises(ValueError, match="one class map"):
        resize.upsample(bad, (4, 4))
    with pytest.raises(ValueError, match="one class map"):
        resize.runs_above(bad, (4, 4), 0.5)


@pytest.mark.parametrize("region", [(-1, 0, 2, 2), (0, 0, 5, 2), (3, 0, 2, 2), (0, 0, 2, 9)])
def test_a_region_lies_inside(region):
    with pytest.raises(ValueError, match="does not lie inside"):
        resize.upsample(np.zeros((2, 2)), (4, 4), region=region)


def test_logit_and_sigmoid_are_inverse_and_bounded():
    for p in (0.001, 0.25, 0.5, 0.9):
        assert resize.sigmoid(resize.logit(p)) == pytest.approx(p, abs=1e-15)
    assert resize.logit(0) == -np.inf
    assert resize.logit(1) == np.inf
    assert resize.sigmoid(np.array([-1e4, 1e4])).tolist() == [0.0, 1.0]
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            resize.logit(bad)


def slow_coverage(mask, size):
    """Every pixel cut into size[0] x size[1] pieces, every cell the mean of its pieces."""
    fine = np.repeat(np.repeat(mask.astype(float), size[0], axis=0), size[1], axis=1)
    return fine.reshape(size[0], mask.shape[0], size[1], mask.shape[1]).mean(axis=(1, 3))


@given(
    st.tuples(st.integers(1, 13), st.integers(1, 13)).flatmap(lambda s: npst.arrays(bool, s)),
    st.tuples(st.integers(1, 17), st.integers(1, 17)),
)
def test_coverage_is_the_area_average(mask, size):
    share = resize.coverage(mask, size)
    assert share.dtype == np.float32
    assert np.abs(share - slow_coverage(mask, size)).max() < 1e-6
    assert share.min() >= 0
    assert share.max() <= 1
    assert np.array_equal(share, resize.coverage(mask.astype(np.uint8) * 255, size))


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_coverage_of_all_is_one_and_of_nothing_zero(shape, size):
    assert (resize.coverage(np.ones(shape, bool), size) == 1).all()
    assert (resize.coverage(np.zeros(shape, bool), size) == 0).all()


@given(st.integers(1, 50), st.integers(1, 50), st.data())
def test_low_region_and_full_region_enclose_each_other(full, n, data):
    first, last = sorted(data.draw(st.tuples(st.integers(0, full), st.integers(0, full))))
    cells = resize.low_region((first, first, last, last), (full, full), (n, n))
    pixels = resize.full_region(cells, (full, full), (n, n))
    reached = {
        cell for p in range(first, last) for cell in range(n) if (cell + 1) * full > p * n and cell * full < (p + 1) * n
    }
    assert all(cells[0] <= cell < cells[2] for cell in reached)
    assert not reached or (min(reached), max(reached) + 1) == (cells[0], cells[2])
    assert pixels[0] <= first
    assert last <= pixels[2]


def test_an_image_shrinks_by_area_and_grows_by_bilinear():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (12, 20), dtype=np.uint8)
    kept = image.copy()
    small = resize.resize_image(image, (4, 5))
    assert small.dtype == np.uint8
    assert np.abs(small - image.reshape(4, 3, 5, 4).mean(axis=(1, 3))).max() <= 0.5001
    large = resize.resize_image(image, (36, 61))
    assert np.abs(large - resize.upsample(image, (36, 61))).max() <= 1
    same = resize.resize_image(image, (12, 20))
    assert np.array_equal(same, image)
    assert not np.shares_memory(same, image)
    assert np.array_equal(image, kept)


def test_an_axis_that_shrinks_is_averaged_although_the_other_grows():
    stripes = np.tile(np.array([0, 0, 200, 200], np.uint8), (4, 8))  # every fourth sample of it would be one colour
    assert np.unique(resize.resize_image(stripes, (16, 8))).tolist() == [100]


def test_an_image_keeps_its_channels():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 1] = 90
    assert resize.resize_image(image, (4, 4))[..., 1].min() == 90
    assert resize.resize_image(image[..., :1], (16, 4)).shape == (16, 4, 1)
