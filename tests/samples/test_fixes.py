"""Label fixes: what each does, and every way of matching nothing is an error."""

import numpy as np
import pytest

from segkit.samples import Fix, apply_fixes


def box(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.int32)


A, B, C, D = (box(10 * k, 0, 10 * k + 5, 5) for k in range(4))


def labels():
    return {
        "x.png": {"a": [A], "b": [B], "c": [C], "d": [D], "none": []},
        "y.png": {"a": [C], "b": [], "c": [], "d": []},
    }


def test_a_swap():
    fixed = apply_fixes(labels(), [Fix("x", "relabel", {"a": "b", "b": "a"})])
    assert fixed["x.png"]["a"][0] is not A
    assert np.array_equal(fixed["x.png"]["a"][0], B)
    assert np.array_equal(fixed["x.png"]["b"][0], A)
    assert np.array_equal(fixed["x.png"]["c"][0], C)
    assert np.array_equal(fixed["y.png"]["a"][0], C)


def test_a_cycle_and_a_swap_at_once():
    fixed = apply_fixes(labels(), [Fix("x", "relabel", {"a": "b", "b": "c", "c": "a"})])["x.png"]
    for cls, ring in (("b", A), ("c", B), ("a", C), ("d", D)):
        assert np.array_equal(fixed[cls][0], ring)


def test_fixes_apply_in_order():
    swap = Fix("x", "relabel", {"a": "b", "b": "a"})
    twice = apply_fixes(labels(), [swap, swap])["x.png"]
    assert np.array_equal(twice["a"][0], A)


def test_inner_rings_are_dropped_and_others_kept():
    outer, inner, beside = box(0, 0, 20, 20), box(5, 5, 9, 9), box(15, 15, 30, 30)
    rings = {"x.png": {"a": [inner, outer, beside], "b": [inner]}}
    fixed = apply_fixes(rings, [Fix("x", "drop_inner", ("a",))])
    assert len(fixed["x.png"]["a"]) == 2
    assert np.array_equal(fixed["x.png"]["a"][0], outer)
    assert np.array_equal(fixed["x.png"]["a"][1], beside)
    assert len(fixed["x.png"]["b"]) == 1
    same = apply_fixes({"x.png": {"a": [outer, outer.copy()]}}, [Fix("x", "drop_inner", ("a",))])
    assert len(same["x.png"]["a"]) == 1


def test_rings_inside_that_leave_the_image():
    outer, inner = box(-40, -40, 20, 20), box(-30, 5, 9, 9)
    fixed = apply_fixes({"x.png": {"a": [outer, inner]}}, [Fix("x", "drop_inner", ("a",))])
    assert len(fixed["x.png"]["a"]) == 1


def test_an_excluded_image_is_gone():
    assert list(apply_fixes(labels(), [Fix("x", "exclude")])) == ["y.png"]


def test_the_labels_given_stay_as_they_were():
    before = labels()
    apply_fixes(before, [Fix("x", "relabel", {"a": "b", "b": "a"}), Fix("y", "exclude")])
    assert list(before) == ["x.png", "y.png"]
    assert np.array_equal(before["x.png"]["a"][0], A)


@pytest.mark.parametrize(
    ("fixes", "message"),
    [
        ([Fix("z", "exclude")], "fix of z .*matches none of the 2 images"),
        ([Fix("x.png", "exclude")], r"fix of x\.png .*matches none"),
        ([Fix("x", "exclude"), Fix("x", "exclude")], "matches none of the 1 images"),
        ([Fix("x", "relabel", {"a": "none", "none": "a"})], "fix of x matches nothing: no label none"),
        ([Fix("x", "relabel", {"a": "Q", "Q": "a"})], "no label Q"),
        ([Fix("y", "drop_inner", ("b",))], "fix of y matches nothing: no label b"),
        ([Fix("x", "drop_inner", ("a",))], "fix of x, class a matches nothing: none of 1 rings"),
    ],
)
def test_a_fix_that_matches_nothing_is_an_error(fixes, message):
    with pytest.raises(ValueError, match=message):
        apply_fixes(labels(), fixes)


def test_why_is_said():
    with pytest.raises(ValueError, match="mirrored"):
        apply_fixes(labels(), [Fix("z", "exclude", why="mirrored")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", "swap", {"a": "b"}), "kind 'swap', one of relabel"),
        (("x", "relabel", {"a": "b"}), "permutation"),
        (("x", "relabel", ("a", "b")), "permutation"),
        (("x", "relabel", {}), "others want some"),
        (("x", "drop_inner"), "others want some"),
        (("x", "exclude", ("a",)), "exclude takes no labels"),
    ],
)
def test_a_fix_that_means_nothing(arguments, message):
    with pytest.raises(ValueError, match=message):
        Fix(*arguments)
