"""The folder layout: which files belong together, and what one JSON says; each trap of the field by its file."""

import json

import numpy as np
import pytest

from segkit import submission
from segkit.geometry.polygons import Polygons, rasterize
from segkit.samples import Samples, read_classes
from segkit.submission import SubmissionFormat

SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]
OTHER = [[7, 7], [20, 7], [20, 30], [7, 30]]
CLASSES = ("one", "two", "three")


def regions(data, polygons, classes=CLASSES, **more):
    data.pair("a", polygons, **more)
    return Samples.from_folder(data.root, classes=classes).regions("a.png")


def test_images_are_paired_by_group_and_stem_in_order(data):
    data.pair("b", person="ID002")
    data.pair("z", person="ID001")
    data.pair("c", person="ID001", filename="something-else.jpg")  # not believed
    samples = Samples.from_folder(data.root)
    assert list(samples.groups.items()) == [("c.png", "ID001"), ("z.png", "ID001"), ("b.png", "ID002")]
    assert samples.labelled == samples.ids
    again = Samples.from_folder(data.root / "train")
    assert (again.ids, again.fingerprint()) == (samples.ids, samples.fingerprint())


def test_every_kind_of_image_file_is_found_and_nothing_else(data):
    for name in ("a.png", "b.jpg", "c.JPG", "d.PNG", "e.tif", "f.webp"):
        data.image(name)
    data.image(".hidden.png")
    data.image("x-checkpoint.png", person="ID001/.ipynb_checkpoints")
    data.image("y.png", person=".ipynb_checkpoints")
    (data.root / "train/DCM/ID001/notes.txt").write_text("x")
    samples = Samples.from_folder(data.root)
    assert samples.ids == ("a.png", "b.jpg", "c.JPG", "d.PNG", "e.tif", "f.webp")
    assert samples.labelled == ()
    assert [p.message for p in samples.problems] == ["1 files that end in .txt: expected DCM/GROUP/IMAGE.png"]


def test_an_annotation_of_another_group_is_not_taken(data):
    data.image("a.png", person="ID001")
    data.json("a.json", person="ID002")
    samples = Samples.from_folder(data.root)
    assert samples.labelled == ()
    assert [p.kind for p in samples.problems] == ["orphan-annotation"]


def test_no_folder_and_no_images(data, tmp_path):
    with pytest.raises(ValueError, match="ROOT/train/DCM/GROUP"):
        Samples.from_folder(tmp_path)
    (data.root / "train/DCM/ID001").mkdir(parents=True)
    with pytest.raises(ValueError, match="no images"):
        Samples.from_folder(data.root)
    with pytest.raises(ValueError, match="ROOT/test/DCM"):
        Samples.from_folder(data.root, "test")


def test_polygons_come_in_class_order_whatever_the_files_order(data):
    found = regions(data, [("two", SQUARE), ("one", [[0, 0], [1, 1]]), ("two", [[5, 5]])])
    assert list(found) == list(CLASSES)
    assert [len(region) for region in found.values()] == [1, 2, 0]
    assert found["two"].outlines[0].tolist() == SQUARE
    assert found["one"].outlines[0].dtype == np.int32


