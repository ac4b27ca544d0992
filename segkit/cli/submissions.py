"""Submissions without truth: made of stores, are they whole, where do they differ?"""

from __future__ import annotations

import csv
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from segkit.cli.shared import format_of, read_truth, sizes_of

if TYPE_CHECKING:
    from segkit.postprocess import Pipeline
    from segkit.predictions import PredictionStore
    from segkit.submission import Summary


def submit(
    stores: tyro.conf.Positional[tuple[Path, ...]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    settings: Path | None = None,
    format: str | None = None,
    like: Path | None = None,
) -> int:
    """Stored predictions to a submission at full resolution, under the very settings that a study scored.

    Args:
        stores: A PredictionStore (.zarr), or those of a blend in the study's order.
        out: The file to write: images in the first store's order, classes in channel order.
        settings: JSON that `segkit study` or a recipe wrote (post.json); default: threshold .5, no steps, and of
            several stores equal weights.
        format: Of OUT: a competition's name, settings such as "columns=id,rle_mask order=F", or a sample submission
            and settings; default: image_name,class,rle.
        like: A sample submission that says the format where --format does not, and that OUT is checked against.
    """
    from segkit.postprocess import render
    from segkit.predictions import PredictionStore

    opened = [PredictionStore.open(path) for path in stores]
    masks, form = render(opened, _pipeline(opened, settings)), format_of(format, like)
    form.write(out, masks, like=like)
    asked: dict[str, Any] = {"ids": masks.ids, "classes": masks.classes} if like is None else {"like": like}
    found = form.validate(out, **asked)
    print(f"{out}: {', '.join(f'{value} {name}' for name, value in found.items())}")
    return 0


def _pipeline(stores: Sequence[PredictionStore], settings: Path | None) -> Pipeline | None:
    """The Pipeline of a file, which must be of as many stores; None without one. ValueError names the file."""
    from segkit.postprocess import Pipeline

    if settings is None:
        return None
    pipeline = Pipeline.load(settings)
    blend = pipeline.blend
    if blend is None and len(stores) > 1:
        raise ValueError(
            f"{settings} was made for one store and has no weights for {len(stores)}: `segkit study` of several stores "
            "finds them, `segkit blend` makes one store of several"
        )
    try:
        if blend is not None:
            blend.shares(stores[0].classes, len(stores))
            if blend.stores:
                _same_order(stores, [Path(name) for name in blend.stores], settings)
        return pipeline.with_classes(stores[0].classes)
    except ValueError as error:
        raise ValueError(str(error) if str(settings) in str(error) else f"{settings}: {error}") from error


def _same_order(stores: Sequence[PredictionStore], wanted: Sequence[Path], settings: Path) -> None:
    """ValueError where the stores are a study's in another order, a word on stderr where they cannot be told apart.

    They go by the names of their files, or of their folders (a/oof.zarr, b/oof.zarr became a/test.zarr, b/test.zarr).
    """
    given = [store.path for store in stores]
    for called in (lambda path: path.stem, lambda path: path.absolute().parent.name):
        names, asked = [called(path) for path in given], [called(path) for path in wanted]
        if len(set(asked)) == len(asked) and sorted(names) == sorted(asked):
            if names != asked:
                raise ValueError(f"{settings} weighs {', '.join(asked)} in this order, got {', '.join(names)}")
            return
    stood = ", ".join(map(str, wanted))
    print(f"{settings} weighs {stood}; {', '.join(map(str, given))} are taken for them, in this order", file=sys.stderr)


def validate(
    submission: tyro.conf.Positional[Path],
    like: Path | None = None,
    format: str | None = None,
    images: Path | None = None,
    size: tuple[int, int] | None = None,
    sizes: Path | None = None,
) -> int:
    """Is a submission whole? Columns, rows, order, duplicates, RLE; with sizes also that no run ends past its image.

    Args:
        submission: The file (.csv, .csv.gz, .zip), or a folder of mask files.
        like: A sample submission that has the rows and columns to expect, and says the format.
        format: A competition's name, settings such as "columns=id,rle_mask order=F", or a sample submission and
            settings; default: that of --like, or image_name,class,rle.
        images: Folder of the images: each must have a row, each row an image, and no run may end past it.
        size: Height and width of every image instead.
        sizes: CSV with the columns image_name (or id), height and width instead.
    """
    form, known = format_of(format, like), sizes_of(size, sizes)
    asked: dict[str, Any] = {"images": images, **({} if known is None else {"sizes": known})}
    if known is not None and "sizes" not in inspect.signature(form.validate).parameters:
        raise ValueError(f"--size and --sizes mean nothing for the format {form}; --images does")
    found = form.validate(submission, like, **asked)
    print(", ".join(f"{value} {name}" for name, value in found.items()))
    return 0


def flags(
    submission: tyro.conf.Positional[Path],
    truth: tyro.conf.Positional[Path],
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    format: str | None = None,
    size: tuple[int, int] | None = None,
    sizes: Path | None = None,
    reach: float = 3.0,
) -> int:
    """Which masks are of another area or place than the truth of other images makes one expect? Nothing is changed.

    Args:
        submission: The file.
        truth: How masks should be, usually of the training images: a file like it, or a folder in the layout of
            docs/data-format.md, whose images' sizes are then known.
        out: CSV to write as well: image, class, kind, value, low, high.
        format: Of the submission: a competition's name, settings such as "columns=id,rle_mask order=F", or a sample
            submission and settings; default: image_name,class,rle.
        size: Height and width of every image.
        sizes: CSV with the columns image_name (or id), height and width instead.
        reach: Distances between the truth's quartiles beyond them that are still expected.
    """
    from segkit.files import replacing
    from segkit.postprocess import Flag
    from segkit.postprocess import flags as look

    known, form = sizes_of(size, sizes), format_of(format)
    reference = read_truth(truth) if truth.is_dir() else form.read(truth, known)
    if known is None and truth.is_dir():
        known = {**reference.sizes, **_test_sizes(truth)}
    masks = form.read(submission, known)
    found = look(masks, reference, reach=reach)
    for flag in found:
        print(flag)
    if out is not None:
        with replacing(out) as part, part.open("w", newline="", encoding="utf-8") as handle:
            csv.writer(handle, lineterminator="\n").writerows([("image", "class", *Flag._fields[2:]), *found])
    images = len({flag.image for flag in found})
    print(f"{len(found)} findings in {images} of {len(masks)} images")
    return 0


def _test_sizes(data: Path) -> dict[str, tuple[int, int]]:
    """Of the test images of a folder, where it has some."""
    from segkit.samples import Samples

    there = (data / "test" / "DCM").is_dir()
    return dict(Samples.from_folder(data, "test").sizes) if there else {}


def diff(a: tyro.conf.Positional[Path], b: tyro.conf.Positional[Path], format: str | None = None, top: int = 20) -> int:
    """Where two submissions differ: masks, classes and images, the least alike first.

    Args:
        a: A submission.
        b: Another, in the same format.
        format: A competition's name, settings such as "columns=id,rle_mask", or a sample submission; default:
            image_name,class,rle.
        top: How many masks, and how many images, to print; every class that differs is printed.
    """
    from segkit import submission

    if top < 0:
        raise ValueError(f"expected --top 0 or more, got {top}")
    form = format_of(format)
    if isinstance(form, submission.SubmissionFormat):
        form = form.without_order()  # Dice and pixels are the same along the text
    first, second = form.read(a), form.read(b)
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
