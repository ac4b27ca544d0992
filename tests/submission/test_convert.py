"""RLE files from format to format: round trips, pycocotools as the reader, and errors that name the row."""

import csv
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from segkit import rle
from segkit.rle import RepairWarning
from segkit.rle.tables import read_sizes
from segkit.submission import SubmissionFormat, convert

SIZES = {"a.png": (5, 7), "b.png": (6, 3)}
CLASSES = ("x", "y", "z")


@pytest.fixture
def masks():
    rng = np.random.default_rng(3)
    made = {(i, c): rng.random(size) < 0.5 for i, size in SIZES.items() for c in CLASSES}
    made["b.png", "y"][:] = False
    made["a.png", "z"][:] = True
    return made


@pytest.fixture
def table(masks, tmp_path):
    """The masks as CSV, column-major from 0, with a column more and an empty cell written as NaN."""
    path = tmp_path / "in.csv"
    rows = [[i, "note, with comma", c, rle.encode(m, order="F", start=0) or "NaN"] for (i, c), m in masks.items()]
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([["image_name", "more", "class", "rle"], *rows])
    return path


def cells(path):
    with open(path, newline="") as handle:
        return list(csv.reader(handle))


def test_csv_to_csv_keeps_order_and_other_columns(table, masks, tmp_path):
    out = convert(table, tmp_path / "out.csv", source="kaggle-columns-0", target="kaggle-rows-1", sizes=SIZES)
    header, *rows = cells(out)
    assert header == ["image_name", "more", "class", "rle"]
    assert rows == [[i, "note, with comma", c, rle.encode(m)] for (i, c), m in masks.items()]
    again = convert(out, out, source="kaggle-rows-1", target="kaggle-columns-0", sizes=SIZES)  # onto itself
    assert again.read_text() == table.read_text().replace("NaN", "").replace("\r\n", "\n")


