"""The Dice of blends against full-resolution arrays, element by element."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit import metrics
from segkit.ensemble import Blend, BlendSpace, bands, space
from segkit.ensemble.weights import normalised
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.metrics import Dice, FBeta, IoU
from segkit.postprocess import Pipeline, render
from segkit.predictions import PredictionStore
from segkit.rle import Runs

CLASSES = ("x", "y", "z")
SIZES = {"a": (37, 41), "b": (64, 48), "c": (5, 9), "d": (30, 31)}
GRIDS = ((7, 6), (9, 9), (37, 41))


def world(folder, *, scale=1 / 32, seed=0, spread=60, grids=GRIDS):
    """Stores that agree roughly, of several grids, and a truth of blobs; class z is absent in two images."""
    rng = np.random.default_rng(seed)
    rows, seeds = {}, {}
    for image, size in SIZES.items():
        seeds[image] = rng.normal(-0.3, 1, (len(CLASSES), 5, 5))
        rows[image] = {c: Runs.from_mask(resize.upsample(p, size) > 0) for c, p in zip(CLASSES, seeds[image])}
    rows["b"]["z"] = rows["c"]["z"] = Runs([])
    stores = []
    for n, side in enumerate(grids):
        made = PredictionStore.create(
            folder / f"s{n}.zarr", ids=tuple(SIZES), classes=CLASSES, sizes=SIZES, grid=side, scale=scale
        )
        for image in SIZES:
            planes = np.stack([resize.upsample(p, side) for p in seeds[image]])
            made[image] = (planes * spread + rng.normal(0, spread / 3, planes.shape)) * scale
        stores.append(made)
    return stores, MaskSet(SIZES, CLASSES, lambda i, c: rows[i][c])


def slow(stores, truth, weights, thresholds, domain="logits", ids=tuple(SIZES)):
    """The definition: every plane upsampled whole, float32 sums in the stores' order, strictly above the cut."""
    out = np.empty((len(ids), len(CLASSES)))
    for n, image in enumerate(ids):
        for k, cls in enumerate(CLASSES):
            share = np.asarray(weights[cls], np.float64)
            total = np.zeros(SIZES[image], np.float32)
            for store, weight in zip(stores, share / share.sum()):
                plane = store.plane(image, cls)
                plane = plane if domain == "logits" else resize.sigmoid(plane).astype(np.float32)
                total = total + resize.upsample(plane, SIZES[image]) * np.float32(weight)
            level = resize.threshold_logit(thresholds[cls]) if domain == "logits" else np.float32(thresholds[cls])
            out[n, k] = Runs.from_mask(total > level).dice(truth[image][cls])
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    stores, truth = world(tmp_path_factory.mktemp("w"))
    return stores, truth, {d: BlendSpace(stores, truth, domain=d, low=0.2, high=0.8) for d in ("logits", "probs")}


weight = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1e3, allow_subnormal=False))
some = st.lists(weight, min_size=3, max_size=3).filter(lambda w: sum(w) > 1e-6)
threshold = st.one_of(st.sampled_from([0.2, 0.5, 0.8]), st.floats(0.2, 0.8))


@pytest.mark.parametrize("domain", ["logits", "probs"])
@settings(max_examples=30, deadline=None)
@given(st.tuples(some, some, some), st.tuples(threshold, threshold, threshold))
def test_every_value_is_the_dice_of_the_blend_at_full_resolution(made, domain, weights, thresholds):
    stores, truth, spaces = made
    weights, thresholds = dict(zip(CLASSES, weights)), dict(zip(CLASSES, thresholds))
    found = spaces[domain].dice(weights, thresholds)
    assert found.dtype == np.float64
    assert np.array_equal(found, slow(stores, truth, weights, thresholds, domain))


@pytest.mark.parametrize("domain", ["logits", "probs"])
def test_the_masks_of_a_blend_are_what_was_scored(made, domain):
    stores, truth, spaces = made
    weights, thresholds = {"y": (1, 0, 3), "*": (0.2, 0.5, 0.3)}, {"x": 0.31, "*": 0.5}
    masks = render(stores, Pipeline(thresholds=thresholds, blend=Blend(weights, domain=domain)))
    assert (masks.ids, masks.classes, masks.sizes) == (tuple(SIZES), CLASSES, SIZES)
    table = metrics.Dice().table(masks, truth)
    assert np.array_equal(table.to_numpy(), spaces[domain].dice(weights, thresholds))


