"""Counts against thresholding by hand at all 255 levels."""

import numpy as np
import pytest
from made_curves import CLASSES, SIZES, small_world

from segkit import submission
from segkit.ensemble import BlendSpace
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.metrics import AveragePrecision, Combined, Dice, Hausdorff, MeanIoU
from segkit.postprocess import Pipeline, gate
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.studies import PostprocessObjective
from segkit.thresholds import curves


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store, truth = small_world(tmp_path_factory.mktemp("t") / "s.zarr")
    return store, truth, curves(store, truth)


@pytest.mark.parametrize("scale", [1 / 8, 1 / 32, 1 / 256])
def test_every_value_is_the_dice_at_that_cut(tmp_path, scale):
    store, truth = small_world(tmp_path / "s.zarr", scale)
    found = curves(store, truth, workers=2)
    assert found.tp.shape == (4, 3, 255)
    cells = found.metric.values(found.tp, found.predicted, found.target[:, :, None])
    for n, image in enumerate(found.ids):
        for k, cls in enumerate(CLASSES):
            full = resize.upsample(store.plane(image, cls), SIZES[image])
            cuts = [np.float32(level * scale) for level in range(-127, 128)]
            slow = [Runs.from_mask(full > cut).dice(truth[image][cls]) for cut in cuts]
            assert np.array_equal(cells[n, k], slow), (image, cls)


@pytest.mark.parametrize("scale", [1 / 8, 1 / 16, 1 / 32, 1 / 64])
def test_a_cut_named_as_a_probability_is_that_cut_again(scale):
    probs = resize.sigmoid(np.arange(-127, 128) * scale)
    assert [float(resize.threshold_logit(p)) for p in probs] == [level * scale for level in range(-127, 128)]
    assert probs[127] == 0.5


def test_what_is_tuned_is_what_a_pipeline_runs(made):
    store, truth, found = made
    for shrink in (0.0, 0.25):
        best = found.best(shrink)
        pipeline = Pipeline(thresholds=best)
        for image, row in zip(found.ids, found.scores(best).cells):
            for cls, value in zip(CLASSES, row):
                mask = pipeline.mask(store.plane(image, cls), SIZES[image], cls)
                assert mask.dice(truth[image][cls]) == value


def test_saturated_and_constant_planes(tmp_path):
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=("a",), classes=("x", "y", "z"), sizes={"a": (9, 9)}, grid=(3, 3)
    )
    store["a"] = np.stack([np.full((3, 3), v) for v in (-99.0, 99.0, 0.0)])
    full = Runs([[0, 81]])
    found = curves(store, MaskSet(("a",), CLASSES, lambda i, c: full))
    assert not found.predicted[0, 0].any()  # nothing is above any threshold
    assert (found.tp[0, 1, :-1] == 81).all()  # all is above all thresholds but the last: strictly above
    assert found.predicted[0, 1, -1] == 0
    assert found.tp[0, 2].tolist() == [81] * 127 + [0] * 128


def test_only_the_box_that_can_be_above_a_cut_is_upsampled(tmp_path, monkeypatch):
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=("a",), classes=("x",), sizes={"a": (640, 640)}, grid=(64, 64)
    )
    plane = np.full((1, 64, 64), -9.0)
    plane[0, 10:20, 30:34] = 3
    store["a"] = plane
    seen = []
    real = resize.upsample

    def spy(plane, size, *, region=None):
        seen.append(region)
        return real(plane, size, region=region)

    monkeypatch.setattr(resize, "upsample", spy)
    curves(store, MaskSet(("a",), ("x",), lambda i, c: Runs([[0, 5]])))
    assert seen == [(95, 295, 205, 345)]


def test_images_of_the_store_that_have_a_truth_are_scored(made):
    store, truth, found = made
    some = MaskSet(("c", "a", "other"), CLASSES, lambda i, c: truth[i][c])
    assert curves(store, some).ids == ("a", "c")
    assert np.array_equal(curves(store, some).tp, found.tp[[0, 2]])


