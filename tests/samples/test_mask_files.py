"""Binary masks: patterns, soft edges, files of one object, and every way in which they do not fit."""

import cv2
import numpy as np
import pytest
from PIL import Image
from sources import SIZE, draw_images, masks, save

from segkit.rle import Runs
from segkit.samples import Samples

ONE = masks()["one"]


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tif", ".bmp"])
@pytest.mark.parametrize("value", [1, 255])
def test_one_class_in_every_format(tmp_path, suffix, value):
    draw_images(tmp_path / "images", ["a.jpg"])
    (tmp_path / "masks").mkdir()
    Image.fromarray(ONE.astype(np.uint8) * value).save(tmp_path / f"masks/a_mask{suffix}")
    samples = Samples.from_masks(tmp_path / "images", tmp_path / "masks", pattern="{stem}_mask.*")
    assert samples.classes == ("mask",)
    assert np.array_equal(samples.truth["a.jpg"]["mask"].mask(), ONE)


@pytest.mark.parametrize("kind", ["bits", "rgb", "rgba", "palette", "deep"])
def test_masks_of_every_kind_of_pixel(tmp_path, kind):
    draw_images(tmp_path / "images", ["a.png"])
    (tmp_path / "masks").mkdir()
    grey = ONE.astype(np.uint8) * 255
    made = {
        "bits": Image.fromarray(ONE),
        "rgb": Image.fromarray(np.stack([grey] * 3, 2)),
        "rgba": Image.fromarray(np.stack([grey] * 3 + [grey * 0 + 255], 2)),
        "palette": Image.fromarray(ONE.astype(np.uint8), "P"),
        "deep": Image.fromarray(grey.astype(np.uint16) * 200),
    }[kind]
    if kind == "palette":
        made.putpalette([255, 255, 255, 10, 200, 30])
    made.save(tmp_path / "masks/a.png")
    samples = Samples.from_masks(tmp_path / "images", tmp_path / "masks", ["cell"])
    assert np.array_equal(samples.truth["a.png"]["cell"].mask(), ONE)


def test_soft_edges_need_a_threshold(tmp_path):
    draw_images(tmp_path / "images", ["a.png"])
    soft = np.zeros(SIZE, np.uint8)
    soft[2:5, 2:9] = [40, 127, 128, 255, 128, 127, 40]
    save(tmp_path / "masks/a.png", soft, 1)
    with pytest.raises(ValueError, match=r"a\.png: expected 0 and one other value, got 5 values up to 255"):
        Samples.from_masks(tmp_path / "images", tmp_path / "masks").truth["a.png"]["mask"]
    samples = Samples.from_masks(tmp_path / "images", tmp_path / "masks", threshold=127)
    assert samples.truth["a.png"]["mask"] == Runs.from_mask(soft >= 128)
    other = Samples.from_masks(tmp_path / "images", tmp_path / "masks", threshold=100)
    assert samples.fingerprint() != other.fingerprint()


def test_names_that_hold_the_separator_and_one_another(tmp_path):
    draw_images(tmp_path / "images", ["a.png", "a_1.png", "a_1_left.png"])
    for name in ("a_left_lung", "a_1_heart", "a_1_left_lung", "a_1_left_heart"):
        save(tmp_path / f"masks/{name}.png", ONE)
    pattern = "{stem}_{class}.png"
    samples = Samples.from_masks(tmp_path / "images", tmp_path / "masks", ["heart", "left_lung"], pattern)
    there = {i: [c for c, region in samples.regions(i).items() if region] for i in samples.labelled}
    assert there == {
        "a.png": ["left_lung"], "a_1.png": ["heart", "left_lung"], "a_1_left.png": ["heart"],
    }  # fmt: skip


def test_a_class_that_is_not_named_is_told_when_its_mask_is_not_empty(tmp_path):
    draw_images(tmp_path / "images", ["a.png", "b.png"])
    save(tmp_path / "masks/other/a.png", ONE)
    save(tmp_path / "masks/other/b.png", ONE * 0)
    save(tmp_path / "masks/x/b.png", ONE)
    samples = Samples.from_masks(tmp_path / "images", tmp_path / "masks", ["x", "y"])
    assert [cls for cls, region in samples.regions("b.png").items() if region] == ["x"]
    with pytest.raises(ValueError, match=r"a\.png: label 'other' is not a class"):
        samples.regions("a.png")


def test_images_without_a_mask(tmp_path):
    draw_images(tmp_path / "images")
    save(tmp_path / "masks/a.png", ONE)
    assert Samples.from_masks(tmp_path / "images", tmp_path / "masks").labelled == ("a.png",)
    negatives = Samples.from_masks(tmp_path / "images", tmp_path / "masks", missing="negative")
    assert negatives.labelled == ("a.png", "b.png", "c.png")
    assert not negatives.truth["c.png"]["mask"]


