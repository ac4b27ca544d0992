"""Label maps: palettes, colours, ignored values, and values that nobody named."""

import cv2
import numpy as np
import pytest
from PIL import Image
from sources import SIZE, draw_images, save

from segkit.rle import Runs
from segkit.samples import Samples

LABELS = np.zeros(SIZE, np.uint8)
LABELS[:4], LABELS[4:6], LABELS[6:8] = 1, 2, 255
LABELS[0, 0] = 0


def opened(root, classes, ignore=None, labels=LABELS, **more):
    draw_images(root / "images", ["a.png"])
    save(root / "maps/a.png", labels, 1)
    return Samples.from_label_maps(root / "images", root / "maps", classes, ignore, **more)


def test_numbers_and_what_is_ignored(tmp_path):
    samples = opened(tmp_path, {"x": 2, "y": 1}, 255)
    assert (samples.classes, samples.exclusive) == (("x", "y"), True)
    assert samples.truth["a.png"]["y"] == Runs.from_mask(LABELS == 1)
    assert samples.ignore("a.png") == samples.truth.ignore("a.png") == Runs.from_mask(LABELS == 255)
    both = opened(tmp_path, {"y": 1}, [2, 255])
    assert both.ignore("a.png") == Runs.from_mask(LABELS >= 2)
    three = opened(tmp_path, {"z": 9}, [1, 2, 255])
    assert three.ignore("a.png").area == 6 * 16 + 31
    background = opened(tmp_path, {"none": 0, "y": 1, "x": 2}, 255)
    assert background.truth["a.png"]["none"] == Runs.from_mask(LABELS == 0)
    assert len({s.fingerprint() for s in (samples, both, three, background)}) == 4


def test_a_value_that_nobody_named_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png: 2 values are neither a class nor ignored: 2, 255; name them"):
        opened(tmp_path, {"y": 1}).regions("a.png")


def test_deep_maps(tmp_path):
    opened(tmp_path, {"x": 1})
    cv2.imwrite(str(tmp_path / "maps/a.png"), LABELS.astype(np.uint16) * 200)
    samples = Samples.from_label_maps(tmp_path / "images", tmp_path / "maps", {"x": 400, "y": 200}, 51000)
    assert samples.truth["a.png"]["x"].area == 32


def test_a_palette_by_its_numbers_and_by_its_colours(tmp_path):
    draw_images(tmp_path / "images", ["a.png"])
    (tmp_path / "maps").mkdir()
    image = Image.fromarray(np.where(LABELS == 255, 3, LABELS).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 200, 10, 10, 10, 200, 10, 224, 224, 192])
    image.save(tmp_path / "maps/a.png")
    numbers = Samples.from_label_maps(tmp_path / "images", tmp_path / "maps", {"y": 1, "x": 2}, 3)
    colours = Samples.from_label_maps(
        tmp_path / "images", tmp_path / "maps", {"y": (200, 10, 10), "x": "#0ac80a"}, ignore=(224, 224, 192)
    )
    several = Samples.from_label_maps(
        tmp_path / "images", tmp_path / "maps", {"y": (200, 10, 10)}, ignore=["#0ac80a", (224, 224, 192)]
    )
    for cls in ("x", "y"):
        assert numbers.truth["a.png"][cls] == colours.truth["a.png"][cls]
    assert numbers.ignore("a.png") == colours.ignore("a.png") == Runs.from_mask(LABELS == 255)
    assert several.ignore("a.png") == Runs.from_mask(LABELS >= 2)
    with pytest.raises(ValueError, match="1 values are neither a class nor ignored: #e0e0c0"):
        Samples.from_label_maps(
            tmp_path / "images", tmp_path / "maps", {"y": (200, 10, 10), "x": "#0ac80a"}
        ).regions("a.png")  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "ignore", "message"),
    [
        ({}, None, "expected {name: value or colour}"),
        (["x"], None, "expected {name: value or colour}"),
        ({"x": 1, "y": 1}, None, "every name and value once"),
        ({"x": 1}, 1, "every name and value once"),
        ({"x": 1, "y": (1, 2, 3)}, None, "either numbers or colours"),
        ({"x": (1, 2, 3)}, 4, "either numbers or colours"),
        ({"x": (1, 2, 300)}, None, r"expected a number of 0 or more, \(red"),
        ({"x": "red"}, None, r"'red': expected"),
        ({"x": -1}, None, r"-1: expected"),
        ({"x": 1.5}, None, r"1\.5: expected"),
    ],
)
def test_classes_that_mean_nothing(tmp_path, classes, ignore, message):
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, classes, ignore)


def test_two_maps_of_one_image_and_none_at_all(tmp_path):
    opened(tmp_path, {"x": 1})
    save(tmp_path / "maps/more/a.png", LABELS, 1)
    with pytest.raises(ValueError, match=r"image a\.png has two label maps"):
        Samples.from_label_maps(tmp_path / "images", tmp_path / "maps", {"x": 1})
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="no file matches the pattern"):
        Samples.from_label_maps(tmp_path / "images", tmp_path / "other", {"x": 1})
