"""Train CSVs of the field: one class, one row an object, negatives that are left out, rows of no image."""

import numpy as np
import pytest
from sources import SIZE, draw_images, masks

from segkit.rle import Runs
from segkit.samples import Samples
from segkit.submission import PixelLabels, SubmissionFormat

ONE = Runs.from_mask(masks()["one"])


def opened(root, rows, header, form, **more):
    draw_images(root / "images")
    (root / "train.csv").write_text("\n".join([header, *rows]) + "\n")
    return Samples.from_rle_csv(root / "train.csv", root / "images", form, **more)


def test_one_class_of_images_named_without_ending(tmp_path):
    form = SubmissionFormat(("id", "rle_mask"), key="{stem}", order="F")
    down = form.text(ONE)
    samples = opened(tmp_path, [f"a,{down}", "b,"], "id,rle_mask", form, classes=["salt"])
    assert (samples.classes, samples.labelled) == (("salt",), ("a.png", "b.png"))
    assert samples.truth["a.png"]["salt"] == ONE
    assert opened(tmp_path, [f"a,{down}"], "id,rle_mask", form).classes == ("mask",)


def test_objects_are_joined(tmp_path):
    form = SubmissionFormat(("ImageId", "EncodedPixels"), key="{stem}", objects=True)
    samples = opened(tmp_path, ["a,1 3", "a,9 2", "b,"], "ImageId,EncodedPixels", form)
    assert samples.truth["a.png"]["mask"].text() == "1 3 9 2"


def test_images_without_a_row_are_unlabelled_or_negatives(tmp_path):
    form = SubmissionFormat(("ImageId", "ClassId", "EncodedPixels"))
    rows, header = [f"a.png,1,{ONE.text()}", "b.png,3,1 2"], "ImageId,ClassId,EncodedPixels"
    assert opened(tmp_path, rows, header, form).labelled == ("a.png", "b.png")
    samples = opened(tmp_path, rows, header, form, missing="negative")
    assert samples.labelled == ("a.png", "b.png", "c.png")
    assert samples.classes == ("1", "3")
    assert not any(samples.regions("c.png").values())
    assert samples.truth["a.png"]["3"].area == 0  # no row
    with pytest.raises(ValueError, match="missing='none': expected unlabelled or negative"):
        opened(tmp_path, rows, header, form, missing="none")


def test_rows_without_an_image_are_told(tmp_path):
    samples = opened(tmp_path, ["a.png,x,", "gone.png,x,"], "image_name,class,rle", SubmissionFormat())
    assert [(p.kind, p.image) for p in samples.problems] == [("orphan-annotation", "gone.png")]
    with pytest.raises(ValueError, match=r"no row is of an image.*gone\.png.*a\.png"):
        opened(tmp_path, ["gone.png,x,"], "image_name,class,rle", SubmissionFormat())


def test_a_broken_mask_is_refused_when_it_is_used(tmp_path):
    samples = opened(tmp_path, ["a.png,x,1 9999", "b.png,x,1 2"], "image_name,class,rle", SubmissionFormat())
    with pytest.raises(ValueError, match=r"train\.csv.*a\.png"):
        samples.regions("a.png")
    assert samples.truth["b.png"]["x"].area == 2


def test_label_strings(tmp_path):
    form = PixelLabels(size=SIZE)
    draw_images(tmp_path / "images")
    given = {"a.png": {cls: Runs.from_mask(mask) for cls, mask in masks().items()}}
    form.write(tmp_path / "train.csv", given)
    samples = Samples.from_rle_csv(tmp_path / "train.csv", tmp_path / "images", form, ("one", "two"))
    for cls, mask in masks().items():
        assert np.array_equal(samples.truth["a.png"][cls].mask(), mask)
