"""Settings of all classes or of each."""

import pytest
from made_curves import small_world

from segkit.ensemble import BlendSpace
from segkit.thresholds import curves, per_class


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store, truth = small_world(tmp_path_factory.mktemp("t") / "s.zarr")
    return store, truth, curves(store, truth)


def test_per_class_settings():
    assert per_class(3, ("a", "b")) == {"a": 3, "b": 3}
    assert per_class({"b": 1, "*": 0}, ("a", "b")) == {"a": 0, "b": 1}
    assert list(per_class({"b": 1, "a": 0}, ("a", "b"))) == ["a", "b"]
    with pytest.raises(ValueError, match=r"\['q'\]: no such class; there are a, b"):
        per_class({"q": 1, "*": 0}, ("a", "b"))
    with pytest.raises(ValueError, match=r"no setting for \['a'\]"):
        per_class({"b": 1}, ("a", "b"))


@pytest.mark.parametrize("threshold", [None, "0.5", float("nan"), 1.5, True, [0.5]])
def test_a_threshold_that_is_none(made, threshold):
    for dice in (made[2].score, BlendSpace([made[0]], made[1]).dice):
        with pytest.raises(ValueError, match="class y: expected a threshold that is a probability in"):
            dice(thresholds={"y": threshold, "*": 0.5})
