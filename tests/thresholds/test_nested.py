"""What choosing thresholds is worth on groups that had no part in it."""

import numpy as np
import pytest
from made_curves import curves_of, small_world

from segkit.folds import group_folds
from segkit.geometry import resize
from segkit.metrics import Dice
from segkit.thresholds import choose_shrink, curves, nested


def made_up(values, classes=("x",)):
    """Curves of five thresholds, whose logits are -2 -1 0 1 2."""
    return curves_of([f"i{n}" for n in range(len(values))], classes, resize.sigmoid(np.arange(-2, 3)), values)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store, truth = small_world(tmp_path_factory.mktemp("t") / "s.zarr")
    return store, truth, curves(store, truth)


def two_images_a_group(peaks, rest=0.5):
    """Groups of two images; Dice is 1 at the group's own cut and `rest` at all others."""
    table = np.full((2 * len(peaks), 1, 5), rest)
    for n, peak in enumerate(peaks):
        table[2 * n : 2 * n + 2, 0, peak] = 1
    found = made_up(table)
    return found, {i: f"p{int(i[1:]) // 2}" for i in found.ids}


def test_what_each_group_likes_alone_is_worth_nothing_to_others():
    found, groups = two_images_a_group([0, 1, 3, 4, 0])
    checked = nested(found, groups, shrinks=(0.0,))
    assert checked.tuned == pytest.approx(0.5 + 0.5 * 2 / 5)  # the cut of two of five groups
    assert checked.held_out < checked.tuned
    assert checked.table.shape == (10, 1)
    assert checked.held_out == pytest.approx(checked.table.mean())
    assert checked.untuned == pytest.approx(0.5)
    unique, groups = two_images_a_group([0, 1, 3, 4])
    assert nested(unique, groups, shrinks=(0.0,)).held_out == pytest.approx(0.5)


def test_no_gain_no_change():
    found, groups = two_images_a_group([2, 2, 2, 2])
    checked = nested(found, groups)
    assert checked.shrink == 1.0
    assert checked.held_out == checked.tuned == checked.untuned == 1.0


def test_what_all_groups_share_is_found_and_holds():
    found, groups = two_images_a_group([4, 4, 4, 4])
    checked = nested(found, groups, shrinks=(0.0, 0.5, 1.0))
    assert checked.shrink == 0.0
    assert checked.held_out == checked.tuned == 1.0
    assert checked.untuned == pytest.approx(0.5)
    assert choose_shrink(found, groups, shrinks=(0.0, 0.5, 1.0)) == 0.0


def test_thresholds_of_a_group_never_come_from_that_group():
    """Whatever a group's own curves look like, the cut that group is scored at stays the same."""
    rng = np.random.default_rng(0)
    table = rng.uniform(0.5, 0.6, (12, 2, 5)).astype(np.float32)
    groups = {f"i{n}": f"p{n // 2}" for n in range(12)}

    def cuts_used(own):
        changed = table.copy()
        changed[:2] = own  # both images of p0
        row = nested(made_up(changed, ("x", "y")), groups, k=6).table[0]
        return [int(np.flatnonzero(np.isclose(own[k], row[k]))[0]) for k in range(2)]

    one = np.array([[0.1, 0.2, 0.3, 0.4, 0.9], [0.1, 0.2, 0.3, 0.4, 0.9]])
    other = np.array([[0.95, 0.2, 0.3, 0.4, 0.1], [0.2, 0.9, 0.3, 0.4, 0.1]])
    assert cuts_used(one) == cuts_used(other)


def test_both_images_of_a_group_are_held_out_together():
    _, groups = two_images_a_group([0, 1, 2, 3, 4])
    ids = list(groups)
    folds = group_folds(ids, groups, 3)
    assert sorted(np.concatenate([held for held, _ in folds])) == list(range(10))
    for held, kept in folds:
        assert not {groups[ids[n]] for n in held} & {groups[ids[n]] for n in kept}
        assert sorted([*held, *kept]) == list(range(10))


def test_too_few_groups_and_missing_groups():
    found, groups = two_images_a_group([0, 1])
    with pytest.raises(ValueError, match="needs at least 2, a nested one 3"):
        nested(found, groups)
    with pytest.raises(ValueError, match="4 images have no group: i0, i1, i2"):
        nested(found, {})


def test_one_fold_holds_nobody_out(made):
    with pytest.raises(ValueError, match="k=1: expected at least 2 folds of groups"):
        nested(made[2], {i: i for i in "abcd"}, k=1)


def test_a_pooled_score_is_held_out_by_its_counts(made):
    """Held-out counts of all folds are added, then scored: not the mean of the folds' scores."""
    store, truth, _ = made
    metric = Dice(average="pooled")
    found, groups = curves(store, truth, metric), {i: i for i in store.ids}
    checked = nested(found, groups, k=4, shrinks=(0.0,))
    masks = {}
    for image in store.ids:
        best = found.subset([other for other in store.ids if other != image]).best()
        masks[image] = {c: resize.runs_above(store.plane(image, c), store.sizes[image], best[c]) for c in found.classes}
    assert checked.held_out == pytest.approx(metric(masks, truth), abs=1e-12)
    assert checked.tuned == found.score(found.best())
    assert np.array_equal(checked.table, metric.table(masks, truth))
