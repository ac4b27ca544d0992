"""One contract for every format: what is written comes back, is valid, and planted faults are named.

A new format is one row of FORMATS, with the faults that only it can have.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from segkit import submission
from segkit.masks import MaskSet
from segkit.rle import Runs
from segkit.submission import CocoFile, MaskFiles, PixelLabels, SubmissionFormat, parse
from segkit.submission.parsing import KINDS

IDS = ("b.png", "a_1.png", "c.png")
SIZES = {"b.png": (6, 8), "a_1.png": (5, 7), "c.png": (6, 8)}
Fault = tuple[Callable[[Path], Any], str]


def text(change: Callable[[str], str]) -> Callable[[Path], Any]:
    """A fault of a text file."""
    return lambda path: path.write_text(change(path.read_text()))


def lines(change: Callable[[list[str]], list[str]]) -> Callable[[Path], Any]:
    return text(lambda whole: "\n".join(change(whole.splitlines())) + "\n")


def key(row: str) -> str:
    return row.rpartition(",")[0]


def cell(new: str) -> Callable[[Path], Any]:
    """Another last cell in the second row of the table."""
    return lines(lambda rows: [*rows[:2], f"{key(rows[2])},{new}", *rows[3:]])


def picture(*settings: Any) -> Callable[[Path], Any]:
    """Another file in place of b.tif."""
    return lambda path: Image.new(*settings).save(path / "b.tif")


TABLE: list[Fault] = [
    (lines(lambda rows: [row for row in rows if key(row) != key(rows[-1])]), "row is missing"),
    (lines(lambda rows: [rows[0], rows[-1], *rows[1:-1]]), "row 1 is .*, expected .* there"),
    (lines(lambda rows: [*rows, rows[-1].replace("c", "d")]), "expected no such row"),
    (text(lambda whole: "x" + whole), "expected columns"),
    (text(lambda whole: "," + whole.replace("\n", "\n0,").removesuffix("0,")), "pandas' index"),
    (lines(lambda rows: rows[:1]), "it has no row"),
]
ONCE: list[Fault] = [(lines(lambda rows: [*rows, rows[-1]]), "was on line .* already")]
CELLS: list[Fault] = [
    (cell("3"), "line 3, image .*: 1 tokens"),
    (cell("3 1\t5 1"), "line 3, image .*: the RLE text has a tab"),
    (cell("3  1"), "line 3, image .*: the RLE text has two blanks in a row"),
    (cell(" 3 1"), "line 3, image .*: the RLE text has a blank at its start or end"),
    (cell('"3 1\n5 1"'), "image .*: the RLE text has a line break"),
    (cell("3\u00a01"), "line 3, image .*: the RLE text has a blank that is not the space"),
    (cell("3 1 x 1"), "line 3, image .*: token 3 .* got 'x'"),
    (cell("03 1"), "line 3, image .*: numbers like '03'"),
    (cell("3 0"), "line 3, image .*: token 2 .* length 0"),
    (cell("3 99"), "line 3, image .*: .*'3 99' ends past the (48|35) pixels"),
]
ABSOLUTE: list[Fault] = [
    (cell("3 1 4 1"), "line 3, image .*: touching runs"),
    (cell("9 2 3 1"), "line 3, image .*: .* unsorted, .* say relative=True"),
    (cell("3 4 5 1"), "line 3, image .*: .* overlapping"),
]
FIRST_1: list[Fault] = [(cell("0 1"), "line 3, image .*: token 1 .* start 0 is below 1")]
RELATIVE: list[Fault] = [
    (cell("3 1 0 1"), "line 3, image .*: touching runs"),
    (cell("3 1 -1 1"), "relative start is 0"),
]


class Row(NamedTuple):
    """A format, the classes it is tried with, whether they exclude each other, and its faults."""

    form: Any
    classes: tuple[str, ...]
    exclusive: bool
    faults: list[Fault]
    name: str = "out.csv"


def rle(faults: list[Fault], *classes: str, **options: Any) -> Row:
    form = SubmissionFormat(**options)
    rows = TABLE + ([] if form.objects else ONCE) + CELLS + faults
    empty = [(cell(""), f"expected '{form.empty}' for an empty mask, got ''")] if form.empty else []
    return Row(form, classes or ("x", "y"), False, rows + empty)


FORMATS = {
    "default": rle([*ABSOLUTE, *FIRST_1]),
    "columns": rle([*ABSOLUTE, *FIRST_1], columns=("id", "kind", "r"), order="F"),
    "from 0": rle(ABSOLUTE, start=0, empty="-1"),
    "stem": rle(ABSOLUTE, columns=("id", "class", "rle"), key="{stem}"),
    "one class": rle(ABSOLUTE, "mask", columns=("img", "rle_mask")),
    "one class by columns": rle(ABSOLUTE, "mask", columns=("id", "rle_mask"), key="{stem}", order="F"),
    "key": rle(
        [*ABSOLUTE, (text(lambda whole: whole.replace("b.png_", "b-", 1)), "expected a key like '{image}_{class}'")],
        columns=("ImageId_ClassId", "EncodedPixels"), key="{image}_{class}", order="F",
    ),
    "key, class first": rle(ABSOLUTE, columns=("k", "rle"), key="{class}/{stem}"),
    "relative": rle(
        RELATIVE, "mask", columns=("ImageId", "EncodedPixels"), order="F", start=0, relative=True, empty="-1"
    ),
    "relative rows": rle(RELATIVE, relative=True),
    "objects": rle(
        [*ABSOLUTE, (lines(lambda rows: [*rows, f"{key(rows[1])},"]), "an empty row beside other rows")],
        "mask", columns=("ImageId", "EncodedPixels"), order="F", objects=True,
    ),
    "objects of classes": rle(ABSOLUTE, objects=True, empty="-"),
    "labels": Row(
        PixelLabels(size=(6, 8)), ("x", "y"), True,
        [
            *TABLE[:-2], *ONCE,
            (cell("1 2"), "line 3, image .*: expected 48 numbers, .* got 2"),
            (cell("a " * 47 + "1"), "line 3, image .*: expected class numbers, got 'a'"),
            (cell("3 " * 47 + "3"), "line 3, image .*: number 3 is of none of the 2 classes"),
            (cell("1  " * 47 + "1"), "line 3, image .*: expected single spaces"),
        ],
    ),
    "files": Row(
        MaskFiles(), ("mask",), True,
        [
            (lambda path: (path / "b.tif").unlink(), "image b: row is missing"),
            (lambda path: Image.new("L", (8, 6)).save(path / "d.tif"), "image d: expected no such row"),
            (picture("L", (3, 3)), r"b.tif: expected a mask of \(6, 8\), got \(3, 3\)"),
            (picture("L", (8, 6), 255), r"b.tif: expected the values \[0, 1\], got \[255\]"),
            (picture("RGB", (8, 6)), "b.tif: expected 8 bits and one channel"),
            (lambda path: (path / "b.tif").write_text("no"), "b.tif cannot be read"),
        ],
        "out",
    ),
    "files of classes": Row(MaskFiles(".png", key="{stem}_kelp"), ("x", "y"), True, [], "out"),
    "files of 255": Row(MaskFiles(".png", value=255), ("mask",), True, [], "out"),
    "coco": Row(
        CocoFile(), ("x", "y"), False,
        [
            (text(lambda whole: whole.replace('"b.png"', '"d.png"')), "image b.png: row is missing"),
            (text(lambda whole: whole.replace('"name": "y"', '"name": "z"')), r"expected the categories \['x', 'y'\]"),
            (text(lambda whole: whole.replace('"images"', '"image"')), "expected a list of images, got None"),
            (text(lambda whole: whole.replace('"height": 5', '"height": 7')), r"its run lengths are of \(5, 7\)"),
        ],
        "out.json",
    ),
    "coco-list": Row(CocoFile("list"), ("x", "y"), False, [], "out.json"),
}  # fmt: skip
ROWS = pytest.mark.parametrize("row", FORMATS.values(), ids=FORMATS)
TABLES = {name: row for name, row in FORMATS.items() if row.name == "out.csv"}


def masks_of(row: Row, seed: int, sizes: dict[str, tuple[int, int]] = SIZES) -> MaskSet:
    """Blobs of a few runs; classes overlap where the format lets them; b.png has none of the last class."""
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, np.ndarray]] = {}
    for image, size in sizes.items():
        taken = np.zeros(size, bool)
        found[image] = {}
        for cls in row.classes:
            mask = rng.random(size) < 0.4
            mask &= ~taken if row.exclusive else True
            mask[0, 0] = not taken[0, 0] or not row.exclusive
            taken |= mask
            found[image][cls] = mask
    found["b.png"][row.classes[-1]] = np.zeros(sizes["b.png"], bool)
    return MaskSet.from_dict(found)


def read(row: Row, path: Path, sizes: Any = SIZES) -> MaskSet:
    if isinstance(row.form, CocoFile):
        return row.form.read(path)
    return row.form.read(path, sizes, ids=tuple(SIZES), classes=row.classes)


def same(a: MaskSet, b: MaskSet) -> None:
    assert [(i, c) for i, c in a.rows] == [(i, c) for i, c in b.rows]
    for image, cls in a.rows:
        assert a[image][cls] == b[image][cls], (image, cls)
        assert b[image][cls].shape == a[image][cls].shape


def sizes_for(row: Row) -> dict[str, tuple[int, int]]:
    """Label strings are maps of one size."""
    return dict.fromkeys(IDS, (6, 8)) if isinstance(row.form, PixelLabels) else SIZES


@pytest.fixture
def images(tmp_path: Path) -> Callable[[Row], Path]:
    def made(row: Row) -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        for image, (height, width) in sizes_for(row).items():
            Image.new("L", (width, height)).save(tmp_path / "images" / image)
        return tmp_path / "images"

    return made


@ROWS
def test_what_is_written_comes_back_and_is_valid(row, tmp_path, images):
    masks, path = masks_of(row, 0, sizes_for(row)), tmp_path / row.name
    assert row.form.write(path, masks) == path
    found = read(row, path, sizes_for(row))
    same(masks, found.subset(masks.ids))
    assert found.classes == row.classes
    stats = row.form.validate(path, ids=sorted(IDS) if row.name == "out" else IDS, classes=row.classes)
    assert stats["images"] == 3
    one = {"classes": row.classes} if row.name == "out" else {}
    assert row.form.validate(path, like=path, **one) == row.form.validate(path, images=images(row), **one)


@ROWS
def test_the_images_asked_for_in_their_order(row, tmp_path):
    masks, path = masks_of(row, 1, sizes_for(row)), tmp_path / row.name
    row.form.write(path, masks, ids=("c.png", "b.png"))
    found = read(row, path, sizes_for(row))
    same(masks.subset(("c.png", "b.png")), found.subset(("c.png", "b.png")))
    assert len(found) == 2
    with pytest.raises(ValueError, match=r"image d\.png is asked for"):
        row.form.write(path, masks, ids=("d.png",))
    streamed = [(i, c, masks[i][c]) for i, c in masks.rows]
    again = row.form.write(tmp_path / f"again{Path(row.name).suffix}", streamed, ids=IDS)
    row.form.validate(again, ids=sorted(IDS) if row.name == "out" else IDS, classes=row.classes)
    with pytest.raises(
        ValueError, match=r"expected image c\.png next, .* got image b\.png|expected no row more|no row"
    ):
        row.form.write(path, streamed, ids=("c.png", "b.png", "a_1.png"))
    with pytest.raises(ValueError, match=r"2 images of ids have no row"):
        row.form.write(path, streamed[: len(row.classes)], ids=IDS)


@ROWS
def test_a_sample_says_which_rows_are_written(row, tmp_path):
    masks, sample = masks_of(row, 2, sizes_for(row)), tmp_path / f"sample{Path(row.name).suffix}"
    row.form.write(sample, masks_of(row, 3, sizes_for(row)), ids=("c.png", "a_1.png"))
    path = row.form.write(tmp_path / row.name, masks, like=sample)
    same(masks.subset(("c.png", "a_1.png")), read(row, path, sizes_for(row)).subset(("c.png", "a_1.png")))
    one = {"classes": row.classes} if row.name == "out" else {}
    row.form.validate(path, like=sample, **one)
    with pytest.raises(ValueError, match=r"row is missing|expected no such row"):
        row.form.validate(row.form.write(path, masks), like=sample, **one)


def test_every_kind_of_format_has_a_row_and_faults():
    tried = {type(row.form) for row in FORMATS.values() if row.faults}
    assert {type(form) for form in [SubmissionFormat(), *KINDS.values()]} == tried


@ROWS
def test_a_line_of_text_is_the_format(row):
    assert parse(str(row.form)) == row.form
    assert hash(row.form) == hash(parse(str(row.form)))


FAULTS = [
    pytest.param(row, *fault, id=f"{name}, {number}: {fault[1]}")
    for name, row in FORMATS.items()
    for number, fault in enumerate(row.faults)
]


@pytest.mark.parametrize(("row", "plant", "message"), FAULTS)
def test_a_planted_fault_is_named(row, plant, message, tmp_path, images):
    masks = masks_of(row, 0, sizes_for(row))
    sample = row.form.write(tmp_path / f"sample{Path(row.name).suffix}", masks)
    path = row.form.write(tmp_path / row.name, masks)
    row.form.validate(path, like=sample)
    plant(path)
    asked = {"ids": sorted(IDS) if row.name == "out" else IDS, "classes": row.classes}
    if "images" in row.form.validate.__code__.co_varnames:
        asked["images"] = images(row)
    with pytest.raises(ValueError, match=message) as error:
        row.form.validate(path, **asked)
    assert row.name in str(error.value)


@pytest.mark.parametrize("row", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("name", ["out.csv.gz", "out.zip", "OUT.CSV.ZIP"])
def test_packed_tables_are_the_same(row, name, tmp_path):
    masks = masks_of(row, 0, sizes_for(row))
    packed, plain = row.form.write(tmp_path / name, masks), row.form.write(tmp_path / "out.csv", masks)
    assert packed.read_bytes()[:2] in (b"\x1f\x8b", b"PK")
    before = packed.read_bytes()
    assert row.form.write(packed, masks).read_bytes() == before  # no clock, no name of a temporary file
    same(read(row, plain, sizes_for(row)), read(row, packed, sizes_for(row)))
    assert row.form.validate(packed, like=plain) == row.form.validate(plain, like=packed)


SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(bool, st.tuples(st.just(2), st.integers(1, 6), st.integers(1, 6))),
    st.sampled_from(["C", "F"]), st.sampled_from([0, 1]), st.booleans(), st.sampled_from(["", "-1", "1 0", "none"]),
    st.booleans(), st.sampled_from([None, "{stem}", "{image}|{class}", "{class}-{stem}"]),
)  # fmt: skip
def test_every_option_with_every_other(tmp_path_factory, masks, order, start, relative, empty, objects, key):
    columns = ("k", "r") if key and "class" in key else ("i", "c", "r")
    form = SubmissionFormat(columns, key, order, start, relative, empty, objects)
    path = tmp_path_factory.mktemp("s") / "s.csv"
    given = MaskSet.from_dict({"a.b.png": {"x": masks[0], "y y": masks[1]}})
    form.write(path, given)
    same(given, form.read(path, given.sizes, classes=given.classes))
    assert form.validate(path, ids=given.ids, classes=given.classes, sizes=given.sizes)["images"] == 1
    assert parse(str(form)) == form
    if objects:
        rows = [runs for _, _, runs in form.rows(path, given.sizes)]
        parts = [part for cls in given.classes for part in given["a.b.png"][cls].components() or [Runs([])]]
        assert rows == parts


def test_a_zip_holds_one_table(tmp_path):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._s.csv", "no")
        archive.writestr("folder/s.csv", "image_name,class,rle\na,x,1 2\n")
        archive.writestr("readme.txt", "no")
    assert submission.read(path)["a"]["x"].text() == "1 2"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("t.csv", "image_name,class,rle\n")
    with pytest.raises(ValueError, match=r"s\.zip: expected one CSV in it, got folder/s\.csv, t\.csv"):
        submission.read(path)
    for name in ("s.zip", "s.csv.gz"):
        (tmp_path / name).write_bytes(b"PK no")
        with pytest.raises(ValueError, match=rf"{name} cannot be unpacked"):
            submission.read(tmp_path / name)


def test_coco_counts_rows_by_annotation(tmp_path):
    path = CocoFile().write(
        tmp_path / "a.json", [("a", "x", Runs([[0, 1]], (1, 4))), ("a", "x", Runs([[2, 3]], (1, 4)))]
    )
    assert CocoFile().validate(path) == {"rows": 2, "images": 1, "classes": 1, "empty": 0}
    assert CocoFile().read(path)["a"]["x"].text() == "1 1 3 1"
    assert len(json.loads(path.read_text())["annotations"]) == 2
