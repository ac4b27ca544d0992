"""A mean grows by what helps, by hand; what does not, or what too few persons vouch for, stays out."""

import numpy as np
import pandas as pd
import pytest

from segkit.ensemble import BlendSpace, members
from segkit.folds import group_folds
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.metrics import compare
from segkit.predictions import PredictionStore
from segkit.rle import Runs

CLASSES, SIDE, SIZE = ("x", "y"), (12, 12), (24, 25)
IDS = tuple(f"i{n}" for n in range(16))
GROUPS = {image: f"p{n // 2}" for n, image in enumerate(IDS)}


def made(folder, noises, same=()):
    """A space of stores "plain", "a", "b" ...: a truth under noise of their own; `same` are copies of the first."""
    rng = np.random.default_rng(0)
    blobs = {(i, c): rng.normal(0, 1, (4, 4)) for i in IDS for c in CLASSES}
    stores = []
    for name, noise in zip(("plain", "a", "b", "c"), noises):
        store = PredictionStore.create(
            folder / f"{name}.zarr", ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=SIDE
        )
        for image in IDS:
            planes = [resize.upsample(blobs[image, c], SIDE) + noise * rng.normal(size=SIDE) for c in CLASSES]
            store[image] = stores[0][image] if name in same else np.stack(planes)
        stores.append(store)
    truth = MaskSet(IDS, CLASSES, lambda i, c: Runs.from_mask(resize.upsample(blobs[i, c], SIZE) > 0))
    return BlendSpace(stores, truth, low=0.3, high=0.7)


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    return made(tmp_path_factory.mktemp("s"), [1, 1.2, 3.5, 1])


def frame(space, weights):
    return pd.DataFrame(space.dice(weights), index=list(space.ids), columns=list(space.classes))


def by_hand(space):
    """The indices taken, on any space."""
    chosen = [0]
    while len(chosen) < 4:
        base = frame(space, [float(k in chosen) for k in range(4)])
        scores = {}
        for k in set(range(4)) - set(chosen):
            scores[k] = frame(space, [float(j in (*chosen, k)) for j in range(4)])
        best = max(scores, key=lambda k: scores[k].to_numpy().mean())
        if not compare(base, scores[best], GROUPS).low > 0:
            break
        chosen.append(best)
    return chosen


def test_a_mean_grows_as_by_hand_and_leaves_out_what_does_harm(space):
    found = members(space, GROUPS)
    assert found.names == tuple(space.names[k] for k in by_hand(space)) == ("plain", "c", "a")
    assert found.weights == [1, 1, 0, 1]
    assert found.table["kept"].tolist() == [True, True, False]
    assert found.table["store"].tolist() == ["c", "a", "b"]
    assert not found.tried[-1].gain.is_significant()
    assert space.dice(found.weights).mean() > space.dice([1, 1, 1, 1]).mean() > space.dice([1, 0, 0, 0]).mean()


def test_the_held_out_gain_is_that_of_choices_made_by_others(space):
    unseen = frame(space, [1, 0, 0, 0])
    for held, others in group_folds(space.ids, GROUPS, 3):
        chosen = by_hand(space.subset([space.ids[row] for row in others]))
        unseen.iloc[held] = frame(space, [float(k in chosen) for k in range(4)]).iloc[held]
    found = members(space, GROUPS, k=3)
    assert found.held_out[:-2] == pytest.approx(compare(frame(space, [1, 0, 0, 0]), unseen, GROUPS)[:-2])


def test_nothing_is_taken_where_nothing_gains(tmp_path):
    space = made(tmp_path, [1, 1, 5], same=("a",))
    found = members(space, GROUPS)
    assert found.names == ("plain",)
    assert found.weights == [1, 0, 0]
    assert found.held_out.gain == 0
    assert {t.name: t.gain.gain for t in found.tried}["a"] == 0
    assert members(space, GROUPS, first="b").names[0] == "b"


def test_too_few_persons_vouch_for_nothing(space):
    found = members(space.subset(IDS[:10]), GROUPS)
    assert found.names == ("plain",)
    assert not found.held_out.is_significant()
    assert not any(t.kept for t in found.tried)


def test_mistakes_are_named(space):
    with pytest.raises(ValueError, match="did you mean plain"):
        members(space, GROUPS, first="plane")
    with pytest.raises(ValueError, match="no group"):
        members(space, {})
