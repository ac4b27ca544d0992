"""Polygons at every size against cv2.fillPoly on the whole canvas; the ceiling of a round trip through a store."""

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.geometry import polygons, resize
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.samples import Samples

SQUARE = np.array([[1, 1], [4, 1], [4, 4], [1, 4]])


def whole_canvas(outlines, shape):
    """Each outline on a canvas of its own, OR-ed."""
    out = np.zeros(shape, bool)
    for outline in outlines:
        canvas = np.zeros(shape, np.uint8)
        cv2.fillPoly(canvas, [np.rint(outline).astype(np.int32)], 1)
        out |= canvas.astype(bool)
    return out


points = st.tuples(st.integers(-15, 55), st.integers(-15, 55))
outline_lists = st.lists(st.lists(points, min_size=1, max_size=9).map(np.array), max_size=3)


@settings(max_examples=150)
@given(
    outline_lists, st.tuples(st.integers(1, 40), st.integers(1, 40)), st.tuples(st.integers(1, 45), st.integers(1, 45))
)
def test_every_size_is_the_full_mask_averaged(outlines, shape, size):
    full = polygons.rasterize(outlines, shape)
    assert full.dtype == np.uint8
    assert np.array_equal(full.astype(bool), whole_canvas(outlines, shape))
    soft = polygons.rasterize(outlines, shape, size=size, soft=True)
    assert soft.dtype == np.float32
    assert np.array_equal(soft, resize.coverage(whole_canvas(outlines, shape), size))
    hard = polygons.rasterize(outlines, shape, size=size)
    assert hard.dtype == np.uint8
    if size != shape:
        assert np.array_equal(hard, soft > 0.5)
    assert np.array_equal(polygons.rasterize(outlines, shape, soft=True), full)


def test_counted_by_hand():
    mask = polygons.rasterize([SQUARE], (6, 7))
    assert mask.sum() == 16  # the outline is inside
    assert mask[1:5, 1:5].all()
    assert polygons.rasterize([SQUARE], (6, 6), size=(3, 3), soft=True).tolist() == [
        [0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25],
    ]  # fmt: skip
    assert polygons.rasterize([SQUARE], (6, 6), size=(3, 3)).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_one_point_one_line_and_nothing():
    assert polygons.rasterize([np.array([[2, 1]])], (3, 4)).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert polygons.rasterize([np.array([[0, 1], [3, 1]])], (3, 4)).sum() == 4
    assert polygons.rasterize([np.array([[3, 2]])], (3, 4))[2, 3] == 1
    assert polygons.rasterize([], (3, 4)).sum() == 0
    assert polygons.rasterize([], (3, 4), size=(2, 2), soft=True).tolist() == [[0, 0], [0, 0]]


def test_overlapping_polygons_are_joined_not_cut_out_of_each_other():
    outlines = [SQUARE, SQUARE + 2]
    assert polygons.rasterize(outlines, (8, 8)).sum() == 16 + 16 - 4
    assert polygons.rasterize([SQUARE, SQUARE], (8, 8)).sum() == 16
    inner = np.array([[2, 2], [3, 2], [3, 3], [2, 3]])
    assert polygons.rasterize([SQUARE, inner], (8, 8)).sum() == 16  # a outline inside is no hole


def test_points_outside_leave_what_is_inside():
    beyond = np.array([[-5, -5], [2, -5], [2, 2], [-5, 2]])
    assert polygons.rasterize([beyond], (6, 6)).sum() == 9
    assert polygons.rasterize([beyond - 20], (6, 6)).sum() == 0
    assert polygons.rasterize([beyond + 40], (6, 6), size=(3, 3), soft=True).sum() == 0
    assert polygons.rasterize([np.array([[-9, -9], [99, -9], [99, 99], [-9, 99]])], (6, 6), size=(4, 4)).all()


def test_points_between_pixels_go_to_the_nearest():
    assert np.array_equal(polygons.rasterize([SQUARE + 0.4], (6, 6)), polygons.rasterize([SQUARE], (6, 6)))
    assert np.array_equal(polygons.rasterize([SQUARE + 0.6], (6, 6)), polygons.rasterize([SQUARE + 1], (6, 6)))


@pytest.mark.parametrize(
    "outline",
    [
        np.zeros((3, 3)),
        np.zeros(4),
        np.zeros((0, 2)),
        np.array([[np.nan, 1]]),
        np.array([[np.inf, 1]]),
        np.array([[2**21, 1]]),
        np.array([["1", "2"]]),
    ],
)
def test_what_is_no_polygon(outline):
    with pytest.raises(ValueError, match="polygon"):
        polygons.rasterize([outline], (4, 4))


def test_random_points_that_would_take_minutes_are_refused():
    points = np.random.default_rng(0).integers(0, 2048, (20_000, 2))
    with pytest.raises(ValueError, match=r"20000 points crosses .* rows, more than its box has pixels"):
        polygons.rasterize([points], (2048, 2048), size=(64, 64))


