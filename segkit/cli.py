"""segkit on the command line: what can be asked of files alone, without torch."""

from __future__ import annotations

import csv
import inspect
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from segkit.predictions import PredictionStore

RLEFormat = Literal["kaggle-rows-1", "kaggle-rows-0", "kaggle-columns-1", "kaggle-columns-0", "coco", "coco-list"]


def audit(data: tyro.conf.Positional[Path], classes: str | None = None, everything: bool = False) -> int:
    """Every problem of a data folder, with file, image and class.

    Args:
        data: Folder that holds train/DCM, train/outputs_json and, where there is one, test/DCM.
        classes: The wanted labels: a file with one a line, or names with commas; default: DATA/classes.txt, else any.
        everything: Print also what is common and harmless, line by line.
    """
    from segkit.annotations import audit as look
    from segkit.annotations.audit import summarise

    problems = look(data, _classes(data, classes))
    for p in problems:
        if everything or p.severity == "problem":
            where = f"{p.file}, class {p.cls}" if p.cls else p.file
            print(f"{p.kind}: {where}: {p.message}")
    print(f"{len(problems)} findings: {summarise(problems)}")
    return 1 if any(p.severity == "problem" for p in problems) else 0


def eda(data: tyro.conf.Positional[Path], out: Path = Path("eda.html"), classes: str | None = None) -> int:
    """One page about a data folder: sizes, areas, places and overlaps of the classes, persons.

    Args:
        data: Folder in the competition's layout.
        out: The page to write.
        classes: As for audit.
    """
    from segkit import report
    from segkit.annotations import Truth, index
    from segkit.annotations.truth import find_classes

    items = index(data)
    names = _classes(data, classes) or find_classes(data, [item for item in items if item.json])
    truth = Truth.from_items([item for item in items if item.json], names)
    try:
        items = [*items, *index(data, "test")]
    except ValueError:
        print(f"{data} has no test images; the page is about the training images", file=sys.stderr)
    sheet = data / "meta_data.xlsx"
    metadata = report.read_metadata(sheet) if sheet.is_file() else None
    report.write_eda(out, report.eda(items, truth, names, metadata=metadata), title=str(data))
    print(out)
    return 0


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
        found = metrics.bootstrap(table, _groups(groups))
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
    found = metrics.compare(first, second, _groups(groups) if groups else {i: i for i in target.ids})
    print(f"A {metrics.score(first):.4f}  B {metrics.score(second):.4f}  gain {found.gain:+.4f}")
    print(f"95 % interval {found.low:+.4f} to {found.high:+.4f} over {found.groups} groups, {found.images} images")
    verdict = "B is better" if found.low > 0 else "A is better" if found.high < 0 else "no difference that is sure"
    print(f"{verdict}; gains below about {found.resolvable:.4f} cannot be told from nothing here")
    return 0


