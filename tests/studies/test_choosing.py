"""What is used of a study's proposals: each class its own steps, only where other groups gain, judged once more."""

import numpy as np
import pytest

from competitions.handbone import anatomy
from competitions.handbone.run import RECIPE
from segkit.folds import group_folds
from segkit.geometry import resize
from segkit.geometry.polygons import rasterize
from segkit.masks import MaskSet
from segkit.metrics import Dice
from segkit.postprocess import Pipeline, keep_largest
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.studies import PostprocessObjective, choose, choosing
from segkit.thresholds import curves

CLASSES = ("Ulna", "finger-3", "Radius", "Lunate")
SIZE = (64, 80)
IDS = tuple(f"i{n}" for n in range(20))
GROUPS = {i: f"p{int(i[1:]) // 2}" for i in IDS}
NOTHING = {"min_area": 0.0, "keep_largest": False, "fill_holes": False}
CANDIDATES = [
    {**NOTHING, "keep_largest": True},
    {**NOTHING, "min_area": 0.1},
    {**NOTHING, "min_area": 0.1, "fill_holes": True},
    {**NOTHING, "keep_largest": True, "fill_holes": True},
]


def world(folder, *, wrong=True, shift=0.0, ids=IDS, size=SIZE):
    """Rectangles: the Ulna is predicted with a speck, the Lunate with a hole, finger-3 truly has a second part."""
    rng = np.random.default_rng(0)
    half = (size[0] // 2, size[1] // 2)
    store = PredictionStore.create(folder, ids=ids, classes=CLASSES, sizes=dict.fromkeys(ids, size), grid=half)
    truth = {}
    for image in ids:
        masks = {c: np.zeros(size, bool) for c in CLASSES}
        top, left = rng.integers(6, 14, 2)
        for mask in masks.values():
            mask[top : top + 30, left : left + 20] = True
        masks["finger-3"][top : top + 6, left + 30 : left + 36] = True
        logits = np.stack([6 * resize.coverage(m, half) - 3 for m in masks.values()]) + shift
        logits += rng.normal(0, 0.4, logits.shape)
        if wrong:
            logits[0, 28:30, rng.integers(34, 37) :] = 3.0
            logits[3, (top + 8) // 2 : (top + 12) // 2, (left + 8) // 2 : (left + 12) // 2] = -3.0
        store[image] = logits
        truth[image] = {c: Runs.from_mask(m) for c, m in masks.items()}
    return store, MaskSet(ids, CLASSES, lambda i, c: truth[i][c])


def chosen(store, truth, *, groups=GROUPS, multipart=(), candidates=CANDIDATES, k=5):
    found = curves(store, truth)
    objective = PostprocessObjective(store, truth, thresholds=found.best(), multipart=multipart)
    return choose(found, objective, groups, candidates, k=k)


@pytest.fixture(scope="module")
def bones(tmp_path_factory):
    return world(tmp_path_factory.mktemp("c") / "s.zarr")


@pytest.fixture(scope="module")
def choice(bones):
    return chosen(*bones)


def test_each_class_takes_the_steps_that_it_gains_from(bones, choice):
    steps = dict(choice.setting.steps)
    assert steps["fill_holes"] == {"only": ["Lunate"]}
    removing = [name for name in ("keep_largest", "remove_small") if "Ulna" in steps.get(name, {"only": ()})["only"]]
    assert removing
    assert {cls for settings in steps.values() for cls in settings["only"]} == {"Ulna", "Lunate"}
    assert choice.kept in ("steps", "thresholds and steps")
    assert choice.rows[-1].gain.is_significant()
    assert choice.held_out == choice.rows[-1].held_out
    assert choice.setting.classes == CLASSES


def test_the_numbers_are_those_of_the_masks(bones, choice):
    store, truth = bones
    pred = {i: {c: choice.setting.mask(store.plane(i, c), SIZE, c) for c in CLASSES} for i in IDS}
    assert choice.tuned == pytest.approx(Dice().table(pred, truth).to_numpy().mean())
    plain = {i: {c: Pipeline().mask(store.plane(i, c), SIZE, c) for c in CLASSES} for i in IDS}
    assert choice.untuned == pytest.approx(Dice().table(plain, truth).to_numpy().mean())
    assert choice.held_out == pytest.approx(choice.scores.cells.mean())
    assert choice.scores.ids == IDS
    assert choice.untuned + 0.01 < choice.held_out <= choice.tuned + 1e-9


def test_nobodys_images_take_part_in_what_they_are_scored_by(bones, choice, monkeypatch):
    """Each fold's steps and proposals see the other groups alone; the slow twin scores their Pipeline anew."""
    seen = []
    real = choosing.StepChooser.choose

    def spy(self, ids, groups, level):
        seen.append(set(ids))
        assert set(self.ids) == set(ids)
        return real(self, ids, groups, level)

    monkeypatch.setattr(choosing.StepChooser, "choose", spy)
    store, truth = bones
    assert chosen(store, truth).setting == choice.setting
    folds = [({IDS[r] for r in held}, {IDS[r] for r in kept}) for held, kept in group_folds(IDS, GROUPS, 5)]
    assert seen == [kept for _, kept in folds] + [set(IDS)]
    for (held, kept), (ids, pipeline) in zip(folds, choice.folds):
        assert held == set(ids)
        assert not {GROUPS[i] for i in held} & {GROUPS[i] for i in kept}
        for image in held:
            for cls in CLASSES:
                mask = pipeline.mask(store.plane(image, cls), SIZE, cls)
                assert choice.scores.table.loc[image, cls] == mask.dice(truth[image][cls])


def test_where_nothing_is_wrong_nothing_changes(tmp_path):
    found = chosen(*world(tmp_path / "s.zarr", wrong=False))
    assert not found.setting.steps
    assert found.kept in ("nothing", "thresholds")
    assert found.tuned == pytest.approx(found.held_out, abs=2e-3)


def test_thresholds_alone_can_be_what_gains(tmp_path):
    store, truth = world(tmp_path / "s.zarr", wrong=False, shift=1.5)  # .5 is too low a cut
    found = chosen(store, truth, candidates=[])
    assert found.kept == "thresholds"
    assert not found.setting.steps
    assert min(found.setting.threshold(c) for c in CLASSES) > 0.5
    assert found.rows[0].gain.is_significant()
    assert (found.rows[1].name, found.rows[1].gain.gain) == ("steps", 0)


def test_few_groups_choose_nothing(bones):
    store, truth = bones
    two = MaskSet(IDS[:4], CLASSES, lambda i, c: truth[i][c])
    found = chosen(store, two)
    assert (found.kept, found.setting, found.rows) == ("nothing", Pipeline(), ())
    five = MaskSet(IDS[:10], CLASSES, lambda i, c: truth[i][c])
    found = chosen(store, five)  # what they say is told, and not done
    assert not found.setting.steps
    assert found.rows


def test_of_five_groups_thresholds_are_told_and_not_used(tmp_path):
    store, truth = world(tmp_path / "s.zarr", wrong=False, shift=1.5)
    found = chosen(store, MaskSet(IDS[:10], CLASSES, lambda i, c: truth[i][c]), candidates=[])
    assert found.rows[0].gain.low > 0
    assert found.rows[0].held_out > found.untuned
    assert (found.kept, found.setting) == ("nothing", Pipeline())
    six = MaskSet(IDS[:12], CLASSES, lambda i, c: truth[i][c])
    assert chosen(store, six, candidates=[]).kept == "thresholds"


def test_a_class_that_falls_held_out_keeps_no_step():
    gated = Pipeline([("keep_largest", {"k": {"a": 1, "b": 2}, "only": ["a", "b"]}), ("fill_holes", {"only": ["a"]})])
    assert choosing._without(gated, ["a"]).steps == [("keep_largest", {"k": {"a": 1, "b": 2}, "only": ["b"]})]
    assert choosing._without(gated, []) == gated


def test_the_classes_own_steps_make_one_pipeline():
    best = {
        "a": Pipeline([("keep_largest", {"k": 1, "skip": ["a"]}), ("remove_small", {"min_area": {"a": 3, "b": 9}})]),
        "b": Pipeline([("keep_largest", {"k": 2}), ("fill_holes", {"max_area": None})]),
        "c": Pipeline(),
    }
    merged = choosing._merged(best, Pipeline(thresholds={"a": 0.4, "*": 0.5}))
    assert merged.steps == [
        ("keep_largest", {"k": {"b": 2}, "only": ["b"]}),
        ("remove_small", {"min_area": {"a": 3}, "only": ["a"]}),
        ("fill_holes", {"max_area": {"b": None}, "only": ["b"]}),
    ]
    assert merged.thresholds == {"a": 0.4, "*": 0.5}
    plane = np.random.default_rng(2).normal(0, 2, (9, 8))
    for cls in "abc":
        assert merged.with_classes(("a", "b", "c")).mask(plane, (50, 61), cls) == Pipeline(
            best[cls].steps, thresholds=merged.thresholds
        ).mask(plane, (50, 61), cls)


@pytest.mark.parametrize("multipart", [RECIPE.multipart, ()])
def test_the_sesamoid_of_finger_3_survives_what_the_recipe_chooses(tmp_path, multipart):
    """Phantoms' finger-3 as a good network sees it; a study that would gain elsewhere by taking parts away."""
    size, ids = (1024, 1024), tuple(f"i{n}" for n in range(8))
    truth, store = {}, None
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=ids, classes=("finger-3", "Ulna"), sizes=dict.fromkeys(ids, size), grid=(512, 512)
    )
    people = (anatomy.invent_person(seed) for seed in range(100))
    hands = (anatomy.pose_hand(person, side="left", pose="upright") for person in people)
    hands = (hand for hand in hands if hand.sesamoid is not None)
    for image, hand in zip(ids, hands):
        rings = anatomy.rings(hand, size=size[0])
        masks = [rasterize(rings[cls], size) for cls in ("finger-3", "Ulna")]
        logits = np.stack([8 * resize.coverage(mask, (512, 512)) - 4 for mask in masks])
        logits[1, 2:12, 2:12] = 4.0  # a speck
        store[image] = logits
        truth[image] = {cls: Runs.from_mask(mask) for cls, mask in zip(("finger-3", "Ulna"), masks)}
    masks = MaskSet(ids, ("finger-3", "Ulna"), lambda i, c: truth[i][c])
    found = chosen(store, masks, groups={i: i for i in ids}, multipart=multipart, k=4)
    assert "steps" in found.kept
    for image in ids:
        assert found.setting.mask(store.plane(image, "Ulna"), size, "Ulna").mask()[:30, :30].sum() == 0
        sesamoid = truth[image]["finger-3"] - keep_largest(truth[image]["finger-3"])
        mask = found.setting.mask(store.plane(image, "finger-3"), size, "finger-3")
        assert sesamoid.area > 5
        assert mask.intersection(sesamoid) > 0.7 * sesamoid.area