def test_the_densest_comb_is_drawn():
    """Teeth and gaps of one pixel: no outline has more edges in a row."""
    x = np.arange(0, 4000)
    comb = np.stack([x, np.where(x // 2 % 2 == 0, 0, 600)], axis=1)[:2200]
    assert len(comb) > 2000
    assert polygons.rasterize([comb], (601, 2200)).any()


def test_polygons_come_back_untouched():
    outline = SQUARE + 0.5
    kept = outline.copy()
    polygons.rasterize([outline], (6, 6), size=(3, 3), soft=True)
    assert np.array_equal(outline, kept)


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 14), st.integers(1, 14)), st.floats(0.05, 0.97))
def test_a_traced_mask_is_drawn_again_pixel_by_pixel(seed, shape, share):
    mask = np.random.default_rng(seed).random(shape) < share
    assert np.array_equal(polygons.rasterize(polygons.trace(Runs.from_mask(mask)), shape), mask)


def test_an_island_in_a_hole_and_a_hole_in_it():
    mask = np.zeros((11, 11), bool)
    mask[1:10, 1:10] = True
    mask[2:9, 2:9] = False
    mask[4:7, 4:7] = True
    mask[5, 5] = False
    found = polygons.trace(Runs.from_mask(mask))
    assert sorted(len(polygon) for polygon in found) == [2, 2]
    assert np.array_equal(polygons.rasterize(found, mask.shape), mask)
    assert polygons.trace(Runs.from_mask(np.zeros((3, 3), bool))) == []


def test_a_hole_keeps_its_outline_and_another_polygon_may_fill_it():
    hole = np.array([[1, 1], [3, 1], [3, 3], [1, 3]])
    outline = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
    assert polygons.rasterize([(outline, hole)], (5, 5)).sum() == 24  # all but the centre
    assert polygons.rasterize([(outline, hole), hole], (5, 5)).all()


def ceiling(labels, sizes, classes, side, folder):
    """{class: mean Dice} of truth that went to soft targets, into a store as logits, and back to full resolution."""
    store = PredictionStore.create(folder, ids=list(labels), classes=classes, sizes=sizes, grid=(side, side))
    dice = {}
    for image, outlines in labels.items():
        soft = [polygons.rasterize(outlines[c], sizes[image], size=(side, side), soft=True) for c in classes]
        probs = np.clip(np.stack(soft), 1e-6, 1 - 1e-6)
        store[image] = np.log(probs / (1 - probs))
        for cls, plane in zip(classes, store[image]):
            if outlines[cls]:
                truth = Runs.from_mask(polygons.rasterize(outlines[cls], sizes[image]))
                dice.setdefault(cls, []).append(resize.runs_above(plane, sizes[image], 0.5).dice(truth))
    return {cls: float(np.mean(values)) for cls, values in dice.items()}


def test_ceiling_of_real_radiographs(tmp_path):
    if "SEGKIT_DATA" not in os.environ:
        pytest.skip("SEGKIT_DATA names no folder of real radiographs")
    root = Path(os.environ["SEGKIT_DATA"]) / "chest_xray"
    samples = Samples.from_folder(root)
    labels = {image: samples.regions(image) for image in samples.ids}
    dice = ceiling(labels, samples.sizes, samples.classes, 512, tmp_path / "s.zarr")
    assert np.mean(list(dice.values())) >= 0.996
    assert min(dice.values()) >= 0.994, dice


def test_ceiling_of_phantom_hands(tmp_path):
    from competitions.handbone import anatomy
    from competitions.handbone.facts import CLASSES

    hands = [
        anatomy.pose_hand(anatomy.invent_person(seed), side=side, pose=pose)
        for seed, (side, pose) in enumerate([("right", "upright"), ("left", "tilted"), ("left", "upright")])
    ]
    labels = {f"{n}.png": anatomy.rings(hand) for n, hand in enumerate(hands)}
    dice = ceiling(labels, dict.fromkeys(labels, (2048, 2048)), CLASSES, 512, tmp_path / "s.zarr")
    assert np.mean(list(dice.values())) >= 0.996
    assert min(dice.values()) >= 0.994, dice


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 14), st.integers(1, 14)), st.floats(0.05, 0.97))
def test_polygons_of_a_mask_give_it_back_with_its_holes(seed, shape, share):
    runs = Runs.from_mask(np.random.default_rng(seed).random(shape) < share)
    found = polygons.Polygons.from_runs(runs)
    assert found.runs(shape) == runs
    assert found.runs(shape).shape == shape
    assert bool(found) == bool(runs)
    assert np.array_equal(polygons.rasterize(found, shape), runs.mask())
    assert pickle.loads(pickle.dumps(found)) == found


def test_polygons_are_values():
    outline = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
    hole = np.array([[1, 1], [3, 1], [3, 3], [1, 3]])
    one = polygons.Polygons([outline, outline + 5], [[hole], []])
    assert one == polygons.Polygons([(outline.astype(float), hole), outline + 5])
    assert hash(one) == hash(polygons.Polygons([(outline.astype(float), hole), outline + 5]))
    assert one != polygons.Polygons([outline, outline + 5])
    assert (len(one.outlines), [len(parts) for parts in one.holes]) == (2, [1, 0])
    assert outline.flags.writeable
    assert not one.outlines[0].flags.writeable
    assert polygons.Polygons() == polygons.Polygons([])
    with pytest.raises(ValueError, match="holes of 1 outlines, got those of 2"):
        polygons.Polygons([outline], [[], []])
    with pytest.raises(ValueError, match=r"shape \(points, 2\)"):
        polygons.Polygons([np.zeros((3, 3))])
