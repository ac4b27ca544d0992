"""The gate: off by default, on where held-out persons gain, and never at another class's cost."""

import numpy as np
import pandas as pd
import pytest

from competitions.handbone import anatomy
from segkit.geometry import resize
from segkit.geometry.polygons import rasterize
from segkit.masks import MaskSet
from segkit.metrics import Dice, Scores, compare
from segkit.postprocess import Pipeline, gate, keep_largest
from segkit.predictions import PredictionStore
from segkit.rle import Runs

CLASSES = ("Ulna", "finger-3", "Radius")
SIZE = (64, 80)
IDS = [f"i{n}" for n in range(20)]
PERSONS = {i: f"p{int(i[1:]) // 2}" for i in IDS}
LARGEST = ("keep_largest", {"k": 1})


def world(folder, seed=0):
    """Bones as rectangles: Ulna is predicted with specks, finger-3 truly has a sesamoid, Radius is clean."""
    rng = np.random.default_rng(seed)
    store = PredictionStore.create(folder, ids=IDS, classes=CLASSES, sizes=dict.fromkeys(IDS, SIZE), grid=(32, 40))
    truth = {}
    for image in IDS:
        masks = {c: np.zeros(SIZE, bool) for c in CLASSES}
        top, left = rng.integers(6, 14, 2)
        for mask in masks.values():
            mask[top : top + 30, left : left + 20] = True
        masks["finger-3"][top : top + 6, left + 30 : left + 36] = True
        logits = np.stack([6 * resize.coverage(m, (32, 40)) - 3 for m in masks.values()])
        logits += rng.normal(0, 0.4, logits.shape)
        logits[0, 27:30, rng.integers(30, 36) :] = 3.0
        store[image] = logits
        truth[image] = {c: Runs.from_mask(m) for c, m in masks.items()}
    return store, MaskSet(IDS, CLASSES, lambda i, c: truth[i][c])


@pytest.fixture(scope="module")
def bones(tmp_path_factory):
    return world(tmp_path_factory.mktemp("g") / "s.zarr")


def weigh(bones, steps, base=(), **more):
    store, truth = bones
    thresholds = {"Ulna": 0.4, "*": 0.5}
    more = {"groups": PERSONS, **more}
    return gate(
        Pipeline(steps, thresholds=thresholds), Pipeline(base, thresholds=thresholds), store=store, truth=truth, **more
    )


def slow_table(bones, pipeline):
    store, truth = bones
    pred = {i: {c: pipeline.mask(store.plane(i, c), SIZE, c) for c in CLASSES} for i in IDS}
    return Dice().table(pred, truth)


def test_a_step_stays_for_the_classes_that_gain_and_the_numbers_are_compares(bones):
    found = weigh(bones, [LARGEST])
    assert found.pipeline == Pipeline(
        [("keep_largest", {"k": 1, "only": ["Ulna"]})], thresholds={"Ulna": 0.4, "*": 0.5}
    )
    assert [(w.name, w.cls, w.kept) for w in found.steps] == [
        ("keep_largest", "Ulna", True),
        ("keep_largest", "finger-3", False),
        ("keep_largest", "Radius", False),
    ]
    assert found.steps[1].gain.high < 0  # the sesamoid
    base, every = (slow_table(bones, Pipeline(s, thresholds={"Ulna": 0.4, "*": 0.5})) for s in ([], [LARGEST]))
    for w in found.steps:
        assert w.gain[:-2] == pytest.approx(compare(base[[w.cls]], every[[w.cls]], PERSONS)[:-2])
    assert np.array_equal(found.before.cells, base.to_numpy())
    assert np.array_equal(found.after.cells, slow_table(bones, found.pipeline).to_numpy())
    assert (found.after.per_class() >= found.before.per_class()).all()
    assert found.held_out.is_significant()
    assert found.selection.kept == "steps"
    assert found.table.columns.tolist() == ["step", "class", "gain", "low", "high", "kept"]
    assert found.table["kept"].tolist() == [True, False, False]


