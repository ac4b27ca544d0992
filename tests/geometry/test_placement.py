"""Placement: what goes into a network at one place comes back at the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segkit.geometry import place, resize_image, upsample

sides = st.tuples(st.integers(1, 70), st.integers(1, 70))


def test_boxes_counted_by_hand():
    assert place((100, 200), (64, 64)).box == (0, 0, 64, 64)
    assert place((100, 200), (64, 64), "pad").box == (16, 0, 48, 64)
    assert place((200, 100), (64, 64), "pad").box == (0, 16, 64, 48)
    assert place((3, 300), (64, 64), "pad").box == (31, 0, 32, 64)  # never less than a pixel
    assert place((50, 50), (64, 96), "pad").box == (0, 16, 64, 80)
    assert not place((50, 50), (64, 64), "pad").padded
    with pytest.raises(ValueError, match="expected stretch or pad"):
        place((5, 5), (5, 5), "crop")  # type: ignore[arg-type]


@given(shape=sides, size=sides)
def test_padding_keeps_the_aspect_ratio_and_touches_two_borders(shape, size):
    found = place(shape, size, "pad")
    top, left, bottom, right = found.box
    h, w = found.inner
    scale = min(size[0] / shape[0], size[1] / shape[1])
    assert 0 <= top < bottom <= size[0]
    assert 0 <= left < right <= size[1]
    assert abs(h - max(1, shape[0] * scale)) <= 0.5
    assert abs(w - max(1, shape[1] * scale)) <= 0.5
    assert h == size[0] or w == size[1]
    assert abs(top - (size[0] - bottom)) <= 1
    assert abs(left - (size[1] - right)) <= 1


@given(shape=sides, size=sides, channels=st.integers(1, 5))
def test_the_image_lies_in_its_box_and_is_mirrored_around_it(shape, size, channels):
    image = np.random.default_rng(0).integers(0, 256, (*shape, channels)).astype(np.uint8)
    found = place(shape, size, "pad")
    out, (top, left, bottom, right) = found.image(image), found.box
    assert out.shape == (*size, channels)
    small = resize_image(image, found.inner)
    np.testing.assert_array_equal(out[top:bottom, left:right], small)
    slow = np.pad(small, ((top, size[0] - bottom), (left, size[1] - right), (0, 0)), mode="reflect")
    np.testing.assert_array_equal(out, slow)
    np.testing.assert_array_equal(found.unpad(out.transpose(2, 0, 1)), small.transpose(2, 0, 1))


@given(shape=sides, size=sides, fit=st.sampled_from(["stretch", "pad"]))
def test_logits_that_are_their_place_come_back_at_their_place(shape, size, fit):
    """Class maps that say "I am row y, column x of the image" say so at full size too, but at the edges."""
    found = place(shape, size, fit)
    maps = np.full((2, *size), np.nan)  # what lies in the padding must not be seen
    top, left, bottom, right = found.box
    (h, w), (height, width) = found.inner, shape
    rows, columns = (np.arange(h) + 0.5) * height / h, (np.arange(w) + 0.5) * width / w
    maps[:, top:bottom, left:right] = rows[:, None] + 0 * columns, 0 * rows[:, None] + columns
    y, x = (upsample(one, shape) for one in found.to_grid(maps.astype(np.float32), size))
    for got, full, n, axis in ((y, height, h, 0), (x, width, w, 1)):
        wanted = np.arange(full) + 0.5
        edge = 1.5 * full / n  # half a low-resolution pixel that is clamped, and one that it is resampled into
        inside = (wanted > edge) & (wanted < full - edge)
        line = np.take(got, 0, axis=1 - axis)
        assert np.ptp(got, axis=1 - axis).max() < 1e-3
        np.testing.assert_allclose(line[inside], wanted[inside], atol=1e-3)
        assert np.abs(line - wanted).max() <= edge


def test_nothing_changes_where_nothing_is_to_change():
    maps = np.random.default_rng(0).normal(size=(2, 8, 8)).astype(np.float32)
    assert place((40, 50), (8, 8)).to_grid(maps, (8, 8)) is not None
    np.testing.assert_array_equal(place((40, 50), (8, 8)).to_grid(maps, (8, 8)), maps)
    smaller = place((40, 50), (8, 8)).to_grid(maps, (4, 4))
    np.testing.assert_allclose(smaller, maps.reshape(2, 4, 2, 4, 2).mean(axis=(2, 4)), rtol=1e-6)


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match=r"expected an image of \(4, 6\)"):
        place((4, 6), (8, 8)).image(np.zeros((6, 4, 1), np.uint8))
    with pytest.raises(ValueError, match=r"expected class maps of \(8, 8\)"):
        place((4, 6), (8, 8)).unpad(np.zeros((1, 4, 4)))
