import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from segkit.report.overlays import SIDE, Overlay, drawn, outline, viewable
from segkit.rle import Runs


def rings(path):
    return [
        np.array([[float(v) for v in point.split()] for point in ring.split("L")])
        for ring in re.findall(r"M([^Z]+)Z", path)
    ]


def area(ring):
    x, y = ring.T
    return abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2


def pixels(uri):
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def block(shape, top, left, bottom, right):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return Runs.from_mask(mask)


@pytest.mark.parametrize("size", [(60, 80), (30, 40), (17, 23)])
def test_an_outline_encloses_the_mask(size):
    (ring,) = rings(outline(block((60, 80), 10, 20, 40, 70), size))
    scale = np.array([size[1] / 80, size[0] / 60])
    assert abs(area(ring) / (30 * 50 * scale.prod()) - 1) < 0.05
    assert np.abs(ring.min(axis=0) / scale - [20, 10]).max() < 1.5
    assert np.abs(ring.max(axis=0) / scale - [70, 40]).max() < 1.5


def test_a_hole_is_a_second_ring_and_an_edge_is_closed():
    mask = np.ones((40, 50), bool)
    mask[10:20, 10:30] = False
    outer, inner = sorted(rings(outline(Runs.from_mask(mask), (40, 50))), key=area, reverse=True)
    assert area(outer) == pytest.approx(2000, rel=0.02)
    assert area(inner) == pytest.approx(200, rel=0.06)


def test_one_pixel_stays_visible_and_nothing_is_nothing():
    (ring,) = rings(outline(block((2048, 2048), 2047, 2047, 2048, 2048), (720, 720)))
    assert ring.max() == 720
    assert area(ring) >= 1
    assert outline(Runs(np.zeros((0, 2)), (9, 9)), (9, 9)) == ""


def overlay(truth, pred, shape=(40, 60), image=None):
    image = np.full((*shape, 1), 90, np.uint8) if image is None else image
    return Overlay("a.png", "", image, truth, pred, 0.5)


def test_errors_by_hand():
    truth = {"a": block((40, 60), 0, 0, 20, 20), "b": block((40, 60), 0, 20, 20, 40)}
    pred = {"a": block((40, 60), 0, 0, 20, 30), "b": block((40, 60), 0, 30, 10, 60)}
    shown = drawn(overlay(truth, pred), {"a": "#ffffff", "b": "#000000"})
    # a is 10 columns too wide, where b is missing: 200 px of the wrong class; b misses 100 px below
    # and has 200 px on the right that nobody has
    assert {k: round(v * 800) for k, v in shown["error_share"].items()} == {
        "missed": 100,
        "extra": 200,
        "wrong class": 200,
    }
    layer = pixels(shown["errors"])
    assert layer.shape == (40, 60, 4)
    assert layer[5, 5, 3] == 0
    assert tuple(layer[15, 35]) == (56, 189, 248, 255)
    assert tuple(layer[5, 50]) == (255, 122, 69, 255)
    assert tuple(layer[5, 25]) == (250, 214, 60, 255)


def test_a_class_that_is_not_named_is_empty():
    shown = drawn(overlay({"a": block((40, 60), 0, 0, 9, 9)}, {"a": Runs([])}), {"a": "#fff", "b": "#000"})
    assert [mask["cls"] for mask in shown["truth"]] == ["a"]
    assert shown["pred"] == []
    assert shown["weakest"][0][0] == "a"
    assert shown["weakest"][0][1] < 1e-4


def test_without_a_prediction_there_are_no_errors_to_show():
    shown = drawn(overlay({"a": block((40, 60), 0, 0, 9, 9)}, {}), {"a": "#fff"})
    assert shown["errors"] is None
    assert shown["weakest"] == []


def test_large_images_shrink_and_small_ones_stay():
    mask = block((3000, 1500), 0, 0, 3000, 1500)
    shown = drawn(overlay({"a": mask}, {}, image=np.zeros((300, 150, 1), np.uint8)), {"a": "#fff"})
    assert (shown["height"], shown["width"]) == (SIDE, SIDE // 2)
    assert pixels(shown["image"]).shape[:2] == (SIDE, SIDE // 2)
    small = drawn(overlay({"a": block((7, 5), 0, 0, 7, 5)}, {}, shape=(7, 5)), {"a": "#fff"})
    assert (small["height"], small["width"]) == (7, 5)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 1), np.uint8)],
)
def test_another_image_is_refused(image):
    with pytest.raises(ValueError, match=r"a\.png: expected a uint8 image \(height, width, 1 or 3\), got"):
        overlay({}, {}, image=image)


def test_a_case_is_cut_to_its_masks_and_a_sample_is_whole():
    shown = drawn(
        overlay({"a": block((40, 60), 10, 20, 20, 30)}, {"a": block((40, 60), 15, 25, 40, 35)}), {"a": "#fff"}
    )
    # rows 10 to 40, columns 20 to 35, and 5 % of the longer side (3 px) around, inside the picture
    assert shown["view"] == "17 7 21 33"
    assert shown["whole"] == "0 0 60 40"
    assert drawn(overlay({}, {}), {"a": "#fff"})["view"] == "0 0 60 40"


def test_colours_stay_colours():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, :, 0] = 250
    shown = pixels(drawn(overlay({}, {}, image=image), {"a": "#fff"})["image"]).astype(int)
    assert np.abs(shown - [250, 0, 0]).max() < 12  # WEBP is lossy


@pytest.mark.parametrize(("channels", "kept"), [(1, [0]), (2, [0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_any_image_is_made_viewable(channels, kept):
    image = np.linspace(-3, 300, 2 * 2 * channels, dtype=np.float32).reshape(2, 2, channels)
    shown = viewable(image)
    assert shown.dtype == np.uint8
    assert shown.tolist() == np.clip(np.rint(image[..., kept]), 0, 255).tolist()
