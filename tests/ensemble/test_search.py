"""Greedy selection against a slow twin; the nested check against choosing by hand, and on data where it must say no."""

import itertools

import numpy as np
import pytest

from segkit.ensemble import BlendSpace, held_out, nested, shrunk
from segkit.ensemble.greedy import Scorer
from segkit.folds import group_folds
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.predictions import PredictionStore
from segkit.rle import Runs

CLASSES, SIDE, SIZE = ("x", "y"), (12, 12), (24, 25)
IDS = tuple(f"i{n}" for n in range(8))
GROUPS = {image: f"p{n // 2}" for n, image in enumerate(IDS)}
ALONE = {image: image for image in IDS}


def made(folder, noises, seed=0):
    """A space of stores that differ in their noise: (level of x, level of y) each."""
    rng = np.random.default_rng(seed)
    blobs = {(i, c): rng.normal(0, 1, (4, 4)) for i in IDS for c in CLASSES}
    stores = []
    for n, noise in enumerate(noises):
        store = PredictionStore.create(
            folder / f"{n}.zarr", ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=SIDE
        )
        for image in IDS:
            planes = [
                resize.upsample(blobs[image, c], SIDE) + level * rng.normal(size=SIDE)
                for c, level in zip(CLASSES, noise)
            ]
            store[image] = np.stack(planes)
        stores.append(store)
    truth = MaskSet(IDS, CLASSES, lambda i, c: Runs.from_mask(resize.upsample(blobs[i, c], SIZE) > 0))
    return BlendSpace(stores, truth, low=0.3, high=0.7)


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return made(tmp_path_factory.mktemp("s"), [(0.5, 2), (2, 0.5), (1, 1)])


def slow_greedy(space, rounds, threshold=0.5):
    """One bag for all classes, as the paper has it."""
    bag, best, highest = [], None, -1.0
    for _ in range(rounds):
        options = []
        for k in range(3):
            weights = np.bincount([*bag, k], minlength=3)
            options.append((round(space.dice(weights, threshold).mean(), 12), -bag.count(k), -k))
        score, _, pick = max(options)
        bag.append(-pick)
        if score > highest:
            highest, best = score, np.bincount(bag, minlength=3) / len(bag)
    return best


@pytest.mark.parametrize("rounds", [1, 2, 7])
def test_greedy_is_its_slow_twin(space, rounds):
    found = space.greedy(rounds=rounds)
    assert list(found) == list(CLASSES)
    for weights in found.values():
        assert np.array_equal(weights, slow_greedy(space, rounds))


def test_one_round_is_the_best_single_store(space):
    single = [space.dice(np.eye(3)[k], 0.4).mean() for k in range(3)]
    assert space.greedy(0.4, rounds=1)["x"].tolist() == np.eye(3)[np.argmax(single)].tolist()


def test_classes_may_have_bags_of_their_own(space):
    found = space.greedy(rounds=1, by_class=True)
    assert found["x"].tolist() == [1, 0, 0]
    assert found["y"].tolist() == [0, 1, 0]
    longer = space.greedy(rounds=6, by_class=True)
    together = space.greedy(rounds=6)
    assert space.dice(longer).mean() >= space.dice(together).mean() - 1e-9
    assert space.dice(longer).mean() >= space.dice(found).mean()


def test_of_equals_the_least_used(space):
    same = made_same(space)
    found = same.greedy(rounds=4)
    assert found["x"].tolist() == [1, 0]  # nothing is better than the first


def made_same(space):
    """Two stores that are one."""
    other = space.subset(IDS)
    other.names = ("a", "b")
    other._values = [values[[0, 0]] for values in other._values]
    return other


@pytest.mark.parametrize("shrink", [-0.1, 1.1, float("nan")])
def test_a_shrink_out_of_range(shrink):
    with pytest.raises(ValueError, match=r"expected a number in \[0, 1\]"):
        shrunk({"x": np.array([1, 2])}, shrink)


def test_shrinking_ends_at_equal_weights_and_leaves_its_input():
    weights = {"x": np.array([4.0, 0, 0, 0]), "y": np.array([1, 1, 1, 1])}
    before = {c: w.copy() for c, w in weights.items()}
    assert all(np.allclose(w, 0.25) for w in shrunk(weights, 1).values())
    assert shrunk(weights, 0)["x"].tolist() == [1, 0, 0, 0]
    assert shrunk(weights, 0.5)["x"].tolist() == [0.625, 0.125, 0.125, 0.125]
    assert all(np.array_equal(weights[c], before[c]) for c in weights)


