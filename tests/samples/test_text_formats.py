"""YOLO text, LabelMe files and tables: what each line may be, and what is refused or told."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sources import SIZE, draw_images, masks, write

from segkit.geometry import Polygons
from segkit.images import ImageSpec
from segkit.rle import Runs
from segkit.samples import Samples


def yolo(root, text, classes=("one", "two"), **more):
    draw_images(root / "images", ["a.png", "b.png"])
    write(root / "labels/a.txt", text)
    return Samples.from_yolo(root / "images", root / "labels", classes, **more)


def test_yolo_points_are_the_pixels_that_they_lie_in(tmp_path):
    samples = yolo(tmp_path, "1 0.0625 0.083333333 0.1875 0.083333333 0.1875 0.25\n\n0 0 0 1 0 1 1 0 1\n")
    assert samples.regions("a.png")["two"] == Polygons([np.array([[1, 1], [3, 1], [3, 3]])])
    assert samples.truth["a.png"]["one"].area == SIZE[0] * SIZE[1]
    assert samples.regions("a.png")["one"].outlines[0].max(axis=0).tolist() == [SIZE[1] - 1, SIZE[0] - 1]
    assert samples.labelled == ("a.png",)
    assert yolo(tmp_path, "", missing="negative").labelled == ("a.png", "b.png")


@pytest.mark.parametrize("names", ["names: [one, two]", "names: {0: one, 1: two}", "\ufeffnames:\n- one\n- two"])
def test_yolo_names_of_a_data_yaml(tmp_path, names):
    write(tmp_path / "data.yaml", names + "\n")
    assert yolo(tmp_path, "", tmp_path / "data.yaml").classes == ("one", "two")


@pytest.mark.parametrize("text", ["names: 3", "nc: 2", "names: {1: one, 2: two}", "names: [one, one]", "[", ""])
def test_yolo_names_that_are_none(tmp_path, text):
    write(tmp_path / "data.yaml", text)
    with pytest.raises(ValueError, match=r"data\.yaml: expected names"):
        yolo(tmp_path, "", tmp_path / "data.yaml")
    with pytest.raises(ValueError, match=r"none\.yaml is not there"):
        yolo(tmp_path, "", tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .1 .1 .5 .5", "a box of 4 numbers, expected a polygon"),
        ("0 .1 .1", "3 points or more, got 2 numbers"),
        ("0 .1 .1 .5 .5 .2 .3 .4", "got 7 numbers"),
        ("2 .1 .1 .5 .5 .2 .3", "class 2, there are 2: one, two"),
        ("cat .1 .1 .5 .5 .2 .3", "expected a class number and shares"),
        ("0 10 10 50 10 50 50", "expected shares of the image"),
        ("0 nan .1 .5 .5 .2 .3", "expected shares of the image"),
    ],
)
def test_yolo_lines_that_are_refused(tmp_path, line, message):
    samples = yolo(tmp_path, f"0 0 0 1 0 1 1\n{line}\n")
    with pytest.raises(ValueError, match=message) as error:
        samples.regions("a.png")
    assert "a.txt, line 2" in str(error.value)


def test_text_in_another_encoding_is_refused(tmp_path):
    samples = yolo(tmp_path, "")
    (tmp_path / "labels/a.txt").write_bytes("0 0 0 1 0 1 1".encode("utf-16"))
    with pytest.raises(ValueError, match=r"a\.txt: expected text in UTF-8"):
        samples.regions("a.png")


def labelme(root, shapes, **said):
    draw_images(root, ["a.png"])
    content = {"shapes": shapes, "imageHeight": SIZE[0], "imageWidth": SIZE[1], "imagePath": "a.png"}
    write(root / "a.json", content | said)
    return Samples.from_labelme(root)


def test_labelme_shapes(tmp_path):
    shapes = [
        {"label": "box", "points": [[8.5, 2.5], [3.5, 6.5]], "shape_type": "rectangle"},
        {"label": "four", "points": [[1, 1], [4, 1], [4, 3], [1, 3]], "shape_type": "rectangle"},
        {"label": "disc", "points": [[8, 6], [8, 10]], "shape_type": "circle"},
        {"label": "old", "points": [[1, 1], [4, 1], [4, 3]]},
        {"label": "dot", "points": [[1, 1]], "shape_type": "point"},
        {"label": "path", "points": [[1, 1], [4, 4]], "shape_type": "linestrip"},
    ]
    samples = labelme(tmp_path, shapes)
    assert samples.classes == ("box", "disc", "four", "old")
    truth = samples.truth["a.png"]
    assert (truth["box"].area, truth["four"].area, truth["old"].area) == (6 * 5, 4 * 3, 8)
    y, x = np.nonzero(truth["disc"].mask())
    assert (x.mean(), y.mean()) == pytest.approx((8, 6), abs=0.5)
    assert truth["disc"].area == pytest.approx(np.pi * 16, rel=0.25)
    told = [(p.kind, p.cls) for p in samples.annotation("a.png").problems]
    assert told == [("no-region", "dot"), ("no-region", "path")]


def test_labelme_files_elsewhere_are_paired_by_name_or_by_what_they_say(tmp_path):
    draw_images(tmp_path / "images", ["a.png", "b.png"])
    box = {"label": "x", "points": [[1, 1], [3, 3]], "shape_type": "rectangle"}
    said = {"shapes": [box], "imageHeight": SIZE[0], "imageWidth": SIZE[1]}
    write(tmp_path / "json/a.json", said | {"imagePath": "..\\other.png"})
    write(tmp_path / "json/0001.json", said | {"imagePath": "..\\images\\b.png"})
    write(tmp_path / "json/gone.json", said | {"imagePath": "gone.png"})
    samples = Samples.from_labelme(tmp_path / "json", tmp_path / "images")
    assert samples.labelled == ("a.png", "b.png")
    assert [(p.kind, p.image) for p in samples.problems] == [("orphan-annotation", "gone")]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"points": [[1, 1], [2, 2], [3, 1]]}, "shape 0: has no label"),
        ({"label": "x", "points": [[1, 1], [2, 2]]}, "shape 0, class x: expected a polygon of 3 points"),
        ({"label": "x", "points": [[1, 1]], "shape_type": "rectangle"}, "expected 2 or 4 points"),
        ({"label": "x", "points": [[1, 1], [2, None]], "shape_type": "circle"}, "expected 2 points"),
        ({"label": "x", "points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "?"}, "expected a mask in base64"),
        (
            {"label": "x", "points": [[1, 1], [2, 2]], "shape_type": "mask", "mask": "QUJD"},
            "expected a mask as grey PNG",
        ),
        ({"label": "x", "points": [[1, 1], ["a", 2], [3, 3]]}, r"expected points \[\[x, y\]"),
    ],
)
def test_labelme_shapes_that_are_refused(tmp_path, shape, message):
    samples = labelme(tmp_path, [shape])
    with pytest.raises(ValueError, match=message):
        samples.regions("a.png")


def test_a_labelme_file_of_a_turned_image_is_refused(tmp_path):
    shapes = [{"label": "x", "points": [[1, 1], [3, 1], [3, 3]]}]
    samples = labelme(tmp_path, shapes, imageHeight=SIZE[1], imageWidth=SIZE[0])
    with pytest.raises(ValueError, match=r"a\.png is \(12, 16\), its annotation is of an image \(16, 12\)"):
        samples.regions("a.png")


def read_three(row):
    return np.full((*SIZE, 3), row["grey"], np.uint8)


def test_a_frame_with_functions(tmp_path):
    frame = pd.DataFrame({"id": [7, 8], "group": ["p", "q"], "grey": [10, 20]})
    samples = Samples.from_table(
        frame, read_three, lambda row: masks() if row["id"] == 7 else {"three": Polygons()},
        read_ignore=lambda row: Runs([[0, 4]], SIZE) if row["id"] == 8 else None, image=ImageSpec("rgb"),
    )  # fmt: skip
    assert (samples.ids, samples.labelled) == (("7", "8"), ("7", "8"))
    assert samples.classes == ("one", "two", "three")
    assert samples.groups == {"7": "p", "8": "q"}
    assert samples.sizes == {"7": SIZE, "8": SIZE}
    assert samples.read_image("8").tolist() == np.full((*SIZE, 3), 20).tolist()
    assert samples.ignore("8") == Runs([[0, 4]])
    assert samples.ignore("7") is None
    assert samples.truth["7"]["two"] == Runs.from_mask(masks()["two"])
    grouped = Samples.from_table(frame, read_three, classes=["x"], group={"7": "all", "8": "all"})
    assert set(grouped.groups.values()) == {"all"}
    assert (grouped.labelled, grouped.classes) == ((), ("x",))


def test_a_table_of_several_files_an_image(tmp_path):
    draw_images(tmp_path)
    rows = [{"id": "x", "image": [tmp_path / "a.png", tmp_path / "b.png"]}]
    samples = Samples.from_table(rows, image=ImageSpec(2))
    assert samples.read_image("x").shape == (*SIZE, 2)
    assert samples.sizes["x"] == SIZE


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "one row or more"),
        ([{"name": "a"}], "row 0: expected a column 'id', got name"),
        ([3], "got int"),
        ([{"id": "a"}], "id 'a': expected a column 'image'"),
        ([{"id": "a", "image": "x.png"}, {"id": "a", "image": "x.png"}], "row 1: id 'a' was there already"),
    ],
)
def test_tables_that_are_none(rows, message):
    with pytest.raises(ValueError, match=message):
        Samples.from_table(rows)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"expected read_masks to give \{class: mask\}.*got NoneType"),
        ({"x": np.ones(SIZE)}, "image a, class x: expected a mask"),
        ({"x": np.ones((3, 3), bool), "y": np.ones((3, 4), bool)}, "expected masks of one size"),
        ({"y": np.ones((3, 3), bool)}, "is of an image"),
    ],
)
def test_masks_of_a_function_that_do_not_fit(given, message):
    rows = [{"id": "a", "grey": 1}]
    samples = Samples.from_table(rows, read_three, lambda row: given, classes=["x", "y"])
    with pytest.raises(ValueError, match=message):
        samples.regions("a")


def test_the_same_json_with_and_without_a_byte_order_mark(data):
    data.pair("a")
    first = Samples.from_folder(data.root)
    mark = first.fingerprint()
    path = Path(data.root / "train/outputs_json/ID001/a.json")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert json.loads(path.read_text(encoding="utf-8-sig"))
    assert Samples.from_folder(data.root).fingerprint() == mark
    (data.root / "classes.txt").write_bytes("\ufeffone\r\ntwo\r\n".encode())
    assert Samples.from_folder(data.root).classes == ("one", "two")
    (data.root / "classes.txt").write_bytes("one".encode("utf-16"))
    with pytest.raises(ValueError, match=r"classes\.txt: expected text in UTF-8"):
        Samples.from_folder(data.root)
