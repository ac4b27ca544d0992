"""Folds that keep a group on one side."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from segkit.files import replacing
from segkit.rle.tables import Table

COLUMNS = ("id", "group", "fold")


def assign(
    groups: Mapping[str, str], *, k: int = 5, strata: Mapping[str, str] | None = None, seed: int = 0
) -> dict[str, int]:
    """The fold of every image; no group is on two sides, no fold is empty.

    Args:
        groups: {id: group}, as Samples.groups.
        k: Number of folds, at least 2.
        strata: {id: value}, e.g. the pose: folds hold its values in equal shares, as far as whole groups allow.
        seed: Of the shuffle; the order of images does not matter.

    Returns:
        {id: 0..k-1}.

    Raises:
        ValueError: For more folds than groups, k below 2, an image without a stratum, or strata that all have fewer
            images than there are folds.

    Example:
        >>> fold = assign({"a": "p", "b": "p", "c": "q"}, k=2)
        >>> fold["a"] == fold["b"] != fold["c"]
        True
    """
    ids = sorted(groups)
    count = len(set(groups.values()))
    if not 2 <= k <= count:
        raise ValueError(f"{k} folds of {count} groups: expected between 2 and {count} folds")
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold  # takes a second to import

    splitter: GroupKFold | StratifiedGroupKFold
    if strata is None:
        splitter, values = GroupKFold(k, shuffle=True, random_state=seed), [""] * len(ids)
    else:
        missing = [i for i in ids if i not in strata]
        if missing:
            raise ValueError(f"{len(missing)} images have no stratum: {', '.join(missing[:3])} ...")
        values = [str(strata[i]) for i in ids]
        most = max(Counter(values).values())
        if most < k:
            raise ValueError(f"{k} folds cannot share strata of at most {most} images: join strata or take fewer folds")
        splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    fold: dict[str, int] = {}
    for number, (_, held_out) in enumerate(splitter.split(np.zeros(len(ids)), values, [groups[i] for i in ids])):
        fold.update({groups[ids[i]]: number for i in held_out})
    _fill_empty(fold, Counter(groups.values()), k)
    return {image: fold[group] for image, group in groups.items()}


def _fill_empty(fold: dict[str, int], images: Mapping[str, int], k: int) -> None:
    """Give each empty fold the smallest group of the fold that has the most; scikit-learn may leave one empty."""
    for number in sorted(set(range(k)) - set(fold.values())):
        fullest = max(range(k), key=lambda n: (sum(found == n for found in fold.values()), -n))
        smallest = min((group for group, n in fold.items() if n == fullest), key=lambda group: (images[group], group))
        fold[smallest] = number


def group_folds(ids: Sequence[str], groups: Mapping[str, str], k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split images into folds of whole groups.

    Args:
        ids: Images.
        groups: {image id: group}.
        k: Most folds; fewer where there are fewer groups.

    Returns:
        (rows held out, other rows) of each fold.

    Raises:
        ValueError: If an image has no group, there are fewer than 2 groups, or k is below 2.
    """
    if k < 2:
        raise ValueError(f"k={k}: expected at least 2 folds of groups, one is scored by what the others chose")
    count = len(check_groups(ids, groups))
    if count < 2:
        raise ValueError(f"{count} group: a held-out check needs at least 2, a nested one 3")
    from sklearn.model_selection import GroupKFold  # takes a second to import

    splitter = GroupKFold(min(k, count), shuffle=True, random_state=0)
    return [(held, kept) for kept, held in splitter.split(np.zeros(len(ids)), groups=[groups[i] for i in ids])]


def check_groups(ids: Sequence[str], groups: Mapping[str, str]) -> set[str]:
    """Check that every image has a group.

    Args:
        ids: Images.
        groups: {image id: group}.

    Returns:
        The groups of these images.

    Raises:
        ValueError: If an image has none.
    """
    missing = [image for image in ids if image not in groups]
    if missing:
        raise ValueError(f"{len(missing)} images have no group: {', '.join(missing[:3])} ...")
    return {groups[image] for image in ids}


def write(path: str | Path, folds: Mapping[str, int], groups: Mapping[str, str]) -> None:
    """Write folds as a CSV with the columns id, group, fold.

    Args:
        path: The file.
        folds: {id: fold}.
        groups: {id: group} of at least these images.
    """
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((i, groups[i], fold) for i, fold in folds.items())


def read(path: str | Path) -> tuple[dict[str, int], dict[str, str]]:
    """Read what `write` wrote, also where a spreadsheet has saved it again (with a byte order mark).

    Args:
        path: The file.

    Returns:
        ({id: fold}, {id: group}).

    Raises:
        ValueError: If a column is missing, a fold is no number, an image comes twice, or a group is in two folds.
    """
    table = Table(path, COLUMNS)
    folds: dict[str, int] = {}
    groups: dict[str, str] = {}
    fold_of: dict[str, int] = {}
    for row in table.rows():
        image, group, fold = (row.cells[at].strip() for at in table.at)
        if not (fold.isascii() and fold.isdigit()):
            raise ValueError(f"{path}, line {row.line}, image {image}: expected a fold of 0 or more, got {fold!r}")
        if image in folds:
            raise ValueError(f"{path}, line {row.line}: image {image} was there already")
        folds[image], groups[image] = int(fold), group
        if fold_of.setdefault(group, int(fold)) != int(fold):
            both = sorted({fold_of[group], int(fold)})
            raise ValueError(f"{path}, line {row.line}: expected one fold for each group, group {group} is in {both}")
    return folds, groups
