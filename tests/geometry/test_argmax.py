"""The highest class at full resolution against upsampling every class whole, bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from segkit.geometry import argmax as module
from segkit.geometry import resize
from segkit.geometry.argmax import argmax_runs, label_map, runs_of_labels
from segkit.rle import Runs


def slow(logits, size, offsets=None):
    shift = np.zeros(len(logits), np.float32) if offsets is None else np.asarray(offsets, np.float32)
    maps = np.asarray(logits, np.float32) + shift[:, None, None]
    return np.stack([resize.upsample(m, size) for m in maps]).argmax(axis=0)


shapes = st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7))
levels = st.integers(-3, 3).map(float)  # few values: ties everywhere
numbers = st.floats(-8, 8, width=32)
maps = shapes.flatmap(
    lambda s: npst.arrays(np.float32, s, elements=levels) | npst.arrays(np.float32, s, elements=numbers)
)
sizes = st.tuples(st.integers(1, 23), st.integers(1, 23))


@settings(max_examples=150)
@given(maps, sizes, st.data())
def test_equals_argmax_of_every_class_upsampled(logits, size, data):
    offsets = data.draw(st.none() | npst.arrays(np.float32, len(logits), elements=levels | numbers))
    expected = slow(logits, size, offsets)
    found = label_map(logits, size, offsets=offsets)
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected)
    top, left = data.draw(st.integers(0, size[0])), data.draw(st.integers(0, size[1]))
    bottom, right = data.draw(st.integers(top, size[0])), data.draw(st.integers(left, size[1]))
    part = label_map(logits, size, offsets=offsets, region=(top, left, bottom, right))
    assert np.array_equal(part, expected[top:bottom, left:right])


def smooth(count, shape, seed=0):
    """Stored levels that look like a network's: large regions of one class."""
    draw = np.random.default_rng(seed)
    coarse = draw.normal(0, 4, (count, 4, 5)).astype(np.float32)
    full = np.stack([resize.upsample(plane, shape) for plane in coarse])
    return np.rint(full * 16) / 16


@pytest.mark.parametrize("size", [(128, 160), (120, 200), (97, 131), (16, 20), (32, 40)])
def test_smooth_maps_in_batches_and_strips(size, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 200)
    monkeypatch.setattr(module, "STRIP", 700)
    logits = smooth(6, (32, 40))
    offsets = dict(zip("abcdef", (0.5, -1, 0, 0.25, 2, -0.125)))
    expected = slow(logits, size, list(offsets.values()))
    assert np.array_equal(label_map(logits, size, offsets=list(offsets.values())), expected)
    runs = argmax_runs(dict(zip("abcdef", logits)), size, offsets=offsets)
    assert list(runs) == list("abcdef")
    for number, mask in enumerate(runs.values()):
        assert mask.shape == size
        assert mask == Runs.from_mask(expected == number)


def test_a_class_that_is_highest_between_pixels_and_at_none_of_them():
    logits = np.array([[[4.0, -4.0]], [[-4.0, 4.0]], [[1.5, 1.5]]])
    assert label_map(logits, (1, 8)).tolist() == [[0, 0, 0, 2, 2, 1, 1, 1]]


def test_ties_go_to_the_lowest_channel():
    assert not label_map(np.zeros((3, 2, 2)), (5, 5)).any()
    assert (label_map(np.zeros((3, 2, 2)), (5, 5), offsets=[0, 1, 1]) == 1).all()


def test_only_cells_at_borders_are_upsampled(monkeypatch):
    logits = np.full((3, 64, 64), -5.0, np.float32)
    logits[0, :, :32], logits[1, :, 32:] = 5, 5
    filled = []
    original = module._Cells._fill
    monkeypatch.setattr(module._Cells, "_fill", lambda s, *a: filled.append(len(a[3])) or original(s, *a))
    assert np.array_equal(label_map(logits, (256, 256)), slow(logits, (256, 256)))
    assert sum(filled) == 65  # one column; the half pixel above the first row is a block of its own


def test_more_than_256_classes():
    logits = np.zeros((300, 1, 2), np.float32)
    logits[299, 0, 1] = 1
    found = label_map(logits, (1, 2))
    assert found.dtype == np.uint16
    assert found.tolist() == [[0, 299]]


@given(npst.arrays(np.uint8, st.tuples(st.integers(0, 6), st.integers(1, 6)), elements=st.integers(0, 4)))
def test_runs_of_labels_are_those_of_masks(labels):
    for number, runs in enumerate(runs_of_labels(labels, 4)):
        assert Runs(runs, labels.shape) == Runs.from_mask(labels == number)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: label_map(np.zeros((2, 2)), (4, 4)), r"expected class maps of shape \(C, h, w\), got \(2, 2\)"),
        (lambda: label_map(np.zeros((0, 2, 2)), (4, 4)), "expected class maps"),
        (lambda: label_map(np.full((1, 2, 2), np.nan), (4, 4)), "got NaN"),
        (lambda: label_map(np.zeros((2, 2, 2)), (4, 4), offsets=[1]), "expected 2 finite offsets"),
        (lambda: label_map(np.zeros((1, 2, 2)), (4, 4), offsets=[np.inf]), "finite offsets"),
        (lambda: label_map(np.zeros((1, 2, 2)), (4, 4), region=(0, 0, 5, 4)), "does not lie inside"),
        (lambda: argmax_runs({"a": np.zeros((2, 2)), "b": np.zeros((3, 2))}, (4, 4)), "of one shape"),
        (lambda: argmax_runs({"a": np.zeros((2, 2))}, (4, 4), offsets={"x": 1}), "expected offsets of a, got one of x"),
        (lambda: argmax_runs({}, (4, 4)), "of one shape"),
    ],
)
def test_what_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
