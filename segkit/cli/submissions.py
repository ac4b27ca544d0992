"""Submissions without truth: made of stores, are they whole, where do they differ?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from segkit.predictions import PredictionStore
    from segkit.submission import Summary


def submit(
    stores: tyro.conf.Positional[tuple[Path, ...]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    settings: Path | None = None,
) -> int:
    """Stored predictions to a submission at full resolution, under the very settings that a study scored.

    Args:
        stores: A PredictionStore (.zarr), or those of a blend in the study's order.
        out: The CSV to write: images in the first store's order, classes in channel order.
        settings: JSON that `segkit study` or a recipe wrote (post.json); default: threshold .5, no steps, and of
            several stores equal weights.
    """
    from segkit import submission
    from segkit.predictions import PredictionStore

    opened = [PredictionStore.open(path) for path in stores]
    submission.write(out, _of_one(opened[0], settings) if len(opened) == 1 else _of_several(opened, settings))
    first = opened[0]
    found = submission.validate(out, ids=first.ids, classes=first.classes, sizes=first.sizes)
    print(f"{out}: {', '.join(f'{value} {name}' for name, value in found.items())}")
    return 0


def _of_one(store: PredictionStore, settings: Path | None) -> Iterable[tuple[str, str, str]]:
    from segkit.postprocess import Pipeline, rows

    pipeline = Pipeline() if settings is None else Pipeline.load(settings)
    return rows(store, pipeline.with_classes(store.classes))


def _of_several(stores: Sequence[PredictionStore], settings: Path | None) -> Iterable[tuple[str, str, str]]:
    from segkit.ensemble import blended
    from segkit.files import read_json

    found = {} if settings is None else read_json(settings)
    known = {"stores", "domain", "weights", "thresholds"}
    if not isinstance(found, dict) or (settings is not None and not {"weights", "thresholds"} <= set(found) <= known):
        raise ValueError(f"{settings} has no weights and thresholds of a blend; `segkit study` of several stores does")
    try:
        masks = blended(stores, **{key: value for key, value in found.items() if key != "stores"})
    except ValueError as error:
        raise ValueError(f"{settings}: {error}") from error
    return ((image, cls, masks[image][cls].text()) for image in masks.ids for cls in masks.classes)


def validate(submission: tyro.conf.Positional[Path], like: Path | None = None) -> int:
    """Is a submission whole? Columns, rows, order, duplicates, RLE.

    Args:
        submission: CSV: image_name,class,rle.
        like: A sample submission whose rows and columns are wanted.
    """
    from segkit.submission import validate as check

    found = check(submission, like=like)
    print(", ".join(f"{value} {name}" for name, value in found.items()))
    return 0


def diff(a: tyro.conf.Positional[Path], b: tyro.conf.Positional[Path], top: int = 20) -> int:
    """Where two submissions differ: masks, classes and images, the least alike first.

    Args:
        a: Submission CSV.
        b: Submission CSV.
        top: How many masks, and how many images, to print; every class that differs is printed.
    """
    from segkit import submission

    if top < 0:
        raise ValueError(f"--top {top}: 0 or more is wanted")
    first, second = submission.read(a), submission.read(b)
    found = submission.diff(first, second)
    rows = list(first.rows)
    if not found:
        print(f"all {len(rows)} masks are the same")
        return 0
    _print_sums("class", submission.summarise(found, rows, "class"))
    _print_sums("image", submission.summarise(found, rows, "image")[:top])
    for d in found[:top]:
        note = "  only in A" if not d.area_b else "  only in B" if not d.area_a else ""
        print(f"{d.dice:.4f}  {d.image}  {d.cls}  {d.area_a} px -> {d.area_b} px{note}")
    more = f" (the first {top} above)" if len(found) > top else ""
    mean = 1 - sum(1 - d.dice for d in found) / len(rows)
    print(f"{len(found)} of {len(rows)} masks differ{more}; mean Dice between A and B {mean:.4f}")
    return 0


def _print_sums(title: str, sums: Sequence[Summary]) -> None:
    width = max(len(title), *(len(s.name) for s in sums)) if sums else len(title)
    print(f"{title:{width}}    Dice  differ of all    only A  only B  pixels A -> B")
    for s in sums:
        alone = f"{s.only_a:6}  {s.only_b:6}"
        print(f"{s.name:{width}}  {s.dice:.4f}  {s.differ:6} of {s.masks:<6} {alone}  {s.area_a} -> {s.area_b}")
    print()
