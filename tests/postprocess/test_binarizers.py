"""Hysteresis and the triplet against scipy on the whole plane; in a Pipeline the same, region by region."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from segkit.geometry import resize
from segkit.postprocess import BINARIZERS, Pipeline, fill_holes, hysteresis, remove_small, triplet
from segkit.rle import Runs


def slow_hysteresis(wide, core, min_area=1):
    _, labels = cv2.connectedComponents(wide.astype(np.uint8), connectivity=8)
    return np.isin(labels, [n for n in range(1, labels.max() + 1) if core[labels == n].sum() >= min_area])


def slow_triplet(wide, core, area):
    return wide if np.count_nonzero(core) >= area else np.zeros_like(wide)


unit = st.floats(0, 1, width=32)
pairs = st.tuples(unit, unit).map(sorted)
CASES = [
    (hysteresis, slow_hysteresis, ("low", "high"), {"min_area": st.integers(1, 6)}),
    (triplet, slow_triplet, ("bottom", "top"), {"area": st.integers(0, 6)}),
]
each = pytest.mark.parametrize(("step", "slow", "names", "knobs"), CASES, ids=lambda c: getattr(c, "__name__", ""))


def test_every_cut_has_its_row_here():
    assert {step.__name__ for step, *_ in CASES} == set(BINARIZERS)


@each
@settings(max_examples=80)
@given(data=st.data())
def test_a_cut_is_its_slow_twin(step, slow, names, knobs, data):
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    prob = data.draw(npst.arrays(np.float32, shape, elements=unit))
    cuts = dict(zip(names, data.draw(pairs)))
    chosen = {name: data.draw(values) for name, values in knobs.items()}
    kept = prob.copy()
    mask = step(prob, **cuts, **chosen)
    wide, core = (prob > np.float32(cuts[name]) for name in names)
    assert mask.dtype == bool
    assert np.array_equal(mask, slow(wide, core, **chosen))
    assert np.array_equal(prob, kept)
    assert not (mask & ~wide).any()


@each
@settings(max_examples=60)
@given(data=st.data())
def test_in_a_pipeline_it_is_the_same_as_on_the_whole_plane(step, slow, names, knobs, data):
    seed = data.draw(st.integers(0, 10_000))
    size = data.draw(st.sampled_from([(50, 61), (9, 8), (5, 7), (64, 32)]))
    plane = np.random.default_rng(seed).normal(-1, 2, (9, 8)).astype(np.float32)
    low, high = data.draw(pairs)
    chosen = {name: data.draw(values) * 5 + 1 for name, values in knobs.items()}
    full = resize.upsample(plane, size)
    wanted = slow(full > resize.threshold_logit(low), full > resize.threshold_logit(high), **chosen)
    wanted = fill_holes(remove_small(wanted, min_area=9))
    steps = [
        (step.__name__, {names[0]: low, names[1]: high, **chosen, "skip": ["y"]}),
        ("remove_small", {"min_area": {"x": 9, "*": 0}}),
        ("fill_holes", {}),
    ]
    kept = plane.copy()
    pipeline = Pipeline(steps, thresholds=0.8)
    assert pipeline.mask(plane, size, "x") == Runs.from_mask(wanted)
    assert pipeline.mask(plane, size, "x").shape == size
    assert pipeline.mask(plane, size, "y") == Runs.from_mask(fill_holes(full > resize.threshold_logit(0.8)))
    assert np.array_equal(plane, kept)


@each
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (5, 6)])
def test_full_empty_and_the_last_pixel(step, slow, names, knobs, shape):
    chosen = dict(zip(names, (0.3, 0.7)))
    chosen |= {"area": 1} if "area" in knobs else {}
    for value in (0.0, 0.3, 0.7, 1.0):  # strictly above is meant
        assert (step(np.full(shape, value), **chosen) == (value == 1.0)).all()
    last = np.zeros(shape)
    last[-1, -1] = 0.71
    assert np.array_equal(step(last, **chosen), last > 0)


def test_a_core_is_counted_in_its_own_component_the_triplet_in_the_whole_image():
    prob = np.array([[0.9, 0.9, 0.4, 0.0, 0.4, 0.9, 0.0, 0.4]])
    assert hysteresis(prob, low=0.3, high=0.7).tolist() == [[True, True, True, False, True, True, False, False]]
    assert hysteresis(prob, low=0.3, high=0.7, min_area=2).sum() == 3
    assert hysteresis(prob, low=0.3, high=0.7, min_area=3).sum() == 0
    assert triplet(prob, top=0.7, area=3, bottom=0.3).sum() == 6
    assert triplet(prob, top=0.7, area=4, bottom=0.3).sum() == 0
    corners = np.array([[0.9, 0.0], [0.0, 0.4]])
    assert hysteresis(corners, low=0.3, high=0.7).sum() == 2  # corners join


def test_equal_thresholds_are_the_plain_threshold():
    prob = np.random.default_rng(0).random((20, 20))
    assert np.array_equal(hysteresis(prob, low=0.6, high=0.6), prob > 0.6)
    assert np.array_equal(triplet(prob, top=0.6, area=0, bottom=0.6), prob > 0.6)


def test_saved_and_loaded_it_cuts_the_same(tmp_path):
    steps = [
        ("hysteresis", {"low": 0.3, "high": {"x": 0.9, "*": 0.8}, "min_area": 12, "only": ["x", "z"]}),
        ("triplet", {"top": 0.8, "area": 40, "bottom": 0.35, "only": ["y"]}),
        ("smooth", {"radius": 2}),
    ]
    pipeline = Pipeline(steps, thresholds={"x": 0.1, "*": 0.5})
    pipeline.save(tmp_path / "post.json")
    again = Pipeline.load(tmp_path / "post.json")
    assert again == pipeline
    plane = np.random.default_rng(1).normal(0, 2, (9, 8))
    masks = [again.mask(plane, (50, 61), cls) for cls in "xyzw"]
    assert masks == [pipeline.mask(plane, (50, 61), cls) for cls in "xyzw"]
    assert len(set(masks)) > 2


def test_a_cut_needs_the_logits_and_one_class_has_one():
    pipeline = Pipeline([("hysteresis", {"low": 0.3, "high": 0.7, "only": ["x"]})])
    assert pipeline(Runs([[0, 3]], (2, 3)), "y").area == 3
    with pytest.raises(ValueError, match=r"class x: step hysteresis works on logits.*mask\(logits, size, cls\)"):
        pipeline(Runs([[0, 3]], (2, 3)), "x")
    twice = Pipeline([*pipeline.steps, ("triplet", {"top": 0.9, "area": 1, "bottom": 0.3})])
    with pytest.raises(ValueError, match="class x: hysteresis and triplet would both make its mask"):
        twice.mask(np.zeros((2, 2)), (4, 4), "x")
    assert not twice.mask(np.zeros((2, 2)), (4, 4), "y")


def test_a_setting_that_means_nothing_for_a_class_names_it():
    with pytest.raises(ValueError, match=r"class x, step hysteresis: low=0.8 is above high=0.7"):
        Pipeline([("hysteresis", {"low": {"x": 0.8, "*": 0.3}, "high": 0.7})])
    with pytest.raises(ValueError, match=r"class y, step smooth: radius=0"):
        Pipeline([("smooth", {"radius": {"y": 0, "*": 1}})])


@pytest.mark.parametrize(
    ("step", "given", "message"),
    [
        (hysteresis, {"low": 0.8, "high": 0.7}, r"low=0.8 is above high=0.7.*swap"),
        (hysteresis, {"low": 0.3, "high": 0.7, "min_area": 0}, "min_area=0"),
        (hysteresis, {"low": 0.3, "high": 0.7, "min_area": float("nan")}, "min_area=nan"),
        (hysteresis, {"low": 0.3, "high": 1.7}, "got 1.7"),
        (triplet, {"top": 0.3, "area": 1, "bottom": 0.4}, r"bottom=0.4 is above top=0.3.*swap"),
        (triplet, {"top": 0.3, "area": -1, "bottom": 0.2}, "area=-1"),
        (triplet, {"top": 0.3, "area": 1, "bottom": -0.2}, "got -0.2"),
    ],
)
def test_settings_that_mean_nothing(step, given, message):
    with pytest.raises(ValueError, match=message):
        step(np.ones((3, 3)), **given)


@pytest.mark.parametrize(
    ("prob", "message"),
    [
        (np.ones((3, 3), bool), "expected float probabilities .* got bool"),
        (np.ones((2, 3, 3)), r"got float64 \(2, 3, 3\)"),
        (np.full((3, 3), 4.0), "sigmoid"),
        (np.full((3, 3), np.nan), "nan"),
    ],
)
def test_what_is_no_probability(prob, message):
    with pytest.raises(ValueError, match=message):
        hysteresis(prob, low=0.3, high=0.7)
