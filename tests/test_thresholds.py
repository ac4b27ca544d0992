"""Score curves against thresholding by hand at all 255 levels; the choice of thresholds against trying them all."""

import re

import numpy as np
import pytest
from made_curves import curves_of

from segkit import submission, thresholds
from segkit.ensemble import BlendSpace
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.postprocess import Pipeline, gate
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.samples import Truth
from segkit.studies import postprocess_objective
from segkit.thresholds import ScoreCurves, choose_shrink, curves, nested, per_class

CLASSES = ("x", "y", "z")
SIZES = {"a": (37, 41), "b": (64, 48), "c": (5, 9), "d": (30, 30)}


def world(folder, scale=1 / 32, seed=0):
    """A store of four images of several sizes, and a truth of random blobs, one class of it absent in two images."""
    rng = np.random.default_rng(seed)
    store = PredictionStore.create(folder, ids=tuple(SIZES), classes=CLASSES, sizes=SIZES, grid=(7, 6), scale=scale)
    rows = {}
    for image, size in SIZES.items():
        store[image] = rng.normal(0, 80 * scale, (3, 7, 6))
        rows[image] = {c: Runs.from_mask(resize.upsample(rng.normal(-0.3, 1, (5, 5)), size) > 0) for c in CLASSES}
    rows["b"]["z"] = rows["c"]["z"] = Runs([])
    return store, MaskSet(SIZES, CLASSES, lambda i, c: rows[i][c])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store, truth = world(tmp_path_factory.mktemp("t") / "s.zarr")
    return store, truth, curves(store, truth)


@pytest.mark.parametrize("scale", [1 / 8, 1 / 32, 1 / 256])
def test_every_value_is_the_dice_at_that_cut(tmp_path, scale):
    store, truth = world(tmp_path / "s.zarr", scale)
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


def test_thresholds_are_taken_at_the_nearest_that_was_counted(made):
    _, _, found = made
    assert len(found.thresholds) == 255
    step = found.thresholds[128]
    assert found.nearest_threshold(0.5) == dict.fromkeys(CLASSES, 0.5)
    assert found.nearest_threshold({"x": resize.sigmoid(1 / 65), "*": resize.sigmoid(1 / 63)}) == {
        "x": 0.5,
        "y": step,
        "z": step,
    }
    assert found.nearest_threshold({"x": 0.0, "y": 1.0, "z": 0.001}) == {
        "x": found.thresholds[0], "y": found.thresholds[-1], "z": found.thresholds[0],
    }  # fmt: skip
    counts = found.counts({"x": 0.5, "y": step, "z": 1.0})
    assert np.array_equal(counts.tp, found.tp[:, [0, 1, 2], [127, 128, 254]])
    assert np.array_equal(found.counts().predicted, found.predicted[:, :, 127])


def test_best_is_the_best_of_all_cuts(made):
    _, _, found = made
    best = found.best()
    for k, cls in enumerate(CLASSES):
        means = [found.table({cls: t, "*": 0.5})[cls].mean() for t in found.thresholds]
        assert found.table(best)[cls].mean() == max(means)
        assert found.means[k] == pytest.approx(means, abs=1e-15)
        assert best[cls] in found.thresholds


def made_up(values, classes=("x",)):
    """Curves of five thresholds, whose logits are -2 -1 0 1 2."""
    return curves_of([f"i{n}" for n in range(len(values))], classes, resize.sigmoid(np.arange(-2, 3)), values)


def test_of_equal_cuts_the_one_nearest_to_one_half():
    flat = made_up(np.ones((2, 1, 5)))
    assert flat.best() == {"x": 0.5}
    ends = made_up([[[1, 0.5, 0.5, 1, 1]]])
    assert ends.best() == {"x": pytest.approx(float(resize.sigmoid(1)))}


def test_shrinking_goes_to_one_half_in_logits():
    found = made_up([[[0, 0, 0, 0, 1]]])
    assert [found.best(shrink)["x"] for shrink in (0.0, 0.5, 1.0)] == [*found.thresholds[[4, 3]], 0.5]
    assert found.best(0.3)["x"] == found.thresholds[3]  # 1.4 is no cut: the nearest is taken
    for bad in (-0.1, 1.1):
        with pytest.raises(ValueError, match="shrink"):
            found.best(bad)


