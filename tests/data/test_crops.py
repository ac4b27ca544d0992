"""Windows that lie inside, hold what they promise, and come out the same in any process."""

import pickle

import numpy as np
import pytest
import torch
from tiny import SWAPS, samples

from segkit.data import SegmentationData, normalise
from segkit.data.augment import medium
from segkit.data.crops import Crops

SIZE = (40, 48)


@pytest.fixture
def data(tmp_path):
    return SegmentationData(samples(tmp_path / "data"), size=SIZE, seed=3, class_swaps=SWAPS)


def find(crop, data, index):
    """Where the window lies: the image is noise, so there is one place for it."""
    whole = normalise(data.raw(index)["image"][None])[0, 0]
    h, w = crop["image"].shape[-2:]
    places = [
        (top, left)
        for top in range(SIZE[0] - h + 1)
        for left in range(SIZE[1] - w + 1)
        if torch.equal(whole[top : top + h, left : left + w], crop["image"][0])
    ]
    assert len(places) == 1
    return places[0]


def test_image_and_target_are_cut_alike_from_the_image_normalised_as_a_whole(data):
    crops = Crops(data, (16, 24))
    for index in range(len(data)):
        crop, whole = crops[index], data[index]
        top, left = find(crop, data, index)
        assert torch.equal(crop["image"], whole["image"][:, top : top + 16, left : left + 24])
        assert torch.equal(crop["target"], whole["target"][:, top : top + 16, left : left + 24])
        assert crop["index"] == index


def test_the_whole_image_is_a_window_too(data):
    crop, whole = Crops(data, SIZE)[1], data[1]
    assert torch.equal(crop["image"], whole["image"])
    assert torch.equal(crop["target"], whole["target"])


def test_each_class_of_an_image_is_in_as_many_windows_as_the_others(data):
    """Image 1 has all three classes, "rare" on 1 % of its pixels: by chance alone it would be in few windows."""
    sure, chance = Crops(data, (6, 6), foreground=1.0), Crops(data, (6, 6), foreground=0.0)
    seen = {crops: np.zeros(3) for crops in (sure, chance)}
    for crops, counts in seen.items():
        for epoch in range(300):
            crops.set_epoch(epoch)
            found = (crops.raw(1)["target"].flatten(1).sum(1) > 0).numpy()
            assert found.any() or crops is chance
            counts += found
    assert seen[sure].min() > 80
    assert seen[chance][2] < 0.5 * seen[sure][2]


def test_an_image_without_any_class_is_cut_anywhere(data):
    crops, empty = Crops(data, (39, 46), foreground=1.0), np.zeros((3, *SIZE), np.uint8)
    drawn = {crops._place(empty, np.random.default_rng(seed)) for seed in range(80)}
    assert drawn == {(top, left) for top in range(2) for left in range(3)}


@pytest.mark.parametrize("pixel", [(0, 0), (39, 47), (0, 47), (20, 5)])
def test_every_window_that_holds_a_pixel_is_drawn_and_no_other(data, pixel):
    crops = Crops(data, (5, 4), foreground=1.0)
    target = np.zeros((3, *SIZE), np.uint8)
    target[1][pixel] = 1
    drawn = {crops._place(target, np.random.default_rng(seed)) for seed in range(600)}
    wanted = {
        (top, left)
        for top in range(SIZE[0] - 4)
        for left in range(SIZE[1] - 3)
        if top <= pixel[0] < top + 5 and left <= pixel[1] < left + 4
    }
    assert drawn == wanted


def test_windows_are_of_the_epoch_and_say_what_they_are(tmp_path):
    data = SegmentationData(samples(tmp_path / "data"), size=SIZE, seed=3, transform=medium(), class_swaps=SWAPS)
    crops, again = Crops(data, (16, 16)), pickle.loads(pickle.dumps(Crops(data, (16, 16))))  # as workers get them
    crops.set_epoch(0)
    first = crops[0]["image"]
    crops.set_epoch(1)
    assert not torch.equal(crops[0]["image"], first)
    again.set_epoch(0)
    again[2]
    assert torch.equal(again[0]["image"], first)
    assert crops.raw(0)["target"].dtype == torch.uint8
    assert crops.fingerprint() == {**data.fingerprint(), "crop": [16, 16], "foreground": 0.5}


def test_weights_are_cut_with_their_pixels(tmp_path):
    data = SegmentationData(samples(tmp_path / "data", step=20), size=(48, 48), fit="pad", transform=medium())
    whole = normalise(data.raw(2)["image"][None])[0]
    crop = Crops(data, (20, 20)).raw(2)
    h = w = 20
    places = [
        (t, left)
        for t in range(29)
        for left in range(29)
        if torch.equal(whole[:, t : t + h, left : left + w], crop["image"])
    ]
    assert any(torch.equal(data.raw(2)["weight"][:, t : t + h, left : left + w], crop["weight"]) for t, left in places)


@pytest.mark.parametrize(
    ("size", "foreground", "says"),
    [
        (8, 0.5, "window of 8"),
        ((41, 8), 0.5, "does not lie inside"),
        ((8, 0), 0.5, "window"),
        ((8, 8), 1.5, "foreground=1.5"),
    ],
)
def test_mistakes_are_named(data, size, foreground, says):
    with pytest.raises(ValueError, match=says):
        Crops(data, size, foreground=foreground)