@pytest.mark.parametrize("target", ["coco", "coco-list"])
def test_pycocotools_reads_what_we_write(table, masks, tmp_path, target, capsys):
    out = convert(table, tmp_path / "out.json", source="kaggle-columns-0", target=target, sizes=SIZES)
    data = COCO(str(out))
    assert [image["file_name"] for image in data.dataset["images"]] == list(SIZES)
    assert [category["name"] for category in data.dataset["categories"]] == list(CLASSES)
    assert len(data.anns) == len(masks) - 1  # the empty mask has no annotation
    for annotation in data.anns.values():
        image, cls = data.imgs[annotation["image_id"]], data.cats[annotation["category_id"]]
        mask = masks[image["file_name"], cls["name"]]
        assert np.array_equal(data.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
        ys, xs = np.nonzero(mask)
        assert annotation["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        assert isinstance(annotation["segmentation"]["counts"], str if target == "coco" else list)


def test_from_coco_every_image_gets_every_category(table, masks, tmp_path):
    middle = convert(table, tmp_path / "m.json", source="kaggle-columns-0", target="coco", sizes=SIZES)
    listed = convert(middle, tmp_path / "l.json", source="coco", target="coco-list")
    out = convert(listed, tmp_path / "out.csv", source="coco-list", target="kaggle-rows-1")
    header, *rows = cells(out)
    assert header == ["image_name", "class", "rle"]
    assert rows == [[i, c, rle.encode(m)] for (i, c), m in masks.items()]


def test_annotations_of_one_image_and_category_are_joined(tmp_path):
    table = tmp_path / "instances.csv"
    table.write_text("ImageId,EncodedPixels\na,1 2\na,5 2\nb,\n")
    form = SubmissionFormat(("ImageId", "EncodedPixels"), objects=True)
    data = convert(table, tmp_path / "x.json", form, "coco", sizes=(2, 4))
    found = json.loads(data.read_text())
    assert [a["image_id"] for a in found["annotations"]] == [1, 1]
    assert [c["name"] for c in found["categories"]] == ["mask"]
    out = convert(data, tmp_path / "out.csv", "coco", "columns=ImageId,EncodedPixels")
    assert cells(out) == [["ImageId", "EncodedPixels"], ["a", "1 2 5 2"], ["b", ""]]


def test_errors_name_line_image_class_and_token(tmp_path):
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    table.write_text("image_name,class,rle\na,x,1 2\na,y,5 2 x 1\n")
    with pytest.raises(
        ValueError, match=r"in\.csv, line 3, image a, class y: token 3 of the RLE text: expected .* got 'x'"
    ):
        convert(table, out, source="kaggle-rows-1", target="kaggle-rows-0")
    with pytest.raises(ValueError, match=r"line 2, image a, class x: column-major text needs the image's shape"):
        convert(table, out, source="kaggle-columns-1", target="kaggle-rows-0")
    with pytest.raises(ValueError, match=r"line 2, image a, class x: .* no shape"):
        convert(table, out, source="kaggle-rows-1", target="kaggle-columns-1")
    with pytest.raises(ValueError, match=r"line 2, image a, class x: no size"):
        convert(table, out, source="kaggle-rows-1", target="kaggle-rows-0", sizes={"b": (2, 2)})
    with pytest.raises(ValueError, match=r"line 2, image a, class x: .* past the 1 pixels"):
        convert(table, out, source="kaggle-rows-1", target="coco", sizes=(1, 1))
    with pytest.raises(ValueError, match="pass sizes"):
        convert(table, out, source="kaggle-rows-1", target="coco")
    with pytest.raises(ValueError, match="expected columns id, rle, got image_name, class, rle"):
        convert(table, out, source="columns=id,rle", target="coco")
    with pytest.raises(ValueError, match="expected either images or sizes"):
        convert(table, out, source="coco", sizes=(2, 2), images=tmp_path)
    with pytest.raises(ValueError, match="no format 'mask'"):
        convert(table, out, source="kaggle-rows-1", target="mask")
    table.write_text("image_name,class,rle\na,x\n")
    with pytest.raises(ValueError, match=r"line 2: expected 3 cells"):
        convert(table, out, source="kaggle-rows-1", target="kaggle-rows-0")
    assert not out.exists()


def test_repair_notes_each_row_that_it_changed(tmp_path):
    table = tmp_path / "in.csv"
    table.write_text("image_name,class,rle\na,x,1 2\na,y,5 2 1 2 9\nb,y,8 9\n")
    with pytest.warns(RepairWarning) as told:
        out = convert(table, tmp_path / "out.csv", "kaggle-rows-1", "kaggle-rows-1", sizes=(2, 4), repair=True)
    assert [row[-1] for row in cells(out)[1:]] == ["1 2", "1 2 5 2", "8 1"]
    assert [str(warning.message) for warning in told] == [
        f"{table}, line 3, image a, class y: the RLE text was repaired: dropped a last token without a "
        "partner (token 5 '9'); sorted runs (token 3 '1')",
        f"{table}, line 4, image b, class y: the RLE text was repaired: cropped runs that reach out of the "
        "image (token 1 '8')",
    ]


def coco(**changes):
    annotation = {"id": 7, "image_id": 1, "category_id": 1, "segmentation": {"size": [2, 2], "counts": "13"}}
    image = {"id": 1, "file_name": "a", "height": 2, "width": 2}
    data = {"images": [image], "categories": [{"id": 1, "name": "x"}], "annotations": [annotation]}
    for key, value in changes.items():
        (annotation if key in annotation else data)[key] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (coco(segmentation=[[0, 0, 1, 1, 0, 1]]), "annotation 7, image a, class x: .* polygons"),
        (coco(segmentation={"size": [2, 2], "counts": [1]}), "annotation 7, image a, class x: .* add up to 1"),
        (coco(segmentation={"size": [1, 4], "counts": "13"}), r"annotation 7, image a, class x: .*\(1, 4\).*\(2, 2\)"),
        (
            coco(segmentation={"size": None, "counts": "13"}),
            r"annotation 7, image a, class x: expected a shape .* got None",
        ),
        (coco(segmentation={"size": 3, "counts": "13"}), r"annotation 7, image a, class x: expected a shape .* got 3"),
        (coco(annotations=None), "no COCO data set: expected a list of annotations, got None"),
        (coco(annotations=[5]), "entry 0 of annotations is no object but 5"),
        (
            coco(images=[{"id": 1, "file_name": "a", "height": "abc", "width": 2}]),
            r"image a: expected a shape .*got \('abc', 2\)",
        ),
        (
            coco(images=[{"id": 1, "file_name": "a", "height": 2.5, "width": 2}]),
            r"image a: expected a shape .*got \(2.5, 2\)",
        ),
        (coco(images=[{"id": [1], "file_name": "a", "height": 2, "width": 2}]), "no COCO data set.*unhashable"),
        (coco(image_id=[1]), r"annotation 7: expected ids of an image and a category, got .*\[1\]"),
        (coco(image_id=5), "annotation 7: no 5"),
        (coco(category_id=5), "annotation 7: no 5"),
        (coco(images=[{"id": 1}]), "no COCO data set: .* 'file_name'"),
        (coco(categories=[{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]), "2 entries have 1 different"),
        ([], "no COCO data set"),
        ({"images": [], "categories": []}, "no COCO data set: expected a list of annotations, got None"),
    ],
)
def test_bad_coco_files(tmp_path, data, message):
    path = tmp_path / "in.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=rf"in\.json.*{message}"):
        convert(path, tmp_path / "out.csv", source="coco", target="kaggle-rows-1")
    assert not (tmp_path / "out.csv").exists()


def test_a_coco_file_has_its_own_sizes(tmp_path):
    path = tmp_path / "in.json"
    path.write_text(json.dumps(coco(categories=[{"id": 1, "name": "x"}, {"id": 2, "name": "y"}])))
    with pytest.raises(ValueError, match="has its own sizes"):
        convert(path, tmp_path / "out.csv", source="coco", target="kaggle-rows-1", sizes=(2, 2))
    with pytest.raises(ValueError, match="columns id, rle name no class, got masks of 'x' and 'y'"):
        convert(path, tmp_path / "out.csv", source="coco", target="columns=id,rle")


def test_repair_of_a_coco_file_notes_each_annotation_that_it_changed(tmp_path):
    path = tmp_path / "in.json"
    path.write_text(json.dumps(coco(segmentation={"size": [2, 2], "counts": [1, 2]})))
    repaired = {"source": "coco", "target": "kaggle-rows-1", "repair": True}
    with pytest.warns(RepairWarning) as told:
        out = convert(path, tmp_path / "out.csv", **repaired)
    assert cells(out)[1:] == [["a", "x", "2 2"]]  # down the columns 0 1 1 0
    assert [str(warning.message) for warning in told] == [
        f"{path}, annotation 7, image a, class x: the COCO counts were repaired: took 1 pixels that no count covers, "
        "the last of 4, as background"
    ]
    path.write_text(json.dumps(coco(segmentation={"size": [1, 4], "counts": [1]})))
    with pytest.raises(ValueError, match=r"its run lengths are of \(1, 4\), the image is \(2, 2\)"):
        convert(path, tmp_path / "out.csv", **repaired)


def test_sizes_of_a_csv(tmp_path):
    path = tmp_path / "sizes.csv"
    for key in ("id", "image_name"):
        path.write_text(f"width,{key},height\n7,a.png,5.0\n3,b.png,6\n")
        assert read_sizes(path) == SIZES


@pytest.mark.parametrize(
    "text", ["", "id,height\na,2\n", "id,height,width\na,2,x\n", "id,height,width\na,2,3.5\n", "id,height,width\na,2\n"]
)
def test_sizes_that_are_none(tmp_path, text):
    path = tmp_path / "sizes.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"sizes\.csv"):
        read_sizes(path)