def test_a_subset_is_those_rows():
    found = made_up(np.arange(10).reshape(2, 1, 5) / 10)
    assert np.array_equal(found.subset(["i1"]).tp, found.tp[1:])
    assert found.subset(["i1", "i0"]).ids == ("i1", "i0")
    with pytest.raises(ValueError, match="got \\['q'\\]"):
        found.subset(["i0", "q"])
    with pytest.raises(ValueError, match="got none"):
        found.subset([])


def test_save_and_load(made, tmp_path):
    _, _, found = made
    found.save(tmp_path / "curves.npz")
    again = ScoreCurves.load(tmp_path / "curves.npz")
    assert (again.ids, again.classes) == (found.ids, found.classes)
    for name in ("tp", "predicted", "target", "pixels"):
        assert np.array_equal(getattr(again, name), getattr(found, name))
    assert again.tp.dtype == np.int32
    assert again.metric == found.metric
    assert np.array_equal(again.thresholds, found.thresholds)
    assert again.best() == found.best()
    with pytest.raises(ValueError, match=r"\(4, 3, 254\)"):
        ScoreCurves(found.ids, found.classes, found.thresholds[1:], found.tp, found.predicted, found.target)


def test_a_plateau_is_where_the_curve_stays_near_its_top():
    cuts = np.array([0.2, 0.4, 0.5, 0.6, 0.8])
    table = np.array([[[0.80, 0.90, 0.91, 0.90, 0.91], [0.5, 0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 0.2, 0.3, 0.4]]])
    found = curves_of(["i"], ["hill", "plain", "edge"], cuts, table)
    assert found.plateau(0.02) == {"hill": (0.4, 0.8), "plain": (0.2, 0.8), "edge": (0.2, 0.2)}
    assert found.plateau(0.001) == {"hill": (0.5, 0.5), "plain": (0.2, 0.8), "edge": (0.2, 0.2)}  # .8 is another hill
    with pytest.raises(ValueError, match="got -1"):
        found.plateau(-1)


def test_a_plot_has_two_bars_and_a_dot_for_each_class(made):
    _, _, found = made
    axes = found.plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CLASSES)
    bars = axes.lines[:-1]  # the last one stands at .5
    assert len(bars) == 3 * len(CLASSES)
    for cls, wide, narrow, dot in zip(CLASSES, bars[::3], bars[1::3], bars[2::3]):
        at = dot.get_xdata()[0]
        assert at == pytest.approx(resize.logit(found.best()[cls]))
        assert wide.get_xdata()[0] <= narrow.get_xdata()[0] <= at <= narrow.get_xdata()[1] <= wide.get_xdata()[1]
    assert found.plot(axes) is axes


def test_per_class_settings():
    assert per_class(3, ("a", "b")) == {"a": 3, "b": 3}
    assert per_class({"b": 1, "*": 0}, ("a", "b")) == {"a": 0, "b": 1}
    assert list(per_class({"b": 1, "a": 0}, ("a", "b"))) == ["a", "b"]
    with pytest.raises(ValueError, match=r"\['q'\]: no such class; there are a, b"):
        per_class({"q": 1, "*": 0}, ("a", "b"))
    with pytest.raises(ValueError, match=r"no setting for \['a'\]"):
        per_class({"b": 1}, ("a", "b"))


def two_images_a_person(peaks, rest=0.5):
    """Persons of two images; Dice is 1 at the person's own cut and `rest` at all others."""
    table = np.full((2 * len(peaks), 1, 5), rest)
    for n, peak in enumerate(peaks):
        table[2 * n : 2 * n + 2, 0, peak] = 1
    found = made_up(table)
    return found, {i: f"p{int(i[1:]) // 2}" for i in found.ids}


def test_what_each_person_likes_alone_is_worth_nothing_to_others():
    found, persons = two_images_a_person([0, 1, 3, 4, 0])
    checked = nested(found, persons, shrinks=(0.0,))
    assert checked.tuned == pytest.approx(0.5 + 0.5 * 2 / 5)  # the cut of two of five persons
    assert checked.held_out < checked.tuned
    assert checked.table.shape == (10, 1)
    assert checked.held_out == pytest.approx(checked.table.mean())
    assert checked.untuned == pytest.approx(0.5)
    unique, persons = two_images_a_person([0, 1, 3, 4])
    assert nested(unique, persons, shrinks=(0.0,)).held_out == pytest.approx(0.5)


