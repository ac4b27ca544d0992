"""Whole files from one format to another: the RLE column of a CSV, or a COCO data set in JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segkit.files import read_json, replacing, write_atomic
from segkit.rle.coco import box, from_coco, mended
from segkit.rle.formats import COCO, TEXTS, _read, _written, mend
from segkit.rle.runs import Runs, _as_shape, at_least
from segkit.rle.tables import COLUMNS, Table, by_image, plain_text

ONLY_CLASS = "mask"
FILES = (*TEXTS, "coco", "coco-list")
Sizes = tuple[int, int] | Mapping[str, tuple[int, int]]


class _Row(NamedTuple):
    where: str
    image: str
    cls: str
    runs: Runs
    cells: list[str]


def convert_file(
    path: str | Path,
    out: str | Path,
    *,
    source: str,
    target: str,
    sizes: Sizes | None = None,
    columns: Sequence[str] = COLUMNS,
    repair: bool = False,
    note: Callable[[str], None] = print,
) -> Path:
    """Convert a CSV with an RLE column, or a COCO data set, from one format to another; -> out.

    source, target: kaggle-rows-1, kaggle-rows-0, kaggle-columns-1, kaggle-columns-0 (CSV), coco or coco-list (JSON of
    a data set with compressed or uncompressed run lengths; both are read alike).
    sizes: (height, width) of every image or {image: (height, width)}; COCO files know their own, and text in rows to
    text in rows needs none. columns: of the image, the class and the RLE, or of the image and the RLE alone, where
    COCO's one category is "mask". Other columns of a CSV, its order and repeated rows are kept from CSV to CSV.
    repair: mend what is not whole, as rle.mend and rle.mend_coco do; note(line) is called with each row, or
    annotation, that was changed.

    To COCO empty masks write no annotation. From COCO to text every image gets a row for every category, and
    annotations of the same two are joined. The file takes its place only when it is whole.
    ValueError names file, line, image and class of what is wrong: RLE, columns, size, polygons among the run lengths.
    """
    for name in (source, target):
        if name not in FILES:
            raise ValueError(f"no format {name!r} of a file; known: {', '.join(FILES)}")
    if len(columns) not in (2, 3) or len(set(columns)) != len(columns):
        raise ValueError(f"columns of image, class and RLE, or of image and RLE, are wanted, got {list(columns)}")
    if source in COCO:
        if sizes is not None:
            raise ValueError("sizes are for Kaggle text; a COCO file has its own")
        data = _Coco(Path(path), note if repair else None)
        if target in COCO:
            return _write_coco(out, data.annotations(), data.sizes, data.classes, target)
        return _write_csv(out, list(columns), data.rows(len(columns) == 3), columns[-1], target)
    table = Table(path, columns)
    rows = _csv_rows(table, columns, source, sizes, note if repair else None)
    if target in TEXTS:
        return _write_csv(out, table.header, rows, columns[-1], target)
    if sizes is None:
        raise ValueError(f"{target} needs the images' sizes (height, width): pass sizes")
    return _write_coco(out, rows, {}, [], target)


def read_sizes(path: str | Path) -> dict[str, tuple[int, int]]:
    """{image: (height, width)} of a CSV with the columns image_name (or id), height and width."""
    sizes = {}
    for image, cells in by_image(path, ["height", "width"], ("image_name", "id")).items():
        if not all(cell.isdecimal() for cell in cells):
            raise ValueError(f"{path}, image {image}: heights and widths are integers, got {' and '.join(cells)}")
        sizes[image] = int(cells[0]), int(cells[1])
    return sizes


# -- CSV -----------------------------------------------------------------------------------------------------------
def _csv_rows(
    table: Table, columns: Sequence[str], source: str, sizes: Sizes | None, note: Callable[[str], None] | None
) -> Iterator[_Row]:
    order, start = TEXTS[source]
    for line, _, cells in table.rows():
        image, cls = cells[table.at[0]], cells[table.at[1]] if len(columns) == 3 else ONLY_CLASS
        where = f"{table.path}, line {line}, image {image}" + (f", class {cls}" if len(columns) == 3 else "")
        text = plain_text(cells[table.at[-1]])
        try:
            size = sizes.get(image) if isinstance(sizes, Mapping) else sizes
            if isinstance(sizes, Mapping) and size is None:
                raise ValueError("no size (height, width) is known for this image")
            if note is None:
                runs = _read(text, size, source)
            else:
                runs, notes = mend(text, size, order=order, start=start)
                if notes:
                    note(f"{where}: {'; '.join(notes)}")
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        yield _Row(where, image, cls, runs, cells)


def _write_csv(out: str | Path, header: list[str], rows: Iterator[_Row], column: str, target: str) -> Path:
    place = header.index(column)
    with replacing(out) as part, part.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            try:
                text = _written(row.runs, target)
            except ValueError as error:
                raise ValueError(f"{row.where}: {error}") from error
            writer.writerow([*row.cells[:place], text, *row.cells[place + 1 :]])
    return Path(out)


# -- COCO ----------------------------------------------------------------------------------------------------------
class _Coco:
    """A data set on disk: {"images": [...], "categories": [...], "annotations": [...]}."""

    def __init__(self, path: Path, note: Callable[[str], None] | None) -> None:
        self.path, self.note, self.found = path, note, read_json(path)
        for what in ("images", "categories", "annotations"):
            entries = self.found.get(what) if isinstance(self.found, dict) else None
            if not isinstance(entries, list):
                raise ValueError(f"{path} is no COCO data set: a list of {what} is wanted, got {entries!r:.80}")
            for number, entry in enumerate(entries):
                if not isinstance(entry, dict):
                    raise ValueError(f"{path}: entry {number} of {what} is no object but {entry!r:.80}")
        try:
            images = {image["id"]: image for image in self.found["images"]}
            names = {category["id"]: str(category["name"]) for category in self.found["categories"]}
            self.images = {key: str(image["file_name"]) for key, image in images.items()}
            self.sizes = {str(image["file_name"]): _size(image, path) for image in images.values()}
        except (KeyError, TypeError) as error:
            wanted = "images (id, file_name, height, width), categories (id, name) and annotations are wanted"
            raise ValueError(f"{path} is no COCO data set: {wanted}; {type(error).__name__}: {error}") from error
        self.names, self.classes = names, list(names.values())
        for what, ids, given in (
            ("file_name", len(self.sizes), self.found["images"]),
            ("category", len(set(self.classes)), self.found["categories"]),
        ):
            if ids != len(given):
                raise ValueError(f"{path}: {len(given)} entries have {ids} different ids and names of a {what}")

    def annotations(self) -> Iterator[_Row]:
        for number, a in enumerate(self.found["annotations"]):
            where = f"{self.path}, annotation {a.get('id', number)}"
            try:
                image, cls = self.images[a["image_id"]], self.names[a["category_id"]]
                where += f", image {image}, class {cls}"
                runs, notes = mended(a["segmentation"]) if self.note else (from_coco(a["segmentation"]), [])
                if self.note and notes:
                    self.note(f"{where}: {'; '.join(notes)}")
                if runs.shape != self.sizes[image]:
                    raise ValueError(f"its run lengths are of {runs.shape}, the image is {self.sizes[image]}")
            except KeyError as error:
                raise ValueError(f"{where}: no {error.args[0]!r}") from error
            except TypeError as error:
                ids = {key: a[key] for key in ("image_id", "category_id")}
                raise ValueError(f"{where}: ids of an image and a category are wanted, got {ids}") from error
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            yield _Row(where, image, cls, runs, [])

    def rows(self, with_class: bool) -> Iterator[_Row]:
        if not with_class and len(self.classes) > 1:
            raise ValueError(f"{self.path} has {len(self.classes)} categories: name a column for the class")
        parts: dict[tuple[str, str], list[Runs]] = {}
        for row in self.annotations():
            parts.setdefault((row.image, row.cls), []).append(row.runs)
        for image, size in self.sizes.items():
            for cls in self.classes:
                found = parts.get((image, cls))
                runs = at_least(found, 1) if found else Runs([], size)
                cells = [image, cls, ""] if with_class else [image, ""]
                yield _Row(f"{self.path}, image {image}, class {cls}", image, cls, runs, cells)


def _size(image: Mapping[str, Any], path: Path) -> tuple[int, int]:
    try:
        return _as_shape((image["height"], image["width"]))
    except ValueError as error:
        raise ValueError(f"{path}, image {image['file_name']}: {error}") from error


def _write_coco(
    out: str | Path, rows: Iterator[_Row], sizes: Mapping[str, tuple[int, int]], classes: Sequence[str], target: str
) -> Path:
    image_ids = {image: number for number, image in enumerate(sizes, 1)}
    class_ids = {cls: number for number, cls in enumerate(classes, 1)}
    sizes = dict(sizes)
    annotations: list[dict[str, Any]] = []
    for row in rows:
        assert row.runs.shape is not None  # a target of COCO has sizes
        sizes.setdefault(row.image, row.runs.shape)
        image_id = image_ids.setdefault(row.image, len(image_ids) + 1)
        category_id = class_ids.setdefault(row.cls, len(class_ids) + 1)
        if row.runs:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_id,
                    "segmentation": _written(row.runs, target),
                    "area": row.runs.area,
                    "bbox": box(row.runs),
                    "iscrowd": 0,
                }
            )
    data = {
        "images": [
            {"id": number, "file_name": image, "height": sizes[image][0], "width": sizes[image][1]}
            for image, number in image_ids.items()
        ],
        "categories": [{"id": number, "name": cls} for cls, number in class_ids.items()],
        "annotations": annotations,
    }
    write_atomic(out, json.dumps(data) + "\n")
    return Path(out)