def test_masks_that_do_not_fit(tmp_path):
    draw_images(tmp_path / "images", ["a.png", "b.png", "c.png"])
    save(tmp_path / "masks/a.png", np.ones((5, 5)))
    save(tmp_path / "masks/b.png", np.random.default_rng(0).integers(0, 2, (*SIZE, 3)))
    (tmp_path / "masks/c.png").write_bytes(b"no mask")
    samples = Samples.from_masks(tmp_path / "images", tmp_path / "masks")
    for image, message in {
        "a.png": r"a\.png is \(12, 16\), its annotation is of an image \(5, 5\)",
        "b.png": r"b\.png: expected numbers, got colours",
        "c.png": r"c\.png cannot be decoded",
    }.items():
        with pytest.raises(ValueError, match=message):
            samples.regions(image)
    save(tmp_path / "objects/a/0.png", ONE)
    save(tmp_path / "objects/a/1.png", np.ones((5, 5)))
    objects = Samples.from_masks(tmp_path / "images", tmp_path / "objects", pattern="{stem}/*")
    with pytest.raises(ValueError, match=r"1\.png is \(5, 5\), the other masks of image a\.png are \(12, 16\)"):
        objects.regions("a.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": "x_*.png"}, r"expected \{stem\} or \{image\}"),
        ({"pattern": "{stem}_{image}.png"}, r"expected \{stem\} or \{image\}"),
        ({"pattern": "{stem}_{clas}.png"}, r"expected \{stem\} or \{image\}"),
        (
            {"pattern": "mask_{stem}.png"},
            r"no file matches the pattern 'mask_\{stem\}\.png'; there is a\.png",
        ),
        ({"pattern": "{stem}.png", "classes": ["x", "y"]}, r"expected \{class\} in it, there are 2 classes"),
        ({"classes": "xy"}, "expected names in channel order"),
        ({"classes": ["x", "x"]}, "each once"),
        ({"classes": ["x", " "]}, "each once"),
        ({"missing": "skip"}, "expected unlabelled or negative"),
    ],
)
def test_arguments_that_mean_nothing(tmp_path, arguments, message):
    draw_images(tmp_path / "images")
    save(tmp_path / "masks/a.png", ONE)
    with pytest.raises(ValueError, match=message):
        Samples.from_masks(tmp_path / "images", tmp_path / "masks", **arguments)


def test_images_as_a_list_a_pattern_or_a_mapping(tmp_path):
    draw_images(tmp_path / "one", ["a.png", "b.png"])
    draw_images(tmp_path / "two", ["a.png", "b.png"])
    save(tmp_path / "masks/a.png", ONE)
    listed = Samples.from_masks([tmp_path / "one/b.png", str(tmp_path / "one/a.png")], tmp_path / "masks")
    assert listed.ids == ("b.png", "a.png")
    assert Samples.from_masks(f"{tmp_path}/t*/*.png", tmp_path / "masks").ids == ("a.png", "b.png")
    named = Samples.from_masks({"left": tmp_path / "one/a.png", "both": (tmp_path / "one/b.png",)}, tmp_path / "masks")
    assert (named.ids, named.labelled) == (("left", "both"), ("left",))
    stacked = Samples.from_images({"x": [tmp_path / "one/a.png", tmp_path / "two/b.png"]}, ["cls"])
    assert stacked["x"].files == (tmp_path / "one/a.png", tmp_path / "two/b.png")
    assert (stacked.classes, stacked.labelled) == (("cls",), ())
    with pytest.raises(ValueError, match="two ids are the same"):
        Samples.from_images({"\u00e9": tmp_path / "one/a.png", "e\u0301": tmp_path / "one/b.png"})
    with pytest.raises(ValueError, match="image 'x' has no file"):
        Samples.from_images({"x": ()})


def test_no_images_and_other_files(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.txt").write_text("x")
    (tmp_path / "images/b.TXT").write_text("x")
    with pytest.raises(ValueError, match=r"images: no images \(\.png, .*\), but 2 files that end in \.txt"):
        Samples.from_images(tmp_path / "images")
    with pytest.raises(ValueError, match="none is not a folder; expected one, a pattern"):
        Samples.from_images(tmp_path / "none")


def test_names_compare_in_one_form_of_unicode(tmp_path):
    draw_images(tmp_path / "images", ["caf\u00e9.png"])
    save(tmp_path / "masks/cafe\u0301.png", ONE)
    samples = Samples.from_masks(tmp_path / "images", tmp_path / "masks", ["cle\u0301"], group={"cafe\u0301.png": "g"})
    assert samples.labelled == samples.ids == ("caf\u00e9.png",)
    assert samples.classes == ("cl\u00e9",)
    assert samples.groups == {"caf\u00e9.png": "g"}
    assert np.array_equal(samples.truth["caf\u00e9.png"]["cl\u00e9"].mask(), ONE)


def test_two_images_of_one_name_are_refused(tmp_path):
    draw_images(tmp_path / "images/x", ["a.png"])
    draw_images(tmp_path / "images/y", ["a.png", "b.png"])
    save(tmp_path / "masks/a.png", ONE)
    samples = Samples.from_masks(tmp_path / "images", tmp_path / "masks")
    assert samples.ids == ("a.png", "b.png")
    with pytest.raises(ValueError, match=r"two images are named a\.png"):
        samples.regions("a.png")
    cv2.imwrite(str(tmp_path / "images/b.jpg"), np.zeros(SIZE, np.uint8))
    save(tmp_path / "masks/b.png", ONE)
    both = Samples.from_masks(tmp_path / "images", tmp_path / "masks")
    assert ("shared-annotation", "b.png") in [(p.kind, p.image) for p in both.problems]
