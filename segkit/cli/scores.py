"""How good is a submission, and which of two is better?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from segkit.cli.shared import persons
from segkit.rle.tables import by_image

if TYPE_CHECKING:
    import pandas as pd

    from segkit.metrics import Comparison


def score(
    pred: tyro.conf.Positional[Path],
    truth: tyro.conf.Positional[Path],
    groups: Path | None = None,
    empty: Literal["one", "zero", "skip"] = "one",
    strata: Path | None = None,
    mix: str | None = None,
    repair: bool = False,
) -> int:
    """Mean Dice of a submission against truth, and the classes.

    Args:
        pred: Submission CSV: image_name,class,rle.
        truth: The same with the truth, or a folder in the competition's layout.
        groups: CSV with the columns id (or image_name) and person: adds a 95 % interval clustered by person.
        empty: What a pair without truth counts: one (the competition's), zero, or skip (over images with the class).
        strata: CSV with the column id (or image_name) and one more, such as pose: the score of each of its values.
        mix: Shares of those values, such as tilted=.58,upright=.42: adds the score at that mix.
        repair: Mend the submission's RLE, and say on stderr what was done to which row; without, it is an error.
    """
    from segkit import metrics, submission
    from segkit.samples import Truth

    target = Truth.open(truth)
    masks = submission.read(pred, sizes=target.sizes, repair=repair)
    table = metrics.Dice(empty=empty).table(masks, target)
    whose, mixed = persons(groups) if groups else None, _mixed(strata, mix)
    print(f"mean Dice {metrics.score(table):.4f} over {table.shape[0]} images x {table.shape[1]} classes")
    if whose is not None:
        print(metrics.bootstrap(table, whose))
    if strata is not None:
        for name, part in _parts(table, read_column(strata)).items():
            print(f"{name}: mean Dice {metrics.score(part):.4f} over {len(part)} images")
    if mixed:
        print(f"at the mix {mix}: mean Dice {metrics.score(table, **mixed):.4f}")
        if whose is not None:
            print(metrics.bootstrap(table, whose, **mixed))
    skipped = metrics.Dice(empty="skip").table(masks, target)
    width = max(map(len, ("class", *table.columns)))
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
    empty: Literal["one", "zero", "skip"] = "one",
    strata: Path | None = None,
    mix: str | None = None,
    repair: bool = False,
) -> int:
    """Is submission B better than A? The paired gain with its interval and test, clustered by person.

    Args:
        a: Submission CSV.
        b: Submission CSV.
        truth: Truth CSV or folder.
        groups: CSV with the columns id (or image_name) and person; default: each image by itself.
        empty: What a pair without truth counts: one (the competition's), zero, or skip (over images with the class).
        strata: CSV with the column id (or image_name) and one more, such as pose: the gain for each of its values.
        mix: Shares of those values, such as tilted=.58,upright=.42: adds the gain at that mix.
        repair: Mend the submissions' RLE, and say on stderr what was done to which row; without, it is an error.
    """
    from segkit import metrics, submission
    from segkit.samples import Truth

    target = Truth.open(truth)
    read = [submission.read(path, sizes=target.sizes, repair=repair) for path in (a, b)]
    first, second = (metrics.Dice(empty=empty).table(masks, target) for masks in read)
    whose, mixed = persons(groups) if groups else {i: i for i in target.ids}, _mixed(strata, mix)
    print(f"A {metrics.score(first):.4f}  B {metrics.score(second):.4f}")
    print(_gain(metrics.compare(first, second, whose)))
    if strata is not None:
        for name, part in _parts(first, read_column(strata)).items():
            print(f"{name}: {_gain(metrics.compare(part, second.loc[part.index], whose))}")
    if mixed:
        print(f"at the mix {mix}: A {metrics.score(first, **mixed):.4f}  B {metrics.score(second, **mixed):.4f}")
        print(_gain(metrics.compare(first, second, whose, **mixed)))
    return 0


def read_column(path: Path) -> dict[str, str]:
    """{image: value} of a CSV of two columns. ValueError names the file and what it has."""
    return {image: cells[0] for image, cells in by_image(path, None).items()}


def read_mix(text: str) -> dict[str, float]:
    """The shares of a mix as it is typed.

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
            raise ValueError(f"--mix {text}: NAME=SHARE,NAME=SHARE is wanted, got {part!r}") from None
    return shares


def _mixed(strata: Path | None, mix: str | None) -> dict[str, Any]:
    """The settings strata and mix of metrics; none without --mix."""
    if mix is None:
        return {}
    if strata is None:
        raise ValueError("--mix needs --strata FILE.csv, which says which image is in which stratum")
    return {"strata": read_column(strata), "mix": read_mix(mix)}


def _parts(table: pd.DataFrame, strata: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The rows of each stratum."""
    if missing := [image for image in table.index if image not in strata]:
        raise ValueError(f"{len(missing)} images have no stratum: {', '.join(missing[:3])} ...")
    names = sorted({strata[image] for image in table.index})
    return {name: table[[strata[image] == name for image in table.index]] for name in names}


def _gain(found: Comparison) -> str:
    effect = found.min_detectable_effect
    if effect != effect:
        return str(found)
    return f"{found}\na true gain of {effect:.4f} would be found here four times in five, smaller ones less often"
