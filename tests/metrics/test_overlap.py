"""Dice as the competition counts it, to the bit; what an absent class counts; pooled averages."""

import numpy as np
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
        (np.ones((2, 3)), "image a, class y: expected a bool or integer mask, got float64"),
    ):
        wrong = {"a": {**masks["a"], "y": other}}
        for pair in ((wrong, masks), (masks, wrong)):
            with pytest.raises(ValueError, match=message):
                metrics.Dice().table(*pair)
    with pytest.raises(ValueError, match="the truth lacks image b, class y"):
        metrics.Dice().table({"a": masks["a"], "b": masks["a"]}, {"a": masks["a"], "b": {"x": masks["a"]["x"]}})


def test_a_cell_is_the_dice_of_its_runs_to_the_bit():
    rng = np.random.default_rng(0)
    made = [{i: {c: Runs.from_mask(rng.random((31, 17)) < 0.4) for c in "xyz"} for i in "abc"} for _ in range(2)]
    for metric, method in ((metrics.Dice(), Runs.dice), (metrics.IoU(), Runs.iou)):
        found = metric.table(*made)
        for image in "abc":
            for cls in "xyz":
                assert found.loc[image, cls] == method(made[0][image][cls], made[1][image][cls])


def test_pooled_is_one_quotient_of_all_pixels():
    """Of x: tp 10 + 5, predicted 30 + 10, true 10 + 10; of y: tp 4, predicted 4 + 2, true 4."""
    dice = metrics.Dice(average="pooled")
    assert dice(GUESS, masks(ROWS)) == pytest.approx((30 / 60 + 8 / 10) / 2, abs=1e-5)
    assert metrics.IoU(average="pooled")(GUESS, masks(ROWS)) == pytest.approx((15 / 45 + 4 / 6) / 2, abs=1e-5)
    recall = metrics.FBeta(average="pooled", beta=2)
    assert recall(GUESS, masks(ROWS)) == pytest.approx((5 * 15 / (40 + 80) + 5 * 4 / (6 + 16)) / 2, abs=1e-5)


def test_f_1_is_dice():
    assert metrics.FBeta()(GUESS, masks(ROWS)) == metrics.Dice()(GUESS, masks(ROWS))


def test_mean_iou_leaves_out_what_never_occurs_and_not_what_is_only_predicted():
    truth = {"a": {"road": [[1, 1, 0, 0]], "sky": [[0, 0, 1, 1]], "bus": [[0] * 4], "cat": [[0] * 4]}}
    guess = {"a": {"road": [[1, 0, 0, 0]], "sky": [[0, 0, 1, 1]], "bus": [[0, 1, 0, 0]], "cat": [[0] * 4]}}
    truth, guess = ({"a": {c: np.array(m) for c, m in given["a"].items()}} for given in (truth, guess))
    scores = metrics.MeanIoU().scores(guess, truth)
    assert scores.per_class() == pytest.approx([0.5, 1, 0, np.nan], nan_ok=True)
    assert scores.score() == pytest.approx(0.5)  # not .375 and not .75


def test_nothing_and_everything_predicted():
    truth = {"a": {"x": np.eye(4, dtype=bool)}, "b": {"x": np.zeros((4, 4), bool)}}
    assert metrics.empty_score(metrics.Dice(), truth) == pytest.approx((0 + 1) / 2, abs=1e-4)
    assert metrics.full_score(metrics.Dice(), truth) == pytest.approx((8 / 20 + 0) / 2, abs=1e-4)
    assert metrics.empty_score(metrics.Hausdorff(), truth) == pytest.approx((np.hypot(4, 4) + 0) / 2)
    assert np.isnan(metrics.full_score(metrics.Dice(), masks(ROWS)))  # sizes are not known