def test_the_default_is_off(bones):
    assert weigh(bones, []).pipeline == Pipeline(thresholds={"Ulna": 0.4, "*": 0.5})
    for steps in ([("fill_holes", {"max_area": 0})], [("opening", {"radius": 9})]):
        found = weigh(bones, [*steps, ("remove_small", {"min_area": 0})])
        assert found.pipeline == Pipeline(thresholds={"Ulna": 0.4, "*": 0.5})
        assert np.array_equal(found.before.cells, found.after.cells)
        assert found.held_out.gain == 0


def test_the_sesamoid_of_finger_3_survives_the_default_and_the_gate(bones):
    store, truth = bones
    kept = weigh(bones, [LARGEST, ("remove_small", {"min_area": 60})]).pipeline
    for pipeline in (Pipeline(), kept):
        for image in IDS:
            mask = pipeline.mask(store.plane(image, "finger-3"), SIZE, "finger-3")
            sesamoid = truth[image]["finger-3"] - keep_largest(truth[image]["finger-3"])
            assert mask.intersection(sesamoid) > 0.8 * sesamoid.area


def test_the_phantoms_sesamoid_survives_the_default():
    hands = [anatomy.pose_hand(anatomy.invent_person(seed), side="left", pose="upright") for seed in range(4)]
    hand = next(h for h in hands if h.sesamoid is not None)
    mask = rasterize(anatomy.rings(hand, size=2048)["finger-3"], (2048, 2048))
    plane = 8 * resize.coverage(mask, (1024, 1024)) - 4
    found = Pipeline().mask(plane, (2048, 2048), "finger-3")
    sesamoid = Runs.from_mask(rasterize(anatomy.rings(hand, size=2048)["finger-3"][1:], (2048, 2048)))
    assert sesamoid.area > 20
    assert found.intersection(sesamoid) > 0.8 * sesamoid.area
    lost = Pipeline([LARGEST]).mask(plane, (2048, 2048), "finger-3")
    assert lost.intersection(sesamoid) == 0


def test_steps_are_weighed_on_top_of_what_was_kept(bones):
    again = weigh(bones, [LARGEST, ("remove_small", {"min_area": 100})])
    assert [w.kept for w in again.steps] == [True, False, False, False, False, False]
    assert again.steps[3].gain.gain == 0  # the specks are gone already
    alone = weigh(bones, [("remove_small", {"min_area": 100})])
    assert [w.kept for w in alone.steps] == [True, False, False]


def test_the_bases_steps_stay_as_they_are_and_binarizers_can_be_tried(bones):
    fill = ("fill_holes", {"max_area": 10, "skip": ["Radius"]})
    cut = ("hysteresis", {"low": 0.4, "high": 0.9, "min_area": 200, "skip": ["Radius"]})
    found = weigh(bones, [cut, fill], base=[fill])
    assert found.pipeline.steps == [("hysteresis", {"low": 0.4, "high": 0.9, "min_area": 200, "only": ["Ulna"]}), fill]
    assert {w.cls for w in found.steps} == {"Ulna", "finger-3"}
    assert not np.array_equal(found.before.cells, found.after.cells)


def test_groups_that_the_settings_were_chosen_on_do_not_count(bones):
    found = weigh(bones, [LARGEST], chosen_on=["i0", "i3"])
    assert list(found.before.ids) == IDS[4:]
    assert found.steps[0].gain.groups == 8
    assert found.pipeline.steps


def test_few_groups_say_nothing(bones):
    found = weigh(bones, [LARGEST], chosen_on=IDS[10:])
    assert found.steps[0].gain.groups == 5
    assert found.steps[0].gain.low > 0
    assert not any(step.kept for step in found.steps)
    assert found.pipeline == Pipeline(thresholds={"Ulna": 0.4, "*": 0.5})
    assert weigh(bones, [LARGEST], chosen_on=IDS[4:]).held_out is None  # 2 groups: none is left to ask
    assert weigh(bones, [LARGEST], chosen_on=IDS[12:]).pipeline.steps  # 6 groups


def test_two_images_of_one_group_are_one_voice(bones):
    one = dict.fromkeys(IDS, "p0") | {"i19": "p1"}
    assert not weigh(bones, [LARGEST], groups=one).pipeline.steps


