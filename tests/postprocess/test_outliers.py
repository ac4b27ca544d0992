"""Flags by hand, and their measures against SciPy's on the whole mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from segkit import submission
from segkit.masks import as_masks
from segkit.postprocess import flags
from segkit.postprocess.outliers import _measures
from segkit.rle import Runs


def box(top, left, height, width, shape=(100, 200)):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


REFERENCE = {f"r{n}": {"x": box(20 + n, 30 + n, 20 + n, 40), "rare": box(0, 0, n // 6, 5)} for n in range(8)}


@given(npst.arrays(bool, st.tuples(st.integers(1, 15), st.integers(1, 15))))
def test_area_and_centre_are_those_of_the_whole_mask(mask):
    found = _measures(as_masks({"i": {"x": mask}}), "i", "x")
    if not mask.any():
        assert found is None
        return
    row, column = ndimage.center_of_mass(mask)
    wanted = {"area": mask.mean(), "row": (row + 0.5) / mask.shape[0], "column": (column + 0.5) / mask.shape[1]}
    assert found == pytest.approx(wanted)


def test_the_reference_does_not_flag_itself_nor_what_is_like_it():
    assert flags(REFERENCE, REFERENCE) == []
    assert flags({"i": {"x": box(24, 33, 23, 41), "rare": box(0, 0, 0, 0)}}, REFERENCE) == []
    assert flags({"i": {"x": box(48, 66, 46, 82, (200, 400)), "rare": box(0, 0, 0, 0)}}, REFERENCE) == []  # shares


@pytest.mark.parametrize(
    ("mask", "kinds"),
    [
        (box(24, 33, 3, 8), ["area", "column"]),  # rows .326 - 3 * .0525 and more, columns .2587 - 3 * .0175
        (box(24, 33, 23, 40), []),
        (box(70, 33, 23, 40), ["row"]),
        (box(24, 150, 23, 40), ["column"]),
        (box(0, 0, 100, 110), ["area"]),
        (box(0, 0, 0, 0), ["absent"]),
    ],
)
def test_what_is_unexpected_is_named(mask, kinds):
    found = flags({"i": {"x": mask, "rare": box(0, 0, 0, 0)}}, REFERENCE)
    assert [(f.image, f.cls, f.kind) for f in found] == [("i", "x", kind) for kind in kinds]
    assert all(kind in str(flag) for flag, kind in zip(found, kinds))


def test_fences_are_quartiles_and_reach_by_hand():
    reference = {f"r{n}": {"x": box(10 * n, 0, 1, 1, (100, 4))} for n in range(5)}  # rows .5, 10.5, ... 40.5 of 100
    (found,) = flags({"i": {"x": box(71, 0, 1, 1, (100, 4))}}, reference, reach=2.0)
    assert found[:3] == ("i", "x", "row")
    assert found[3:] == pytest.approx((0.715, 0.105 - 2 * 0.2, 0.305 + 2 * 0.2))
    assert flags({"i": {"x": box(70, 0, 1, 1, (100, 4))}}, reference, reach=2.0) == []  # .705, the fence itself
    assert flags({"i": {"x": box(71, 0, 1, 1, (100, 4))}}, reference, reach=2.1) == []


def test_few_masks_say_only_whether_there_is_one():
    three = {i: REFERENCE[i] for i in ("r0", "r1", "r2")}
    assert flags({"i": {"x": box(0, 0, 100, 200), "rare": box(0, 0, 0, 0)}}, three) == []
    found = flags({"i": {"x": box(0, 0, 0, 0), "rare": box(0, 0, 9, 9)}}, three)
    assert [(f.cls, f.kind) for f in found] == [("x", "absent"), ("rare", "present")]
    assert str(found[1]) == "i, rare: present, unlike in every reference image"


def test_a_submission_needs_sizes(tmp_path):
    mask = Runs.from_mask(box(70, 33, 23, 40))
    path = submission.write(tmp_path / "s.csv", [("i", "x", mask), ("i", "rare", "")])
    with pytest.raises(ValueError, match=r"image i, class x: the image's size is unknown.*sizes="):
        flags(submission.read(path), REFERENCE)
    (found,) = flags(submission.read(path, sizes={"i": (100, 200)}), REFERENCE)
    assert found.kind == "row"


def test_what_cannot_be_judged():
    with pytest.raises(ValueError, match="reach=-1"):
        flags(REFERENCE, REFERENCE, reach=-1)
    with pytest.raises(ValueError, match="no class rare"):
        flags({"i": {"x": box(0, 0, 1, 1)}}, REFERENCE)
    with pytest.raises(ValueError, match="lack image j, class rare"):
        flags({"i": {"x": box(0, 0, 1, 1), "rare": box(0, 0, 1, 1)}, "j": {"x": box(24, 33, 23, 40)}}, REFERENCE)
