"""Each trap by a file that has it: the audit names file, image and class."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sources import SOURCES

from segkit.audit import Problem, audit, summarise
from segkit.images import ImageSpec
from segkit.samples import Samples

SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]
CLASSES = ("one", "two")
BOTH = [("one", SQUARE), ("two", SQUARE)]


def look(data, classes=CLASSES, **more):
    test = Samples.from_folder(data.root, "test", classes) if (data.root / "test").is_dir() else None
    return audit(Samples.from_folder(data.root, classes=classes), test, **more)


def found(data, classes=CLASSES, **more):
    """{kind: [(file name, image, class)]}"""
    out = {}
    for p in look(data, classes, **more):
        out.setdefault(p.kind, []).append((p.file.rsplit("/")[-1], p.image, p.cls))
    return out


def test_a_clean_folder_has_no_problem(data):
    data.pair("a", BOTH)
    data.image("t.png", split="test", person="ID002")
    assert look(data) == []


@pytest.mark.parametrize(
    ("rings", "kind", "cls"),
    [
        ([*BOTH, ("three", SQUARE)], "unknown-label", "three"),
        ([], "negative", ""),
        ([*BOTH, ("one", [[5, 5]])], "tiny-polygon", "one"),
        ([*BOTH, ("one", [[5, 5], [8, 5], [8, 6]])], "tiny-polygon", "one"),
        ([("one", SQUARE), ("two", [[0, 0], [29, 0], [29, 39], [0, 39]])], "huge-polygon", "two"),
        ([*BOTH, ("two", [[2, 2], [20, 20], [20, 2], [2, 9]])], "self-crossing", "two"),
        ([*BOTH, ("two", [[2, 2], [20, 2], [20, 20], [11, 2], [2, 20]])], "touching", "two"),
        ([*BOTH, ("one", [[-1, 2], [9, 2], [9, 9]])], "outside", "one"),
        ([*BOTH, ("one", [[2, 2], [30, 2], [9, 9]])], "outside", "one"),
    ],
)
def test_what_can_be_wrong_with_labels(data, rings, kind, cls):
    data.pair("a", rings)
    assert found(data) == {kind: [("a.json", "a.png", cls)]}


def test_a_bow_tie_crosses_itself_although_its_area_is_nothing(data):
    data.pair("a", [*BOTH, ("one", [[5, 5], [15, 15], [15, 5], [5, 15]])])
    assert set(found(data)) == {"tiny-polygon", "self-crossing"}


def test_the_last_row_and_column_are_inside(data):
    data.pair("a", [("one", SQUARE), ("two", [[10, 10], [29, 10], [29, 39], [10, 39]])])
    assert look(data) == []


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ({"filename": "a.jpg"}, "filename", "says 'a.jpg', the image is 'a.png'"),
        ({"metadata": {"height": 3060, "width": 3060}}, "metadata", "says 3060 x 3060, the image is 40 x 30"),
        ({"metadata": {"height": 30, "width": 40}}, "metadata", "says 30 x 40"),
    ],
)
def test_what_a_file_says_of_itself_is_noted_not_believed(data, said, kind, message):
    data.pair("a", BOTH, **said)
    (problem,) = look(data)
    assert (problem.kind, problem.severity) == (kind, "note")
    assert message in problem.message


def test_files_that_cannot_be_read(data, capfd):
    data.pair("a", BOTH)
    data.pair("b", BOTH)
    (data.root / "train/DCM/ID001/a.png").write_bytes(b"no image")
    (data.root / "train/outputs_json/ID001/b.json").write_text('{"annotations": [')
    assert found(data) == {
        "unreadable-image": [("a.png", "a.png", "")],
        "unreadable-annotation": [("b.json", "b.png", "")],
    }


def test_a_broken_image_of_the_test_split_is_found_too(data, capfd):
    data.pair("a", BOTH)
    data.image("t.png", split="test", person="ID002").write_bytes(b"")
    assert found(data) == {"unreadable-image": [("t.png", "t.png", "")]}


def test_orphans_on_both_sides(data):
    data.pair("a", BOTH)
    data.image("alone.png")
    data.json("lonely.json", BOTH, person="ID009")
    assert found(data) == {
        "unlabelled": [("alone.png", "alone.png", "")],
        "orphan-annotation": [("lonely.json", "lonely", "")],
    }


def test_a_test_image_needs_no_annotation(data):
    data.pair("a", BOTH)
    data.image("t.png", split="test", person="ID002")
    assert look(data) == []


@pytest.mark.parametrize("split", ["train", "test"])
def test_repeated_names_are_a_finding_in_either_split(data, split):
    data.pair("a", BOTH)
    data.image("x.png", split=split, person="ID003")
    data.image("x.png", split=split, person="ID004")
    kinds = found(data)
    assert kinds["repeated-name"] == [("x.png", "x.png", "")]


def test_two_images_of_one_annotation(data):
    data.pair("a", BOTH)
    data.image("a.jpg")
    assert found(data)["shared-annotation"] == [("a.json", "a.png", "")]


def test_several_rings_in_any_order_are_no_problem(data):
    data.pair("a", [("two", SQUARE), ("one", SQUARE), ("two", [[12, 12], [20, 12], [20, 20]])])
    assert look(data) == []
    assert look(data, None) == []


def test_without_classes_any_label_will_do(data):
    data.pair("a", [("whatever", SQUARE)])
    assert look(data, None) == []


def test_rules_of_a_recipe_see_every_case(data):
    data.pair("a", BOTH)
    data.image("t.png", split="test", person="ID002")

    def two_a_person(cases):
        assert [(c.sample.id, c.split, c.size) for c in cases] == [
            ("a.png", "train", (40, 30)),
            ("t.png", "test", (40, 30)),
        ]
        assert set(cases[0].regions) == {"one", "two"}
        assert cases[1].regions is None
        for case in cases:
            yield Problem(str(case.sample.image), case.sample.id, "", "one-hand", f"{case.sample.group} has 1 image")

    assert found(data, rules=[two_a_person]) == {"one-hand": [("t.png", "t.png", ""), ("a.png", "a.png", "")]}


def test_problems_are_sorted_and_counted(data):
    for stem in ("c", "a", "b"):
        data.pair(stem, BOTH, filename="x.jpg")
    data.pair("d", [])
    problems = look(data)
    assert problems == sorted(problems)
    assert summarise(problems) == {"filename": 3, "negative": 1}


def test_a_class_that_nearly_all_images_have_is_missed_by_name_and_a_rare_one_is_not(data):
    for number in range(10):
        data.pair(f"{number}", BOTH if number < 9 else [("one", SQUARE)])
    data.pair("negative", [])
    assert found(data) == {
        "missing-label": [("9.json", "9.png", "two")],
        "negative": [("negative.json", "negative.png", "")],
    }
    data.pair("8", [("one", SQUARE)])
    assert set(found(data)) == {"negative"}
    assert found(data, (*CLASSES, "three"))["missing-class"] == [("", "", "three")]


def test_the_same_picture_in_two_groups_or_splits(data):
    pixels = np.arange(1200, dtype=np.uint16).reshape(40, 30) % 251
    for name, person, split in (("a", "ID001", "train"), ("b", "ID001", "train"), ("c", "ID002", "train")):
        data.image(f"{name}.png", person=person, split=split, pixels=pixels.astype(np.uint8))
        data.json(f"{name}.json", BOTH, person=person)
    data.image("t.bmp", person="ID003", split="test", pixels=pixels.astype(np.uint8))
    assert found(data)["same-picture"] == [("t.bmp", "t.bmp", ""), ("c.png", "c.png", "")]


def test_names_and_groups_of_both_splits(data):
    data.pair("a", BOTH, person="ID001")
    data.image("a.png", person="ID002", split="test")
    data.image("t.png", person="ID001", split="test")
    assert found(data) == {"repeated-name": [("a.png", "a.png", "")], "shared-group": [("", "", "")]}


def test_what_is_converted_is_said_once(data):
    rng = np.random.default_rng(0)
    for number in range(3):
        data.image(f"{number}.png", pixels=rng.integers(0, 255, (40, 30, 4), dtype=np.uint8))
        data.json(f"{number}.json", BOTH)
    data.image("deep.tif", pixels=rng.integers(0, 4000, (40, 30), dtype=np.uint16))
    data.json("deep.json", BOTH, filename="deep.tif")
    (data.root / "train/DCM/ID001/notes.txt").write_text("x")
    (data.root / "train/DCM/ID001/more.txt").write_text("x")
    (data.root / "train/DCM/ID001/.hidden.txt").write_text("x")
    said = {p.kind: p.message for p in look(data)}
    assert set(said) == {"alpha", "colour", "depth", "passed-over"}
    assert said["alpha"] == "3 of 4 images have alpha, which is dropped; the first is 0.png"
    assert said["colour"].startswith("3 of 4 images are in colour and are read as grey")
    assert said["depth"].startswith("1 of 4 images are deeper than 8 bits")
    assert "2 files that end in .txt" in said["passed-over"]
    assert all(p.severity == "note" for p in look(data))
    rgb = audit(Samples.from_folder(data.root, image=ImageSpec("rgb")))
    assert {p.kind for p in rgb} == {"alpha", "depth", "passed-over"}
    four = audit(Samples.from_folder(data.root, image=ImageSpec(4)))
    assert [p.image for p in four if p.kind == "unreadable-image"] == ["deep.tif"]


def test_an_orientation_tag_is_a_problem(data):
    data.json("a.json", BOTH, filename="a.jpg")
    data.image("a.jpg")
    exif = Image.Exif()
    exif[0x112] = 6
    path = data.root / "train/DCM/ID001/a.jpg"
    Image.open(path).save(path, exif=exif)
    (problem,) = look(data)
    assert (problem.kind, problem.severity) == ("orientation", "problem")
    assert problem.message.startswith("1 of 1 images have an orientation tag, which turns nothing")


def test_values_that_are_not_finite(data):
    pixels = np.ones((40, 30), np.float32)
    pixels[3, 4], pixels[5, 6] = np.nan, np.inf
    data.image("a.tif", pixels=pixels)
    data.json("a.json", BOTH, filename="a.tif")
    problems = [p for p in look(data) if p.kind == "not-finite"]
    assert [(p.image, p.message, p.severity) for p in problems] == [
        ("a.tif", "2 values are NaN or infinite", "problem")
    ]


def test_exclusive_classes_that_overlap():
    full = np.ones((4, 5), bool)
    half = full & (np.arange(5) < 2)
    rows = [{"id": "a"}, {"id": "b"}]
    masks = {"a": {"x": full, "y": half}, "b": {"x": ~half, "y": half}}
    samples = Samples.from_table(
        rows, lambda row: np.full((4, 5), ord(row["id"]), np.uint8), lambda row: masks[row["id"]], exclusive=True
    )  # fmt: skip
    (problem,) = audit(samples)
    assert (problem.image, problem.kind) == ("a", "overlap")
    assert problem.message.startswith("8 pixels have two classes or more")


def test_an_annotation_of_another_size_cannot_be_used(tmp_path):
    samples = Samples.from_table(
        [{"id": "a"}], lambda row: np.zeros((4, 5), np.uint8), lambda row: {"x": np.ones((5, 4), bool)}
    )  # fmt: skip
    (problem,) = audit(samples)
    assert (problem.image, problem.kind) == ("a", "unreadable-annotation")
    assert problem.message == "says 5 x 4, the image is 4 x 5"


@pytest.mark.parametrize("source", SOURCES)
def test_the_tiny_data_of_every_source_has_no_problem(source, tmp_path):
    problems = audit(SOURCES[source](tmp_path))
    assert [p for p in problems if p.severity == "problem"] == []
    assert [p.image for p in problems if p.kind == "negative"] == ["b.png"]
    assert [p.image for p in problems if p.kind == "unlabelled"] in ([], ["c.png"])


def test_real_tiles_half_are_negatives():
    if "SEGKIT_DATA" not in os.environ:
        pytest.skip("SEGKIT_DATA names no folder of real data")
    folder = Path(os.environ["SEGKIT_DATA"]) / "magnetic"
    classes = ("Blowhole", "Break", "Crack", "Fray", "Uneven")
    samples = Samples.from_masks(folder / "*/Imgs/*.jpg", folder, classes, "MT_{class}/Imgs/{stem}.png", threshold=127)
    kinds = summarise(audit(samples))
    assert kinds["negative"] >= 120
    assert "unlabelled" not in kinds
    assert not set(kinds) & {"unreadable-image", "unreadable-annotation", "unknown-label"}
