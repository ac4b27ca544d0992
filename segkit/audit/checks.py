"""The audit of samples: each image and annotation is looked at once, then what they are together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from segkit.audit.looking import Case, Look, Rule, look_at
from segkit.samples import Problem, Samples

UNUSABLE = ("repeated-name", "unreadable-annotation", "unreadable-image")
"""Kinds of findings whose images cannot be trained on."""

FEW = 0.1  # share of the labelled images that lack a class, up to which each is worth a note

CONVERTED = {
    "alpha": "have alpha, which is dropped",
    "colour": 'are in colour and are read as grey; ImageSpec("rgb") keeps it',
    "depth": "are deeper than 8 bits and are brought to 0..255; see ImageSpec.value_range and dtype",
    "orientation": "have an orientation tag, which turns nothing: annotations must be drawn on the stored pixels",
}
"""What is said once of all images that it is true of."""


def audit(train: Samples, test: Samples | None = None, *, rules: Sequence[Rule] = ()) -> list[Problem]:
    """Every problem of the samples of one or both splits.

    Looks for images that cannot be decoded or hold values that are not finite, pictures that are the same, annotations
    that cannot be read, orphans on either side, repeated names, unknown labels, polygons that are tiny, huge,
    self-crossing or outside the image, exclusive classes that overlap. Says which images are negatives and which have
    no annotation, and what is dropped or converted: colour, alpha, depth, files that were passed over.

    Args:
        train: Training samples.
        test: Test samples, where there are any; those without annotation are no finding.
        rules: Checks of a recipe's own: functions of all cases.

    Returns:
        Findings, sorted by file; `Problem.severity` tells problems from notes.

    Example:
        >>> audit(Samples.from_folder("DATA"))  # doctest: +SKIP
    """
    problems: list[Problem] = []
    cases: list[Case] = []
    looks: dict[str, list[Look]] = {}
    for split, samples in (("train", train), ("test", test)):
        if samples is None:
            continue
        problems += samples.problems
        look = partial(look_at, samples, labelled=frozenset(samples.labelled), wanted=split == "train")
        with ThreadPoolExecutor() as pool:
            looks[split] = list(pool.map(look, samples.ids))
        problems += [problem for seen in looks[split] for problem in seen.problems]
        problems += [*_converted(looks[split]), *_missing(samples, looks[split])]
        if rules:
            cases += [_case(samples, split, seen) for seen in looks[split]]
    problems += [*_same_pictures(looks), *_in_both(train, test)]
    for rule in rules:
        problems += rule(cases)
    return sorted(problems)


def summarise(problems: Sequence[Problem]) -> dict[str, int]:
    """How many findings of each kind there are.

    Args:
        problems: What `audit` gave.

    Returns:
        {kind: number}, the most frequent first.
    """
    return dict(Counter(problem.kind for problem in problems).most_common())


def _case(samples: Samples, split: str, look: Look) -> Case:
    regions = samples.annotation(look.sample.id).regions if look.labels is not None else None
    return Case(look.sample, split, look.size, regions)


def _converted(looks: Sequence[Look]) -> Iterator[Problem]:
    """One finding for each thing that is dropped or converted."""
    for kind, what in CONVERTED.items():
        having = [look for look in looks if kind in look.facts]
        if having:
            first = having[0].sample
            file = str(first.files[0]) if first.files else ""
            yield Problem(file, "", "", kind, f"{len(having)} of {len(looks)} images {what}; the first is {first.id}")


def _missing(samples: Samples, looks: Sequence[Look]) -> Iterator[Problem]:
    """Classes that no image has, and images that lack one that nearly all have."""
    having = [look for look in looks if look.labels]
    for cls in samples.classes if having else ():
        lacking = [look for look in having if cls not in (look.labels or ())]
        if len(lacking) == len(having):
            yield Problem("", "", cls, "missing-class", f"none of {len(having)} labelled images has the class")
        elif len(lacking) <= FEW * len(having):
            for look in lacking:
                file = samples.annotation_file(look.sample.id)
                yield Problem(file, look.sample.id, cls, "missing-label", "the class has no label")


def _same_pictures(looks: Mapping[str, Sequence[Look]]) -> Iterator[Problem]:
    """The same pixels in two groups, or in both splits."""
    first: dict[str, tuple[str, Look]] = {}
    for split, seen in looks.items():
        for look in seen:
            if not look.digest:
                continue
            other_split, other = first.setdefault(look.digest, (split, look))
            if split != other_split or look.sample.group != other.sample.group:
                file = str(look.sample.files[0]) if look.sample.files else ""
                where = f"{other.sample.id} of group {other.sample.group} ({other_split})"
                yield Problem(file, look.sample.id, "", "same-picture", f"the same pixels as {where}")


def _in_both(train: Samples, test: Samples | None) -> Iterator[Problem]:
    """Names and groups of both splits."""
    if test is None:
        return
    for image in train.ids:
        if image in test:
            yield Problem(str(test[image].image), image, "", "repeated-name", "is in both splits")
    known = set(train.groups.values())
    shared = sorted(known & {group for image, group in test.groups.items() if image not in train})
    if shared:
        some = ", ".join(shared[:3]) + (" ..." if len(shared) > 3 else "")
        yield Problem("", "", "", "shared-group", f"{len(shared)} groups are in both splits: {some}")