def vote(
    submissions: tyro.conf.Positional[tuple[Path, ...]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    need: float | None = None,
    weights: tuple[float, ...] = (),
    class_weights: Path | None = None,
    missing: Literal["error", "empty"] = "error",
) -> int:
    """Hard vote of submissions, in the first one's order.

    Args:
        submissions: CSVs, matched by (image_name, class).
        out: The CSV to write.
        need: Weight that a pixel needs; default: more than half.
        weights: One for each submission; default 1 each.
        class_weights: JSON file {"CLASS": [one for each submission], "*": [...]}, in place of weights.
        missing: What a row is that a submission lacks: an error, or an empty mask.
    """
    from segkit import submission
    from segkit.ensemble import vote as count
    from segkit.files import read_json

    if weights and class_weights is not None:
        raise ValueError("--weights and --class-weights both weigh the submissions; give one")
    share = read_json(class_weights) if class_weights is not None else weights or None
    print(submission.write(out, count(submissions, need, share, missing=missing)))
    return 0


def blend(
    stores: tyro.conf.Positional[tuple[Path, ...]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    weights: tuple[float, ...] = (),
) -> int:
    """The weighted mean of prediction stores' logits, as a new store.

    Args:
        stores: PredictionStores (.zarr) of the same classes and images.
        out: The store to write.
        weights: One for each store; default: equal.
    """
    from segkit.ensemble import blend as mean
    from segkit.predictions import PredictionStore

    blended = mean([PredictionStore.open(path) for path in stores], weights or None, out=out)
    print(f"{blended.path}: {_shape(blended)}")
    return 0


def import_(
    source: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    kind: Literal["auto", "arrays", "nnunet", "planes", "csv"] = "auto",
    classes: str | None = None,
    images: Path | None = None,
    size: tuple[int, int] | None = None,
    grid: tuple[int, int] | None = None,
    domain: Literal["probs", "logits"] | None = None,
    layout: Literal["chw", "hwc"] | None = None,
    key: str | None = None,
    background: bool = True,
    missing: Literal["error", "empty"] | None = None,
    columns: tuple[str, str, str] | None = None,
    order: Literal["C", "F"] | None = None,
    start: Literal[0, 1] | None = None,
) -> int:
    """Others' predictions into a store, or another competition's CSV into a submission.

    Args:
        source: Folder of .npy, .npz or .png files, or a CSV.
        out: The store (.zarr) or CSV to write; a store that was begun goes on where it stopped.
        kind: What SOURCE is; auto looks at its files.
        classes: In channel order: a file with one a line, or names with commas; default: SOURCE/classes.txt, or
            for nnunet SOURCE/dataset.json.
        images: Folder of the original images, for ids and sizes.
        size: Height and width of every original image, in place of a folder; default: the files' own.
        grid: Height and width of the store's logits; default: the first file's own, at most 1024.
        domain: Of arrays: what the values are; default: probs.
        layout: Of arrays: channels first (chw, the default) or last.
        key: Of arrays: the one to read where a .npz holds several.
        background: Of nnunet: the first channel is the background.
        missing: Of planes: what a class is that has no file; default: an error.
        columns: Of csv: of image, class and RLE; default: image_name class rle.
        order: Of csv: row-major (C, the default) or column-major (F) RLE.
        start: Of csv: the number of the first pixel; default: 1.
    """
    from segkit import doors

    if images is not None and size is not None:
        raise ValueError("--images and --size both say how large the images are; give one")
    kind = kind if kind != "auto" else doors.kind_of(source)  # type: ignore[assignment]
    given = {
        "classes": None if classes is None else _classes(source, classes),
        "images": images or size,
        "grid": grid,
        "domain": domain,
        "layout": layout,
        "key": key,
        "background": None if background else False,
        "missing": missing,
        "columns": columns,
        "order": order,
        "start": start,
    }
    options = {name: value for name, value in given.items() if value is not None}
    door = doors.KINDS[kind]
    unused = [name for name in options if name not in inspect.signature(door).parameters]
    if unused:
        raise ValueError(f"{', '.join(unused)} mean nothing for {source}, which is of kind {kind}")
    made = door(source, out, **options)
    print(made if kind == "csv" else f"{made.path}: {_shape(made)}")
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


def rle(
    action: tyro.conf.Positional[Literal["convert"]],
    path: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    source: Annotated[RLEFormat, tyro.conf.arg(name="from")],
    target: Annotated[RLEFormat, tyro.conf.arg(name="to")] = "kaggle-rows-1",
    size: tuple[int, int] | None = None,
    sizes: Path | None = None,
    columns: tuple[str, ...] = ("image_name", "class", "rle"),
    repair: bool = False,
) -> int:
    """Run-length encodings from one format to another: a CSV's, or a COCO data set's (JSON).

    Args:
        action: convert.
        path: CSV with an RLE column, or COCO JSON.
        out: The file to write.
        source: Format of PATH: flattened by rows or columns, the first pixel 1 or 0; coco and coco-list are one.
        target: Format of OUT; coco is compressed, coco-list is not.
        size: Height and width of every image; text in rows to text in rows needs none.
        sizes: CSV with the columns image_name (or id), height and width instead.
        columns: The CSV's, of image, class and RLE, or of image and RLE alone.
        repair: Mend RLE that is not whole, and say on stderr what was done to which row; without, it is an error.
    """
    from segkit.rle import files

    if size is not None and sizes is not None:
        raise ValueError("either --size or --sizes says how large the images are, not both")
    print(
        files.convert_file(
            path,
            out,
            source=source,
            target=target,
            sizes=files.read_sizes(sizes) if sizes else size,
            columns=columns,
            repair=repair,
            note=partial(print, file=sys.stderr),
        )
    )
    return 0


def models(name: tyro.conf.Positional[str | None] = None) -> int:
    """The networks that segkit.models.create knows, or the plan of one (needs torch).

    Args:
        name: Of one network.
    """
    from segkit import models as known

    print(known.describe(name) if name else "\n".join(known.names()))
    return 0


COMMANDS: dict[str, Any] = {
    command.__name__.rstrip("_"): command
    for command in (audit, eda, score, compare, vote, blend, import_, validate, diff, rle, models)
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; bad input ends in one readable line and exit code 2."""
    try:
        return int(
            tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="segkit", description="The last mile of segmentation competitions.", args=arguments
            )
        )
    except (ValueError, KeyError, FileNotFoundError) as error:
        print(f"error: {error.args[0] if isinstance(error, KeyError) and error.args else error}", file=sys.stderr)
        return 2


def _classes(data: Path, names: str | None) -> list[str] | None:
    from segkit.annotations.truth import read_classes

    if names is None:
        return list(read_classes(data / "classes.txt")) if (data / "classes.txt").is_file() else None
    return list(read_classes(Path(names))) if Path(names).is_file() else [n.strip() for n in names.split(",")]


def _shape(store: PredictionStore) -> str:
    return f"{len(store.ids)} images x {len(store.classes)} classes at {store.grid[0]} x {store.grid[1]}"


def _groups(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.DictReader(handle))
    key = next((name for name in ("id", "image_name") if rows and name in rows[0]), None)
    if key is None or "person" not in rows[0]:
        found = list(rows[0]) if rows else []
        raise ValueError(f"{path}: columns id (or image_name) and person are wanted, got {found}")
    return {row[key]: row["person"] for row in rows}


if __name__ == "__main__":
    sys.exit(main())
