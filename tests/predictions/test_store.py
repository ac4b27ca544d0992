"""The store gives back what was written, within half a step, and never an empty mask for what was not."""

import multiprocessing
import os

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from segkit.predictions import PredictionStore, header

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
    store.write_logits("a.png", values)
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
    store.write_logits("a.png", back)  # levels come back as themselves
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
    store["a.png"] = np.full((3, 4, 5), -1.0)
    assert store.done == {"a.png"}
    again = PredictionStore.open(store.path)
    assert again.done == {"a.png"}
    assert (again["a.png"] == -1).all()
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
        (np.zeros((3, 5, 4)), r"a\.png: expected float values of shape \(3, 4, 5\), got float64 \(3, 5, 4\)"),
        (np.zeros((2, 4, 5)), "float values of shape"),
        (np.zeros((4, 5)), "float values of shape"),
        ("logits", "got str"),
        (torch.zeros(3, 4, 5, dtype=torch.int64), r"got torch\.int64"),
        (np.zeros((3, 4, 5)), "looks like probabilities; pass logits, or use write_probabilities"),
        (np.random.default_rng(0).random((3, 4, 5)), "looks like probabilities"),
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
        ({"ids": ("a.png", "b.png", "a.png")}, r"got 3, repeated: \['a\.png'\]"),
        ({"ids": ()}, "at least one id name, each once, none empty, got 0"),
        ({"ids": ("a.png", 3), "sizes": {"a.png": (1, 1), 3: (1, 1)}}, "id name"),
        ({"sizes": SIZES | {"a.png": (0, 3)}}, r"size of a\.png to be \(height, width\) of at least 1 pixel, got"),
        ({"classes": ("x", "x")}, "class name, each once, none empty, got 2"),
        ({"classes": ("x", "")}, "class name"),
        ({"classes": ()}, "class name"),
        ({"exclusive": "yes"}, "exclusive to be True or False, got 'yes'"),
        ({"ids": ("a.png", "q.png")}, r"no size for 1 images: q\.png"),
        ({"grid": (0, 5)}, "grid to be"),
        ({"grid": 5}, "grid to be"),
        ({"scale": 0.03}, "power of two"),
        ({"scale": 0}, "power of two"),
        ({"scale": -0.5}, "power of two"),
        ({"scale": 0.25}, "at most 1/8"),
    ],
)
def test_a_store_that_cannot_be_made_leaves_nothing_behind(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        create(tmp_path / "s.zarr", **more)
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_never_written_over(store):
    store["a.png"] = np.full((3, 4, 5), 2.0)
    with pytest.raises(ValueError, match="exists; open it"):
        create(store.path)
    assert (PredictionStore.open(store.path)["a.png"] == 2).all()


def test_what_is_no_store(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    for name in ("none", "file", "empty", "other.zarr"):
        with pytest.raises(ValueError, match="is not a PredictionStore"):
            PredictionStore.open(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "other.zarr"]


def test_a_store_of_another_version_is_told(store):
    zarr.open_group(store.path, mode="r+").attrs["segkit"] = 1
    with pytest.raises(ValueError, match=r"store version 1, this segkit reads 2, .* predict or import again"):
        PredictionStore.open(store.path)


def test_any_zarr_reader_opens_it(store):
    store["a.png"] = np.full((3, 4, 5), 1.5)
    group = zarr.open_group(store.path, mode="r")
    assert group["logits"].dtype == np.int8
    assert group["logits"].shape == (2, 3, 4, 5)
    assert group["logits"].chunks == (1, 3, 4, 5)
    assert (group["logits"][1] == 48).all()
    assert list(group["done"][:]) == [0, 1]
    assert group["done"].chunks == (1,)  # two writers of two images share no file
    assert group.attrs["scale"] == 1 / 32
    assert group.attrs["logit"] == "level * scale"
    assert group["logits"].fill_value == -128  # what a chunk reads as that is not there
    assert list(group.attrs["ids"]) == list(IDS)


def test_images_above_16_megabytes_are_kept_plane_by_plane(tmp_path, monkeypatch):
    small = create(tmp_path / "small.zarr", grid=(2364, 2365))  # 3 x 2364 x 2365 bytes are just below 16 MiB
    large = create(tmp_path / "large.zarr", grid=(2365, 2365))
    chunks = [zarr.open_group(s.path)["logits"].chunks for s in (small, large)]
    assert chunks == [(1, 3, 2364, 2365), (1, 1, 2365, 2365)]
    monkeypatch.setattr(header, "MAX_CHUNK_BYTES", 59)
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
        jobs = [pool.apply_async(write_from_another_process, (store.path, i, v)) for i, v in zip(IDS, (2.0, -2.0))]
        assert os.getpid() not in {job.get(60) for job in jobs}
    assert store.done == set(IDS)
    assert (store["b.png"] == 2).all()
    assert (store["a.png"] == -2).all()


def test_attributes_are_there_from_the_start_and_can_be_set(tmp_path):
    made = create(tmp_path / "s.zarr", attributes={"made of": ["a", 1.5]})
    assert made.attributes["made of"] == ["a", 1.5]
    made.attributes["made of"] = "b"
    assert PredictionStore.open(made.path).attributes["made of"] == "b"


def test_a_stamp_is_of_the_predictions_that_were_named(store, tmp_path):
    empty = store.stamp(IDS)
    store["a.png"] = np.full((3, 4, 5), 2.0)
    first, other = store.stamp(["a.png"]), store.stamp(["b.png"])
    assert store.stamp(IDS) != empty
    store["b.png"] = np.full((3, 4, 5), 2.0)
    assert store.stamp(["a.png"]) == first
    assert store.stamp(["b.png"]) != other
    store.path.rename(tmp_path / "moved.zarr")
    assert PredictionStore.open(tmp_path / "moved.zarr").stamp(["a.png"]) == first
    with pytest.raises(KeyError, match=r"no image 'c\.png'"):
        store.stamp(["c.png"])


exclusive = npst.arrays(np.float32, (3, 4, 5), elements=st.floats(-30, 30, width=32))


@settings(max_examples=40)
@given(exclusive)
def test_exclusive_classes_keep_their_distance_to_the_highest(tmp_path_factory, values):
    store = create(tmp_path_factory.mktemp("s") / "s.zarr", exclusive=True)
    assert (store.scale, store.exclusive) == (1 / 16, True)
    store["a.png"] = values * 5 + 2
    back, given = store["a.png"], values * 5 + 2
    distance = np.minimum(given.max(axis=0) - given, 254 / 16)
    assert np.abs(back.max(axis=0) - back - distance).max() <= 1 / 32 + 1e-5
    assert (store.levels("a.png").max(axis=0) == 127).all()
    highest = np.take_along_axis(back, given.argmax(axis=0)[None], axis=0)[0]
    assert (highest == back.max(axis=0)).all()  # the highest class may tie, and never loses
    again = PredictionStore.open(store.path)
    assert again.exclusive
    again["a.png"] = back
    assert np.array_equal(again["a.png"], back)


def test_saturated_says_how_much_was_cut(tmp_path):
    values = np.zeros((3, 4, 5))
    values[0], values[1, :2] = 9, -9
    plain, other = create(tmp_path / "a.zarr"), create(tmp_path / "b.zarr", exclusive=True)
    plain["a.png"] = other["a.png"] = values
    assert plain.saturated("a.png") == {"x": 1.0, "y": 0.5, "z": 0.0}
    assert other.saturated("a.png") == {"x": 0.0, "y": 0.5, "z": 0.0}


def test_tensors_of_any_float_type(store):
    for number, dtype in enumerate((torch.float64, torch.float32, torch.float16, torch.bfloat16)):
        store["a.png"] = torch.full((3, 4, 5), -0.5 - number, dtype=dtype, requires_grad=True)
        assert (store["a.png"] == -0.5 - number).all()
    with torch.inference_mode():
        store["a.png"] = torch.full((3, 4, 5), 2.0)
    assert (store["a.png"] == 2).all()


def test_probabilities_by_name(tmp_path):
    plain, other = create(tmp_path / "a.zarr"), create(tmp_path / "b.zarr", exclusive=True)
    logits = np.random.default_rng(0).normal(0, 1.2, (3, 4, 5)).astype(np.float32)
    plain.write_probabilities("a.png", 1 / (1 + np.exp(-logits)))
    assert np.abs(plain["a.png"] - logits).max() <= 1 / 64 + 1e-5
    softmax = np.exp(logits) / np.exp(logits).sum(axis=0)
    other.write_probabilities("a.png", torch.tensor(softmax))
    other["b.png"] = logits
    assert np.array_equal(other["a.png"], other["b.png"])
    plain.write_probabilities("b.png", np.stack([np.zeros((4, 5)), np.ones((4, 5)), np.full((4, 5), 1 + 1e-5)]))
    assert plain.levels("b.png")[:, 0, 0].tolist() == [-127, 127, 127]
    for store in (plain, other):
        with pytest.raises(ValueError, match=r"image a\.png: expected probabilities in \[0, 1\], got"):
            store.write_probabilities("a.png", logits)


def test_logits_between_0_and_1_by_name(store):
    store.write_logits("a.png", np.full((3, 4, 5), 0.5))
    assert (store["a.png"] == 0.5).all()
    with pytest.raises(ValueError, match="NaN in class x, y, z"):
        store.write_logits("a.png", np.full((3, 4, 5), np.nan))


def test_infinite_logits(tmp_path):
    store = create(tmp_path / "s.zarr", exclusive=True)
    values = np.zeros((3, 4, 5))
    values[1] = -np.inf
    store["a.png"] = values
    assert store.levels("a.png")[:, 0, 0].tolist() == [127, -127, 127]
    with pytest.raises(ValueError, match=r"image a\.png: the highest logit of a pixel is infinite"):
        store["a.png"] = -values


@pytest.mark.parametrize("value", [-127 / 32, 0.5, 127 / 32])  # images of one value are written too
def test_a_lost_or_damaged_chunk_is_an_error_with_store_and_image(store, value):
    store.write_logits("a.png", np.full((3, 4, 5), value))
    chunk = store.path / "logits" / "c" / "1" / "0" / "0" / "0"
    data = chunk.read_bytes()
    for at in range(len(data)):
        for bit in (0, 7):
            chunk.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
            with pytest.raises(ValueError, match=r"s\.zarr, image a\.png: a chunk is damaged"):
                store["a.png"]
        chunk.write_bytes(data[:at])
        with pytest.raises(ValueError, match=r"image a\.png: a chunk is damaged"):
            store["a.png"]
    chunk.unlink()
    for read in (store.__getitem__, store.levels, store.saturated, lambda i: store.plane(i, "y")):
        with pytest.raises(ValueError, match=r"s\.zarr, image a\.png: its chunk is lost; predict or import it again"):
            read("a.png")


def test_a_damaged_or_lost_mark_of_what_is_done(store):
    store["a.png"] = np.full((3, 4, 5), 2.0)
    mark = store.path / "done" / "c" / "1"
    data = mark.read_bytes()
    mark.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    for read in (lambda: store["a.png"], lambda: store.done):
        with pytest.raises(ValueError, match=r"s\.zarr.*: a chunk is damaged"):
            read()
    mark.unlink()
    with pytest.raises(KeyError, match="has not been written yet"):
        store["a.png"]


EDITS = {
    "scale": [0, -0.03125, 0.0625, "1/32", None, True, 0.03],
    "ids": [["a.png", "b.png"], ["a.png", "a.png"], ["b.png"], [], None, "ab", [1, 2]],
    "classes": [["z", "y", "x"], ["x", "y"], ["x", "x", "y"], None],
    "sizes": [[[40, 30]], [[20, 10], [40, 30]], [[0, 1], [1, 1]], [[1], [2]], None],
    "grid": [[5, 4], [4, 4], [4], None, 0],
    "exclusive": [True, 0, None],
    "checksum": [None, "x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in EDITS.items() for value in values])
def test_edited_attributes_are_refused(store, name, value):
    attributes = zarr.open_group(store.path, mode="r+").attrs
    attributes[name] = value
    with pytest.raises(ValueError, match=r"s\.zarr is a damaged PredictionStore: "):
        PredictionStore.open(store.path)
    del attributes[name]
    with pytest.raises(ValueError, match=r"s\.zarr is a damaged PredictionStore: "):
        PredictionStore.open(store.path)


@pytest.mark.parametrize(
    "array",
    [
        {"shape": (2, 3, 4, 5), "chunks": (1, 3, 4, 5), "dtype": "uint8", "fill_value": 0},
        {"shape": (2, 3, 4, 5), "chunks": (1, 3, 4, 5), "dtype": "int8", "fill_value": 0},
        {"shape": (2, 3, 5, 4), "chunks": (1, 3, 5, 4), "dtype": "int8", "fill_value": -128},
        {"shape": (2, 3, 4, 5), "chunks": (2, 3, 4, 5), "dtype": "int8", "fill_value": -128},
        None,
    ],
)
def test_another_array_is_refused(store, array):
    group = zarr.open_group(store.path, mode="r+")
    del group["logits"]
    if array:
        group.create_array("logits", **array)
    with pytest.raises(ValueError, match=r"s\.zarr is a damaged PredictionStore: .*logits"):
        PredictionStore.open(store.path)
