"""Who may be labelled by whom, and whether it pays: the guard, and rounds of teacher and student."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from segkit.metrics import MIN_GROUPS, Comparison, compare


def guard(held_out: Iterable[str], *, labelled: Iterable[str], learnt_from: Iterable[str]) -> None:
    """Refuse labels in which a fold's held-out groups had a part: the student's held-out score would be too high.

    Args:
        held_out: Groups that validate the fold.
        labelled: Groups whose images got pseudo-labels.
        learnt_from: Groups that the teacher's networks were trained on.

    Raises:
        ValueError: If held-out groups are among the other two, with their names.

    Example:
        >>> guard(["anna"], labelled=["test1"], learnt_from=["bert"])
        >>> guard(["anna"], labelled=["test1"], learnt_from=["anna", "bert"])
        Traceback (most recent call last):
        ValueError: the teacher was trained on held-out groups: anna; use networks that never saw them (the same fold's)
    """
    held = set(held_out)
    if both := sorted(held & set(labelled)):
        raise ValueError(f"held-out groups have pseudo-labels: {_first_names(both)}; label other groups only")
    if both := sorted(held & set(learnt_from)):
        raise ValueError(
            f"the teacher was trained on held-out groups: {_first_names(both)}; use networks that never saw them "
            "(the same fold's)"
        )


class TeacherOutput(NamedTuple):
    """What predicts images without truth, and how good it is on held-out groups.

    Attributes:
        predictions: Whatever `fit_fn` makes labels of: stores, or a list of stores for each fold.
        table: Held-out scores, image x class, as `metric.table` makes them.
    """

    predictions: Any
    table: pd.DataFrame


class Round(NamedTuple):
    """One round of teacher and student.

    Attributes:
        lead: The teacher's gain over the plain student.
        gain: The student's gain over the best before it: the plain student, then the student of the round before.
        kept: Whether that gain is significant.
    """

    lead: Comparison
    gain: Comparison
    kept: bool


class Rounds(NamedTuple):
    """All rounds and their result.

    Attributes:
        rounds: The rounds, in order.
        best: The student of the last round that was kept; None where pseudo-labels gained nothing: use the plain one.
    """

    rounds: list[Round]
    best: TeacherOutput | None


def rounds(
    fit_fn: Callable[[Any, int], TeacherOutput | None],
    teacher: TeacherOutput,
    student: pd.DataFrame,
    groups: Mapping[str, str],
    *,
    most: int = 1,
    level: float = 0.95,
) -> Rounds:
    """Label, train and label again with the student, while held-out groups gain.

    A round is kept where its gain over the best before it is significant (`Comparison.is_significant`); its student is
    the teacher of the next.

    Args:
        fit_fn: (predictions, number of the round from 1) -> TeacherOutput: selects labels of these predictions, trains
            the student on them and on the truth, and returns its own predictions and held-out scores; or None where no
            label is confident enough, which ends the rounds.
        teacher: The first teacher, with scores of the same images.
        student: Held-out scores of the plain student, trained without pseudo-labels.
        groups: {id: group}.
        most: Rounds at most.
        level: Confidence of the intervals.

    Returns:
        The rounds and the best student.

    Raises:
        ValueError: Before anything is trained: for fewer than 6 held-out groups, or with the numbers where the first
            teacher is not significantly better than the plain student.

    References:
        Xie et al., Self-training with noisy student, CVPR 2020.
    """
    if most < 1:
        raise ValueError(f"expected at least 1 round, got most={most}")
    lead = compare(student, teacher.table, groups, level=level)
    if lead.groups < MIN_GROUPS:
        raise ValueError(f"{lead.groups} held-out groups: no gain is significant for fewer than {MIN_GROUPS} groups")
    if not lead.is_significant():
        raise ValueError(
            f"the teacher (B) is not significantly better than the student (A) on held-out images: {lead}; take a "
            "larger network or an ensemble as teacher, or leave pseudo-labels"
        )
    done: list[Round] = []
    best, table = None, student
    for number in range(1, most + 1):
        trained = fit_fn(teacher.predictions, number)
        if trained is None:
            break
        gain = compare(table, trained.table, groups, level=level)
        done.append(Round(lead, gain, gain.is_significant()))
        if not gain.is_significant():
            break
        best, table, teacher = trained, trained.table, trained
        lead = compare(student, teacher.table, groups, level=level)
    return Rounds(done, best)


def _first_names(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
