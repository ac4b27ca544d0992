"""The choice of thresholds against trying them all."""

import re

import numpy as np
import pytest
from made_curves import CLASSES, SIZES, curves_of, small_world

from segkit.geometry import resize
from segkit.metrics import Combined, Dice, FBeta, IoU, empty_score
from segkit.rle import Runs
from segkit.thresholds import ScoreCurves, curves


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store, truth = small_world(tmp_path_factory.mktemp("t") / "s.zarr")
    return store, truth, curves(store, truth)


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


POOLED = [Dice(average="pooled"), FBeta(beta=2), Combined({Dice(): 1, IoU(average="pooled"): 2})]


@pytest.mark.parametrize("metric", [*POOLED, Dice(empty="skip")], ids=str)
def test_the_optimum_of_any_metric_from_counts_is_read_off(made, metric):
    """The slow way: every threshold of each class is asked for, and the masks are scored by the metric itself."""
    store, truth, _ = made
    found = curves(store, truth, metric)
    best = found.best()
    for k, cls in enumerate(CLASSES):
        slow = [found.scores({cls: t, "*": 0.5}).per_class()[k] for t in found.thresholds]
        assert found.means[k] == pytest.approx(slow, abs=1e-12)
        assert found.means[k].max() == found.means[k][found.thresholds.tolist().index(best[cls])]
    masks = {i: {c: resize.runs_above(store.plane(i, c), SIZES[i], best[c]) for c in CLASSES} for i in store.ids}
    assert found.score(best) == pytest.approx(metric(masks, truth), abs=1e-12)
    assert found.scores(best).score() == pytest.approx(found.score(best), abs=1e-12)
    assert np.array_equal(found.table(best), metric.table(masks, truth), equal_nan=True)
    again = made[2].with_metric(metric)
    assert np.array_equal(again.means, found.means, equal_nan=True)


def test_one_threshold_for_all_classes(made):
    found = made[2]
    best = found.best(shared=True)
    assert len(set(best.values())) == 1
    assert found.score(best) == max(found.score(float(t)) for t in found.thresholds)
    assert found.score(best) < found.score(found.best())


def test_empty_and_full_submissions(made):
    _, truth, found = made
    assert found.empty_score == pytest.approx(empty_score(Dice(), truth))
    full = {i: {c: Runs([[0, h * w]], (h, w)) for c in CLASSES} for i, (h, w) in SIZES.items()}
    assert found.full_score == pytest.approx(Dice()(full, truth))
    assert found.subset(["b"]).empty_score == pytest.approx(1 / 3, abs=1e-4)  # z is absent there
    unknown = ScoreCurves(found.ids, CLASSES, found.thresholds, found.tp, found.predicted, found.target)
    assert np.isnan(unknown.full_score)


def test_a_class_that_is_nowhere_keeps_one_half():
    found = curves_of(["i"], ["x", "y"], [0.2, 0.5, 0.9], [[[0.9, 0.5, 0.1]] * 2], Dice(empty="skip"))
    absent = ScoreCurves(["i"], ["x", "y"], found.thresholds, found.tp * [[[1], [0]]], found.predicted,
                         found.target * [[1, 0]], metric=Dice(empty="skip"))  # fmt: skip
    assert absent.best() == {"x": pytest.approx(0.2), "y": 0.5}
    assert absent.score(absent.best()) == pytest.approx(0.9)
    assert absent.plateau(0.01)["x"] == (0.2, 0.2)


def test_many_images_stay_small_in_memory_and_on_disk(tmp_path):
    """200 images of 29 classes: 4 bytes for each of two counts, and little of that in the file."""
    rng = np.random.default_rng(0)
    steps = rng.poisson(0.4, (200, 29, 255))
    predicted = steps[:, :, ::-1].cumsum(axis=2)[:, :, ::-1] + 4000
    found = ScoreCurves(range(200), map(str, range(29)), resize.sigmoid(np.arange(-127, 128) / 32), predicted - 100,
                        predicted, np.full((200, 29), 5000))  # fmt: skip
    assert found.tp.nbytes + found.predicted.nbytes == 200 * 29 * 255 * 8
    found.save(tmp_path / "c.npz")
    assert (tmp_path / "c.npz").stat().st_size < 0.2 * found.tp.nbytes
    assert np.array_equal(ScoreCurves.load(tmp_path / "c.npz").predicted, predicted)
