import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segkit.report.regions import intersections, moments
from segkit.rle import Runs

MASKS = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(MASKS)
def test_moments_are_those_of_the_pixels(mask):
    found = moments(Runs.from_mask(mask), mask.shape[1])
    y, x = np.nonzero(mask)
    assert found.area == len(x)
    if not len(x):
        assert np.isnan(found[1:]).all()
        return
    wanted = (x.mean(), y.mean(), x.var(), ((x - x.mean()) * (y - y.mean())).mean(), y.var())
    assert np.allclose(found[1:], wanted, atol=1e-9)


def test_moments_of_a_large_full_image_do_not_overflow():
    height, width = 20_000, 30_000
    found = moments(Runs([[0, height * width]]), width)
    assert found.area == height * width
    assert np.allclose(found[1:3], ((width - 1) / 2, (height - 1) / 2))
    assert np.allclose((found.xx, found.yy), ((width**2 - 1) / 12, (height**2 - 1) / 12), rtol=1e-6)


def test_moments_want_a_width():
    with pytest.raises(ValueError, match="width=0"):
        moments(Runs([[0, 1]]), 0)


@given(arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7))))
def test_intersections_are_those_of_the_planes(planes):
    classes = [f"c{i}" for i in range(len(planes))]
    masks = {cls: Runs.from_mask(plane) for cls, plane in zip(classes, planes)}
    common, labelled, shared = intersections(masks, classes)
    flat = planes.reshape(len(planes), -1).astype(int)
    assert np.array_equal(common, flat @ flat.T)
    assert labelled == (flat.sum(axis=0) >= 1).sum()
    assert shared == (flat.sum(axis=0) >= 2).sum()


def test_intersections_of_empty_masks_and_of_no_class():
    empty = Runs(np.zeros((0, 2)))
    common, labelled, shared = intersections({"a": empty, "b": empty}, ["a", "b"])
    assert common.tolist() == [[0, 0], [0, 0]]
    assert (labelled, shared) == (0, 0)
    assert intersections({}, [])[0].shape == (0, 0)