@pytest.mark.parametrize("metric", [IoU(), Dice(average="pooled"), FBeta(beta=0.5)])
def test_any_metric_from_counts_and_ignored_pixels_count_nowhere(made, metric):
    stores, truth, _ = made
    noise = np.random.default_rng(5)
    ignored = {image: Runs.from_mask(noise.random(size) < 0.3) for image, size in SIZES.items()}
    partly = MaskSet(truth.ids, truth.classes, lambda i, c: truth[i][c], ignore=ignored.get)
    space = BlendSpace(stores, partly, metric=metric, low=0.2, high=0.8)
    masks = render(stores, Pipeline(thresholds=0.4, blend=Blend([1, 2, 3])))
    found, wanted = space.scores([1, 2, 3], 0.4), metric.scores(masks, partly)
    assert np.array_equal(found.cells, wanted.cells)
    assert found.score() == pytest.approx(metric(masks, partly))
    assert not np.array_equal(found.cells, metric.scores(masks, truth).cells)
    tp, predicted = space.sweep([1, 2, 3], thresholds=[0.4])
    counts = metric.counts(masks, partly)
    assert np.array_equal(tp[..., 0], counts.tp)
    assert np.array_equal(predicted[..., 0], counts.predicted)


def test_numbers_for_all_or_for_each_class_and_equal_ones(made):
    _, _, spaces = made
    found = spaces["logits"].dice((2, 1, 1), 0.4)
    assert np.array_equal(found, spaces["logits"].dice({"*": (20, 10, 10)}, {"*": 0.4}))
    assert np.array_equal(found, spaces["logits"].dice(np.array([2, 1, 1]), dict.fromkeys(CLASSES, 0.4)))
    assert np.array_equal(spaces["logits"].dice(), spaces["logits"].dice((1, 1, 1), 0.5))


@pytest.mark.parametrize("scale", [1 / 8, 1 / 32, 1 / 1024])
@pytest.mark.parametrize("span", [(-3, 3), (0, 0), (-127, 127)])
def test_planes_that_lie_on_the_cuts_themselves(tmp_path, scale, span):
    """Constant stores at the cuts and next to them: rounding may carry the blend of equal values past the cut."""
    low, high = (float(resize.sigmoid(level * scale)) for level in span)
    levels = [level + step for level in sorted({*span, 0}) for step in (-1, 0, 1)]
    classes = [f"c{k}" for k in range(len(levels))]
    stores = [
        PredictionStore.create(
            tmp_path / f"{n}.zarr", ids=("a",), classes=classes, sizes={"a": (4, 5)}, grid=(3, 2), scale=scale
        )
        for n in range(7)
    ]
    for store in stores:
        store["a"] = np.stack([np.full((3, 2), level * scale) for level in levels])
    target = Runs([[3, 9]], (4, 5))
    made = BlendSpace(stores, {"a": dict.fromkeys(classes, target)}, low=low, high=high)
    values = np.clip(np.array(levels), -127, 127).astype(np.float32) * np.float32(scale)
    hit, missed = (Runs.from_mask(np.full((4, 5), kept)).dice(target) for kept in (True, False))
    rng = np.random.default_rng(0)
    for _ in range(100):
        weights = rng.dirichlet(np.ones(7))
        total = np.zeros_like(values)
        for part in normalised(weights, 7).astype(np.float32):
            total = total + values * part
        for threshold in (low, high):
            wanted = np.where(total > resize.threshold_logit(threshold), hit, missed)
            assert np.array_equal(made.dice(weights, threshold)[0], wanted)


def test_only_what_can_change_is_kept(made):
    stores, _, spaces = made
    low, high = resize.threshold_logit(0.2), resize.threshold_logit(0.8)
    open_pixels = 0
    for image, size in SIZES.items():
        for cls in CLASSES:
            full = np.stack([resize.upsample(store.plane(image, cls), size) for store in stores])
            open_pixels += np.count_nonzero((full.max(axis=0) > low) & (full.min(axis=0) <= high))
    everything = len(CLASSES) * sum(h * w for h, w in SIZES.values())
    assert open_pixels <= spaces["logits"].pixels <= open_pixels + 20 < everything


