"""The store gives back what was written, within half a step, and never an empty mask for what was not."""

import multiprocessing
import os

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from segkit.predictions import PredictionStore
from segkit.predictions import store as store_module

IDS, CLASSES = ("b.png", "a.png"), ("x", "y", "z")
SIZES = {"b.png": (40, 30), "a.png": (20, 10)}


def create(path, **more):
    return PredictionStore.create(path, **{"ids": IDS, "classes": CLASSES, "sizes": SIZES, "grid": (4, 5), **more})


@pytest.fixture
def store(tmp_path):
    return create(tmp_path / "s.zarr")


logits = npst.arrays(np.float32, (3, 4, 5), elements=st.floats(-6, 6, width=32))


@settings(max_examples=40)
@given(logits, st.sampled_from([1 / 16, 1 / 32, 1 / 64]))
def test_round_trip_within_half_a_step_saturated_at_127(tmp_path_factory, values, scale):
    store = create(tmp_path_factory.mktemp("s") / "s.zarr", scale=scale)
    kept = values.copy()
    store["a.png"] = values
    back = store["a.png"]
    assert back.dtype == np.float32
    assert np.abs(back - np.clip(values, -127 * scale, 127 * scale)).max() <= scale / 2
    assert np.array_equal(values, kept)
    assert store.saturation == 127 * scale
    assert np.array_equal(store.levels("a.png") * np.float32(scale), back)
    for k, cls in enumerate(CLASSES):
        assert np.array_equal(store.plane("a.png", cls), back[k])
    for (cls, plane), name, wanted in zip(store.planes("a.png"), CLASSES, back, strict=True):
        assert cls == name
        assert np.array_equal(plane, wanted)
    store["a.png"] = back  # levels come back as themselves
    assert np.array_equal(store["a.png"], back)


def test_counted_by_hand(store):
    values = np.zeros((3, 4, 5))
    values[0, 0] = [0.015, 0.017, -0.9, 1e30, -np.inf]
    store["a.png"] = values
    assert store.levels("a.png")[0, 0].tolist() == [0, 1, -29, 127, -127]
    assert store["a.png"][0, 0].tolist() == [0, 1 / 32, -29 / 32, 127 / 32, -127 / 32]


def test_what_a_store_says_of_itself_and_says_again_when_opened(store):
    for found in (store, PredictionStore.open(store.path)):
        assert found.ids == IDS
        assert found.classes == CLASSES
        assert found.sizes == SIZES
        assert found.grid == (4, 5)
        assert found.scale == 1 / 32
        assert len(found) == 2
        assert ("a.png" in found, "c.png" in found) == (True, False)


def test_an_unwritten_image_is_an_error_and_never_an_empty_mask(store):
    assert store.done == frozenset()
    store["a.png"] = np.zeros((3, 4, 5))
    assert store.done == {"a.png"}
    again = PredictionStore.open(store.path)
    assert again.done == {"a.png"}
    assert (again["a.png"] == 0).all()
    for read in (again.__getitem__, again.levels, lambda i: again.plane(i, "x")):
        with pytest.raises(KeyError, match=r"'b\.png' has not been written yet"):
            read("b.png")