@pytest.mark.parametrize("loss", [-0.01, 0.015])
def test_what_falls_on_groups_held_out_is_not_kept(bones, loss):
    """Nine gain .01 and one loses .015: kept on all, and on those without the loser, who then loses unseen."""

    def score(pipeline, ids):
        table = pd.DataFrame(0.5, index=ids, columns=CLASSES)
        table["Ulna"] += np.where(np.arange(10) == 3, -loss, 0.01) * bool(pipeline.steps)
        return Scores.from_table(table)

    store, truth = bones
    one_each = {i: i for i in IDS}
    found = gate(
        Pipeline([LARGEST]), Pipeline(), store=store, truth=truth.subset(IDS[:10]), groups=one_each, score=score
    )
    assert found.steps[0].gain.is_significant()
    assert found.steps[0].kept == bool(found.pipeline.steps) == (loss < 0)
    assert (found.held_out.gain < 0) == (loss > 0)  # what is reported is the choice before it was judged
    assert np.array_equal(found.before.cells, found.after.cells) == (loss > 0)


def test_a_class_that_falls_on_groups_held_out_keeps_no_step(bones):
    """The Ulna gains on all; Radius too, but for one who loses all of that where he has no part in the choice."""

    def score(pipeline, ids):
        table = pd.DataFrame(0.5, index=ids, columns=CLASSES)
        if pipeline.steps:
            table["Ulna"] += 0.1
            table["Radius"] += np.where(np.arange(10) == 3, -0.015, 0.01)
        return Scores.from_table(table)

    store, truth = bones
    one_each = {i: i for i in IDS}
    found = gate(
        Pipeline([LARGEST]), Pipeline(), store=store, truth=truth.subset(IDS[:10]), groups=one_each, score=score
    )
    assert [step.gain.is_significant() for step in found.steps] == [True, False, True]
    assert found.pipeline.steps == [("keep_largest", {"k": 1, "only": ["Ulna"]})]


def test_a_pooled_metric_is_weighed_by_its_own_scores(bones):
    store, truth = bones
    metric = Dice(average="pooled")
    found = weigh(bones, [LARGEST], metric=metric)
    assert dict(found.pipeline.steps)["keep_largest"]["only"] == ["Ulna"]
    masks = {i: {c: found.pipeline.mask(store.plane(i, c), SIZE, c) for c in CLASSES} for i in IDS}
    assert found.after.score() == pytest.approx(metric(masks, truth))


@pytest.mark.parametrize(
    ("steps", "base", "more", "message"),
    [
        ([], [LARGEST], {}, "lacks the base's step"),
        ([("fill_holes", {}), LARGEST], [LARGEST, ("fill_holes", {})], {}, "in order"),
        ([LARGEST], [], {"chosen_on": IDS}, "none is of a group"),
        ([LARGEST], [], {"groups": {"i0": "p"}}, "19 images have no group: i1"),
        ([LARGEST], [], {"chosen_on": ["nobody"]}, "1 images have no group: nobody"),
    ],
)
def test_what_cannot_be_weighed(bones, steps, base, more, message):
    with pytest.raises(ValueError, match=message):
        weigh(bones, steps, base, **more)


def test_thresholds_are_not_the_gates_business(bones):
    store, truth = bones
    with pytest.raises(ValueError, match=r"dataclasses\.replace\(base, steps"):
        gate(Pipeline([LARGEST]), Pipeline(thresholds=0.4), store=store, truth=truth, groups=PERSONS)
    some = {i: {c: truth[i][c] for c in CLASSES[:2]} for i in IDS}
    with pytest.raises(ValueError, match="no class Radius"):
        gate(Pipeline([LARGEST]), Pipeline(), store=store, truth=some, groups=PERSONS)
    small = {i: {c: Runs([[0, 4]], (2, 2)) for c in CLASSES} for i in IDS}
    with pytest.raises(ValueError, match="image i0, class Ulna: the truth"):
        gate(Pipeline([LARGEST]), Pipeline(), store=store, truth=small, groups=PERSONS)