def test_empty_full_and_saturated_planes(tmp_path):
    store = PredictionStore.create(tmp_path / "s.zarr", ids=("a",), classes=CLASSES, sizes={"a": (9, 8)}, grid=(3, 3))
    store["a"] = np.stack([np.full((3, 3), v) for v in (-99.0, 99.0, 0.0)])
    truth = {"a": {"x": Runs([]), "y": Runs([[0, 72]]), "z": Runs([[71, 72]])}}
    made = BlendSpace([store, store], truth, low=0.3, high=0.7)
    assert made.pixels == 72  # of z
    assert made.dice((1, 2), 0.49).tolist() == [[1.0, 1.0, (2 + 1e-4) / (73 + 1e-4)]]
    assert made.dice((1, 2), 0.5)[0, 2] == 1e-4 / (1 + 1e-4)  # strictly above
    nothing_open = BlendSpace([store], truth, low=0.6, high=0.7)
    assert nothing_open.pixels == 0
    assert nothing_open.dice(None, 0.6).tolist() == [[1.0, 1.0, 1e-4 / (1 + 1e-4)]]


@pytest.mark.parametrize("domain", ["logits", "probs"])
def test_a_sweep_is_the_dice_at_each_threshold(made, domain):
    _, _, spaces = made
    thresholds, weights = [0.5, 0.2, 0.8, 0.5, 0.31], {"x": (1, 2, 3), "*": (1, 0, 0)}
    space = spaces[domain]
    tp, predicted = space.sweep(weights, thresholds=thresholds)
    assert tp.shape == predicted.shape == (len(SIZES), len(CLASSES), len(thresholds))
    for at, threshold in enumerate(thresholds):
        found = metrics.Dice().values(tp[:, :, at], predicted[:, :, at], space.target)
        assert np.array_equal(found, space.dice(weights, threshold))
    with pytest.raises(ValueError, match=r"threshold 0\.9 is outside"):
        spaces[domain].sweep(thresholds=[0.5, 0.9])


def test_strips_change_nothing(made, monkeypatch):
    stores, truth, spaces = made
    monkeypatch.setattr(bands, "STRIP", 50)
    again = BlendSpace(stores, truth, low=0.2, high=0.8, workers=1)
    assert again.pixels == spaces["logits"].pixels
    assert np.array_equal(again.dice((1, 2, 3), 0.3), spaces["logits"].dice((1, 2, 3), 0.3))


def test_a_cache_is_used_again_and_only_what_changed_is_made_anew(tmp_path, monkeypatch):
    stores, truth = world(tmp_path)
    plain = BlendSpace(stores, truth)
    asked = []
    make = space.make_band
    monkeypatch.setattr(space, "make_band", lambda s, e, size, *rest: asked.append(size) or make(s, e, size, *rest))

    def cached(**changes):
        asked.clear()
        return BlendSpace(stores, truth, cache=tmp_path / "cache", workers=1, **changes)

    first, wanted = cached(), plain.dice((3, 1, 1), 0.4)
    assert asked == list(SIZES.values())
    assert np.array_equal(first.dice((3, 1, 1), 0.4), wanted)
    assert np.array_equal(cached().dice((3, 1, 1), 0.4), wanted)
    assert asked == []
    stores[1]["b"] = -stores[1]["b"]
    changed = cached()
    assert asked == [SIZES["b"]]
    assert np.array_equal(changed.dice((3, 1, 1), 0.4), BlendSpace(stores, truth).dice((3, 1, 1), 0.4))
    assert np.array_equal(first.dice((3, 1, 1), 0.4), wanted)  # what an older space maps stays as it was
    cached(low=0.2)
    assert asked == list(SIZES.values())
    cached(domain="probs")
    assert asked == list(SIZES.values())
    assert not list((tmp_path / "cache").glob(".*"))


def test_what_outgrows_memory_goes_to_files_that_go_with_the_space(tmp_path, monkeypatch):
    stores, truth = world(tmp_path)
    monkeypatch.setattr(bands.tempfile, "mkdtemp", lambda prefix: (tmp_path / prefix).mkdir() or tmp_path / prefix)
    whole = BlendSpace(stores, truth)
    assert not list(tmp_path.glob("segkit-blend-*"))
    half = BlendSpace(stores, truth, memory=whole._values[0].nbytes, workers=1)
    assert [isinstance(values, np.ndarray) for values in half._values] == [True, False, False, False]
    assert np.array_equal(half.dice((3, 1, 1), 0.4), whole.dice((3, 1, 1), 0.4))
    part = half.subset(["d", "a"])
    del half
    assert np.array_equal(part.dice((3, 1, 1), 0.4), whole.subset(["d", "a"]).dice((3, 1, 1), 0.4))
    del part
    assert not list(tmp_path.glob("segkit-blend-*"))


