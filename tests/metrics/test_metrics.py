"""Dice as the competition counts it, and intervals that know which images belong together."""

import numpy as np
import pandas as pd
import pytest

from segkit import metrics
from segkit.masks import MaskSet
from segkit.rle import Runs

CLASSES = ("x", "y")
ROWS = {
    "a": {"x": Runs([[0, 10]]), "y": Runs([])},
    "b": {"x": Runs([[5, 15]]), "y": Runs([[0, 4]])},
    "c": {"x": Runs([]), "y": Runs([])},
}
GUESS = {
    "c": {"y": Runs([[0, 2]]), "x": Runs([])},
    "b": {"y": Runs([[0, 4]]), "x": Runs([[0, 10]])},
    "a": {"y": Runs([]), "x": Runs([[0, 30]])},
}


def masks(rows):
    return MaskSet(rows, CLASSES, lambda i, c: rows[i][c])


def table(values, ids=None):
    values = np.asarray(values, float)
    return pd.DataFrame(
        values, index=ids or [f"i{n}" for n in range(len(values))], columns=list("xyz")[: values.shape[1]]
    )


def test_counted_by_hand():
    found = metrics.Dice().table(GUESS, masks(ROWS))
    assert list(found.index) == ["a", "b", "c"]
    assert list(found.columns) == ["x", "y"]
    wanted = [[20.0001 / 40.0001, 1], [10.0001 / 20.0001, 1], [1, 1e-4 / 2.0001]]
    assert np.allclose(found.to_numpy(), wanted, atol=1e-12)
    assert metrics.score(found) == pytest.approx((np.mean([0.5, 0.5, 1]) + np.mean([1, 1, 0])) / 2, abs=1e-4)


@pytest.mark.parametrize(
    ("empty", "wanted"), [("zero", [[0.5, 0], [0.5, 1], [0, 0]]), ("skip", [[0.5, np.nan], [0.5, 1], [np.nan] * 2])]
)
def test_what_an_absent_class_counts(empty, wanted):
    found = metrics.Dice(empty=empty).table(masks(GUESS), masks(ROWS))
    assert np.allclose(found, wanted, atol=1e-5, equal_nan=True)
    if empty == "skip":
        assert metrics.score(found) == pytest.approx((0.5 + 1) / 2, abs=1e-5)
    with pytest.raises(ValueError, match="expected empty to be one, zero, skip, got 'none'"):
        metrics.Dice(empty="none")


@pytest.mark.parametrize(
    ("missing", "message"),
    [({"a": GUESS["a"]}, "lacks image b, class x"), ({**GUESS, "b": {"x": Runs([])}}, "lacks image b, class y")],
)
def test_a_prediction_that_lacks_something(missing, message):
    with pytest.raises(ValueError, match=message):
        metrics.Dice().table(missing, masks(ROWS))


def test_the_mean_is_over_images_then_classes():
    values = table([[1, 0], [np.nan, 0.5], [np.nan, 0.4]])
    assert metrics.score(values) == pytest.approx((1 + 0.3) / 2)  # not the mean of all cells
    assert metrics.score(table([[0.6, np.nan], [0.8, np.nan]])) == pytest.approx(0.7)


def noisy(count, seed=0, spread=0.1):
    rng = np.random.default_rng(seed)
    return table(rng.normal(0.8, spread, (count, 3)))


def test_an_interval_holds_the_score_and_shrinks_with_persons():
    small, large = noisy(20), noisy(320)
    a = metrics.bootstrap(small, {i: i for i in small.index})
    b = metrics.bootstrap(large, {i: i for i in large.index})
    assert a.low < a.mean < a.high
    assert a.mean == pytest.approx(metrics.score(small))
    assert (a.groups, a.images) == (20, 20)
    assert (b.high - b.low) == pytest.approx((a.high - a.low) / 4, rel=0.4)
    # the textbook's interval of a mean
    sd = small.mean(axis=1).std(ddof=1) / np.sqrt(20)
    assert (a.high - a.low) == pytest.approx(2 * 1.96 * sd, rel=0.15)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    hits = 0
    for seed in range(100):
        values = noisy(40, seed)
        found = metrics.bootstrap(values, {i: i for i in values.index}, draws=300)
        hits += found.low <= 0.8 <= found.high
    assert 86 <= hits <= 100


