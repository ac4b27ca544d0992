"""Real data of four layouts: what is known of it, counted."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segkit.images import ImageSpec
from segkit.samples import Samples

ROOT = Path(os.environ.get("SEGKIT_DATA", ""))
pytestmark = pytest.mark.skipif("SEGKIT_DATA" not in os.environ, reason="SEGKIT_DATA names no folder of real data")

STREETS = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
DEFECTS = ("Blowhole", "Break", "Crack", "Fray", "Uneven")


def test_radiographs():
    samples = Samples.from_folder(ROOT / "chest_xray")
    assert (len(samples), len(samples.classes), len(samples.labelled)) == (32, 11, 32)
    assert samples.classes == tuple((ROOT / "chest_xray/classes.txt").read_text().split())
    test = Samples.from_folder(ROOT / "chest_xray", "test")
    assert (len(test), test.labelled, test.classes) == (12, (), samples.classes)
    assert not set(test.groups.values()) & set(samples.groups.values())


def test_nuclei_are_joined():
    folder = ROOT / "nuclei/stage1_train"
    samples = Samples.from_masks(
        folder / "*/images/*", folder, ["nucleus"], "{stem}/masks/*", image=ImageSpec("rgb")
    )  # fmt: skip
    assert len(samples) == len(samples.labelled) == 60
    image = samples.ids[0]
    files = sorted((folder / Path(image).stem / "masks").iterdir())
    assert len(files) > 1
    union = np.any([np.asarray(Image.open(file)) > 0 for file in files], axis=0)
    assert np.array_equal(samples.truth[image]["nucleus"].mask(), union)
    assert samples.read_image(image).shape == (*union.shape, 3)
    assert samples.sizes[image] == union.shape


def test_cats_are_grouped_by_their_source_picture():
    classes = ROOT / "cats/data.yaml"
    samples = Samples.from_yolo(
        ROOT / "cats/train/images", ROOT / "cats/train/labels", classes, group=r"(.+?)\.rf\.", image=ImageSpec("rgb")
    )  # fmt: skip
    assert (len(samples), samples.classes) == (120, ("cat",))
    groups = list(samples.groups.values())
    assert set(map(groups.count, groups)) == {3}
    assert all(len(samples.regions(image)["cat"]) >= 1 for image in samples.ids)
    assert samples.truth[samples.ids[0]]["cat"].area > 0


def test_streets_ignore_one_value():
    classes = {name: number for number, name in enumerate(STREETS)}
    samples = Samples.from_label_maps(
        ROOT / "streets/val", ROOT / "streets/valannot", classes, ignore=11, group=r"^([0-9A-Za-z]+)_"
    )  # fmt: skip
    assert (len(samples), samples.classes, samples.exclusive) == (101, tuple(STREETS), True)
    assert set(samples.groups.values()) == {"0016E5"}
    image = samples.ids[0]
    labels = np.asarray(Image.open(ROOT / "streets/valannot" / f"{Path(image).stem}.png"))
    assert np.array_equal(samples.ignore(image).mask(), labels == 11)
    row = samples.truth[image]
    assert all(np.array_equal(row[cls].mask(), labels == number) for cls, number in classes.items())
    assert samples.truth.ignore(image) == samples.ignore(image)
    with pytest.raises(ValueError, match=r"1 values are neither a class nor ignored: 11"):
        Samples.from_label_maps(ROOT / "streets/val", ROOT / "streets/valannot", classes).truth[image]["sky"]


def test_half_of_the_magnetic_tiles_are_negatives():
    folder = ROOT / "magnetic"
    samples = Samples.from_masks(folder / "*/Imgs/*.jpg", folder, DEFECTS, "MT_{class}/Imgs/{stem}.png", threshold=127)
    assert len(samples) == len(samples.labelled) == 240
    assert samples.classes == DEFECTS
    free = [sample.id for sample in samples if sample.image.parts[-3] == "MT_Free"]
    assert len(free) == 120
    assert not any(any(samples.regions(image).values()) for image in free[:20])
    fray = next(sample for sample in samples if sample.image.parts[-3] == "MT_Fray")
    mask = np.asarray(Image.open(fray.image.with_suffix(".png"))) > 127
    assert np.array_equal(samples.truth[fray.id]["Fray"].mask(), mask)
    assert not samples.regions(fray.id)["Crack"]
    soft = Samples.from_masks(folder / "*/Imgs/*.jpg", folder, DEFECTS, "MT_{class}/Imgs/{stem}.png")
    with pytest.raises(ValueError, match=r"expected 0 and one other value.*pass threshold=127"):
        soft.truth[fray.id]["Fray"]
