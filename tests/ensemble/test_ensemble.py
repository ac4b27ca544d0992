"""Blends against NumPy on the stored logits, votes against counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from segkit import ensemble, submission
from segkit.ensemble import vote
from segkit.ensemble.weights import shares
from segkit.geometry import resize
from segkit.masks import MaskSet, as_masks
from segkit.postprocess import render
from segkit.predictions import PredictionStore
from segkit.rle import Runs

IDS, CLASSES, SIZE = ("a.png", "b.png"), ("x", "y"), (31, 44)


def store(path, seed, *, side=(6, 7), ids=IDS, classes=CLASSES, size=SIZE, written=True):
    made = PredictionStore.create(path, ids=ids, classes=classes, sizes=dict.fromkeys(ids, size), grid=side)
    rng = np.random.default_rng(seed)
    for image in ids if written else ids[:1]:
        made[image] = rng.normal(0, 2, (len(classes), *side))
    return made


@pytest.mark.parametrize("weights", [None, (1, 1, 1), (1, 2, 5), (0, 0.5, 0.25)])
def test_a_blend_is_the_weighted_mean_within_half_a_step(tmp_path, weights):
    stores = [store(tmp_path / f"{n}.zarr", n) for n in range(3)]
    before = [s["a.png"] for s in stores]
    blended = ensemble.blend(stores, weights, out=tmp_path / "blend.zarr")
    assert (blended.ids, blended.classes, blended.sizes) == (IDS, CLASSES, dict.fromkeys(IDS, SIZE))
    assert blended.done == set(IDS)
    for image in IDS:
        mean = np.average([s[image] for s in stores], axis=0, weights=weights)
        assert np.abs(blended[image] - mean).max() <= 1 / 64 + 1e-5
    assert all(np.array_equal(s["a.png"], b) for s, b in zip(stores, before))
    assert PredictionStore.open(tmp_path / "blend.zarr").done == set(IDS)


def test_a_blend_of_one_is_that_one(tmp_path):
    one = store(tmp_path / "1.zarr", 1)
    blended = ensemble.blend([one], out=tmp_path / "blend.zarr")
    assert np.array_equal(blended.levels("b.png"), one.levels("b.png"))


def test_a_blend_goes_on_where_it_was_killed_and_is_the_same(tmp_path, monkeypatch):
    stores = [store(tmp_path / f"{n}.zarr", n) for n in range(2)]
    weights = {CLASSES[0]: [1, 3], "*": [0, 1]}
    whole = ensemble.blend(stores, weights, out=tmp_path / "whole.zarr")
    assert np.array_equal(whole["a.png"][1:], stores[1]["a.png"][1:])
    written, out = PredictionStore.write_logits, tmp_path / "blend.zarr"

    def dies(self, image, logits):
        if image == IDS[1]:
            raise KeyboardInterrupt
        written(self, image, logits)

    monkeypatch.setattr(PredictionStore, "write_logits", dies)
    with pytest.raises(KeyboardInterrupt):
        ensemble.blend(stores, weights, out=out)
    half = PredictionStore.open(out)
    assert half.done == {IDS[0]}
    with pytest.raises(KeyError, match="has not been written yet"):
        dict(render([half])[IDS[1]])
    asked = []
    monkeypatch.setattr(PredictionStore, "write_logits", lambda s, i, v: (asked.append(i), written(s, i, v)))
    for _ in range(2):  # the second time nothing is left to do
        again = ensemble.blend([PredictionStore.open(s.path) for s in stores], weights, out=out)
        assert asked == [IDS[1]]
    assert all(np.array_equal(again.levels(i), whole.levels(i)) for i in IDS)


def test_another_blend_does_not_go_on_in_a_store(tmp_path):
    one, two = (store(tmp_path / f"{n}.zarr", n) for n in range(2))
    ensemble.blend([one, two], out=tmp_path / "blend.zarr")

    def refused(message, *given, out="blend.zarr"):
        with pytest.raises(ValueError, match=message):
            ensemble.blend(*given, out=tmp_path / out)

    refused(r"blend\.zarr was blended with other weights", [one, two], [1, 2])
    refused("of other stores", [two, one])
    refused("of other stores", [one, two, two])
    refused(r"0\.zarr is there and is no blend", [one, two], None, out="0.zarr")
    (tmp_path / "moved").mkdir()
    one.path.rename(tmp_path / "moved" / "0.zarr")
    one = PredictionStore.open(tmp_path / "moved" / "0.zarr")
    assert ensemble.blend([one, two], [2, 2], out=tmp_path / "blend.zarr").done == set(IDS)  # the same, elsewhere
    one["a.png"] = one["a.png"] + 1
    refused("written again", [one, two])


def test_coarser_grids_are_upsampled_to_the_finest(tmp_path):
    coarse, fine = store(tmp_path / "c.zarr", 1), store(tmp_path / "f.zarr", 2, side=(12, 14))
    blended = ensemble.blend([coarse, fine], out=tmp_path / "blend.zarr")
    assert blended.grid == (12, 14)
    up = np.stack([resize.upsample(plane, (12, 14)) for plane in coarse["a.png"]])
    assert np.abs(blended["a.png"] - (up + fine["a.png"]) / 2).max() <= 1 / 64 + 1e-5


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        ({"classes": ("y", "x")}, ValueError, "differ in their classes or their order"),
        ({"ids": ("a.png",)}, KeyError, r"2\.zarr lacks 1 images: b\.png"),
        ({"written": False}, KeyError, r"2\.zarr lacks 1 images: b\.png"),
        ({"size": (44, 31)}, ValueError, r"differ in the size of a\.png, b\.png"),
    ],
)
def test_stores_that_do_not_agree_leave_nothing_behind(tmp_path, other, error, message):
    stores = [store(tmp_path / "1.zarr", 1), store(tmp_path / "2.zarr", 2, **other)]
    with pytest.raises(error, match=message):
        ensemble.blend(stores, out=tmp_path / "blend.zarr")
    assert not (tmp_path / "blend.zarr").exists()


@pytest.mark.parametrize("weights", [(1,), (1, 2, 3), (1, -1), (0, 0)])
def test_weights_that_do_not_fit(tmp_path, weights):
    stores = [store(tmp_path / f"{n}.zarr", n) for n in range(2)]
    with pytest.raises(ValueError, match="expected 2 weights >= 0"):
        ensemble.blend(stores, weights, out=tmp_path / "blend.zarr")
    with pytest.raises(ValueError, match="expected 2 weights >= 0, one a submission"):
        list(ensemble.vote([rows(np.ones((2, 2, 3, 3), bool))] * 2, weights=weights))


def test_nothing_to_blend_or_to_count(tmp_path):
    with pytest.raises(ValueError, match="at least one store"):
        ensemble.blend([], out=tmp_path / "blend.zarr")
    with pytest.raises(ValueError, match="at least one submission"):
        list(ensemble.vote([]))


def rows(masks, ids=IDS, classes=CLASSES):
    """Masks of a bool array (image, class, H, W)."""
    place = {(i, c): Runs.from_mask(masks[n, k]) for n, i in enumerate(ids) for k, c in enumerate(classes)}
    return MaskSet(ids, classes, lambda i, c: place[i, c])


@settings(max_examples=40, deadline=None)
@given(npst.arrays(bool, (4, 2, 2, 4, 5)), st.integers(1, 4))
def test_a_vote_counts(masks, need):
    sources = [rows(m) for m in masks]
    counts = masks.sum(axis=0)
    found = list(ensemble.vote(sources, need))
    assert [(i, c) for i, c, _ in found] == [(i, c) for i in IDS for c in CLASSES]
    for (_, _, runs), count in zip(found, counts.reshape(-1, 4, 5)):
        assert np.array_equal(runs.mask(), count >= need)
    for (_, _, runs), count in zip(ensemble.vote(sources), counts.reshape(-1, 4, 5)):
        assert np.array_equal(runs.mask(), count > 2)  # more than half: two of four do not pass
    for (_, _, runs), m in zip(ensemble.vote(sources[:3], weights=(0.2, 0.3, 0.5)), range(4)):
        heavy = np.tensordot([2, 3, 5], masks[:3], 1).reshape(-1, 4, 5)[m]
        assert np.array_equal(runs.mask(), heavy > 5)  # half is not more than half


@settings(max_examples=40, deadline=None)
@given(npst.arrays(bool, (3, 2, 2, 4, 5)), st.lists(st.integers(0, 4), min_size=3, max_size=3).filter(any))
def test_a_vote_with_weights_of_a_class_is_that_classes_own_vote(masks, weights):
    sources = [rows(m) for m in masks]
    special, other = CLASSES
    mixed = list(ensemble.vote(sources, weights={special: weights, "*": (1, 1, 1)}))
    first = {(i, c): runs for i, c, runs in ensemble.vote(sources, weights=weights)}
    second = {(i, c): runs for i, c, runs in ensemble.vote(sources)}
    assert [runs for _, _, runs in mixed] == [(first if c == special else second)[i, c] for i, c, _ in mixed]
    with pytest.raises(ValueError, match=f"no setting for .*{other}"):
        list(ensemble.vote(sources, weights={special: weights}))
    with pytest.raises(ValueError, match=f"expected 3 weights .* for class {special}"):
        list(ensemble.vote(sources, weights={special: [1], "*": weights}))


def test_a_vote_of_files_in_the_first_ones_order(tmp_path):
    names = [("b", "y"), ("b", "x"), ("a", "y"), ("a", "x")]
    one = submission.write(tmp_path / "1.csv", [(*n, "1 2") for n in names])
    two = submission.write(tmp_path / "2.csv", [(*n, "2 2") for n in sorted(names)])
    three = submission.write(tmp_path / "3.csv", [(*n, "" if n[0] == "a" else "2 1") for n in names])
    out = submission.write(tmp_path / "out.csv", ensemble.vote([one, two, three]))
    assert out.read_text().split()[1:] == ["b,y,2", "1", "b,x,2", "1", "a,y,2", "1", "a,x,2", "1"]
    assert submission.validate(out, like=one)["rows"] == 4


@pytest.mark.parametrize("lacking", [("a", "x"), ("b", "y")])
def test_a_missing_row_is_named_whoever_lacks_it(tmp_path, lacking):
    names = [(i, c) for i in "ab" for c in "xy"]
    full = submission.write(tmp_path / "full.csv", [(*n, "1 2") for n in names])
    short = submission.write(tmp_path / "short.csv", [(*n, "1 2") for n in names if n != lacking])
    for pair in ((full, short), (short, full)):
        with pytest.raises(
            ValueError, match=rf"short\.csv lacks 1 rows that .*full.csv has, image {lacking[0]}, class {lacking[1]}"
        ):
            list(ensemble.vote(pair))


@pytest.mark.parametrize("extra", [("c", "x"), ("a", "z")])
def test_an_image_or_a_class_of_another_file_is_not_dropped_in_silence(tmp_path, extra):
    names = [(i, c) for i in "ab" for c in "xy"]
    one = submission.write(tmp_path / "1.csv", [(*n, "1 2") for n in names])
    more = submission.write(tmp_path / "2.csv", [(*n, "1 2") for n in [*names, extra]])
    with pytest.raises(ValueError, match=rf"1\.csv lacks 1 rows .*2\.csv has, image {extra[0]}, class {extra[1]}"):
        list(ensemble.vote([one, more]))


def test_a_vote_keeps_the_rows_of_a_file_that_goes_class_by_class(tmp_path):
    names = [("b", "x"), ("a", "x"), ("a", "y"), ("b", "z")]  # not every class of every image, either
    one = submission.write(tmp_path / "1.csv", [(*n, "1 2") for n in names])
    two = submission.write(tmp_path / "2.csv", [(*n, "2 2") for n in sorted(names)])
    assert [(i, c) for i, c, _ in ensemble.vote([one, two])] == names
    (tmp_path / "3.csv").write_text(two.read_text() + "a,z,1 1\n")
    assert [(i, c) for i, c, _ in ensemble.vote([one, tmp_path / "3.csv"], missing="empty")] == names


@pytest.mark.parametrize("need", [0, -1, 2.5, float("nan")])
def test_what_a_pixel_can_never_need_is_an_error(need):
    masks = [as_masks({"a": {"x": Runs([[0, 1]])}})] * 2
    with pytest.raises(ValueError, match="at most 2, the weight of all, for class x"):
        list(ensemble.vote(masks, need))
    assert [r.area for _, _, r in ensemble.vote(masks, 0.3, [0.1, 0.2])] == [1]  # which add up to .30000000000000004


def test_masks_of_different_sizes_name_the_image():
    one, two = (as_masks({"a": {"x": Runs([[0, 1]], shape)}}) for shape in ((1, 2), (2, 1)))
    with pytest.raises(ValueError, match="image a, class x: masks of different shapes"):
        list(ensemble.vote([one, two]))


def test_missing_rows_are_empty_where_that_is_asked_for(tmp_path):
    one = submission.write(tmp_path / "1.csv", [("a", "x", "1 4"), ("b", "x", "1 2")])
    two = submission.write(tmp_path / "2.csv", [("a", "x", "3 4"), ("c", "x", "1 9")])
    with pytest.raises(ValueError, match=r"lacks 1 rows that .* has, image"):
        list(ensemble.vote([one, two], 1))
    rows = [(i, c, r.text()) for i, c, r in ensemble.vote([one, two], 1, missing="empty")]
    assert rows == [("a", "x", "1 6"), ("b", "x", "1 2")]
    with pytest.raises(ValueError, match="expected missing 'error' or 'empty'"):
        list(ensemble.vote([one, two], missing="skip"))


@pytest.mark.parametrize("weights", [[1, "a"], ["b", 1], [None, 1], [{}, 1], {"x": 1, "*": [1, 1]}])
def test_weights_that_are_no_numbers(tmp_path, weights):
    path = submission.write(tmp_path / "s.csv", [("a", "x", "1 2"), ("a", "y", "")])
    with pytest.raises(ValueError, match=r"expected 2 weights .* for class "):
        list(vote([path, path], weights=weights))
    with pytest.raises(ValueError, match="expected 2 weights >= 0"):
        shares(weights, ("x", "y"), 2)


def test_a_blend_of_exclusive_classes(tmp_path):
    logits = [np.random.default_rng(k).normal(0, 3, (3, 4, 5)).astype(np.float32) for k in range(2)]
    facts = {"ids": ["i"], "classes": ["x", "y", "z"], "sizes": {"i": (16, 20)}, "grid": (4, 5)}
    stores = [PredictionStore.create(tmp_path / f"{k}.zarr", **facts, exclusive=True) for k in range(2)]
    for store, values in zip(stores, logits):
        store["i"] = values
    mean = ensemble.blend(stores, [1, 3], out=tmp_path / "mean.zarr")
    assert mean.exclusive
    assert (
        np.abs(
            (mean["i"] - mean["i"][0])
            - (stores[0]["i"] / 4 + stores[1]["i"] * 0.75 - (stores[0]["i"][0] / 4 + stores[1]["i"][0] * 0.75))
        ).max()
        <= 1 / 16
    )
    other = PredictionStore.create(tmp_path / "other.zarr", **facts)
    other["i"] = logits[0]
    with pytest.raises(ValueError, match="the classes of one are exclusive"):
        ensemble.blend([stores[0], other], out=tmp_path / "mixed.zarr")