def test_no_gain_no_change():
    found, persons = two_images_a_person([2, 2, 2, 2])
    checked = nested(found, persons)
    assert checked.shrink == 1.0
    assert checked.held_out == checked.tuned == checked.untuned == 1.0


def test_what_all_persons_share_is_found_and_holds():
    found, persons = two_images_a_person([4, 4, 4, 4])
    checked = nested(found, persons, shrinks=(0.0, 0.5, 1.0))
    assert checked.shrink == 0.0
    assert checked.held_out == checked.tuned == 1.0
    assert checked.untuned == pytest.approx(0.5)
    assert choose_shrink(found, persons, shrinks=(0.0, 0.5, 1.0)) == 0.0


def test_thresholds_of_a_person_never_come_from_that_person():
    """Whatever a person's own curves look like, the cut that person is scored at stays the same."""
    rng = np.random.default_rng(0)
    table = rng.uniform(0.5, 0.6, (12, 2, 5)).astype(np.float32)
    persons = {f"i{n}": f"p{n // 2}" for n in range(12)}

    def cuts_used(own):
        changed = table.copy()
        changed[:2] = own  # both images of p0
        row = nested(made_up(changed, ("x", "y")), persons, k=6).table[0]
        return [int(np.flatnonzero(np.isclose(own[k], row[k]))[0]) for k in range(2)]

    one = np.array([[0.1, 0.2, 0.3, 0.4, 0.9], [0.1, 0.2, 0.3, 0.4, 0.9]])
    other = np.array([[0.95, 0.2, 0.3, 0.4, 0.1], [0.2, 0.9, 0.3, 0.4, 0.1]])
    assert cuts_used(one) == cuts_used(other)


def test_both_images_of_a_person_are_held_out_together():
    _, persons = two_images_a_person([0, 1, 2, 3, 4])
    ids = list(persons)
    folds = thresholds.person_folds(ids, persons, 3)
    assert sorted(np.concatenate([held for held, _ in folds])) == list(range(10))
    for held, kept in folds:
        assert not {persons[ids[n]] for n in held} & {persons[ids[n]] for n in kept}
        assert sorted([*held, *kept]) == list(range(10))


def test_too_few_persons_and_missing_groups():
    found, persons = two_images_a_person([0, 1])
    with pytest.raises(ValueError, match="needs at least 2, a nested one 3"):
        nested(found, persons)
    with pytest.raises(ValueError, match="4 images have no group: i0, i1, i2"):
        nested(found, {})


def test_a_truth_that_lacks_a_row_is_an_error_that_names_it(made, tmp_path):
    store, truth, _ = made
    path = submission.write(tmp_path / "t.csv", [(i, c, truth[i][c]) for i in truth for c in CLASSES][:-1])
    short = Truth.open(path)
    with pytest.raises(ValueError, match=r"the truth lacks image d, class z: .*t\.csv has no row"):
        curves(store, short)
    with pytest.raises(ValueError, match="the truth lacks image d, class z"):
        BlendSpace([store], short)
    with pytest.raises(ValueError, match="the truth lacks image d, class z"):
        postprocess_objective(store, short)
    with pytest.raises(ValueError, match="the truth lacks image d, class z"):
        gate(Pipeline([("fill_holes", {})]), Pipeline(), store=store, truth=short, groups={i: i for i in store.ids})


@pytest.mark.parametrize("threshold", [None, "0.5", float("nan"), 1.5, True, [0.5]])
def test_a_threshold_that_is_none(made, threshold):
    for dice in (made[2].score, BlendSpace([made[0]], made[1]).dice):
        with pytest.raises(ValueError, match="class y: expected a threshold that is a probability in"):
            dice(thresholds={"y": threshold, "*": 0.5})


@pytest.mark.parametrize("name", ["truth.csv", "one.npy", "other.npz", "empty.npz"])
def test_a_file_that_holds_no_curves(tmp_path, name):
    (tmp_path / "truth.csv").write_text("image_name,class,rle\n")
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    (tmp_path / "empty.npz").touch()
    with pytest.raises(ValueError, match=rf"{re.escape(name)} is no file of score curves"):
        ScoreCurves.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        ScoreCurves.load(tmp_path / "none.npz")


def test_one_fold_holds_nobody_out(made):
    with pytest.raises(ValueError, match=r"expected at least 2 folds of groups.*k=1"):
        nested(made[2], {i: i for i in "abcd"}, k=1)