def test_a_cache_of_an_empty_band(tmp_path):
    store = PredictionStore.create(tmp_path / "s.zarr", ids=("a",), classes=("x",), sizes={"a": (9, 8)}, grid=(3, 3))
    store["a"] = np.full((1, 3, 3), 99.0)
    for _ in range(2):
        made = BlendSpace([store], {"a": {"x": Runs([[0, 72]])}}, cache=tmp_path / "c")
        assert made.dice().tolist() == [[1.0]]


def test_a_subset_is_those_rows(made):
    _, _, spaces = made
    part = spaces["logits"].subset(["d", "a"])
    assert part.ids == ("d", "a")
    assert np.array_equal(part.dice((1, 2, 3)), spaces["logits"].dice((1, 2, 3))[[3, 0]])
    for ids in ([], ["q"]):
        with pytest.raises(ValueError, match="expected some of the 4 images"):
            spaces["logits"].subset(ids)


def test_ids_and_images_without_a_truth(made):
    stores, truth, _ = made
    part = MaskSet(("b", "d"), CLASSES, lambda i, c: truth[i][c])
    assert BlendSpace(stores, part).ids == ("b", "d")
    assert BlendSpace(stores, truth, ids=["d", "b"]).ids == ("d", "b")
    with pytest.raises(ValueError, match="the truth has no image q"):
        BlendSpace(stores, truth, ids=["a", "q"])
    with pytest.raises(KeyError, match=r"s0\.zarr lacks 1 images: q"):
        BlendSpace(stores, MaskSet(("q",), CLASSES, truth._load), ids=["q"])
    with pytest.raises(ValueError, match="none of its 4 images"):
        BlendSpace(stores, MaskSet(("q",), CLASSES, truth._load))
    with pytest.raises(ValueError, match="no class z"):
        BlendSpace(stores, MaskSet(SIZES, ("x", "y"), truth._load))
    with pytest.raises(ValueError, match="image a, class x: the truth does not fit"):
        BlendSpace(stores, MaskSet(SIZES, CLASSES, lambda i, c: Runs([], (2, 2))))


@pytest.mark.parametrize(
    ("weights", "thresholds", "message"),
    [
        ((1, 1), 0.5, "expected 3 weights >= 0"),
        ((1, -1, 1), 0.5, "not all 0, one a store, got"),
        ((0, 0, 0), 0.5, "not all 0, one a store, got"),
        ((1, float("nan"), 0), 0.5, "not all 0, one a store, got"),
        ({"y": (0, 0, 0), "*": (1, 1, 1)}, 0.5, "class y: expected 3 weights"),
        ({"q": (1, 1, 1), "*": (1, 1, 1)}, 0.5, "no such class"),
        (None, 0.19, r"class x: threshold 0\.19 is outside \[0\.2, 0\.8\]"),
        (None, {"z": 0.81, "*": 0.5}, r"class z: threshold 0\.81 is outside"),
        (None, float("nan"), "class x: expected a threshold that is a probability in .0, 1., got nan"),
    ],
)
def test_settings_that_no_blend_has(made, weights, thresholds, message):
    with pytest.raises(ValueError, match=message):
        made[2]["logits"].dice(weights, thresholds)


def test_stores_that_do_not_agree_and_ranges_that_are_none(tmp_path, made):
    stores, truth, _ = made
    other = PredictionStore.create(
        tmp_path / "other.zarr", ids=tuple(SIZES), classes=CLASSES[::-1], sizes=SIZES, grid=(4, 4)
    )
    with pytest.raises(ValueError, match=r"other\.zarr and .*s0\.zarr differ in their classes"):
        BlendSpace([stores[0], other], truth)
    unwritten = PredictionStore.create(
        tmp_path / "new.zarr", ids=tuple(SIZES), classes=CLASSES, sizes=SIZES, grid=(4, 4)
    )
    with pytest.raises(KeyError, match=r"new\.zarr lacks 4 images"):
        BlendSpace([stores[0], unwritten], truth)
    for low, high in ((0, 0.9), (0.1, 1), (0.6, 0.4)):
        with pytest.raises(ValueError, match="0 < low <= high < 1"):
            BlendSpace(stores, truth, low=low, high=high)
    with pytest.raises(ValueError, match="logits or probs"):
        BlendSpace(stores, truth, domain="levels")
    with pytest.raises(ValueError, match="at least one store"):
        BlendSpace([], truth)


def test_what_the_stores_are_called(tmp_path, made):
    stores, truth, spaces = made
    assert spaces["logits"].names == ("s0", "s1", "s2")
    twice = BlendSpace([stores[0], stores[0]], truth)
    assert twice.names == (str(stores[0].path),) * 2