def test_two_images_of_one_person_are_not_two_draws():
    values = noisy(30)
    twice = pd.concat([values, values.rename(index=lambda i: i + "-again")])
    persons = {i: i.split("-")[0] for i in twice.index}
    clustered = metrics.bootstrap(twice, persons)
    naive = metrics.bootstrap(twice, {i: i for i in twice.index})
    alone = metrics.bootstrap(values, {i: i for i in values.index})
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))
    assert clustered.high - clustered.low > 1.25 * (naive.high - naive.low)
    assert (clustered.groups, clustered.images) == (30, 60)


def test_cells_that_count_nothing_leave_every_draw_alone():
    values = noisy(12)
    values.loc[values.index[1:], "z"] = np.nan  # one image has the class: some draws lack it
    found = metrics.bootstrap(values, {i: i for i in values.index})
    assert np.isfinite([found.mean, found.low, found.high]).all()
    without = values.drop(columns="z").assign(z=np.nan)
    assert metrics.bootstrap(without, {i: i for i in values.index}).mean == pytest.approx(
        values[["x", "y"]].mean().mean()
    )


def test_level_draws_and_seed():
    values = noisy(25)
    groups = {i: i for i in values.index}
    assert metrics.bootstrap(values, groups) == metrics.bootstrap(values, groups)
    assert metrics.bootstrap(values, groups, seed=1) != metrics.bootstrap(values, groups)
    narrow, wide = (metrics.bootstrap(values, groups, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_comparison_is_paired_and_has_a_sign():
    a = noisy(30, spread=0.2)
    groups = {i: i for i in a.index}
    rng = np.random.default_rng(1)
    b = (a + 0.01 + rng.normal(0, 0.002, a.shape)).sample(frac=1, random_state=0)[["z", "x", "y"]]  # another order
    found = metrics.compare(a, b, groups)
    assert found.gain == pytest.approx(0.01, abs=0.002)
    assert 0 < found.low < found.gain < found.high
    assert found.min_detectable_effect == pytest.approx((found.high - found.low) / 2 * 2.8 / 1.96, rel=0.1)
    assert found.p == 1 / 2001  # none of the patterns drawn is as extreme
    assert found.min_detectable_effect < 0.005 < metrics.bootstrap(a, groups).high - metrics.bootstrap(a, groups).low
    back = metrics.compare(b, a, groups)
    assert (back.gain, back.low, back.high) == pytest.approx((-found.gain, -found.high, -found.low), abs=5e-4)
    same = metrics.compare(a, a, groups)
    assert (same.gain, same.low, same.high, same.min_detectable_effect, same.p) == (0, 0, 0, 0, 1)
    assert (same.groups, same.images) == (30, 30)


def test_tables_of_other_images_or_classes_cannot_be_compared():
    a = noisy(4)
    groups = {i: i for i in a.index}
    with pytest.raises(ValueError, match=r"1 images or classes: \['i3'\]"):
        metrics.compare(a, a.iloc[:3], groups)
    with pytest.raises(ValueError, match=r"1 images or classes: \['z'\]"):
        metrics.compare(a[["x", "y"]], a, groups)


def test_an_image_without_a_group_is_named():
    a = noisy(5)
    for function in (lambda g: metrics.bootstrap(a, g), lambda g: metrics.compare(a, a, g)):
        with pytest.raises(ValueError, match="4 images have no group: i1, i2, i3"):
            function({"i0": "p"})


def test_plain_dictionaries_of_masks_are_taken_as_truth():
    rng = np.random.default_rng(0)
    masks = {i: {c: rng.random((9, 7)) < 0.5 for c in "xy"} for i in "ab"}
    other = {i: {c: rng.random((9, 7)) < 0.5 for c in "xy"} for i in "ab"}
    table = metrics.Dice().table(other, masks)
    for i in "ab":
        for c in "xy":
            p, t = other[i][c], masks[i][c]
            assert table.loc[i, c] == pytest.approx((2 * (p & t).sum() + 1e-4) / (p.sum() + t.sum() + 1e-4))


def test_masks_that_cannot_be_compared_are_named():
    masks = {"a": {"x": np.ones((2, 3), bool), "y": np.ones((2, 3), bool)}}
    for other, message in (
        (np.ones((3, 2), bool), "image a, class y: masks of different shapes"),
        (np.ones((2, 3)), "image a, class y: a bool or integer mask is wanted, got float64"),
    ):
        wrong = {"a": {**masks["a"], "y": other}}
        for pair in ((wrong, masks), (masks, wrong)):
            with pytest.raises(ValueError, match=message):
                metrics.Dice().table(*pair)
    with pytest.raises(ValueError, match="the truth lacks image b, class y"):
        metrics.Dice().table({"a": masks["a"], "b": masks["a"]}, {"a": masks["a"], "b": {"x": masks["a"]["x"]}})