def test_points_outside_and_between_pixels_are_kept_as_they_are(data):
    found = regions(data, [("one", [[-5, 3], [4000, 2], [1, 9]]), ("two", [[0.5, 1], [2, 3]])])
    assert found["one"] == Polygons([np.array([[-5, 3], [4000, 2], [1, 9]])])
    assert found["two"] == Polygons([np.array([[0.5, 1], [2, 3]])])


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"points": SQUARE}, "annotation 1: has no label"),
        ({"label": 7, "points": SQUARE}, "annotation 1: has no label"),
        ("text", "annotation 1: has no label"),
        ({"label": "two"}, "annotation 1, class two: expected points"),
        ({"label": "two", "points": []}, "annotation 1, class two: expected points"),
        ({"label": "two", "points": [[1, 2], [3]]}, "annotation 1, class two: expected points"),
        ({"label": "two", "points": [1, 2, 3]}, "annotation 1, class two: expected points"),
        ({"label": "two", "points": [["x", 2]]}, "annotation 1, class two: expected points"),
        ({"label": "two", "points": [[1, float("nan")]]}, "annotation 1, class two: a point is not finite"),
        ({"label": "two", "points": [[1, 1e9]]}, "annotation 1, class two: a point is not finite or beyond"),
        ({"label": "two", "points": [[1, 10**400]]}, "annotation 1, class two: expected points"),
    ],
)
def test_a_bad_annotation_is_named(data, annotation, message):
    data.image("a.png")
    path = data.json()
    content = json.loads(path.read_text())
    content["annotations"].append(annotation)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        Samples.from_folder(data.root, classes=CLASSES).regions("a.png")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"annotations": {}}', '{"annotations": null}', "\xff\xfe", "[" * 100_000]
)
def test_a_broken_file_is_named(data, text):
    data.pair("a")
    (data.root / "train/outputs_json/ID001/a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json"):
        Samples.from_folder(data.root, classes=CLASSES).regions("a.png")


@pytest.fixture
def folder(data):
    data.pair("b", [("two", OTHER), ("one", SQUARE), ("one", OTHER)], person="ID002")
    data.pair("a", [("two", [[-5, -5], [3, -5], [3, 3], [-5, 3]])], person="ID003")
    data.image("later.png", person="ID004")
    return data.root


def test_masks_are_the_polygons_joined(folder):
    truth = Samples.from_folder(folder, classes=CLASSES).truth
    assert truth.ids == ("b.png", "a.png")  # by group, then name; without an annotation, no truth
    assert truth.classes == CLASSES
    both = rasterize([np.array(SQUARE)], (40, 30)) | rasterize([np.array(OTHER)], (40, 30))
    assert np.array_equal(truth["b.png"]["one"].mask(), both.astype(bool))
    assert truth["b.png"]["one"].area == 64 + 14 * 24 - 9
    assert truth["a.png"]["two"].area == 16
    assert (truth["a.png"]["three"].area, truth["a.png"]["three"].shape) == (0, (40, 30))
    with pytest.raises(KeyError, match=r"later\.png"):
        truth["later.png"]
    with pytest.raises(KeyError, match=r"four.*b\.png"):
        truth["b.png"]["four"]


def test_folder_and_csv_agree(folder, tmp_path):
    truth = Samples.from_folder(folder, classes=CLASSES).truth
    path = submission.write(tmp_path / "truth.csv", [(i, c, truth[i][c]) for i in truth.ids for c in CLASSES])
    again = SubmissionFormat().read(path)
    assert (again.ids, again.classes) == (truth.ids, truth.classes)
    assert all(truth[image][cls] == again[image][cls] for image in truth for cls in truth[image])
    given = Samples.from_folder(folder, classes=CLASSES).with_truth(again)
    assert given.labelled == truth.ids
    assert given.truth["b.png"]["one"] == truth["b.png"]["one"]


def test_classes_come_from_classes_txt_else_from_the_labels(folder):
    assert Samples.from_folder(folder).classes == ("one", "two")
    (folder / "classes.txt").write_text("two\n\none\nthree\n")
    assert Samples.from_folder(folder).classes == ("two", "one", "three")
    assert Samples.from_folder(folder / "train").classes == ("two", "one", "three")


@pytest.mark.parametrize("text", ["", "\n\n", "one\none\n"])
def test_class_files_that_name_nothing_or_one_twice(tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(ValueError, match=r"classes\.txt: expected class names, each once"):
        read_classes(tmp_path / "classes.txt")
    with pytest.raises(ValueError, match=r"clases\.txt is not there"):
        read_classes(tmp_path / "clases.txt")
