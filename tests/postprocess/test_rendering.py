"""Masks of a Pipeline on stored logits: those of the whole class maps, in order, few images at a time."""

from collections import Counter

import numpy as np
import pytest

from segkit import ensemble
from segkit.ensemble import Blend
from segkit.geometry import resize
from segkit.postprocess import MaskCache, Pipeline, render
from segkit.predictions import PredictionStore
from segkit.rle import Runs

SIZES = {"b.png": (37, 53), "a.png": (16, 16), "c.png": (80, 41)}
CLASSES = ("x", "y")


def made(path, seed=0, grid=(13, 11)):
    store = PredictionStore.create(path, ids=SIZES, classes=CLASSES, sizes=SIZES, grid=grid)
    for number, image in enumerate(SIZES):
        store[image] = np.random.default_rng(seed + number).normal(0, 2, (2, *grid))
    return store


@pytest.fixture
def store(tmp_path):
    return made(tmp_path / "a.zarr")


@pytest.fixture
def reads(monkeypatch):
    """How often each image is read from a store."""
    count: Counter[str] = Counter()
    levels = PredictionStore.levels
    monkeypatch.setattr(PredictionStore, "levels", lambda self, i: count.update([i]) or levels(self, i))
    return count


def texts(masks):
    return [(image, cls, masks[image][cls].text()) for image, cls in masks.rows]


@pytest.mark.parametrize("workers", [1, 2, None])
def test_masks_are_those_of_the_whole_class_maps(store, reads, workers):
    thresholds = {"x": 0.3, "y": 0.8}
    pipeline = Pipeline([("remove_small", {"min_area": 5})], thresholds=thresholds)
    wanted = []
    for image, size in SIZES.items():
        for cls, logits in zip(store.classes, store[image]):
            full = Runs.from_mask(resize.upsample(logits, size) > resize.threshold_logit(thresholds[cls]))
            wanted.append((image, cls, pipeline(full, cls).text()))
    reads.clear()
    masks = render(store, pipeline, workers=workers)
    assert (masks.ids, masks.classes, masks.sizes) == (tuple(SIZES), CLASSES, SIZES)
    assert texts(masks) == wanted
    assert reads == dict.fromkeys(SIZES, 1)  # all classes of an image at once


def test_some_images_in_the_order_asked_for(store):
    assert list(render(store, ids=["c.png", "b.png"]).rows) == [
        ("c.png", "x"), ("c.png", "y"), ("b.png", "x"), ("b.png", "y"),
    ]  # fmt: skip


def test_few_images_are_made_ahead_and_none_where_one_is_asked_for(tmp_path, reads):
    ids = [f"i{n}" for n in range(40)]
    many = PredictionStore.create(
        tmp_path / "m.zarr", ids=ids, classes=["x"], sizes=dict.fromkeys(ids, (8, 8)), grid=(2, 2)
    )
    for image in ids:
        many[image] = np.full((1, 2, 2), 2.0)
    masks = render(many, workers=2)
    assert masks["i7"]["x"].area == 64
    assert reads == {"i7": 1}
    assert masks["i8"]["x"].area == masks["i9"]["x"].area == 64
    assert masks["i20"]["x"]
    assert len(reads) <= 3 + 4
    assert render(many, workers=1)["i0"]["x"].area == 64


def test_an_image_that_is_not_there_and_a_setting_that_does_not_fit(store):
    with pytest.raises(KeyError, match=r"a\.zarr has no image 'd\.png'"):
        render(store, ids=["d.png"])
    with pytest.raises(ValueError, match="step remove_small, min_area: no setting for x"):
        render(store, Pipeline([("remove_small", {"min_area": {"y": 1}})]))
    with pytest.raises(ValueError, match="at least one store"):
        render([])
    with pytest.raises(ValueError, match="no class 'z'"):
        render(store, Pipeline(thresholds={"z": 0.4, "*": 0.5}))


