"""Label strings and mask files: class maps counted by hand, resized by area, exclusive."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from segkit.rle import Runs
from segkit.submission import MaskFiles, PixelLabels
from segkit.submission.classmaps import class_map, mask_of


def masks_of(labels, count):
    return [(str(n), Runs.from_mask(labels == n)) for n in range(1, count + 1)]


def slow(labels, size, count):
    """The class that covers most of each pixel of the map, the lower number in a tie."""
    (height, width), (h, w) = labels.shape, size
    fine = np.kron(labels, np.ones((h, w), int))  # every pixel h x w times: pixels of the map are height x width of it
    tiles = fine.reshape(h, height, w, width).transpose(0, 2, 1, 3).reshape(h, w, -1)
    return np.stack([(tiles == n).sum(-1) for n in range(count + 1)]).argmax(0)


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_a_map_of_another_size_is_the_majority_by_area(labels, size):
    found, right = class_map(masks_of(labels, 3), size, 1), slow(labels, size, 3)
    votes = np.stack([slow_share(labels, size, n) for n in range(4)])
    sure = np.sort(votes, 0)[-1] > np.sort(votes, 0)[-2] + 1e-5  # ties are decided, but floats may not see them
    assert np.array_equal(found[sure], right[sure])


def slow_share(labels, size, number):
    fine = np.kron(labels == number, np.ones(size))
    return fine.reshape(size[0], labels.shape[0], size[1], labels.shape[1]).mean((1, 3))


@given(npst.arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 3)))
def test_a_map_of_the_same_size_is_the_map(labels):
    assert np.array_equal(class_map(masks_of(labels, 3), None, 1), labels)
    for number in range(4):
        assert mask_of(labels, number, None) == Runs.from_mask(labels == number)


def test_ties_go_to_the_lower_number():
    labels = np.array([[0, 1], [1, 0]])
    assert class_map(masks_of(labels, 1), (1, 1), 1).tolist() == [[0]]
    labels = np.array([[2, 1], [1, 2]])
    assert class_map(masks_of(labels, 2), (1, 1), 1).tolist() == [[1]]
    background = [("sky", Runs.from_mask(labels == 2)), ("car", Runs.from_mask(labels == 1))]
    assert class_map(background, (1, 1), 0).tolist() == [[0]]


def test_masks_are_brought_back_to_the_image(tmp_path):
    (tmp_path / "s.csv").write_text("image_id,PredictionString\na,0 1 2 1\n")
    form = PixelLabels(size=(2, 2))
    assert form.read(tmp_path / "s.csv").classes == ("1", "2")
    big = form.read(tmp_path / "s.csv", (4, 6), classes=["x", "y"])["a"]
    assert big["x"].mask().astype(int).tolist() == [[0, 0, 0, 1, 1, 1]] * 4
    assert big["y"].mask()[2:, :3].all()
    odd = form.read(tmp_path / "s.csv", (3, 3))["a"]["1"].mask()  # the middle pixel's centre lies on the edge
    assert odd.astype(int).tolist() == [[0, 1, 1], [0, 1, 1], [0, 1, 1]]


def test_a_background_that_is_the_first_class(tmp_path):
    labels = np.array([[0, 2], [1, 0]])
    masks = {"a": {name: labels == n for n, name in enumerate(("Background", "Paper", "Metal"))}}
    path = PixelLabels(size=(2, 2), first=0).write(tmp_path / "s.csv", masks)
    assert path.read_text().splitlines()[1] == "a,0 2 1 0"
    assert PixelLabels(size=(2, 2), first=0).read(path).classes == ("0", "1", "2")


@pytest.mark.parametrize("form", [PixelLabels(size=(2, 2)), MaskFiles()])
def test_overlapping_classes_are_refused(form, tmp_path):
    masks = {"a": {"x": np.ones((2, 2), bool), "y": np.eye(2, dtype=bool)}}
    with pytest.raises(ValueError, match="image a: class y: 2 pixels have another class too"):
        form.write(tmp_path / "out", masks)
    with pytest.raises(ValueError, match="image a: class x: expected a mask that knows its shape; pass sizes"):
        form.write(tmp_path / "out", {"a": {"x": Runs([[0, 1]])}})


def test_files_of_anybody(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.array([[255, 0]], np.uint8)).convert("1").save(tmp_path / "b.png")
    (tmp_path / ".c.png").write_text("hidden")
    (tmp_path / "readme.txt").write_text("no mask")
    masks = MaskFiles(".png").read(tmp_path, ids=["a.tif", "b.tif"], classes=["kelp"])
    assert [masks[i]["kelp"].text() for i in masks] == ["2 1", "1 1"]
    assert dict(masks.sizes) == {"a.tif": (1, 2), "b.tif": (1, 2)}
    with pytest.raises(ValueError, match=r"a\.png: expected a mask of \(2, 2\), got \(1, 2\)"):
        MaskFiles(".png").read(tmp_path, (2, 2))["a"]["mask"]
    with pytest.raises(ValueError, match="value=255 is for one class, got 2"):
        MaskFiles(value=255).write(tmp_path, {"a": {"x": np.eye(2, dtype=bool), "y": ~np.eye(2, dtype=bool)}})


def test_label_rows_that_come_again(tmp_path):
    (tmp_path / "s.csv").write_text("image_id,PredictionString\na,0\na,0\n")
    with pytest.raises(ValueError, match="line 3: image a was there already"):
        PixelLabels(size=(1, 1)).read(tmp_path / "s.csv")
    with pytest.raises(ValueError, match=r"s\.csv, line 2, image a: expected 4 numbers"):
        PixelLabels(size=(2, 2)).read(tmp_path / "s.csv")
