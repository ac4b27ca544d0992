"""Who may learn from whom, and whether it pays: the guard, and rounds of teacher and student."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from segkit.metrics import MIN_GROUPS, Comparison, compare


def guard(held_out: Iterable[str], *, labelled: Iterable[str], learnt_from: Iterable[str]) -> None:
    """ValueError, with names, where a fold's held-out persons had a part in the labels that it would learn from.

    held_out: persons that validate the fold; labelled: persons whose images got pseudo-labels; learnt_from: persons
    that the teacher's networks learnt from. Either overlap makes the held-out score of the student too high.

    >>> guard(["anna"], labelled=["test1"], learnt_from=["bert"])
    >>> guard(["anna"], labelled=["test1"], learnt_from=["anna", "bert"])
    Traceback (most recent call last):
    ValueError: held-out persons taught the teacher: anna; use networks that never saw them (the same fold's)
    """
    held = set(held_out)
    if both := sorted(held & set(labelled)):
        raise ValueError(f"held-out persons have pseudo-labels: {_some(both)}; label other persons only")
    if both := sorted(held & set(learnt_from)):
        raise ValueError(
            f"held-out persons taught the teacher: {_some(both)}; use networks that never saw them (the same fold's)"
        )


class Taught(NamedTuple):
    """What predicts images without truth, and how good it is on persons held out."""

    predictions: Any
    """Whatever fit_fn makes labels of: stores, or a list of stores for each fold."""
    table: pd.DataFrame
    """Held-out Dice, image x class."""


class Round(NamedTuple):
    """One round: the teacher's lead over the plain student, and what the student gained by its labels."""

    lead: Comparison
    gain: Comparison
    """Over the best before it: the plain student, then the student of the round before."""
    kept: bool


class Rounds(NamedTuple):
    """All rounds, and what is left of them."""

    rounds: list[Round]
    best: Taught | None
    """The student of the last round that was kept; None where pseudo-labels gained nothing: use the plain student."""


def rounds(
    fit_fn: Callable[[Any, int], Taught | None],
    teacher: Taught,
    student: pd.DataFrame,
    groups: Mapping[str, str],
    *,
    most: int = 1,
    level: float = 0.95,
) -> Rounds:
    """Teach, and teach again with what was learnt (noisy student: Xie and others, 2020), while persons held out gain.

    fit_fn(predictions, number) -> Taught: selects labels of these predictions, trains the student on them and on the
    truth, and returns its own predictions and held-out Dice, or None where no label is sure enough: then rounds end;
    number counts from 1. student: held-out Dice of the plain
    student, trained without pseudo-labels; teacher: of the same images. groups: {id: person}. most: rounds at most.

    A round is kept where the paired interval of its gain, clustered by person, over the best before it is above 0; its
    student then teaches the next. ValueError, with the numbers and before anything is trained, where the first teacher
    is not surely better than the plain student, and for fewer than 6 persons, of whom nothing is sure.
    """
    if most < 1:
        raise ValueError(f"most={most}: at least 1 round is wanted")
    lead = compare(student, teacher.table, groups, level=level)
    if lead.groups < MIN_GROUPS:
        raise ValueError(f"{lead.groups} held-out persons: of fewer than {MIN_GROUPS} nothing is sure; hold out more")
    if not lead.is_significant():
        raise ValueError(
            f"the teacher (B) is not significantly better than the student (A) on held-out images: {lead}; take a "
            "larger network or an ensemble as teacher, or leave pseudo-labels"
        )
    done: list[Round] = []
    best, table = None, student
    for number in range(1, most + 1):
        made = fit_fn(teacher.predictions, number)
        if made is None:
            break
        gain = compare(table, made.table, groups, level=level)
        done.append(Round(lead, gain, gain.is_significant()))
        if not gain.is_significant():
            break
        best, table, teacher = made, made.table, made
        lead = compare(student, teacher.table, groups, level=level)
    return Rounds(done, best)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
