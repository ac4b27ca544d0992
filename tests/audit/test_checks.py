"""Each trap by a file that has it: the audit names file, image and class."""

import pytest

from segkit.audit import Problem, audit
from segkit.audit.checks import summarise

SQUARE = [[2, 2], [9, 2], [9, 9], [2, 9]]
CLASSES = ("one", "two")
BOTH = [("one", SQUARE), ("two", SQUARE)]


def found(data, classes=CLASSES, **more):
    """{kind: [(file name, image, class)]}"""
    out = {}
    for p in audit(data.root, classes, **more):
        out.setdefault(p.kind, []).append((p.file.rsplit("/")[-1], p.image, p.cls))
    return out


def test_a_clean_folder_has_no_problem(data):
    data.pair("a", BOTH)
    data.image("t.png", split="test", person="ID002")
    assert audit(data.root, CLASSES) == []


@pytest.mark.parametrize(
    ("rings", "kind", "cls"),
    [
        ([*BOTH, ("three", SQUARE)], "unknown-label", "three"),
        ([("one", SQUARE)], "missing-label", "two"),
        ([], "unlabelled", ""),
        ([*BOTH, ("one", [[5, 5]])], "tiny-ring", "one"),
        ([*BOTH, ("one", [[5, 5], [8, 5], [8, 6]])], "tiny-ring", "one"),
        ([("one", SQUARE), ("two", [[0, 0], [29, 0], [29, 39], [0, 39]])], "huge-ring", "two"),
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
    assert set(found(data)) == {"tiny-ring", "self-crossing"}


def test_the_last_row_and_column_are_inside(data):
    data.pair("a", [("one", SQUARE), ("two", [[10, 10], [29, 10], [29, 39], [10, 39]])])
    assert audit(data.root, CLASSES) == []


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
    (problem,) = audit(data.root, CLASSES)
    assert (problem.kind, problem.severity) == (kind, "note")
    assert message in problem.message


def test_files_that_cannot_be_read(data, capfd):
    data.pair("a", BOTH)
    data.pair("b", BOTH)
    (data.root / "train/DCM/ID001/a.png").write_bytes(b"no image")
    (data.root / "train/outputs_json/ID001/b.json").write_text('{"annotations": [')
    assert found(data) == {
        "unreadable-image": [("a.png", "a.png", "")],
        "unreadable-json": [("b.json", "b.png", "")],
    }


def test_a_broken_image_of_the_test_split_is_found_too(data, capfd):
    data.pair("a", BOTH)
    data.image("t.png", split="test").write_bytes(b"")
    assert found(data) == {"unreadable-image": [("t.png", "t.png", "")]}


def test_orphans_on_both_sides(data):
    data.pair("a", BOTH)
    data.image("alone.png")
    data.json("lonely.json", BOTH, person="ID009")
    assert found(data) == {
        "missing-json": [("alone.png", "alone.png", "")],
        "orphan-json": [("lonely.json", "lonely", "")],
    }


def test_a_test_image_needs_no_annotation(data):
    data.pair("a", BOTH)
    data.image("t.png", split="test")
    assert audit(data.root, CLASSES) == []


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
    assert found(data)["shared-json"] == [("a.json", "a.png", "")]


def test_several_rings_in_any_order_are_no_problem(data):
    data.pair("a", [("two", SQUARE), ("one", SQUARE), ("two", [[12, 12], [20, 12], [20, 20]])])
    assert audit(data.root, CLASSES) == []
    assert audit(data.root) == []


def test_without_classes_any_label_will_do(data):
    data.pair("a", [("whatever", SQUARE)])
    assert audit(data.root) == []


def test_rules_of_a_recipe_see_every_case(data):
    data.pair("a", BOTH)
    data.image("t.png", split="test", person="ID002")

    def two_a_person(cases):
        assert [(c.item.id, c.split, c.size) for c in cases] == [
            ("a.png", "train", (40, 30)),
            ("t.png", "test", (40, 30)),
        ]
        assert set(cases[0].rings) == {"one", "two"}
        assert cases[1].rings is None
        for case in cases:
            yield Problem(str(case.item.image), case.item.id, "", "one-hand", f"{case.item.person} has 1 image")

    assert found(data, rules=[two_a_person]) == {"one-hand": [("t.png", "t.png", ""), ("a.png", "a.png", "")]}


def test_problems_are_sorted_and_counted(data):
    for stem in ("c", "a", "b"):
        data.pair(stem, BOTH, filename="x.jpg")
    data.pair("d", [("one", SQUARE)])
    problems = audit(data.root, CLASSES)
    assert problems == sorted(problems)
    assert summarise(problems) == {"filename": 3, "missing-label": 1}


def test_no_data_at_all(tmp_path):
    with pytest.raises(ValueError, match="ROOT/train/DCM"):
        audit(tmp_path, CLASSES)
    (tmp_path / "train/DCM").mkdir(parents=True)
    with pytest.raises(ValueError, match="no images"):
        audit(tmp_path, CLASSES)