def test_absent_images_and_classes_are_key_errors(store):
    with pytest.raises(KeyError, match=r"no image 'c\.png'"):
        store["c.png"]
    with pytest.raises(KeyError, match=r"no image 'c\.png'"):
        store["c.png"] = np.zeros((3, 4, 5))
    with pytest.raises(KeyError, match="no class 'w'; it has x, y, z"):
        store.plane("a.png", "w")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 5, 4)), r"a\.png: float logits of shape \(3, 4, 5\) are wanted, got float64 \(3, 5, 4\)"),
        (np.zeros((2, 4, 5)), "float logits of shape"),
        (np.zeros((4, 5)), "float logits of shape"),
        (np.zeros((3, 4, 5), np.uint8), "got uint8"),
        (np.zeros((3, 4, 5), bool), "got bool"),
        (np.where(np.arange(3)[:, None, None] == 1, np.nan, np.zeros((3, 4, 5))), "NaN in class y"),
    ],
)
def test_what_is_no_logits_is_refused_and_nothing_is_written(store, values, message):
    with pytest.raises(ValueError, match=message):
        store["a.png"] = values
    assert store.done == frozenset()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ids": ("a.png", "b.png", "a.png")}, r"3 id names, repeated: \['a\.png'\]"),
        ({"ids": ()}, "0 id names"),
        ({"classes": ("x", "x")}, "2 class names, repeated"),
        ({"classes": ()}, "0 class names"),
        ({"ids": ("a.png", "q.png")}, r"no size for 1 images: q\.png"),
        ({"grid": (0, 5)}, "grid="),
        ({"scale": 0.03}, "power of two"),
        ({"scale": 0}, "power of two"),
        ({"scale": -0.5}, "power of two"),
        ({"scale": 0.25}, "1/8 at most"),
    ],
)
def test_a_store_that_cannot_be_made_leaves_nothing_behind(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        create(tmp_path / "s.zarr", **more)
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_never_written_over(store):
    store["a.png"] = np.ones((3, 4, 5))
    with pytest.raises(ValueError, match="exists; open it"):
        create(store.path)
    assert (PredictionStore.open(store.path)["a.png"] == 1).all()


def test_what_is_no_store(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    for name in ("none", "file", "empty", "other.zarr"):
        with pytest.raises(ValueError, match="is not a PredictionStore"):
            PredictionStore.open(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "other.zarr"]


def test_a_store_of_another_version_is_told(store):
    zarr.open_group(store.path, mode="r+").attrs["segkit"] = 99
    with pytest.raises(ValueError, match="store version 99"):
        PredictionStore.open(store.path)


def test_any_zarr_reader_opens_it(store):
    store["a.png"] = np.full((3, 4, 5), 0.5)
    group = zarr.open_group(store.path, mode="r")
    assert group["logits"].dtype == np.int8
    assert group["logits"].shape == (2, 3, 4, 5)
    assert group["logits"].chunks == (1, 3, 4, 5)
    assert (group["logits"][1] == 16).all()
    assert list(group["done"][:]) == [0, 1]
    assert group["done"].chunks == (1,)  # two writers of two images share no file
    assert group.attrs["scale"] == 1 / 32
    assert group.attrs["saturation"] == 127 / 32
    assert list(group.attrs["ids"]) == list(IDS)


def test_images_above_16_megabytes_are_kept_plane_by_plane(tmp_path, monkeypatch):
    small = create(tmp_path / "small.zarr", grid=(2364, 2365))  # 3 x 2364 x 2365 bytes are just below 16 MiB
    large = create(tmp_path / "large.zarr", grid=(2365, 2365))
    chunks = [zarr.open_group(s.path)["logits"].chunks for s in (small, large)]
    assert chunks == [(1, 3, 2364, 2365), (1, 1, 2365, 2365)]
    monkeypatch.setattr(store_module, "MOST_CHUNK_BYTES", 59)
    planes = create(tmp_path / "planes.zarr")
    values = np.random.default_rng(0).normal(0, 1, (3, 4, 5))
    planes["a.png"] = values
    assert np.abs(planes["a.png"] - values).max() <= 1 / 64
    assert np.array_equal(planes.plane("a.png", "z"), planes["a.png"][2])


def write_from_another_process(path, image, value):
    store = PredictionStore.open(path)
    for _ in range(5):
        store[image] = np.full((3, 4, 5), value)
    return os.getpid()


def test_two_processes_write_two_images_of_one_store(store):
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        jobs = [pool.apply_async(write_from_another_process, (store.path, i, v)) for i, v in zip(IDS, (1.0, -2.0))]
        assert os.getpid() not in {job.get(60) for job in jobs}
    assert store.done == set(IDS)
    assert (store["b.png"] == 1).all()
    assert (store["a.png"] == -2).all()


def test_attributes_are_there_from_the_start_and_can_be_set(tmp_path):
    made = create(tmp_path / "s.zarr", attributes={"made of": ["a", 1.5]})
    assert made.attributes["made of"] == ["a", 1.5]
    made.attributes["made of"] = "b"
    assert PredictionStore.open(made.path).attributes["made of"] == "b"


def test_a_stamp_is_of_the_predictions_that_were_named(store, tmp_path):
    empty = store.stamp(IDS)
    store["a.png"] = np.ones((3, 4, 5))
    first, other = store.stamp(["a.png"]), store.stamp(["b.png"])
    assert store.stamp(IDS) != empty
    store["b.png"] = np.ones((3, 4, 5))
    assert store.stamp(["a.png"]) == first
    assert store.stamp(["b.png"]) != other
    store.path.rename(tmp_path / "moved.zarr")
    assert PredictionStore.open(tmp_path / "moved.zarr").stamp(["a.png"]) == first
    with pytest.raises(KeyError, match=r"no image 'c\.png'"):
        store.stamp(["c.png"])
