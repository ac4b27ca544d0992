"""The Pipeline against its steps on the full-size mask; its file; what it refuses."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.ensemble import Blend
from segkit.geometry import resize
from segkit.postprocess import Pipeline, fill_holes, keep_largest, opening, remove_small
from segkit.rle import Runs

STEPS_USED = [
    ("opening", {"radius": {"x": 2, "*": 1}}),
    ("keep_largest", {"k": 2, "skip": ("y",)}),
    ("remove_small", {"min_area": {"y": 40, "*": 0}}),
    ("fill_holes", {"max_area": {"x": None, "*": 10}}),
]


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(["x", "y", "z"]))
def test_a_pipeline_is_its_steps_on_the_full_size_mask(seed, cls):
    plane = np.random.default_rng(seed).normal(0, 2, (9, 8))
    size = (50, 61)
    thresholds = {"x": 0.3, "y": 0.6, "*": 0.5}
    mask = resize.upsample(plane, size) > resize.threshold_logit(thresholds.get(cls, 0.5))
    mask = opening(mask, radius=2 if cls == "x" else 1)
    if cls != "y":
        mask = keep_largest(mask, k=2)
    mask = remove_small(mask, min_area=40 if cls == "y" else 0)
    mask = fill_holes(mask, max_area=None if cls == "x" else 10)
    pipeline = Pipeline(STEPS_USED, thresholds=thresholds)
    assert pipeline.mask(plane, size, cls) == Runs.from_mask(mask)
    assert pipeline(resize.runs_above(plane, size, pipeline.threshold(cls)), cls) == Runs.from_mask(mask)


def test_no_steps_is_the_thresholded_plane():
    plane = np.random.default_rng(0).normal(0, 2, (9, 8))
    assert Pipeline().mask(plane, (50, 61), "x") == resize.runs_above(plane, (50, 61), 0.5)
    assert Pipeline(thresholds=0.7).threshold("x") == 0.7


@pytest.mark.parametrize(
    "pipeline",
    [
        Pipeline(),
        Pipeline(STEPS_USED, thresholds={"x": 0.3, "*": 0.1 + 0.2}),
        Pipeline([("remove_small", {"min_area": np.int64(7)})], thresholds={"x": np.float64(0.25)}),
    ],
)
def test_saved_and_loaded_it_is_the_same(tmp_path, pipeline):
    pipeline.save(tmp_path / "post.json")
    again = Pipeline.load(tmp_path / "post.json")
    assert again == pipeline
    assert hash(again) == hash(pipeline)
    assert repr(again) == repr(pipeline)
    assert again != Pipeline(thresholds=0.123)
    assert set(json.loads((tmp_path / "post.json").read_text())) == {"thresholds", "steps"}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"steps": [], "thresholds": 0.5, "overlap": []}',
        '{"steps": 3, "thresholds": 0.5}',
        '{"steps": [["erode", {}]], "thresholds": 0.5}',
    ],
)
def test_a_file_that_is_no_pipeline_is_named(tmp_path, text):
    (tmp_path / "post.json").write_text(text)
    with pytest.raises(ValueError, match=r"post\.json"):
        Pipeline.load(tmp_path / "post.json")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("keep_larges", {})], "no post-processing step 'keep_larges'; did you mean keep_largest"),
        ([("remove_small", {"min_aera": 3})], "remove_small has no setting 'min_aera'; did you mean min_area"),
        ([("keep_largest", {"mask": 3})], "no setting 'mask'"),
        ([("keep_largest", {"skip": "Ulna"})], "skip is a list of class names, got 'Ulna'"),
        ([("keep_largest", {"only": "Ulna"})], "only is a list of class names, got 'Ulna'"),
        ([("keep_largest", {"only": ["Ulna"], "skip": ["Radius"]})], "both skip and only"),
        ([("hysteresis", {"prob": 3})], "no setting 'prob'"),
        ([("fill_holes", {}), ("triplet", {})], "triplet works on logits: name it before fill_holes"),
    ],
)
def test_misspelt_steps_and_settings_have_neighbours(steps, message):
    with pytest.raises(ValueError, match=message):
        Pipeline(steps)


def test_a_step_can_be_for_some_classes_only():
    runs = Runs([[0, 3], [4, 5]], (1, 6))
    pipeline = Pipeline([("keep_largest", {"only": ["x"]}), ("remove_small", {"min_area": 4, "skip": ["x", "y"]})])
    assert [pipeline(runs, cls).area for cls in "xyz"] == [3, 4, 0]
    assert [[pipeline.active(step, cls) for cls in "xyz"] for step in (0, 1)] == [[1, 0, 0], [0, 0, 1]]


def test_a_class_without_a_setting_is_named():
    runs = Runs([[0, 3]], (2, 3))
    with pytest.raises(ValueError, match=r"no setting for \['z'\]"):
        Pipeline([("remove_small", {"min_area": {"x": 3}})])(runs, "z")
    with pytest.raises(ValueError, match=r"no setting for \['z'\]"):
        Pipeline(thresholds={"x": 0.3}).threshold("z")


BONES = ("Ulna", "Radius", "finger-3")


@pytest.mark.parametrize(
    ("steps", "thresholds", "message"),
    [
        ([("remove_small", {"min_area": {"Ullna": 3, "*": 0}})], 0.5, "step remove_small, min_area: no class 'Ullna'"),
        ([("keep_largest", {"skip": ["finger3"]})], 0.5, "step keep_largest, skip: no class 'finger3'; did you mean"),
        ([("fill_holes", {"only": ["radius"]})], 0.5, "step fill_holes, only: no class 'radius'; did you mean Radius"),
        ([("fill_holes", {"only": ["*"]})], 0.5, r"step fill_holes, only: no class '\*'"),
        ([], {"Ulan": 0.4, "*": 0.5}, "thresholds: no class 'Ulan'; did you mean Ulna"),
        ([], {"Ulna": 0.4}, r"thresholds: no setting for Radius, finger-3; name them, or '\*'"),
        ([("closing", {"radius": {"Ulna": 1}, "skip": ["Radius"]})], 0.5, "closing, radius: no setting for finger-3"),
        ([("triplet", {"top": 0.9, "area": 1, "bottom": 0.2}),
          ("hysteresis", {"low": 0.2, "high": 0.9, "only": ["Radius"]})], 0.5, "class Radius: triplet and hysteresis"),
    ],
)  # fmt: skip
def test_a_pipeline_that_knows_its_classes_names_what_is_none(tmp_path, steps, thresholds, message):
    with pytest.raises(ValueError, match=message):
        Pipeline(steps, thresholds=thresholds, classes=BONES)
    without = Pipeline(steps, thresholds=thresholds)
    with pytest.raises(ValueError, match=message):
        without.with_classes(BONES)
    without.save(tmp_path / "post.json")
    content = json.loads((tmp_path / "post.json").read_text())
    (tmp_path / "post.json").write_text(json.dumps({**content, "classes": BONES}))
    with pytest.raises(ValueError, match=rf"post\.json is not a saved Pipeline: .*{message}"):
        Pipeline.load(tmp_path / "post.json")


def test_a_pipeline_that_knows_its_classes_runs_as_one_that_does_not(tmp_path):
    steps = [("closing", {"radius": {"Ulna": 1}, "only": ["Ulna"]}), ("keep_largest", {"skip": ["finger-3"]})]
    pipeline = Pipeline(steps, thresholds={"Ulna": 0.4, "*": 0.5})
    known = pipeline.with_classes(BONES)
    known.save(tmp_path / "post.json")
    again = Pipeline.load(tmp_path / "post.json")
    assert again.classes == known.classes == BONES
    assert again == pipeline
    plane = np.random.default_rng(1).normal(0, 2, (9, 8))
    for cls in BONES:
        assert again.mask(plane, (50, 61), cls) == pipeline.mask(plane, (50, 61), cls)
    with pytest.raises(ValueError, match="no class 'Ullna'; did you mean Ulna"):
        again.mask(plane, (50, 61), "Ullna")
    with pytest.raises(ValueError, match="no class 'x'"):
        again(Runs([[0, 3]], (2, 3)), "x")
    with pytest.raises(ValueError, match="classes is a list of names, got 'Ulna'"):
        Pipeline(classes="Ulna")
    cut = ("hysteresis", {"low": 0.2, "high": 0.9, "only": ["Ulna"]})
    Pipeline([cut], thresholds={"Radius": 0.4, "finger-3": 0.5}, classes=BONES)  # Ulna's needs no threshold


def test_what_is_given_stays_as_it_was():
    settings_given = {"k": 2, "skip": ["y"]}
    steps, thresholds = [("keep_largest", settings_given)], {"x": 0.3, "*": 0.5}
    pipeline = Pipeline(steps, thresholds=thresholds)
    settings_given["k"] = 99
    thresholds["x"] = 0.9
    steps.append(("fill_holes", {}))
    assert pipeline == Pipeline([("keep_largest", {"k": 2, "skip": ["y"]})], thresholds={"x": 0.3, "*": 0.5})


def test_exclusive_classes_are_the_highest_logit_with_offsets(tmp_path):
    logits = dict(zip("xyz", np.random.default_rng(4).normal(0, 2, (3, 9, 8))))
    size = (50, 61)
    offsets = {"x": 0.7, "y": -0.2, "z": 0.0}
    pipeline = Pipeline(exclusive=True, offsets=offsets, classes=["x", "y", "z"])
    pipeline.save(tmp_path / "post.json")
    again = Pipeline.load(tmp_path / "post.json")
    assert (again, hash(again)) == (pipeline, hash(pipeline))
    assert again != Pipeline(exclusive=True)
    full = np.stack([resize.upsample((logits[c] + offsets[c]).astype(np.float32), size) for c in "xyz"])
    masks = again.masks(logits, size)
    assert all(masks[c] == Runs.from_mask(full.argmax(axis=0) == k) for k, c in enumerate("xyz"))
    with pytest.raises(ValueError, match="classes are exclusive, so its mask depends on all others"):
        pipeline.mask(logits["x"], size, "x")


def test_steps_leave_exclusive_classes_apart():
    logits = dict(zip("xyz", np.random.default_rng(4).normal(0, 2, (3, 9, 8))))
    stepped = Pipeline([("closing", {"radius": 4}), ("remove_small", {"min_area": 30})], exclusive=True)
    masks = stepped.masks(logits, (50, 61))
    assert masks != Pipeline(exclusive=True).masks(logits, (50, 61))
    total = sum(masks[c].mask().astype(int) for c in "xyz")
    assert total.max() == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exclusive": True, "thresholds": 0.4}, "thresholds do nothing where classes are exclusive"),
        ({"offsets": 0.4}, "offsets are of exclusive classes"),
        ({"exclusive": True, "overlaps": [{"winner": "x", "loser": "y"}]}, "overlaps do nothing"),
        ({"exclusive": True, "steps": [("hysteresis", {"low": 0.2, "high": 0.8})]}, "step hysteresis does nothing"),
        ({"exclusive": True, "blend": Blend(domain="probs")}, "blended in logits"),
        ({"exclusive": 1}, "exclusive=1: expected true or false"),
        ({"exclusive": True, "offsets": {"x": float("nan")}}, "class x: an offset is a finite number"),
        ({"exclusive": True, "offsets": True}, "an offset is a finite number of logits, got True"),
        ({"exclusive": True, "offsets": {"w": 1, "*": 0}, "classes": ["x"]}, "offsets: no class 'w'"),
        ({"blend": Blend({"w": [1], "*": [2]}), "classes": ["x"]}, "blend, weights: no class 'w'"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Pipeline(**settings)


def test_the_settings_of_a_blend_are_one_file_with_those_of_a_store(tmp_path):
    pipeline = Pipeline(
        [("fill_holes", {})], thresholds=0.4, blend=Blend({"x": np.array([1, 3])}, domain="probs", stores=("a", "b"))
    )
    pipeline.save(tmp_path / "post.json")
    content = json.loads((tmp_path / "post.json").read_text())
    assert content["blend"] == {"weights": {"x": [1, 3]}, "domain": "probs", "stores": ["a", "b"]}
    again = Pipeline.load(tmp_path / "post.json")
    assert (again, hash(again)) == (pipeline, hash(pipeline))
    assert again != Pipeline(pipeline.steps, thresholds=0.4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"thresholds": True}, "a threshold is a probability between 0 and 1, got True"),
        ({"thresholds": "0.5"}, "a threshold is a probability between 0 and 1, got '0.5'"),
        ({"blend": {"weights": [True, 1]}}, r"blend: expected a list of weights >= 0, not all 0, got \[True, 1\]"),
        ({"blend": {"weights": ["1", 1]}}, "blend: expected a list of weights"),
        ({"blend": {"weights": {"x": [1, -1]}}}, "blend, class x: expected a list of weights"),
        ({"blend": {"weights": [0, 0]}}, "not all 0"),
        ({"blend": {"weights": {"x": None}}}, "blend, class x: expected a list of weights"),
        ({"blend": {"weights": [1, 1], "stores": ["a"]}}, "blend: expected 1 weights, one a store, got 2"),
        ({"blend": {"stores": "a"}}, "blend: expected stores as a list of names, got 'a'"),
        ({"blend": {"domain": "levels"}}, "domain='levels': expected logits or probs"),
        ({"blend": {"weight": [1]}}, "blend: no setting 'weight'; did you mean weights"),
        ({"blend": [1, 2]}, "blend: expected settings by name"),
        ({"exclusive": "yes"}, "it has no 'thresholds'|expected true or false"),
    ],
)
def test_the_values_of_a_file_are_checked(tmp_path, changed, message):
    (tmp_path / "post.json").write_text(json.dumps({"steps": [], "thresholds": 0.5, **changed}))
    with pytest.raises(ValueError, match=rf"post\.json is not a saved Pipeline: .*({message})"):
        Pipeline.load(tmp_path / "post.json")
