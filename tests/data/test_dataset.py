"""Datasets: targets against slow twins, the cache, and samples that do not depend on who makes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import CLASSES, SWAPS, draw

from segkit.data import Augment, Images, SegmentationData, mirrored_channels, normalise, strong
from segkit.geometry import polygons
from segkit.images import image_size
from segkit.samples import Fix, Item, load, read
from segkit.training.batches import EpochBatchSampler, make_loader

SIZE = (32, 32)


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    return draw(tmp_path / "data")


def full_mask(item: Item, name: str) -> np.ndarray:
    return polygons.rasterize(read(item.json, CLASSES)[name], image_size(item.image))


def test_soft_targets_are_the_mean_of_the_full_mask_over_each_cell(items):
    data = SegmentationData(items, CLASSES, size=SIZE)
    for index, item in enumerate(items):
        for plane, name in zip(data.target(index), CLASSES):
            cells = full_mask(item, name).reshape(32, 3, 32, 3).mean(axis=(1, 3))
            np.testing.assert_array_equal(plane, np.rint(cells * 255))


@pytest.mark.parametrize(
    ("targets", "flag"), [("nearest", cv2.INTER_NEAREST), ("nearest-exact", cv2.INTER_NEAREST_EXACT)]
)
def test_nearest_targets_are_opencvs(items, targets, flag):
    data = SegmentationData(items, CLASSES, size=(20, 28), targets=targets)
    for index, item in enumerate(items):
        slow = [cv2.resize(full_mask(item, name), (28, 20), interpolation=flag) * 255 for name in CLASSES]
        np.testing.assert_array_equal(data.target(index), slow)


def test_a_sample_is_its_raw_self_in_floats(items):
    data = SegmentationData(items, CLASSES, size=SIZE, in_channels=3)
    sample, raw = data[1], data.raw(1)
    assert sample["image"].shape == (3, *SIZE)
    assert sample["image"].dtype == sample["target"].dtype == torch.float32
    assert raw["image"].dtype == raw["target"].dtype == torch.uint8
    assert torch.equal(sample["target"], raw["target"].float() / 255)
    assert torch.equal(sample["image"], normalise(raw["image"][None], 3)[0])
    assert sample["index"] == 1
    assert len(data) == 4


def test_normalised_images_do_not_depend_on_their_batch():
    images = torch.randint(0, 256, (5, 1, 33, 17), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[2] = 77
    together = normalise(images)
    assert torch.equal(together, torch.cat([normalise(image[None]) for image in images]))
    assert torch.equal(together[2], torch.zeros(1, 33, 17))
    torch.testing.assert_close(together[0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(together[0].std(correction=0), torch.tensor(1.0), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="uint8"):
        normalise(images.float())


def test_each_image_is_decoded_once_and_again_when_it_changes(items, tmp_path, monkeypatch):
    import segkit.data.dataset

    decoded = []
    read = segkit.data.dataset.read_image
    monkeypatch.setattr(segkit.data.dataset, "read_image", lambda path: decoded.append(path) or read(path))
    images = Images(items, size=SIZE, cache=tmp_path / "cache")
    first = images.grey(0)
    np.testing.assert_array_equal(images.grey(0), first)
    np.testing.assert_array_equal(Images(items, size=SIZE, cache=tmp_path / "cache").grey(0), first)
    assert len(decoded) == 1
    Images(items, size=(16, 16), cache=tmp_path / "cache").grey(0)  # another size is another file
    assert len(decoded) == 2
    cv2.imwrite(str(items[0].image), np.full((96, 96), 9, np.uint8))
    assert (images.grey(0) == 9).all()


def test_a_bad_file_is_named(items, tmp_path):
    items[2].image.write_bytes(items[2].image.read_bytes()[:200])
    images = Images(items, size=SIZE, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match=r"image2\.png"):
        images[2]
    items[3].image.unlink()
    with pytest.raises(ValueError, match=r"image3\.png"):
        images[3]
    items[1].json.write_text("{")
    with pytest.raises(ValueError, match=r"image1\.json"):
        SegmentationData(items, CLASSES, size=SIZE)


def test_labels_that_were_read_and_mended_already_are_used(items):
    labels = load(items, CLASSES, [Fix("image2", "exclude", why="test")])
    data = SegmentationData(items, CLASSES, size=SIZE, labels=labels)
    assert [item.id for item in data.items] == ["image0.png", "image1.png", "image3.png"]
    mended = SegmentationData(
        items, CLASSES, size=SIZE, fixes=[Fix("image1", "relabel", {"left": "right", "right": "left"})]
    )
    np.testing.assert_array_equal(mended.target(1)[[1, 0, 2]], data.target(1))
    with pytest.raises(ValueError, match="matches none"):
        SegmentationData(items, CLASSES, size=SIZE, fixes=[Fix("image9", "exclude")])
    with pytest.raises(ValueError, match="none of 4 items has labels"):
        SegmentationData(items, CLASSES, size=SIZE, labels={})


def test_a_sample_hangs_on_seed_epoch_and_index_alone(items):
    def sample(seed=0, epoch=0, before=()):
        data = SegmentationData(items, CLASSES, size=SIZE, augment=strong(), seed=seed)
        data.set_epoch(epoch)
        for index in before:
            data.raw(index)
        return data.raw(1)["image"]

    assert torch.equal(sample(), sample(before=(3, 0, 1)))
    assert not torch.equal(sample(), sample(epoch=1))
    assert not torch.equal(sample(), sample(seed=1))


def test_moved_targets_are_drawn_from_their_rings(items):
    """The same draws as on arrays, but no edge is blurred by resampling; a flip is exact."""
    preset = replace(strong(), tone=0, noise=0, blur=0, hflip=0.5)
    data = SegmentationData(items, CLASSES, size=SIZE, augment=preset, class_swaps=SWAPS)
    for epoch in range(8):
        data.set_epoch(epoch)
        raw = data.raw(1)
        generator = np.random.default_rng([0, epoch, 1])
        image, resampled = preset(data.images.grey(1), data.target(1), generator, [1, 0, 2])
        np.testing.assert_array_equal(raw["image"][0], image)
        moved = np.abs(raw["target"].numpy().astype(int) - resampled).mean()
        assert moved < 6  # of 255
    still = SegmentationData(items, CLASSES, size=SIZE, augment=Augment(hflip=1), class_swaps=SWAPS)
    np.testing.assert_array_equal(still.raw(1)["target"], data.target(1)[[1, 0, 2], :, ::-1])


def test_another_callable_gets_arrays(items):
    def brighter(image, target, generator, mirrored):
        return image // 2, target[mirrored]

    data = SegmentationData(items, CLASSES, size=SIZE, augment=brighter, class_swaps=SWAPS)
    np.testing.assert_array_equal(data.raw(1)["image"][0], data.images.grey(1) // 2)
    np.testing.assert_array_equal(data.raw(1)["target"], data.target(1)[[1, 0, 2]])


def test_two_spawned_workers_make_the_batches_of_none(items, tmp_path):
    def batches(workers):
        data = SegmentationData(items, CLASSES, size=SIZE, augment=strong(), cache=tmp_path / "cache")
        sampler = EpochBatchSampler(len(data), batch_size=2, epochs=range(3), seed=5)
        return list(make_loader(data, sampler, workers=workers, pin_memory=False))

    alone, spawned = batches(0), batches(2)
    assert len(alone) == len(spawned) == 6
    for a, b in zip(alone, spawned):
        assert a.keys() == b.keys() == {"image", "target", "index"}
        assert all(torch.equal(a[name], b[name]) for name in a)
    epochs = [
        {int(i): image for batch in alone[e : e + 2] for i, image in zip(batch["index"], batch["image"])}
        for e in (0, 2)
    ]
    assert all(not torch.equal(epochs[0][i], epochs[1][i]) for i in range(4))


def test_wrong_settings_say_so(items):
    with pytest.raises(ValueError, match="nearest-exact"):
        SegmentationData(items, CLASSES, size=SIZE, targets="area")
    with pytest.raises(ValueError, match="height, width"):
        SegmentationData(items, CLASSES, size=(0, 32))
    assert mirrored_channels(CLASSES, SWAPS) == mirrored_channels(CLASSES, [(0, 1)]) == [1, 0, 2]
    for swaps in ([("left", "up")], [(0, 3)], [("left", "left")], [("left", "right"), ("right", "rare")]):
        with pytest.raises(ValueError, match="swap"):
            mirrored_channels(CLASSES, swaps)
