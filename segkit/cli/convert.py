"""From one format to another: others' predictions, others' masks."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Literal

import tyro

from segkit import predictions
from segkit.cli.shared import class_names, shape_of, sizes_of


def import_(
    source: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    kind: Literal["auto", "arrays", "nnunet", "class-maps"] = "auto",
    classes: str | None = None,
    images: Path | None = None,
    size: tuple[int, int] | None = None,
    grid: tuple[int, int] | None = None,
    domain: Literal["probs", "logits"] | None = None,
    layout: Literal["chw", "hwc"] | None = None,
    key: str | None = None,
    background: bool = True,
    missing: Literal["error", "empty"] | None = None,
) -> int:
    """Others' predictions into a store.

    Args:
        source: Folder of .npy, .npz or .png files.
        out: The store (.zarr) to write; one that was begun goes on where it stopped.
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
        missing: Of class maps: what a class is that has no file; default: an error.
    """
    if images is not None and size is not None:
        raise ValueError("expected either --images or --size to say how large the images are, got both")
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
    }
    options = {name: value for name, value in given.items() if value is not None}
    importer = predictions.KINDS[kind]
    unused = [name for name in options if name not in inspect.signature(importer).parameters]
    if unused:
        raise ValueError(f"{', '.join(unused)} mean nothing for {source}, which is of kind {kind}")
    store = importer(source, out, **options)
    print(f"{store.path}: {shape_of(store)}")
    return 0


def rle(
    action: tyro.conf.Positional[Literal["convert"]],
    path: tyro.conf.Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    source: Annotated[str, tyro.conf.arg(name="from")],
    target: Annotated[str, tyro.conf.arg(name="to")] = "kaggle-rows-1",
    images: Path | None = None,
    size: tuple[int, int] | None = None,
    sizes: Path | None = None,
    repair: bool = False,
) -> int:
    """Masks from one format to another: CSVs with RLE, label strings, mask files, COCO.

    Args:
        action: convert.
        path: A CSV, a COCO JSON, or a folder of mask files.
        out: The file or folder to write.
        source: Format of PATH: a competition's name such as severstal, kaggle-rows-1, kaggle-columns-0, coco, labels,
            files, settings such as "columns=id,rle_mask order=F", or a sample submission and settings.
        target: Format of OUT: the same; settings that are not named stay as they are, default is image_name,class,rle.
        images: Folder of the images, for their names and sizes.
        size: Height and width of every image instead; text in rows to text in rows needs none.
        sizes: CSV with the columns image_name (or id), height and width instead.
        repair: Repair broken RLE, and say on stderr what was done to which row; without, it is an error.
    """
    from segkit.submission import convert

    known = sizes_of(size, sizes)
    print(convert(path, out, source, target, sizes=known, images=images, repair=repair))
    return 0
