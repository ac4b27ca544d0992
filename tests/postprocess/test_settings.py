"""A Pipeline that cannot run cannot be made, and equal ones are one in a set."""

import numpy as np
import pytest

from segkit.postprocess import Pipeline, closing, fill_holes, keep_largest, opening, remove_small, smooth

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("keep_largest", {"k": 1.5})], r"class \*, step keep_largest: k=1.5: expected an integer"),
        ([("keep_largest", {"k": "1"})], r"class \*, step keep_largest: k='1': expected an integer"),
        ([("keep_largest", {"k": {"x": 0, "*": 1}})], r"class x, step keep_largest: k=0"),
        ([("keep_largest", {"k": True})], r"k=True: expected an integer"),
        ([("remove_small", {"min_area": "5"})], r"min_area='5': expected a number"),
        (
            [("remove_small", {"min_area": "5", "only": ["x"]})],
            r"class x, step remove_small: min_area='5': expected a number of pixels",
        ),
        ([("remove_small", {"min_area": None})], r"min_area=None: expected a number"),
        (
            [("remove_small", {})],
            r"class \*, step remove_small: .*missing 1 required keyword-only argument: 'min_area'",
        ),
        ([("remove_small", {"min_area": INF})], r"step remove_small, min_area: expected a finite number, got inf"),
        (
            [("remove_small", {"min_area": {"x": NAN, "*": 1}})],
            r"of class x: expected a finite number, got nan",
        ),
        ([("remove_small", {"min_area": np.float32("nan")})], r"expected a finite number, got nan"),
        ([("fill_holes", {"max_area": "5"})], r"max_area='5': expected a number"),
        ([("smooth", {"radius": 1.5})], r"radius=1.5: expected an integer number of pixels"),
        ([("opening", {"radius": NAN})], r"step opening, radius: expected a finite number"),
        ([("hysteresis", {"low": 0.3, "high": 1.7})], r"step hysteresis: expected a probability in \[0, 1\], got 1.7"),
        ([("triplet", {"top": "a", "area": 1, "bottom": 0.1})], r"class \*, step triplet: "),
        ([("smooth", None)], r"step smooth: expected settings by name, \{\} for none, got None"),
        ([("smooth",)], r"a step is \(name, settings\), got \('smooth',\)"),
        ([3], r"a step is \(name, settings\), got 3"),
        (None, r"steps are a list, got None"),
    ],
)
def test_steps_that_cannot_run(steps, message):
    with pytest.raises(ValueError, match=message):
        Pipeline(steps)


@pytest.mark.parametrize("threshold", [0, 1, 1.5, -0.1, NAN, INF, None, "0.5", True, [0.5]])
def test_thresholds_that_are_none(threshold):
    with pytest.raises(ValueError, match=r"^a threshold is a probability between 0 and 1, got"):
        Pipeline(thresholds=threshold)
    with pytest.raises(ValueError, match="class x: a threshold is a probability between 0 and 1, got"):
        Pipeline(thresholds={"x": threshold, "*": 0.5})


def test_what_is_asked_for_no_class_is_not_tried():
    Pipeline([("remove_small", {"min_area": {"x": 3}})])  # a class that has none is an error when it comes
    Pipeline([("keep_largest", {"k": {"x": 0, "*": 1}, "skip": ["x"]})])
    Pipeline([("keep_largest", {"k": np.int64(2)}), ("remove_small", {"min_area": np.float32(2.5)})])


def test_masks_alone_refuse_the_same():
    mask = np.ones((3, 3), bool)
    for step, settings in (
        (keep_largest, {"k": 1.0}),
        (remove_small, {"min_area": NAN}),
        (remove_small, {"min_area": "3"}),
        (fill_holes, {"max_area": NAN}),
        (opening, {"radius": 1.5}),
        (closing, {"radius": "1"}),
        (smooth, {"radius": None}),
    ):
        with pytest.raises(ValueError, match=rf"{next(iter(settings))}="):
            step(mask, **settings)
    assert not remove_small(mask, min_area=INF).any()


def test_equal_pipelines_have_equal_hashes():
    one = Pipeline(
        [("remove_small", {"min_area": {"x": 3, "*": 1}, "skip": ["y"]})],
        thresholds={"x": 0.3, "*": 0.5},
        overlaps=[{"winner": "x", "loser": "y", "allowed": 2}],
    )
    two = Pipeline(
        [("remove_small", {"skip": ["y"], "min_area": {"*": 1.0, "x": 3.0}})],
        thresholds={"*": 0.5, "x": 0.3},
        overlaps=[{"allowed": 2.0, "by_logits": False, "loser": "y", "winner": "x"}],
    )
    assert one == two
    assert hash(one) == hash(two)
    assert len({one, two, Pipeline(), Pipeline(thresholds=0.5), Pipeline(thresholds=0.4)}) == 3
    assert one != Pipeline(one.steps, thresholds=one.thresholds)