def test_masks_kept_by_a_cache_are_those_made_anew(store, reads):
    cache = MaskCache(store, keep=2)
    cut = ("hysteresis", {"low": 0.3, "high": 0.8, "only": ["y"]})
    pair = {"winner": "y", "loser": "x", "by_logits": True}
    steps = [("remove_small", {"min_area": 4}), ("fill_holes", {})]
    for pipeline in (
        Pipeline(steps, thresholds=0.4, overlaps=[pair]),
        Pipeline(),
        Pipeline([cut, *steps], thresholds={"x": 0.6, "*": 0.3}, overlaps=[{**pair, "by_logits": False}]),
        Pipeline(steps, thresholds=0.4),
        Pipeline(exclusive=True, offsets={"x": 1.0, "*": 0}),
    ):
        for image in SIZES:
            wanted = pipeline.masks(dict(zip(CLASSES, store[image])), SIZES[image])
            assert dict(render(cache, pipeline, ids=[image], workers=1)[image]) == wanted
    assert max(map(len, cache._known.values())) == 2
    reads.clear()
    texts(render(cache, Pipeline(steps, thresholds=0.4), workers=1))
    assert not reads  # .4 is known


@pytest.mark.parametrize("domain", ["logits", "probs"])
def test_the_masks_of_a_blend_are_the_weighted_sum_at_full_resolution(tmp_path, domain):
    stores = [made(tmp_path / f"{n}.zarr", seed=n, grid=grid) for n, grid in enumerate([(13, 11), (9, 20)])]
    weights = {"x": [3, 1], "*": [0, 2]}
    pipeline = Pipeline(
        [("fill_holes", {})], thresholds={"x": 0.4, "y": 0.6}, blend=Blend(weights, domain=domain, stores=["a", "b"])
    )
    masks = render(stores, pipeline)
    for image, size in SIZES.items():
        for channel, (cls, share) in enumerate({"x": (0.75, 0.25), "y": (0.0, 1.0)}.items()):
            total = np.zeros(size, np.float32)
            for store, weight in zip(stores, share):
                one = store[image][channel]
                one = one if domain == "logits" else resize.sigmoid(one).astype(np.float32)
                total += resize.upsample(one, size) * np.float32(weight)
            level = (
                resize.threshold_logit(pipeline.threshold(cls))
                if domain == "logits"
                else np.float32(pipeline.threshold(cls))
            )
            assert masks[image][cls] == pipeline(Runs.from_mask(total > level), cls)


def test_several_stores_without_weights_are_averaged_equally(tmp_path):
    stores = [made(tmp_path / f"{n}.zarr", seed=n) for n in range(2)]
    assert texts(render(stores)) == texts(render(stores, Pipeline(blend=Blend([2, 2]))))
    with pytest.raises(ValueError, match="expected 2 weights"):
        render(stores, Pipeline(blend=Blend([1, 2, 3])))
    with pytest.raises(ValueError, match=r"the blend has 2 stores \(a, b\), got 1"):
        render(stores[0], Pipeline(blend=Blend([1, 2], stores=["a", "b"])))


def test_exclusive_classes_of_a_blend_are_the_argmax_of_the_mean(tmp_path):
    stores = [made(tmp_path / f"{n}.zarr", seed=n) for n in range(2)]
    pipeline = Pipeline(exclusive=True, offsets={"x": 0.5, "y": 0}, blend=Blend([3, 1]))
    mean = ensemble.blend(stores, [3, 1], out=tmp_path / "mean.zarr")
    for image, size in SIZES.items():
        x, y = (resize.upsample(logits, size) for logits in mean[image])
        found = render(stores, pipeline)[image]
        near = np.abs(x + 0.5 - y) < 0.2  # the new store rounds
        assert not ((found["x"].mask() != (x + 0.5 >= y)) & ~near).any()
        assert found["x"].area + found["y"].area == size[0] * size[1]


def test_a_store_of_exclusive_classes_is_rendered_by_its_highest_class(tmp_path):
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=["i"], classes=["x", "y"], sizes={"i": (1, 4)}, grid=(1, 2), exclusive=True
    )
    store["i"] = np.array([[[5.0, 1.0]], [[2.0, 4.0]]])
    assert {cls: render(store)["i"][cls].text() for cls in "xy"} == {"x": "1 2", "y": "3 2"}
    with pytest.raises(
        ValueError, match=r"s\.zarr: its classes are exclusive; expected a Pipeline with exclusive=True"
    ):
        render(store, Pipeline(thresholds=0.4))
