"""The guard names who leaks; rounds stop where nothing is gained."""

import numpy as np
import pandas as pd
import pytest

from segkit import pseudo
from segkit.pseudo import TeacherOutput

CLASSES = ("a", "b")


def test_the_guard_names_who_may_not_have_helped():
    pseudo.guard(["a"], labelled=["t"], learnt_from=["b"])
    with pytest.raises(ValueError, match="held-out groups have pseudo-labels: a;"):
        pseudo.guard(["a", "c"], labelled=["a", "t"], learnt_from=["b"])
    with pytest.raises(ValueError, match="p0, p1, p2, p3, p4 and 2 more"):
        pseudo.guard([f"p{n}" for n in range(7)], labelled=[], learnt_from=[f"p{n}" for n in range(9)])


IDS = [f"i{n}" for n in range(8)]
GROUPS = {i: i for i in IDS}


def dice(level):
    """Held-out Dice around a level, groups apart."""
    return pd.DataFrame(np.linspace(-0.05, 0.05, 8)[:, None] + [[level, level]], index=IDS, columns=list(CLASSES))


def teaching(*levels):
    """A fit_fn whose round n ends at levels[n - 1], and what it was taught by."""
    seen = []

    def fit_fn(predictions, number):
        seen.append(predictions)
        return TeacherOutput(f"student {number}", dice(levels[number - 1]))

    return fit_fn, seen


def test_a_teacher_that_is_not_better_is_refused_with_the_numbers_before_anything_is_trained():
    fit_fn, seen = teaching(0.9)
    uneven = dice(0.6)
    uneven.iloc[:4] += 0.2
    uneven.iloc[4:] -= 0.19
    for teacher in (dice(0.6), dice(0.5), uneven):
        with pytest.raises(ValueError, match=r"not significantly better.*95 % interval.*8 groups, 8 images"):
            pseudo.rounds(fit_fn, TeacherOutput("teacher", teacher), dice(0.6), GROUPS)
    assert seen == []


def test_each_round_is_taught_by_the_last_kept_and_ends_where_nobody_gains():
    fit_fn, seen = teaching(0.65, 0.68, 0.66, 0.9)
    found = pseudo.rounds(fit_fn, TeacherOutput("teacher", dice(0.7)), dice(0.6), GROUPS, most=4)
    assert seen == ["teacher", "student 1", "student 2"]
    assert [r.kept for r in found.rounds] == [True, True, False]
    assert [r.gain.gain for r in found.rounds] == pytest.approx([0.05, 0.03, -0.02])
    assert [r.lead.gain for r in found.rounds] == pytest.approx([0.1, 0.05, 0.08])
    assert found.best.predictions == "student 2"


def test_a_student_that_is_sure_of_nothing_teaches_nobody_and_what_was_kept_stays():
    def fit_fn(predictions, number):
        return TeacherOutput("student", dice(0.65)) if number == 1 else None

    found = pseudo.rounds(fit_fn, TeacherOutput("teacher", dice(0.7)), dice(0.6), GROUPS, most=3)
    assert [r.kept for r in found.rounds] == [True]
    assert found.best.predictions == "student"


def test_labels_that_gain_nothing_leave_the_plain_student():
    fit_fn, _ = teaching(0.6)
    found = pseudo.rounds(fit_fn, TeacherOutput("teacher", dice(0.7)), dice(0.6), GROUPS, most=3)
    assert found.best is None
    assert [r.kept for r in found.rounds] == [False]
    with pytest.raises(ValueError, match="most=0"):
        pseudo.rounds(fit_fn, TeacherOutput("teacher", dice(0.7)), dice(0.6), GROUPS, most=0)
    with pytest.raises(ValueError, match="5 held-out groups"):
        pseudo.rounds(fit_fn, TeacherOutput("teacher", dice(0.7)[:5]), dice(0.6)[:5], GROUPS)
