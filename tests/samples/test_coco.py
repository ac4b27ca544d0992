"""COCO files: polygons as pycocotools draws them, holes of run lengths, crowds, files that lie elsewhere or nowhere."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as theirs
from sources import SIZE, coco, draw_images, write

from segkit.rle import Runs, to_coco
from segkit.samples import Samples
from segkit.samples.coco_polygons import draw_coco

RING = np.zeros(SIZE, bool)
RING[2:9, 2:9] = True
RING[4:7, 4:7] = False
BOX = [2, 2, 8, 2, 8, 8, 2, 8]


def opened(root, segmentations, images=("a.png", "b.png"), change=None, **more):
    draw_images(root / "images", images)
    content = coco(segmentations)
    if change:
        change(content)
    write(root / "coco.json", content)
    return Samples.from_coco(root / "coco.json", root / "images", **more)


points = st.tuples(st.floats(-8, 40), st.floats(-8, 40))
halves = st.tuples(st.integers(-8, 60), st.integers(-8, 60)).map(lambda point: (point[0] / 2, point[1] / 2))


@settings(max_examples=100)
@given(
    st.lists(st.lists(points | halves, min_size=3, max_size=9), min_size=1, max_size=3), st.integers(1, 30),
    st.integers(1, 30),
)  # fmt: skip
def test_polygons_are_drawn_as_pycocotools_draws_them(outlines, height, width):
    flat = [np.ravel(outline).tolist() for outline in outlines]
    expected = theirs.decode(theirs.merge(theirs.frPyObjects(flat, height, width)))
    ours = draw_coco([np.array(outline) for outline in outlines], (height, width))
    assert ours.shape == (height, width)
    assert np.array_equal(ours.mask(), expected)


def test_holes_of_run_lengths_stay(tmp_path):
    samples = opened(tmp_path, [(4, to_coco(Runs.from_mask(RING)))])
    assert np.array_equal(samples.truth["a.png"]["one"].mask(), RING)


def test_a_class_of_polygons_and_run_lengths_is_their_union(tmp_path):
    samples = opened(tmp_path, [(4, to_coco(Runs.from_mask(RING))), (4, [[4, 4, 7, 4, 7, 7, 4, 7]])])
    assert samples.truth["a.png"]["one"].area == 49


def test_a_crowd_is_ignored_where_no_object_is(tmp_path):
    def crowd(content):
        content["annotations"][0]["iscrowd"] = 1

    rows = [(4, to_coco(Runs.from_mask(RING))), (9, [BOX])]
    samples = opened(tmp_path, rows, change=crowd)
    box = draw_coco([np.reshape(BOX, (-1, 2))], SIZE)
    assert samples.truth["a.png"]["one"].area == 0
    assert samples.ignore("a.png") == Runs.from_mask(RING) - box
    assert samples.ignore("b.png") is None
    counted = Samples.from_coco(tmp_path / "coco.json", tmp_path / "images", crowd="label")
    assert np.array_equal(counted.truth["a.png"]["one"].mask(), RING)
    assert counted.ignore("a.png") is None


def test_some_classes_in_another_order(tmp_path):
    samples = opened(tmp_path, [(4, [BOX]), (9, [BOX])], classes=["two"])
    assert samples.classes == ("two",)
    assert samples.truth["a.png"]["two"].area == 36
    with pytest.raises(ValueError, match="no category 'tow'; did you mean two"):
        Samples.from_coco(tmp_path / "coco.json", tmp_path / "images", ["tow"])


def test_files_in_folders_and_ones_that_are_not_there(tmp_path):
    def names(content):
        content["images"][0]["file_name"] = "batch_1/x.png"
        content["images"][1]["file_name"] = "batch_2/x.png"
        content["images"].append({"id": 7, "file_name": "gone.png"})

    draw_images(tmp_path / "images/batch_1", ["x.png"])
    draw_images(tmp_path / "images/batch_2", ["x.png"])
    samples = opened(tmp_path, [(4, [BOX])], change=names, group=r"(batch_\d)/")
    assert samples.ids == samples.labelled == ("batch_1/x.png", "batch_2/x.png")
    assert samples.truth["batch_1/x.png"]["one"].area == 36
    assert list(samples.groups.values()) == ["batch_1", "batch_2"]
    kinds = [(problem.kind, problem.image) for problem in samples.problems]
    assert ("orphan-annotation", "gone.png") in kinds
    assert ("passed-over", "") in kinds  # a.png and b.png


def test_another_size_than_the_file_says_is_refused(tmp_path):
    samples = opened(tmp_path, [(4, [BOX])], change=lambda content: content["images"][0].update(width=99))
    with pytest.raises(ValueError, match=r"a\.png is \(12, 16\), its annotation is of an image \(12, 99\)"):
        samples.truth["a.png"]["one"]
    samples = opened(tmp_path, [(4, [BOX])], change=lambda content: content["images"][0].pop("width"))
    assert samples.truth["a.png"]["one"].area == 36


def test_annotations_without_a_mask_or_an_image_are_told(tmp_path):
    def change(content):
        content["annotations"] += [{"id": 5, "image_id": 99, "category_id": 4}, {"image_id": 0, "category_id": 1}]

    samples = opened(tmp_path, [(4, []), (4, [BOX])], change=change)
    assert samples.truth["a.png"]["one"].area == 36
    assert [problem.kind for problem in samples.annotation("a.png").problems] == ["no-region"]
    assert [problem.kind for problem in samples.problems] == ["orphan-annotation"] * 2


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3]], "expected polygons"),
        ([[1, 2, 3, 4]], "of 3 points or more"),
        ([["a", 2, 3, 4, 5, 6]], "expected points"),
        ([[0, 0, 1e9, 1, 5, 6]], "not finite or beyond"),
        ({"size": [3, 3], "counts": [9]}, r"\(3, 3\)"),
        ({"counts": "x"}, "size"),
        ("text", "expected polygons or run lengths, got str"),
    ],
)
def test_a_broken_annotation_is_named(tmp_path, segmentation, message):
    samples = opened(tmp_path, [(4, segmentation)])
    with pytest.raises(ValueError, match=message) as error:
        samples.regions("a.png")
    assert "coco.json, annotation 0, image a.png, class one" in str(error.value)
    assert samples.regions("b.png")


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"images": [], "annotations": [], "categories": []},
        {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}, {"id": 1, "name": "y"}]},
        {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "x"}]},
        {"images": [{"id": 1, "file_name": "q.png"}], "annotations": [], "categories": [{"id": 1, "name": "x"}]},
    ],
)
def test_what_is_no_coco_file(tmp_path, content):
    draw_images(tmp_path / "images")
    (tmp_path / "coco.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"coco\.json"):
        Samples.from_coco(tmp_path / "coco.json", tmp_path / "images")
