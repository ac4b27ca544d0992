"""The loop that keeps a setting: by hand, on tables whose gains are known."""

import numpy as np
import pandas as pd
import pytest

from segkit.folds import group_folds
from segkit.metrics import Counts, Dice, IoU, Scores, compare
from segkit.metrics.joining import join, join_classes
from segkit.selection import Candidate, best_of, cross_fit, select

IDS = tuple(f"i{n}" for n in range(20))
GROUPS = {image: f"g{n // 2}" for n, image in enumerate(IDS)}
CLASSES = ["x", "y"]


def table(gains, ids, *, sign=1):
    """Scores of .5 plus a gain for each image and class."""
    cells = pd.DataFrame(0.5, index=list(IDS), columns=CLASSES) + sign * np.asarray(gains)
    return Scores.from_table(cells.loc[list(ids)], higher_is_better=sign > 0)


def constant(name, setting):
    return Candidate(name, lambda ids, now: setting)


def score(setting, ids):
    """A setting is a tuple of gains; they add up."""
    return table(sum(setting), ids)


def test_what_gains_is_kept_on_top_of_what_was_kept_before():
    candidates = [
        Candidate("first", lambda ids, now: (*now, 0.1)),
        Candidate("harm", lambda ids, now: (*now, -0.2)),
        Candidate("none", lambda ids, now: now),
        Candidate("last", lambda ids, now: (*now, 0.05)),
    ]
    found = select((), candidates, score, IDS, GROUPS)
    assert found.setting == (0.1, 0.05)
    assert found.kept == "first and last"
    assert [row.kept for row in found.rows] == [True, False, False, True]
    assert [row.gain.gain for row in found.rows] == pytest.approx([0.1, -0.2, 0, 0.05])
    assert [row.held_out for row in found.rows] == pytest.approx([0.6, 0.4, 0.6, 0.65])
    assert (found.untuned, found.held_out, found.tuned) == pytest.approx((0.5, 0.65, 0.65))
    assert found.table["candidate"].tolist() == ["first", "harm", "none", "last"]
    assert "kept: first and last (untuned 0.5000, held out 0.6500, tuned 0.6500)" in str(found)


def test_nobodys_images_take_part_in_what_they_are_scored_by():
    fitted, scored = [], []

    def fit(ids, now):
        fitted.append(set(ids))
        return frozenset(ids)

    def watch(setting, ids):
        scored.append((setting, ids))
        return table(0.1 * bool(setting), ids)

    found = select(frozenset(), [Candidate("all", fit)], watch, IDS, GROUPS, k=4)
    assert found.setting == frozenset(IDS)
    assert len(fitted) == 4 + 1
    judged = [(setting, ids) for setting, ids in scored if setting and len(setting) < len(IDS)]
    assert sorted(image for _, ids in judged for image in ids) == sorted(IDS)
    for setting, ids in judged:
        assert not {GROUPS[i] for i in setting} & {GROUPS[i] for i in ids}


def test_a_gain_of_chance_on_its_own_images_is_not_kept():
    """The fit takes whichever of 60 settings of noise is best on the images that it sees."""
    noise = np.random.default_rng(0).normal(0, 0.05, (60, 20, 2))

    def fit(ids, now):
        return max(range(60), key=lambda n: table(noise[n], ids).score())

    def score_noise(setting, ids):
        return table(0 if setting is None else noise[setting], ids)

    found = select(None, [Candidate("noise", fit)], score_noise, IDS, GROUPS)
    assert score_noise(fit(IDS, None), IDS).score() > 0.52  # where it was chosen it looks well
    assert (found.setting, found.kept) == (None, "nothing")
    assert found.held_out == found.untuned == found.tuned == 0.5


@pytest.mark.parametrize(("groups", "rows", "kept"), [(1, 0, False), (2, 0, False), (5, 1, False), (6, 1, True)])
def test_few_groups_keep_nothing(groups, rows, kept):
    few = {image: f"g{n % groups}" for n, image in enumerate(IDS)}
    found = select((), [constant("sure", (0.3,))], score, IDS, few)
    assert len(found.rows) == rows
    assert (found.kept == "sure") == kept == (found.setting == (0.3,))
    assert "fewer than" in str(found) or kept


def test_one_rule_of_significance_decides():
    """Six groups of which one loses: an interval above 0 alone would keep it (p = 4 / 64)."""
    gains = np.repeat([0.1, 0.1, 0.1, 0.1, 0.1, -0.001], 2)[:, None]
    ids = IDS[:12]
    found = select((), [constant("most", (np.vstack([gains, np.zeros((8, 1))]),))], score, ids, GROUPS)
    assert found.rows[0].gain.low > 0
    assert found.rows[0].gain.p == pytest.approx(4 / 64)
    assert not found.rows[0].kept


