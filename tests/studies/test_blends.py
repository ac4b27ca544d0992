"""What of a blend is used: thresholds first, then weights, each only where persons gain who had no part in it."""

import numpy as np
import pytest

from segkit.ensemble import BlendSpace
from segkit.folds import group_folds
from segkit.geometry import resize
from segkit.masks import MaskSet
from segkit.metrics import Dice, IoU
from segkit.postprocess import render
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.studies import blends, choose_blend

CLASSES, SIZE = ("x", "y"), (40, 44)
IDS = tuple(f"i{n}" for n in range(16))
GROUPS = {i: f"p{n // 2}" for n, i in enumerate(IDS)}


def world(folder, noises, shifts):
    """A space of stores that see the truth's logits with so much noise, moved by so much."""
    random = np.random.default_rng(0)
    blobs = random.normal(0, 2, (len(IDS), 2, 6, 6))
    truth = {
        i: {c: Runs.from_mask(resize.upsample(blobs[n, k], SIZE) > 0) for k, c in enumerate(CLASSES)}
        for n, i in enumerate(IDS)
    }
    stores = []
    for number, (noise, shift) in enumerate(zip(noises, shifts)):
        store = PredictionStore.create(
            folder / f"s{number}.zarr", ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=(6, 6)
        )
        for n, image in enumerate(IDS):
            store[image] = blobs[n] + random.normal(0, noise, (2, 6, 6)) + shift
        stores.append(store)
    return stores, MaskSet(IDS, CLASSES, lambda i, c: truth[i][c])


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    """Three stores equally good, of one bias: thresholds gain, weights do not."""
    return world(tmp_path_factory.mktemp("b"), (0.8, 0.8, 0.8), [np.reshape((1.8, 1.0), (2, 1, 1))] * 3)


def lopsided(space):
    return [1, 0, 0]


@pytest.mark.parametrize("by_class", [False, True])
def test_weights_are_not_kept_for_what_the_thresholds_gain(biased, by_class):
    stores, truth = biased
    space = BlendSpace(stores, truth)
    found = choose_blend(space, GROUPS, lopsided, found=[1, 0, 0], thresholds_by_class=by_class)
    both = space.dice([1, 0, 0], 0.75).mean()
    assert both > space.dice().mean()  # judged together they would stay
    assert found.kept == "thresholds"
    assert found.setting.blend.weights == pytest.approx([1 / 3] * 3)
    thresholds = [found.setting.threshold(cls) for cls in CLASSES]
    assert min(thresholds) > 0.6
    assert len(set(thresholds)) == (2 if by_class else 1)
    assert [row.name for row in found.rows] == ["thresholds", "weights"]
    assert [row.gain.is_significant() for row in found.rows] == [True, False]
    masks = render(stores, found.setting)
    assert found.tuned == pytest.approx(Dice().table(masks, truth).to_numpy().mean())
    assert found.held_out == pytest.approx(found.rows[0].held_out)
    assert found.scores.ids == IDS


def test_weights_that_help_others_are_kept_at_the_thresholds_that_were(tmp_path):
    stores, truth = world(tmp_path, (0.2, 2.0, 2.0), (0.0, 0.0, 0.0))
    space = BlendSpace(stores, truth)
    found = choose_blend(space, GROUPS, lopsided)
    assert found.kept == "weights"
    assert found.setting.thresholds == 0.5
    assert found.setting.blend.weights[0] > 0.6
    assert found.rows[1].gain.low > 0.01
    assert found.untuned + 0.01 < found.held_out <= found.tuned + 0.01


def test_greedy_weights_serve_where_the_search_finds_nonsense(tmp_path):
    space = BlendSpace(*world(tmp_path, (0.2, 2.0, 2.0), (0.0, 0.0, 0.0)))
    found = choose_blend(space, GROUPS, lambda part: [0, 0, 1])
    assert found.kept == "weights"
    assert found.setting.blend.weights[0] > 0.6


def test_nobodys_images_take_part_in_what_they_are_scored_by(biased):
    seen = []

    def search(part):
        seen.append({GROUPS[image] for image in part.ids})
        return [1, 0, 0]

    choose_blend(BlendSpace(*biased), GROUPS, search, k=4)
    others = [{GROUPS[IDS[row]] for row in kept} for _, kept in group_folds(IDS, GROUPS, 4)]
    assert len(seen) == 3 * 4  # two halves and all of each fold's others; the weights were not kept, so no more
    for number, persons in enumerate(others):
        first, second, both = seen[3 * number : 3 * number + 3]
        assert both == persons == first | second
        assert not first & second


@pytest.mark.parametrize(("count", "reported"), [(2, []), (5, ["thresholds", "weights"])])
def test_few_groups_keep_nothing(biased, count, reported):
    groups = {i: f"p{n % count}" for n, i in enumerate(IDS)}
    found = choose_blend(BlendSpace(*biased), groups, lopsided)
    assert (found.kept, found.setting.thresholds) == ("nothing", 0.5)
    assert [row.name for row in found.rows] == reported
    if reported:
        assert found.rows[0].gain.low > 0


def test_the_candidates_are_those_named(biased):
    space = BlendSpace(*biased)
    chooser = blends._Chooser(space, GROUPS, lopsided, None, False, True, 5)
    offered = chooser.offered(space, blends._Setting({}, 0.5), None)
    assert list(offered) == ["equal", "greedy, moved 0.5", "greedy, moved 0", "study, moved 0.5", "study, moved 0"]
    assert offered["study, moved 0.5"]["y"].tolist() == pytest.approx([4 / 6, 1 / 6, 1 / 6])


def test_a_pooled_metric_is_what_the_blend_is_chosen_by(tmp_path):
    stores, truth = world(tmp_path, (0.2, 2.0, 2.0), (0.0, 0.0, 0.0))
    metric = IoU(average="pooled")
    found = choose_blend(BlendSpace(stores, truth, metric=metric), GROUPS, lopsided)
    assert found.kept == "weights"
    assert found.tuned == pytest.approx(metric(render(stores, found.setting), truth))
    assert found.untuned == pytest.approx(metric(render(stores), truth))
