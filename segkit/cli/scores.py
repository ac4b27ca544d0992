"""What can be asked of submissions: how good, which is better, whole, where they differ."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro

from segkit.cli.shared import persons


def score(
    pred: tyro.conf.Positional[Path],
    truth: tyro.conf.Positional[Path],
    groups: Path | None = None,
    empty: Literal["one", "zero", "skip"] = "one",
) -> int:
    """Mean Dice of a submission against truth, and the classes.

    Args:
        pred: Submission CSV: image_name,class,rle.
        truth: The same with the truth, or a folder in the competition's layout.
        groups: CSV with the columns id (or image_name) and person: adds a 95 % interval clustered by person.
        empty: What a pair without truth counts: one (the competition's), zero, or skip (over images with the class).
    """
    from segkit import metrics, submission
    from segkit.annotations import Truth

    table = metrics.dice_table(submission.read(pred), Truth.open(truth), empty=empty)
    print(f"mean Dice {metrics.score(table):.4f} over {table.shape[0]} images x {table.shape[1]} classes")
    if groups is not None:
        found = metrics.bootstrap(table, persons(groups))
        print(f"95 % interval {found.low:.4f} to {found.high:.4f}, {found.groups} groups")
    skipped = metrics.dice_table(submission.read(pred), Truth.open(truth), empty="skip")
    width = max(map(len, table.columns))
    print(f"{'class':{width}}   Dice  where present (images)")
    for cls in table.columns:
        have = skipped[cls].notna().sum()
        there = f"{skipped[cls].mean():.4f}" if have else "     -"
        print(f"{cls:{width}} {table[cls].mean():.4f}         {there} ({have})")
    return 0


def compare(
    a: tyro.conf.Positional[Path],
    b: tyro.conf.Positional[Path],
    truth: tyro.conf.Positional[Path],
    groups: Path | None = None,
) -> int:
    """Is submission B better than A? The paired gain with its interval, clustered by person.

    Args:
        a: Submission CSV.
        b: Submission CSV.
        truth: Truth CSV or folder.
        groups: CSV with the columns id (or image_name) and person; default: each image by itself.
    """
    from segkit import metrics, submission
    from segkit.annotations import Truth

    target = Truth.open(truth)
    first, second = (metrics.dice_table(submission.read(path), target) for path in (a, b))
    found = metrics.compare(first, second, persons(groups) if groups else {i: i for i in target.ids})
    print(f"A {metrics.score(first):.4f}  B {metrics.score(second):.4f}  gain {found.gain:+.4f}")
    print(f"95 % interval {found.low:+.4f} to {found.high:+.4f} over {found.groups} groups, {found.images} images")
    verdict = "B is better" if found.low > 0 else "A is better" if found.high < 0 else "no difference that is sure"
    print(f"{verdict}; gains below about {found.resolvable:.4f} cannot be told from nothing here")
    return 0


def validate(submission: tyro.conf.Positional[Path], like: Path | None = None) -> int:
    """Is a submission whole? Rows, order, duplicates, RLE.

    Args:
        submission: CSV: image_name,class,rle.
        like: A sample submission whose rows are wanted.
    """
    from segkit.submission import validate as check

    found = check(submission, like=like)
    print(", ".join(f"{value} {name}" for name, value in found.items()))
    return 0


def diff(a: tyro.conf.Positional[Path], b: tyro.conf.Positional[Path], most: int = 30) -> int:
    """Where two submissions differ, the least alike first.

    Args:
        a: Submission CSV.
        b: Submission CSV.
        most: How many lines to print.
    """
    from segkit.submission import diff as differences

    found = differences(a, b)
    for d in found[:most]:
        print(f"{d.dice:.4f}  {d.image}  {d.cls}  {d.area_a} px -> {d.area_b} px")
    print(f"{len(found)} masks differ")
    return 0