def test_a_truth_that_does_not_fit(made):
    store, truth, _ = made
    with pytest.raises(ValueError, match="none of its 4 images"):
        curves(store, MaskSet(("q",), CLASSES, truth._load))
    with pytest.raises(ValueError, match="no class z"):
        curves(store, MaskSet(("a",), ("x", "y"), truth._load))
    for shape in ((48, 64), None):
        with pytest.raises(ValueError, match=r"s\.zarr, image b, class x: the truth does not fit"):
            curves(store, MaskSet(("b",), CLASSES, lambda i, c, s=shape: Runs([[3070, 3072 if s else 3073]], s)))


def test_a_truth_that_lacks_a_row_is_an_error_that_names_it(made, tmp_path):
    store, truth, _ = made
    path = submission.write(tmp_path / "t.csv", [(i, c, truth[i][c]) for i in truth for c in CLASSES][:-1])
    short = submission.read(path)
    with pytest.raises(ValueError, match=r"the truth lacks image d, class z: .*t\.csv has no row"):
        curves(store, short)
    with pytest.raises(ValueError, match="the truth lacks image d, class z"):
        BlendSpace([store], short)
    with pytest.raises(ValueError, match="the truth lacks image d, class z"):
        PostprocessObjective(store, short)
    with pytest.raises(ValueError, match="the truth lacks image d, class z"):
        gate(Pipeline([("fill_holes", {})]), Pipeline(), store=store, truth=short, groups={i: i for i in store.ids})


def test_ignored_pixels_count_nowhere(tmp_path):
    store, truth = small_world(tmp_path / "s.zarr")
    rng = np.random.default_rng(7)
    hidden = {i: rng.random(size) < 0.3 for i, size in SIZES.items()}
    ignoring = MaskSet(
        SIZES, CLASSES, lambda i, c: truth[i][c], sizes=SIZES, ignore=lambda i: Runs.from_mask(hidden[i])
    )
    found = curves(store, ignoring)
    for threshold in found.thresholds[[3, 100, 127, 200]]:
        masks = {
            i: {c: resize.runs_above(store.plane(i, c), SIZES[i], float(threshold)) for c in CLASSES} for i in SIZES
        }
        slow, fast = Dice().counts(masks, ignoring), found.counts(float(threshold))
        for name in ("tp", "predicted", "target"):
            assert np.array_equal(getattr(slow, name), getattr(fast, name))
    assert found.pixels.tolist() == [(~hidden[i]).sum() for i in SIZES]


def test_a_best_threshold_at_the_edge_of_the_store_is_said(tmp_path):
    """Logits beyond 3.97 are cut at this scale: of class x the object (9) cannot be told from its surroundings (5)."""
    size = {"a": (8, 8)}
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=("a",), classes=("x", "y"), sizes=size, grid=(8, 8), scale=1 / 32
    )
    logits = np.full((2, 8, 8), -2.0)
    logits[0, :3], logits[0, 3], logits[0, 4:6], logits[1, :6] = 9.0, 5.0, 3.95, 3.0
    store["a"] = logits
    truth = {"a": {"x": Runs([[0, 24]], (8, 8)), "y": Runs([[0, 48]], (8, 8))}}
    with pytest.warns(UserWarning, match=r"s\.zarr: the best threshold of x lies at the edge.*0\.0185 to 0\.981"):
        found = curves(store, truth)
    assert found.at_edge() == ("x",)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (MeanIoU(), "mean_iou does not separate by class.*study"),
        (Hausdorff(), "hausdorff does not follow from pixel counts.*study"),
        (Combined({Dice(): 0.4, AveragePrecision(): 0.6}), r"0\.4 \* dice \+ .* does not follow from pixel counts"),
    ],
)
def test_a_metric_that_cannot_be_read_off_is_refused_before_anything_is_read(metric, message):
    with pytest.raises(ValueError, match=message):
        curves(None, None, metric)
