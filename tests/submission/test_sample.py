"""What samples of real competitions tell, and that what they do not tell is said by name."""

import warnings

import pytest

from segkit.submission import PixelLabels, SubmissionFormat
from segkit.submission.known import KNOWN
from segkit.submission.parsing import parse


def sample(tmp_path, text):
    (tmp_path / "sample.csv").write_text(text)
    return tmp_path / "sample.csv"


def told(path, **known):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        form = SubmissionFormat.from_sample(path, **known)
    return form, "; ".join(str(warning.message) for warning in found)


OPEN = "a sample does not tell "
SAMPLES = {
    "ours": ("image_name,class,rle\na.png,x,1 1\na.png,y,\n", {}, "order, start, relative, objects:"),
    "carvana": (
        "img,rle_mask\n00087a6bd4dc_01.jpg,1 1\n00087a6bd4dc_02.jpg,1 1\n0159_01.jpg,1 1\n0159_02.jpg,1 1\n",
        {"columns": ("img", "rle_mask")},
        "order, start, relative, empty, objects:",
    ),
    "severstal": (
        "ImageId_ClassId,EncodedPixels\n0000f269f.jpg_1,1 1\n0000f269f.jpg_2,1 1\n",
        {"columns": ("ImageId_ClassId", "EncodedPixels"), "key": "{image}_{class}"},
        "order, start, relative, empty, objects:",
    ),
    "clouds": (
        "Image_Label,EncodedPixels\n002f507.jpg_Fish,1 1\n002f507.jpg_Sugar,1 1\n",
        {"columns": ("Image_Label", "EncodedPixels"), "key": "{image}_{class}"},
        "order, start, relative, empty, objects:",
    ),
    "siim": (
        "ImageId,EncodedPixels\n1.2.276.0.7230010.3,-1\n1.2.276.0.7230010.4,-1\n",
        {"columns": ("ImageId", "EncodedPixels"), "key": "{stem}", "empty": "-1"},
        "order, start, relative, objects:",
    ),
    "siim's train.csv": (
        "ImageId, EncodedPixels\n1.2.276.1, 2 4 6 4 6 5 5 4\n1.2.276.2, -1\n",
        {"columns": ("ImageId", "EncodedPixels"), "key": "{stem}", "empty": "-1", "start": 0, "relative": True},
        "order, objects:",
    ),
    "uw-madison": (
        "id,class,predicted\ncase123_day20_slice_0001,large_bowel,\ncase123_day20_slice_0001,small_bowel,\n",
        {"columns": ("id", "class", "predicted"), "key": "{stem}"},
        "order, start, relative, objects:",
    ),
    "uw-madison, header alone": (
        "id,class,predicted\n", {"columns": ("id", "class", "predicted")}, "order, start, relative, empty, objects:"
    ),
    "tgs": ("id,rle_mask\n155410d6fa,1 1\n", {"columns": ("id", "rle_mask"), "key": "{stem}"}, "order, start,"),
    "airbus' train": (
        "ImageId,EncodedPixels\na.jpg,264661 17 265429 33\na.jpg,264661 18\nb.jpg,\n",
        {"columns": ("ImageId", "EncodedPixels"), "objects": True},
        "order, start:",
    ),
    "contrails": (
        "record_id,encoded_pixels\n1000834164244036115,-\n1002653297254493116,-\n",
        {"columns": ("record_id", "encoded_pixels"), "key": "{stem}", "empty": "-"},
        "order, start, relative, objects:",
    ),
    "class last, another column": (
        "ImageId,EncodedPixels,ClassId,Usage\na.jpg,0 2 4 4,7,Public\na.jpg,,8,Private\n",
        {"columns": ("ImageId", "ClassId", "EncodedPixels"), "start": 0},
        "column Usage has no part in the format; write(like=...) copies it; a sample does not tell order, objects:",
    ),
    "pandas' index": (",id,rle\n0,a.png,1 1\n1,b.png,\n", {"columns": ("id", "rle")}, "order, start,"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "settings", "note"), SAMPLES.values(), ids=SAMPLES)
def test_a_sample_tells_what_it_shows_and_what_it_does_not(tmp_path, text, settings, note):
    form, notes = told(sample(tmp_path, text))
    assert form == SubmissionFormat(**settings)
    assert (OPEN + note in notes) if note.startswith("order") else note in notes
    assert "sample.csv: " in notes


def test_what_is_known_is_not_asked_again(tmp_path):
    path = sample(tmp_path, "id,rle_mask\na,1 1\n")
    known = {"order": "F", "start": 1, "relative": False, "empty": "", "objects": False}
    assert told(path, **known) == (SubmissionFormat(("id", "rle_mask"), "{stem}", "F"), "")
    form, notes = told(path, order="F", key="{image}")
    assert (form.key, form.order) == ("{image}", "F")
    assert "does not tell start, relative, empty, objects" in notes
    assert "order=" not in notes.partition("(")[0]


def test_formats_with_these_columns_are_named(tmp_path):
    _, notes = told(sample(tmp_path, "ImageId_ClassId,EncodedPixels\na.jpg_1,1 1\n"))
    assert f"(severstal: {KNOWN['severstal']})" in notes


def test_a_key_that_may_name_a_class_is_said(tmp_path):
    """Sixteen views of each car look like sixteen classes: only the column's name tells."""
    form, notes = told(sample(tmp_path, "id,rle\na_1,1 1\na_2,1 1\nb_1,1 1\nb_2,1 1\n"))
    assert form.keys.has_one_class
    assert "cells of id such as 'a_1' may name a class after '_'" in notes
    form, notes = told(sample(tmp_path, "Image_Label,rle\n"))
    assert form.key == "{image}_{class}"
    assert "no row shows how column Image_Label is made" in notes


@pytest.mark.parametrize(
    ("text", "message"), [("", "columns of a key and RLE at least"), ("id\na\n", "columns of a key")]
)
def test_a_file_that_is_no_sample(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        SubmissionFormat.from_sample(sample(tmp_path, text))


def test_samples_of_label_strings(tmp_path):
    path = sample(tmp_path, "image,labels\na.jpg,0 0 1 2\n")
    assert PixelLabels.from_sample(path) == PixelLabels(("image", "labels"), (2, 2))
    assert PixelLabels.from_sample(path, size=(1, 4), first=0) == PixelLabels(("image", "labels"), (1, 4), 0)
    for text in ("image,labels\na.jpg,0 0 1\n", "image,labels\n"):
        with pytest.raises(ValueError, match="does not tell the map's size"):
            PixelLabels.from_sample(sample(tmp_path, text))


def test_a_line_may_begin_with_a_sample(tmp_path):
    path = sample(tmp_path, "id,rle_mask\na,1 1\n")
    form = parse(f"{path} order=F start=1 relative=false empty= objects=false")
    assert form == SubmissionFormat(("id", "rle_mask"), "{stem}", "F")
