"""Which files belong together, and what one JSON says, each trap of the field by a file that has it."""

import json

import numpy as np
import pytest

from segkit import samples

SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]


def test_images_are_paired_by_person_and_stem_in_order(data):
    data.pair("b", person="ID002")
    data.pair("z", person="ID001")
    data.pair("c", person="ID001", filename="something-else.jpg")  # not believed
    items = samples.index(data.root)
    assert [(i.id, i.person) for i in items] == [("c.png", "ID001"), ("z.png", "ID001"), ("b.png", "ID002")]
    assert [i.json.name for i in items] == ["c.json", "z.json", "b.json"]
    assert samples.index(data.root / "train") == items


def test_every_kind_of_image_file_is_found_and_nothing_else(data):
    for name in ("a.png", "b.jpg", "c.JPG", "d.PNG", "e.tif"):
        data.image(name)
    data.image(".hidden.png")
    (data.root / "train/DCM/ID001/notes.txt").write_text("x")
    assert [i.id for i in samples.index(data.root)] == ["a.png", "b.jpg", "c.JPG", "d.PNG", "e.tif"]
    assert {i.json for i in samples.index(data.root)} == {None}


def test_an_annotation_of_another_person_is_not_taken(data):
    data.image("a.png", person="ID001")
    data.json("a.json", person="ID002")
    assert samples.index(data.root)[0].json is None


def test_two_images_of_one_name_are_told(data):
    data.image("a.png", person="ID001")
    data.image("a.png", person="ID002")
    with pytest.raises(ValueError, match=r"two images are named a\.png.*ID001.*ID002"):
        samples.index(data.root)


def test_no_folder_and_no_images(data, tmp_path):
    with pytest.raises(ValueError, match="ROOT/train/DCM/PERSON"):
        samples.index(tmp_path)
    (data.root / "train/DCM/ID001").mkdir(parents=True)
    with pytest.raises(ValueError, match="no images"):
        samples.index(data.root)
    with pytest.raises(ValueError, match="ROOT/test/DCM"):
        samples.index(data.root, "test")


def test_rings_come_in_class_order_whatever_the_files_order(data):
    path = data.json(rings=[("two", SQUARE), ("one", [[0, 0], [1, 1]]), ("two", [[5, 5]])])
    rings = samples.read(path, ("one", "two", "three"))
    assert list(rings) == ["one", "two", "three"]
    assert [len(r) for r in rings.values()] == [1, 2, 0]
    assert rings["two"][0].tolist() == SQUARE
    assert rings["one"][0].dtype == np.int32
    assert list(samples.read(path)) == ["two", "one"]


def test_points_outside_and_between_pixels_are_kept_as_they_are(data):
    rings = samples.read(data.json(rings=[("one", [[-5, 3], [4000, 2], [1, 9]]), ("two", [[0.5, 1], [2, 3]])]))
    assert rings["one"][0].tolist() == [[-5, 3], [4000, 2], [1, 9]]
    assert rings["two"][0].tolist() == [[0.5, 1], [2, 3]]


def test_an_unknown_label_is_told_with_the_nearest(data):
    path = data.json(rings=[("Radiuss", SQUARE)])
    with pytest.raises(ValueError, match=rf"{path.name}, annotation 0.*'Radiuss'.*did you mean Radius"):
        samples.read(path, ("Radius", "Ulna"))


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"points": SQUARE}, "annotation 1: has no label"),
        ({"label": 7, "points": SQUARE}, "annotation 1: has no label"),
        ("text", "annotation 1: has no label"),
        ({"label": "two"}, "annotation 1, class two: points"),
        ({"label": "two", "points": []}, "annotation 1, class two: points"),
        ({"label": "two", "points": [[1, 2], [3]]}, "annotation 1, class two: points"),
        ({"label": "two", "points": [1, 2, 3]}, "annotation 1, class two: points"),
        ({"label": "two", "points": [["x", 2]]}, "annotation 1, class two: points"),
        ({"label": "two", "points": [[1, float("nan")]]}, "annotation 1, class two: a point is not finite"),
        ({"label": "two", "points": [[1, 1e9]]}, "annotation 1, class two: a point is not finite or beyond"),
    ],
)
def test_a_bad_annotation_is_named(data, annotation, message):
    path = data.json()
    content = json.loads(path.read_text())
    content["annotations"].append(annotation)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as error:
        samples.read(path, ("one", "two"))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"annotations": {}}', '{"annotations": null}', "\xff\xfe"])
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"broken\.json"):
        samples.read(path, ("one",))