def test_a_class_that_falls_held_out_is_left_as_it_was():
    def fit(ids, now):
        return {"x": 0.2, "y": -0.05}

    def without(setting, classes):
        return {cls: 0 if cls in classes else gain for cls, gain in setting.items()}

    def score_classes(setting, ids):
        return table([[setting["x"], setting["y"]]], ids)

    found = select({"x": 0, "y": 0}, [Candidate("both", fit, without)], score_classes, IDS, GROUPS)
    assert found.setting == {"x": 0.2, "y": 0}
    assert found.rows[0].gain.gain == pytest.approx(0.075)  # judged as a whole, before
    assert found.held_out == pytest.approx(0.6)
    found = select({"x": 0, "y": 0}, [Candidate("both", fit)], score_classes, IDS, GROUPS)
    assert found.setting == {"x": 0.2, "y": -0.05}


def test_lower_can_be_better():
    def score_distance(setting, ids):
        return table(sum(setting), ids, sign=-1)

    found = select((), [constant("near", (0.1,)), constant("far", (-0.1,))], score_distance, IDS, GROUPS)
    assert found.kept == "near"
    assert found.held_out == pytest.approx(0.4)
    offered = {"near": (0.1,), "far": (-0.1,)}
    assert best_of(lambda ids: offered, score_distance, IDS, GROUPS) == "near"


def test_pooled_counts_are_compared_as_pooled():
    """An image of a million pixels decides a pooled score, and one of many decides a mean."""
    rng = np.random.default_rng(0)
    target = np.tile(rng.integers(50, 100, (20, 1)), (1, 2))
    target[0] = 1_000_000
    for metric in (Dice(average="pooled"), Dice(), IoU(average="pooled")):

        def score_counts(setting, ids, metric=metric):
            tp = target * 9 // 10 if setting else target * 8 // 10
            rows = [IDS.index(image) for image in ids]
            return Scores.from_counts(Counts(tp, target, target).subset(rows), metric, ids, CLASSES)

        found = select(False, [constant("better", True)], score_counts, IDS, GROUPS)
        assert found.setting
        assert found.held_out == pytest.approx(score_counts(True, IDS).score())
        assert found.rows[0].gain == compare(score_counts(False, IDS), score_counts(True, IDS), GROUPS)


def test_cross_fit_scores_each_image_under_what_others_chose():
    found = cross_fit(lambda ids: (len(ids) / 100,), score, IDS, GROUPS, k=5)
    assert found.ids == IDS
    assert np.allclose(found.cells, 0.66)
    assert best_of(lambda ids: {"a": (0.1,), "b": (0.1,), "c": (0.05,)}, score, IDS, GROUPS) == "a"  # first of equals


def test_folds_are_of_whole_groups():
    folds = group_folds(IDS, GROUPS, 3)
    assert sorted(row for held, _ in folds for row in held) == list(range(20))
    for held, kept in folds:
        assert not {GROUPS[IDS[row]] for row in held} & {GROUPS[IDS[row]] for row in kept}
    assert len(group_folds(IDS, GROUPS, 99)) == 10
    for ids, groups, k, message in (
        (IDS, {}, 5, "20 images have no group: i0, i1, i2"),
        (IDS, dict.fromkeys(IDS, "g"), 5, "1 group: a held-out check needs at least 2"),
        (IDS, GROUPS, 1, "k=1: expected at least 2 folds"),
    ):
        with pytest.raises(ValueError, match=message):
            group_folds(ids, groups, k)
    with pytest.raises(ValueError, match="20 images have no group"):
        select((), [], score, IDS, {})


def test_scores_of_parts_and_of_classes_are_put_together():
    gains = np.random.default_rng(0).normal(size=(20, 2))
    every = table(gains, IDS)
    parts = [every.subset(IDS[7:]), every.subset(IDS[:7])]
    again = join(parts, IDS)
    assert again.ids == IDS
    assert again.score() == pytest.approx(every.score())
    assert np.array_equal(again.cells, every.cells)
    swapped = join_classes({"y": every, "x": every})
    assert swapped.classes == ("y", "x")
    assert np.array_equal(swapped.cells, every.cells[:, ::-1])
    assert swapped.per_class() == pytest.approx(every.per_class()[::-1])
