"""Folds that keep a person on one side."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from segkit.files import replacing


def assign(
    groups: Mapping[str, str], *, k: int = 5, strata: Mapping[str, str] | None = None, seed: int = 0
) -> dict[str, int]:
    """The fold of every image: {id: 0..k-1}; no group is on two sides.

    groups: {id: person}. strata: {id: value}, e.g. the pose, or pose and sex joined: folds then hold its values in
    equal shares as far as whole persons allow. seed shuffles. ValueError for more folds than persons, k < 2, an
    image without a stratum, or strata that all have fewer images than there are folds.

    >>> fold = assign({"a": "p", "b": "p", "c": "q"}, k=2)
    >>> fold["a"] == fold["b"] != fold["c"]
    True
    """
    ids = sorted(groups)
    persons = [groups[i] for i in ids]
    count = len(set(persons))
    if not 2 <= k <= count:
        raise ValueError(f"{k} folds of {count} persons: between 2 and {count} folds are possible")
    splitter: GroupKFold | StratifiedGroupKFold
    if strata is None:
        splitter = GroupKFold(k, shuffle=True, random_state=seed)
        values = ["" for _ in ids]
    else:
        missing = [i for i in ids if i not in strata]
        if missing:
            raise ValueError(f"{len(missing)} images have no stratum: {', '.join(missing[:3])} ...")
        most = max(Counter(str(strata[i]) for i in ids).values())
        if most < k:
            raise ValueError(f"{k} folds cannot share strata of at most {most} images: join strata or take fewer")
        splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
        values = [str(strata[i]) for i in ids]
    fold: dict[str, int] = {}
    for number, (_, held_out) in enumerate(splitter.split(np.zeros(len(ids)), values, persons)):
        fold.update({ids[i]: number for i in held_out})
    return {i: fold[i] for i in groups}


def write(path: str | Path, folds: Mapping[str, int], groups: Mapping[str, str]) -> None:
    """Write `id,person,fold` rows."""
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("id", "person", "fold"))
        writer.writerows((i, groups[i], fold) for i, fold in folds.items())


def read(path: str | Path) -> tuple[dict[str, int], dict[str, str]]:
    """({id: fold}, {id: person}) of a file that write() wrote. ValueError where a person has two folds."""
    with Path(path).open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    folds = {row["id"]: int(row["fold"]) for row in rows}
    groups = {row["id"]: row["person"] for row in rows}
    sides: dict[str, set[int]] = {}
    for i, person in groups.items():
        sides.setdefault(person, set()).add(folds[i])
    split = [person for person, numbers in sides.items() if len(numbers) > 1]
    if split:
        raise ValueError(f"{path}: person {split[0]} is in folds {sorted(sides[split[0]])}, one is wanted")
    return folds, groups
