"""Overlap by hand, and against whole arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.geometry import resize
from segkit.metrics import Dice
from segkit.postprocess import Pipeline, gate, limit_overlap, render
from segkit.postprocess.overlap import keep_apart
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.studies import PostprocessObjective

SIZE = (23, 31)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([-2.0, 0.0, 3.0]), st.booleans())
def test_it_is_its_slow_twin(seed, lift, by_planes):
    rng = np.random.default_rng(seed)
    planes = {c: rng.normal(lift, 2, (9, 8)).astype(np.float32) for c in "abc"}
    full = {c: resize.upsample(p, SIZE) for c, p in planes.items()}
    wanted = {c: f > 0 for c, f in full.items()}
    masks = {c: Runs.from_mask(m) for c, m in wanted.items()}
    before = dict(masks)
    pairs = [("a", "b"), ("c", "b")]
    for first, second in pairs:
        common = wanted[first] & wanted[second]
        to_second = common & (full[second] > full[first]) if by_planes else np.zeros(SIZE, bool)
        wanted[first] = wanted[first] & ~to_second
        wanted[second] = wanted[second] & ~(common & ~to_second)
    found = limit_overlap(masks, pairs=pairs, logits=planes if by_planes else None)
    assert list(found) == ["a", "b", "c"]
    assert all(found[c] == Runs.from_mask(m) for c, m in wanted.items())
    assert all(found[c].shape == SIZE for c in found)
    assert not found["a"] & found["b"]
    assert masks == before
    assert limit_overlap(found, pairs=pairs, logits=planes if by_planes else None) == found


def test_only_named_pairs_and_only_more_than_is_allowed():
    masks = {"a": Runs([[0, 4]], (2, 9)), "b": Runs([[2, 7]], (2, 9)), "c": Runs([[0, 9]], (2, 9))}
    assert limit_overlap(masks, pairs=[]) == masks
    assert limit_overlap(masks, pairs=[("a", "b")], allowed=2) == masks
    found = limit_overlap(masks, pairs=[("b", "a")], allowed=1.5)
    assert {c: r.text() for c, r in found.items()} == {"a": "1 2", "b": "3 5", "c": "1 9"}
    full = {"a": Runs([[0, 18]], (2, 9)), "b": Runs([[3, 15]], (2, 9))}  # one run over two rows
    even = dict.fromkeys("ab", np.zeros((1, 1)))
    assert [r.area for r in limit_overlap(full, pairs=[("a", "b")], logits=even).values()] == [18, 0]
    higher = {"a": np.zeros((1, 1)), "b": np.ones((1, 1))}
    assert [r.area for r in limit_overlap(full, pairs=[("a", "b")], logits=higher).values()] == [6, 12]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pairs": [("a", "Ulan")]}, r"pair \(a, Ulan\): no mask of class 'Ulan'; did you mean Ulna"),
        ({"pairs": [("a", "a")]}, "one class"),
        ({"pairs": [("a", "Ulna")]}, r"pair \(a, Ulna\): masks of different shapes"),
        ({"pairs": [("a", "b")], "logits": {"a": np.zeros((1, 1))}}, "no logits of class 'b'"),
        ({"pairs": [("a", "b")], "allowed": -1}, "allowed=-1"),
    ],
)
def test_what_cannot_be_limited(more, message):
    masks = {"a": Runs([[0, 4]], (2, 9)), "b": Runs([[2, 7]], (2, 9)), "Ulna": Runs([[2, 7]], (1, 9))}
    with pytest.raises(ValueError, match=message):
        limit_overlap(masks, **more)


def test_runs_without_a_shape_need_one_for_planes():
    masks, planes = {"a": Runs([[0, 4]]), "b": Runs([[2, 7]])}, dict.fromkeys("ab", np.zeros((1, 1)))
    assert limit_overlap(masks, pairs=[("a", "b")])["b"].area == 3
    with pytest.raises(ValueError, match="with_shape"):
        limit_overlap(masks, pairs=[("a", "b")], logits=planes)


SIZES = {"one": (40, 44), "two": (33, 50)}
CLASSES = ("a", "b", "c")
PAIRS = [{"winner": "b", "loser": "a", "by_logits": True}, {"winner": "c", "loser": "b", "allowed": 30}]
STEPS = [("remove_small", {"min_area": 4}), ("fill_holes", {})]


@pytest.fixture
def store(tmp_path):
    random = np.random.default_rng(3)
    made = PredictionStore.create(tmp_path / "s.zarr", ids=tuple(SIZES), classes=CLASSES, sizes=SIZES, grid=(9, 10))
    for image in SIZES:
        made[image] = random.normal(0, 2, (3, 9, 10))
    return made


def by_hand(store, image, pairs=PAIRS):
    """Each class by the Pipeline without overlaps, then pair by pair."""
    planes = dict(zip(CLASSES, store[image]))
    masks = {cls: Pipeline(STEPS, thresholds=0.4).mask(planes[cls], SIZES[image], cls) for cls in CLASSES}
    for pair in pairs:
        masks = limit_overlap(
            masks, pairs=[(pair["winner"], pair["loser"])], allowed=pair.get("allowed", 0),
            logits=planes if pair.get("by_logits") else None,
        )  # fmt: skip
    return masks


def test_a_pipeline_limits_overlaps_after_its_steps(store, tmp_path):
    pipeline = Pipeline(STEPS, thresholds=0.4, overlaps=PAIRS).with_classes(CLASSES)
    pipeline.save(tmp_path / "post.json")
    again = Pipeline.load(tmp_path / "post.json")
    assert again == pipeline
    assert again.overlaps == [{"allowed": 0, "by_logits": False, **pair} for pair in PAIRS]
    changed = 0
    for image in SIZES:
        masks, wanted = again.masks(dict(zip(CLASSES, store[image])), SIZES[image]), by_hand(store, image)
        assert list(masks) == list(CLASSES)
        assert masks == wanted
        changed += wanted != by_hand(store, image, [])
        assert not masks["a"] & masks["b"]
    assert changed == 2
    assert {image: dict(masks) for image, masks in render(store, again).items()} == {
        i: by_hand(store, i) for i in SIZES
    }


def test_what_is_scored_is_what_is_submitted(store):
    pipeline = Pipeline(STEPS, thresholds=0.4, overlaps=PAIRS)
    truth = {image: Pipeline().masks(dict(zip(CLASSES, store[image])), size) for image, size in SIZES.items()}
    table = PostprocessObjective(store, truth).scores(pipeline).cells
    assert np.array_equal(table, Dice().table({i: by_hand(store, i) for i in SIZES}, truth).to_numpy())


def test_a_class_of_a_pair_has_no_mask_of_its_own(store):
    pipeline = Pipeline(overlaps=PAIRS[:1])
    plane, size = store.plane("one", "a"), SIZES["one"]
    assert pipeline.mask(plane, size, "c") == Pipeline().mask(plane, size, "c")
    for asked in (lambda: pipeline.mask(plane, size, "a"), lambda: pipeline(Runs([], size), "b")):
        with pytest.raises(ValueError, match=r"class .: b and a may not overlap, so its mask .*; use masks\(\)"):
            asked()
    with pytest.raises(ValueError, match=r"the pair \(b, a\): no mask of class 'b'"):
        pipeline.masks({"a": plane}, size)
    with pytest.raises(ValueError, match="a gate weighs each class by itself, and overlaps bind two"):
        gate(pipeline, Pipeline(), store=store, truth={"one": dict.fromkeys(CLASSES, Runs([]))}, groups={"one": "p"})


def test_exclusive_classes_stay_apart_after_their_steps():
    own = {"a": picture("aab.", "a"), "b": picture("aab.", "b"), "c": picture("aab.", ".")}
    changed = {"a": picture("aaaa", "a"), "b": picture("....", "b"), "c": picture("..cc", "c")}
    found = keep_apart(own, changed)  # a takes what b gave up; c stays where it was
    assert {cls: runs.text() for cls, runs in found.items()} == {"a": "1 3", "b": "", "c": "4 1"}
    assert keep_apart(own, own) == own


def picture(text, letter):
    return Runs.from_mask(np.array([[one == letter for one in text]]))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ({"winner": "a"}, r'an overlap is \{"winner": class, "loser": class'),
        (("a", "b"), r'an overlap is \{"winner": class, "loser": class'),
        ({"winner": "a", "loser": "b", "alowed": 1}, r"an overlap is "),
        ({"winner": "a", "loser": "a"}, "expected two names of classes"),
        ({"winner": "a", "loser": 1}, "expected two names of classes"),
        ({"winner": "a", "loser": "b", "allowed": -1}, "allowed=-1: expected a number of pixels, 0 or more"),
        ({"winner": "a", "loser": "b", "allowed": float("nan")}, "allowed=nan: expected a number"),
        ({"winner": "a", "loser": "b", "allowed": "3"}, "allowed='3': expected a number"),
        ({"winner": "a", "loser": "b", "by_logits": 1}, "by_logits=1: expected true or false"),
        ({"winner": "a", "loser": "bb"}, "the overlap of a and bb: no class 'bb'; did you mean b"),
    ],
)
def test_overlaps_that_are_none(pair, message):
    with pytest.raises(ValueError, match=message):
        Pipeline(overlaps=[pair], classes=CLASSES)
    with pytest.raises(ValueError, match="overlaps are a list"):
        Pipeline(overlaps=pair if isinstance(pair, dict) else "ab")
