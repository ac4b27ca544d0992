"""Label fixes: what each does; every way of matching nothing is an error."""

import numpy as np
import pytest

from segkit.audit import Fix, apply_fixes
from segkit.geometry import Polygons
from segkit.rle import Runs
from segkit.samples import Samples


def box(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.int32)


A, B, C, D = (box(10 * k, 0, 10 * k + 5, 5) for k in range(4))


CLASSES = ("a", "b", "c", "d", "none")
LABELS = {"x.png": {"a": [A], "b": [B], "c": [C], "d": [D]}, "y.png": {"a": [C]}}


def samples(labels=LABELS):
    """Samples with these outlines; nothing is drawn, so no image is needed."""
    rows = [{"id": image, "image": image} for image in labels]
    given = {image: {cls: Polygons(outlines) for cls, outlines in row.items()} for image, row in labels.items()}
    return Samples.from_table(rows, read_masks=lambda row: given[row["id"]], classes=CLASSES)


def fixed(fixes, labels=LABELS, image="x.png"):
    return apply_fixes(samples(labels), fixes).annotation(image).regions


def test_a_swap():
    swap = [Fix("x", "relabel", {"a": "b", "b": "a"})]
    assert fixed(swap) == {"a": Polygons([B]), "b": Polygons([A]), "c": Polygons([C]), "d": Polygons([D])}
    assert fixed(swap, image="y.png") == {"a": Polygons([C])}


def test_a_cycle_and_a_swap_at_once():
    found = fixed([Fix("x", "relabel", {"a": "b", "b": "c", "c": "a"})])
    assert found == {"b": Polygons([A]), "c": Polygons([B]), "a": Polygons([C]), "d": Polygons([D])}


def test_fixes_apply_in_order():
    swap = Fix("x", "relabel", {"a": "b", "b": "a"})
    assert fixed([swap, swap])["a"] == Polygons([A])


def test_an_image_is_named_with_or_without_its_ending():
    assert fixed([Fix("x.png", "relabel", {"a": "b", "b": "a"})])["a"] == Polygons([B])


def test_inner_polygons_are_dropped_and_others_kept():
    outer, inner, beside = box(0, 0, 20, 20), box(5, 5, 9, 9), box(15, 15, 30, 30)
    found = fixed([Fix("x", "drop_inner", ("a",))], {"x.png": {"a": [inner, outer, beside], "b": [inner]}})
    assert found == {"a": Polygons([outer, beside]), "b": Polygons([inner])}
    same = fixed([Fix("x", "drop_inner", ("a",))], {"x.png": {"a": [outer, outer.copy()]}})
    assert same == {"a": Polygons([outer])}


def test_inner_polygons_that_leave_the_image():
    outer, inner = box(-40, -40, 20, 20), box(-30, 5, 9, 9)
    assert fixed([Fix("x", "drop_inner", ("a",))], {"x.png": {"a": [outer, inner]}}) == {"a": Polygons([outer])}


def test_a_polygon_in_a_hole_is_not_inner():
    frame = (box(0, 0, 20, 20), box(3, 3, 17, 17))
    island = box(6, 6, 9, 9)
    with pytest.raises(ValueError, match="none of 2 polygons lies inside another"):
        fixed([Fix("x", "drop_inner", ("a",))], {"x.png": {"a": [frame, island]}})


def test_an_excluded_image_is_gone():
    assert apply_fixes(samples(), [Fix("x", "exclude")]).ids == ("y.png",)


def test_the_samples_given_stay_as_they_were():
    before = samples()
    mark = before.fingerprint()
    after = apply_fixes(before, [Fix("x", "relabel", {"a": "b", "b": "a"}), Fix("y", "exclude")])
    assert before.ids == ("x.png", "y.png")
    assert before.fingerprint() == mark != before.subset(["x.png"]).fingerprint() != after.fingerprint()
    assert apply_fixes(before, []) is before


def test_masks_have_no_inner_polygons():
    given = Samples.from_table(
        [{"id": "x.png", "image": "x"}], read_masks=lambda row: {"a": Runs([[0, 3]], (2, 2))}, classes=["a"]
    )  # fmt: skip
    with pytest.raises(ValueError, match="drop_inner is for polygons"):
        apply_fixes(given, [Fix("x", "drop_inner", ("a",))])


@pytest.mark.parametrize(
    ("fixes", "message"),
    [
        ([Fix("z", "exclude")], "fix of z .*matches none of the 2 images"),
        ([Fix("x.jpg", "exclude")], r"fix of x\.jpg .*matches none"),
        ([Fix("x", "exclude"), Fix("x", "exclude")], "matches none of the 1 images"),
        ([Fix("x", "relabel", {"a": "none", "none": "a"})], "fix of x matches nothing: no label none"),
        ([Fix("x", "relabel", {"a": "Q", "Q": "a"})], "no label Q"),
        ([Fix("y", "drop_inner", ("b",))], "fix of y matches nothing: no label b"),
        ([Fix("x", "drop_inner", ("a",))], "fix of x, class a matches nothing: none of 1 polygons"),
    ],
)
def test_a_fix_that_matches_nothing_is_an_error(fixes, message):
    with pytest.raises(ValueError, match=message):
        apply_fixes(samples(), fixes)


def test_why_is_said():
    with pytest.raises(ValueError, match="mirrored"):
        apply_fixes(samples(), [Fix("z", "exclude", why="mirrored")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", "swap", {"a": "b"}), "kind 'swap', expected one of relabel"),
        (("x", "relabel", {"a": "b"}), "permutation"),
        (("x", "relabel", ("a", "b")), "permutation"),
        (("x", "relabel", {}), "other kinds need some"),
        (("x", "drop_inner"), "other kinds need some"),
        (("x", "exclude", ("a",)), "exclude takes no labels"),
    ],
)
def test_a_fix_that_means_nothing(arguments, message):
    with pytest.raises(ValueError, match=message):
        Fix(*arguments)
