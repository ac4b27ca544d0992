"""Rows of a submission from stored logits: those of the whole planes, in order, few images at a time."""

import numpy as np
import pytest

from segkit.geometry import resize
from segkit.postprocess import Pipeline, rows
from segkit.predictions import PredictionStore
from segkit.rle import Runs

SIZES = {"b.png": (37, 53), "a.png": (16, 16), "c.png": (80, 41)}


@pytest.fixture
def store(tmp_path):
    store = PredictionStore.create(tmp_path / "a.zarr", ids=SIZES, classes=["x", "y"], sizes=SIZES, grid=(13, 11))
    for number, image in enumerate(SIZES):
        store[image] = np.random.default_rng(number).normal(0, 2, (2, 13, 11))
    return store


@pytest.mark.parametrize("workers", [1, 2, None])
def test_rows_are_those_of_the_whole_planes(store, workers):
    thresholds = {"x": 0.3, "y": 0.8}
    pipeline = Pipeline([("remove_small", {"min_area": 5})], thresholds=thresholds)
    wanted = []
    for image, size in SIZES.items():
        for cls, plane in zip(store.classes, store[image]):
            whole = Runs.from_mask(resize.upsample(plane, size) > resize.cut(thresholds[cls]))
            wanted.append((image, cls, pipeline(whole, cls).text()))
    assert list(rows(store, pipeline, workers=workers)) == wanted


def test_some_images_in_the_order_asked_for(store):
    assert [row[:2] for row in rows(store, ids=["c.png", "b.png"])] == [
        ("c.png", "x"), ("c.png", "y"), ("b.png", "x"), ("b.png", "y"),
    ]  # fmt: skip


def test_few_images_are_read_ahead(store, monkeypatch):
    read: list[str] = []
    levels = PredictionStore.levels
    monkeypatch.setattr(PredictionStore, "levels", lambda self, image: read.append(image) or levels(self, image))
    many = rows(store, ids=["a.png"] * 50, workers=1)
    next(many)
    assert len(read) <= 3
    many.close()


def test_an_image_that_is_not_there_and_a_setting_that_does_not_fit(store):
    with pytest.raises(KeyError, match=r"no image 'd\.png'"):
        list(rows(store, ids=["d.png"]))
    with pytest.raises(ValueError, match=r"a\.zarr, image b\.png: class x, step remove_small: no setting for \['x'\]"):
        list(rows(store, Pipeline([("remove_small", {"min_area": {"y": 1}})])))
