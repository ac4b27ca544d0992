"""Tiles: every pixel is seen, and a tile is that part of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CLASSES, SWAPS, network, same_weights, samples

from segkit.data import Augment, ImageData, SegmentationData, Tiles, medium, normalise
from segkit.data.tiles import tile_starts
from segkit.images import ImageSpec
from segkit.inference import Sliding, predict
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.samples import Annotation, Samples
from segkit.training import TrainConfig, fit


@settings(max_examples=80)
@given(full=st.integers(1, 60), side=st.integers(1, 40), stride=st.integers(1, 40))
def test_tiles_cover_an_axis(full, side, stride):
    begins = tile_starts(full, side, stride)
    seen = np.zeros(full, int)
    for begin in begins:
        assert begin == 0 or begin + side <= full
        seen[begin : begin + side] += 1
    assert begins == sorted(set(begins))
    if stride <= side:
        assert seen.all()
    assert len(begins) == max(1, -(-(full - side) // stride) + 1)


@pytest.fixture
def data(tmp_path):
    return samples(tmp_path / "data", 3, step=40)  # 96 x 96, 96 x 136, 96 x 176


@pytest.mark.parametrize(("scale", "cached"), [(1.0, False), (0.5, True), (0.37, True)])
def test_a_tile_is_that_part_of_the_whole(data, tmp_path, scale, cached):
    tiles = Tiles(data, (20, 24), (13, 24), scale=scale, cache=tmp_path / "cache" if cached else None)
    images = ImageData(data, scale=scale)
    assert (
        len(tiles)
        == len(tiles.ids)
        == sum(
            len(tile_starts(h, 20, 13)) * len(tile_starts(w, 24, 24))
            for h, w in (images.placement(i).size for i in range(3))
        )
    )
    for index, (number, top, left) in enumerate(tiles.tiles):
        size = images.placement(number).size
        whole = SegmentationData(data.subset([data.ids[number]]), size=size)[0]
        tile = tiles[index]
        assert tiles.ids[index] == f"{data.ids[number]} ({top}, {left})"
        part = (..., slice(top, top + 20), slice(left, left + 24))
        assert torch.equal(tile["image"], whole["image"][part])
        torch.testing.assert_close(tile["target"], whole["target"][part], atol=1.1 / 255, rtol=0)
        assert tile["index"] == index
        assert "weight" not in tile


def test_an_image_smaller_than_a_tile_is_mirrored_and_the_rest_has_no_weight(data):
    tiles = Tiles(data, (30, 60), scale=0.25)
    assert [tile[1:] for tile in tiles.tiles] == [(0, 0)] * 3
    for index, width in enumerate((24, 34, 44)):
        sample = tiles[index]
        whole = SegmentationData(data.subset([data.ids[index]]), size=(24, width))[0]
        assert torch.equal(sample["image"][:, :24, :width], whole["image"])
        assert torch.equal(sample["target"][:, :24, :width], whole["target"])
        expected = torch.zeros(1, 30, 60)
        expected[:, :24, :width] = 1
        assert torch.equal(sample["weight"], expected)
        assert torch.equal(sample["image"][:, 24:, :width], whole["image"][:, 17:23].flip(1))
        assert not sample["target"][:, 24:].any()


def test_ignored_pixels_of_a_tile(data):
    image = data.ids[1]
    ignored = Runs.from_region(np.ones((48, 136), bool), 0, 0, (96, 136))
    partly = data.with_annotations({image: Annotation(data.regions(image), ignore=ignored)})
    tiles = Tiles(partly, (48, 68), scale=0.5)
    whole = SegmentationData(partly.subset([image]), size=(48, 68))[0]
    number = next(tile for tile, (index, _, _) in enumerate(tiles.tiles) if index == 1)
    for name in ("target", "weight"):
        assert torch.equal(tiles[number][name], whole[name])
    assert (tiles[number]["weight"][:, :24] == 0).all()


def test_tiles_are_augmented_by_outlines_that_reach_in_from_outside(data):
    """A shift shows what lay beside the tile as black, and its target is drawn under the same warp."""
    tiles = Tiles(data, (48, 48), (48, 40), transform=Augment(hflip=0.5, rotate=20, scale=0.2), class_swaps=SWAPS)
    plain = Tiles(data, (48, 48), (48, 40))
    for epoch in range(3):
        tiles.set_epoch(epoch)
        for index in range(0, len(tiles), 3):
            generator = np.random.default_rng([0, epoch, index])
            warp = tiles.transform.geometry((48, 48), generator)
            target = plain.raw(index)["target"].numpy()
            moved = target if warp is None else warp.masks(target)
            if generator.random() < 0.5:
                moved = moved[[1, 0, 2], :, ::-1]
            found = tiles.raw(index)["target"].numpy().astype(int)
            inside = np.ones((48, 48), np.uint8) * 255 if warp is None else warp.image(np.full((48, 48), 255, np.uint8))
            differs = np.abs(found - moved)[:, inside[:, :] == 255] > 128
            assert differs.mean() < 0.03


def test_they_hang_on_seed_epoch_and_index_alone_and_say_what_they_are(data):
    one, other = Tiles(data, (32, 32), transform=medium()), Tiles(data, (32, 32), transform=medium())
    one.set_epoch(2)
    other[3]
    other.set_epoch(2)
    assert torch.equal(one[1]["image"], other[1]["image"])
    first = one.fingerprint()
    for changed in (
        Tiles(data, (32, 30), transform=medium()), Tiles(data, (32, 32), (16, 16), transform=medium()),
        Tiles(data, (32, 32), scale=0.5, transform=medium()), Tiles(data, (32, 32)),
        Tiles(data, (32, 32), transform=medium(), seed=1),
        Tiles(data.subset(data.ids[:2]), (32, 32), transform=medium()),
    ):  # fmt: skip
        assert changed.fingerprint() != first


def test_training_on_tiles_predicts_by_a_sliding_window_at_that_scale(data, tmp_path):
    tiles, model = Tiles(data, (32, 32), scale=0.5, transform=medium()), network()
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    config = TrainConfig(epochs=1, batch_size=4, accelerator="cpu")
    fit(model, tiles, loss=loss, out=tmp_path / "run", config=config, progress=False)
    again = network()
    assert fit(again, tiles, loss=loss, out=tmp_path / "run", config=config, progress=False).was_finished
    assert same_weights(model, again)
    store = PredictionStore.create(
        tmp_path / "s.zarr", ids=data.ids, classes=CLASSES, sizes=data.sizes, grid=(48, 68)
    )  # fmt: skip
    images = ImageData(data, scale=0.5)
    predict(model, images, store, window=(32, 32), progress=False, device="cpu")
    seen = normalise(images[1]["image"][None])
    end = store.saturation
    expected = np.clip(Sliding(model.eval(), (32, 32))(seen)[0].numpy(), -end, end)
    np.testing.assert_allclose(store[data.ids[1]], expected, atol=store.scale / 2 + 1e-5)


def test_fixed_numbers_stay_raw(data):
    spec = ImageSpec(normalize=(0.4, 0.2))
    given = Samples.from_folder(data[data.ids[0]].image.parents[3], classes=CLASSES, image=spec)
    tiles = Tiles(given, (32, 32))
    assert tiles.raw(0)["image"].dtype == torch.uint8
    whole = SegmentationData(given.subset(given.ids[:1]), size=(96, 96))[0]
    assert torch.equal(tiles[4]["image"], whole["image"][:, 32:64, 32:64])


def test_mistakes_are_named(data):
    for arguments, says in (
        (((0, 3),), "at least 1"),
        (((8, 8), (0, 4)), "at least 1"),
        ((8,), "height, width"),
    ):
        with pytest.raises(ValueError, match=says):
            Tiles(data, *arguments)
    with pytest.raises(ValueError, match="scale=-1"):
        Tiles(data, (8, 8), scale=-1)
