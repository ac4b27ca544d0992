"""How good is a submission, and which of two is better?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from segkit.cli.shared import format_of, read_groups, read_scored, read_truth
from segkit.rle.tables import by_image

if TYPE_CHECKING:
    from segkit.masks import MaskSet
    from segkit.metrics import Comparison, Counts, Metric, Scores


def score(
    pred: tyro.conf.Positional[Path],
    truth: tyro.conf.Positional[Path],
    metric: str = "dice",
    groups: Path | None = None,
    strata: Path | None = None,
    mix: str | None = None,
    repair: bool = False,
    format: str | None = None,
    images: Path | None = None,
) -> int:
    """Score of a submission against truth, and of its classes.

    Args:
        pred: A submission.
        truth: The same with the truth, or a folder in the competition's layout.
        metric: Such as "dice", "dice(empty='skip')", "fbeta(beta=0.5, average='pooled')", "0.4*dice + 0.6*iou".
        groups: CSV with the columns id (or image_name) and group: adds a 95 % interval clustered by group.
        strata: CSV with the column id (or image_name) and one more, such as pose: the score of each of its values.
        mix: Shares of those values, such as tilted=.58,upright=.42: adds the score at that mix.
        repair: Repair the submission's RLE, and say on stderr what was done to which row; without, it is an error.
        format: Of the files: a competition's name, settings such as "columns=id,rle_mask order=F", or a sample
            submission and settings; default: image_name,class,rle.
        images: Folder of the images, for their names and sizes, where truth is a file whose format needs them.
    """
    from segkit import metrics

    rule, form = metrics.parse(metric), format_of(format)
    target = read_truth(truth, form, images)
    masks = read_scored(pred, form, target, repair)
    counts = metrics.count(masks, target)
    if rule.has_counts:
        found = metrics.Scores.from_counts(counts, rule, target.ids, target.classes)
    else:
        found = rule.scores(masks, target)
    whose, mixed = read_groups(groups) if groups else None, _mixed(strata, mix)
    print(f"{rule}: {found.score():.4f} over {len(found.ids)} images x {len(found.classes)} classes")
    if whose is not None:
        print(metrics.bootstrap(found, whose))
    if strata is not None:
        for name, part in _parts(found, read_column(strata)).items():
            print(f"{name}: {part.score():.4f} over {len(part.ids)} images")
    if mixed:
        print(f"at the mix {mix}: {metrics.score(found, **mixed):.4f}")
        if whose is not None:
            print(metrics.bootstrap(found, whose, **mixed))
    _print_classes(found, counts)
    print(_baselines(rule, target))
    return 0


def compare(
    a: tyro.conf.Positional[Path],
    b: tyro.conf.Positional[Path],
    truth: tyro.conf.Positional[Path],
    metric: str = "dice",
    groups: Path | None = None,
    strata: Path | None = None,
    mix: str | None = None,
    repair: bool = False,
    format: str | None = None,
    images: Path | None = None,
) -> int:
    """Is submission B better than A? The paired gain with its interval and test, clustered by group.

    Args:
        a: A submission.
        b: Another, in the same format.
        truth: Truth file or folder.
        metric: As for score.
        groups: CSV with the columns id (or image_name) and group; default: each image by itself.
        strata: CSV with the column id (or image_name) and one more, such as pose: the gain for each of its values.
        mix: Shares of those values, such as tilted=.58,upright=.42: adds the gain at that mix.
        repair: Repair the submissions' RLE, and say on stderr what was done to which row; without, it is an error.
        format: As for score.
        images: As for score.
    """
    from segkit import metrics

    rule, form = metrics.parse(metric), format_of(format)
    target = read_truth(truth, form, images)
    read = [read_scored(path, form, target, repair) for path in (a, b)]
    first, second = (rule.scores(masks, target) for masks in read)
    whose, mixed = read_groups(groups) if groups else {i: i for i in target.ids}, _mixed(strata, mix)
    print(f"{rule}: A {first.score():.4f}  B {second.score():.4f}")
    print(_gain(metrics.compare(first, second, whose)))
    if strata is not None:
        for name, part in _parts(first, read_column(strata)).items():
            print(f"{name}: {_gain(metrics.compare(part, second.subset(part.ids), whose))}")
    if mixed:
        print(f"at the mix {mix}: A {metrics.score(first, **mixed):.4f}  B {metrics.score(second, **mixed):.4f}")
        print(_gain(metrics.compare(first, second, whose, **mixed)))
    return 0


def read_column(path: Path) -> dict[str, str]:
    """Read a CSV of two columns.

    Args:
        path: The file: an image and a value a row.

    Returns:
        {image: value}.

    Raises:
        ValueError: If the file has other columns; it names them.
    """
    return {image: cells[0] for image, cells in by_image(path, None).items()}


def read_mix(text: str) -> dict[str, float]:
    """Read the shares of a mix as it is typed.

    Args:
        text: NAME=SHARE,NAME=SHARE.

    Returns:
        {name: share}.

    Raises:
        ValueError: If the text is anything else.

    Example:
        >>> read_mix("tilted=.58,upright=.42")
        {'tilted': 0.58, 'upright': 0.42}
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.rpartition("=")
        try:
            if not name.strip() or name.strip() in shares:
                raise ValueError
            shares[name.strip()] = float(share)
        except ValueError:
            raise ValueError(f"--mix {text}: expected NAME=SHARE,NAME=SHARE, got {part!r}") from None
    return shares


def _mixed(strata: Path | None, mix: str | None) -> dict[str, Any]:
    """The settings strata and mix of metrics; none without --mix."""
    if mix is None:
        return {}
    if strata is None:
        raise ValueError("--mix needs --strata FILE.csv, which says which image is in which stratum")
    return {"strata": read_column(strata), "mix": read_mix(mix)}


def _parts(scores: Scores, strata: Mapping[str, str]) -> dict[str, Scores]:
    """The scores of each stratum."""
    if missing := [image for image in scores.ids if image not in strata]:
        raise ValueError(f"{len(missing)} images have no stratum: {', '.join(missing[:3])} ...")
    names = sorted({strata[image] for image in scores.ids})
    return {name: scores.subset([image for image in scores.ids if strata[image] == name]) for name in names}


def _print_classes(scores: Scores, counts: Counts) -> None:
    """The score of each class, also over the images that have it, and which is predicted nowhere."""
    there = counts.target > 0
    present = scores.per_class(there.T.astype(float)).diagonal()
    width = max(map(len, ("class", *scores.classes)))
    print(f"{'class':{width}}  score  where present (images)")
    for k, (cls, value) in enumerate(zip(scores.classes, scores.per_class())):
        have = int(there[:, k].sum())
        print(f"{cls:{width}} {value:.4f}         {f'{present[k]:.4f}' if have else '     -'} ({have})")
    for k in np.flatnonzero(counts.never_predicted).tolist():
        images = f"{there[:, k].sum()} of {len(there)} images"
        print(f"WARNING: {scores.classes[k]} is predicted nowhere, though {images} have it")


def _baselines(metric: Metric, truth: MaskSet) -> str:
    """What empty and full submissions score."""
    from segkit import metrics

    full = metrics.full_score(metric, truth) if metric.has_counts else float("nan")  # distances would take minutes
    everything = "" if full != full else f", everything {full:.4f}"
    return f"for comparison: nothing predicted {metrics.empty_score(metric, truth):.4f}{everything}"


def _gain(found: Comparison) -> str:
    effect = found.min_detectable_effect
    if effect != effect:
        return str(found)
    return f"{found}\na true gain of {effect:.4f} would be found here four times in five, smaller ones less often"
