"""From one format to another: others' predictions, others' run-length encodings."""

from __future__ import annotations

import inspect
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from segkit import predictions
from segkit.cli.shared import class_names, shape_of, sizes_of

RLEFormat = Literal["kaggle-rows-1", "kaggle-rows-0", "kaggle-columns-1", "kaggle-columns-0", "coco", "coco-list"]


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

    if images is not None and size is not None:
        raise ValueError("--images and --size both say how large the images are; give one")
    kind = kind if kind != "auto" else predictions.kind_of(source)  # type: ignore[assignment]
    given = {
        "classes": None if classes is None else class_names(source, classes),
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
    door = predictions.KINDS[kind]
    unused = [name for name in options if name not in inspect.signature(door).parameters]
    if unused:
        raise ValueError(f"{', '.join(unused)} mean nothing for {source}, which is of kind {kind}")
    made = door(source, out, **options)
    print(made if kind == "csv" else f"{made.path}: {shape_of(made)}")
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

    print(
        files.convert_file(
            path,
            out,
            source=source,
            target=target,
            sizes=sizes_of(size, sizes),
            columns=columns,
            repair=repair,
            note=partial(print, file=sys.stderr),
        )
    )
    return 0