def test_nested_is_choosing_by_hand(space):
    shrinks = (0.0, 0.5, 1.0)

    def choose(part):
        totals = []
        for shrink in shrinks:
            total = 0.0
            for held, kept in group_folds(part.ids, GROUPS, 3):
                weights = part.subset([part.ids[r] for r in kept]).greedy(rounds=4)
                total += part.subset([part.ids[r] for r in held]).dice(shrunk(weights, shrink)).sum()
            totals.append((round(total / len(part.ids) / 2, 9), shrink))
        shrink = max(totals)[1]
        return shrink, shrunk(part.greedy(rounds=4), shrink)

    table = np.empty((len(IDS), 2))
    for held, kept in group_folds(IDS, GROUPS, 3):
        _, weights = choose(space.subset([IDS[r] for r in kept]))
        table[held] = space.dice(weights)[held]
    found = nested(space, GROUPS, rounds=4, k=3, shrinks=shrinks)
    assert found.rows[0].held_out == pytest.approx(table.mean())
    assert found.untuned == pytest.approx(space.dice().mean())
    assert found.rows[0].gain.gain == pytest.approx(table.mean() - found.untuned)
    assert found.kept == "nothing"  # four groups keep nothing
    assert found.setting["x"].tolist() == pytest.approx([1 / 3] * 3)


def test_held_out_groups_are_scored_by_what_the_others_chose(space):
    seen = []

    def choose(part):
        seen.append(part.ids)
        return part.greedy(0.4, rounds=2), {"x": 0.4, "*": 0.6}

    found = held_out(space, GROUPS, choose, k=4)
    assert (found.ids, found.cells.shape) == (IDS, (8, 2))
    for row, image in enumerate(IDS):
        others = tuple(i for i in IDS if GROUPS[i] != GROUPS[image])
        assert others in seen
        weights = space.subset(others).greedy(0.4, rounds=2)
        assert np.array_equal(found.cells[row], space.dice(weights, {"x": 0.4, "y": 0.6})[row])
    assert len(seen) == 4


def test_a_useless_store_is_left_out_and_the_gain_is_real(tmp_path):
    space = made(tmp_path, [(0.3, 0.3), (9, 9), (9, 9)])
    found = nested(space, ALONE, rounds=5)
    assert found.kept == "weights"
    assert all(w[0] > 0.6 for w in found.setting.values())
    assert found.rows[0].gain.is_significant()
    assert found.held_out > found.untuned
    assert found.tuned == pytest.approx(space.dice(found.setting).mean())
    again = np.concatenate([space.subset(ids).dice(weights) for ids, weights in found.folds])
    assert again.mean() == pytest.approx(found.held_out)  # what the others chose for the images of each fold


def test_stores_that_are_alike_give_no_gain_worth_keeping(tmp_path):
    """Only noise tells them apart: tuned weights look better on what they were tuned on, and not on other groups."""
    spaces = [made(tmp_path / str(seed), [(1.5, 1.5)] * 4, seed) for seed in range(3)]
    found = [nested(space, ALONE, rounds=5, by_class=True, shrinks=(0.0,)) for space in spaces]
    tuned = [space.dice(space.greedy(rounds=5, by_class=True)).mean() for space in spaces]
    assert np.mean([t - f.untuned for t, f in zip(tuned, found)]) > np.mean([f.rows[0].gain.gain for f in found])
    assert all(f.kept == "nothing" for f in found)


def test_a_blend_that_was_met_before_is_not_scored_again(space, monkeypatch):
    asked = []
    columns = BlendSpace.columns
    monkeypatch.setattr(
        BlendSpace, "columns", lambda self, share, t, c: asked.extend((k, share[k].tobytes()) for k in c) or
        columns(self, share, t, c),
    )  # fmt: skip
    nested(space, GROUPS, rounds=4)
    assert len(asked) == len(set(asked))
    scorer = Scorer(space, 0.5)
    for weights in itertools.product((0, 1), repeat=3):
        if any(weights):
            assert np.array_equal(scorer(weights).cells, space.dice(weights))


def test_what_cannot_be_checked(space):
    with pytest.raises(ValueError, match="expected at least 1"):
        space.greedy(rounds=0)
    with pytest.raises(ValueError, match=r"is outside \[0\.3, 0\.7\]"):
        space.greedy(0.2)
    with pytest.raises(ValueError, match="images have no group"):
        nested(space, {"i0": "p"})
    for few in (dict.fromkeys(IDS, "p"), {image: str(n % 2) for n, image in enumerate(IDS)}):
        assert (nested(space, few).kept, nested(space, few).rows) == ("nothing", ())


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [np.nan, 1]])
def test_weights_that_are_none_cannot_be_shrunk(weights):
    with pytest.raises(ValueError, match="class a: expected 2 weights >= 0, not all 0"):
        shrunk({"a": np.array(weights)}, 0.5)
