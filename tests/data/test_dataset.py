"""Datasets: targets against slow twins, the cache, and samples that do not depend on who makes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from tiny import CLASSES, SWAPS, samples

from segkit.data import Augment, Crops, ImageData, Mixed, SegmentationData, mirrored_channels, normalise, strong
from segkit.geometry import Polygons, place, resize_image
from segkit.images import ImageSpec
from segkit.rle import Runs
from segkit.samples import Annotation, Samples
from segkit.training.batches import EpochBatchSampler, make_loader

SIZE = (32, 32)


@pytest.fixture
def drawn(tmp_path: Path) -> Samples:
    return samples(tmp_path / "data")


def as_runs(given: Samples) -> Samples:
    """The same samples, annotated by runs."""
    truth = given.truth
    return given.with_annotations({i: Annotation({c: truth[i][c] for c in CLASSES if truth[i][c]}) for i in given.ids})


def with_ignore(given: Samples, image: str, ignored: Runs) -> Samples:
    regions = given.regions(image)
    return given.with_annotations({image: Annotation(regions, ignore=ignored)})


def box(top, left, bottom, right, shape=(96, 96)):
    return Runs.from_region(np.ones((bottom - top, right - left), bool), top, left, shape)


# -- targets -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [lambda given: given, as_runs])
def test_soft_targets_are_the_mean_of_the_full_mask_over_each_pixel(drawn, kind):
    data = SegmentationData(kind(drawn), size=SIZE)
    for index, image in enumerate(drawn.ids):
        for channel, name in zip(data.target(index), CLASSES):
            cells = drawn.truth[image][name].mask().reshape(32, 3, 32, 3).mean(axis=(1, 3))
            np.testing.assert_array_equal(channel, np.rint(cells * 255))


@pytest.mark.parametrize(
    ("targets", "flag"), [("nearest", cv2.INTER_NEAREST), ("nearest-exact", cv2.INTER_NEAREST_EXACT)]
)
def test_nearest_targets_are_opencvs(drawn, targets, flag):
    data = SegmentationData(drawn, size=(20, 28), targets=targets)
    for index, image in enumerate(drawn.ids):
        masks = [drawn.truth[image][name].mask().astype(np.uint8) for name in CLASSES]
        slow = [cv2.resize(mask, (28, 20), interpolation=flag) * 255 for mask in masks]
        np.testing.assert_array_equal(data.target(index), slow)
    turned = SegmentationData(drawn, size=SIZE, targets=targets, transform=Augment(rotate=30))
    assert set(turned.raw(0)["target"].unique().tolist()) == {0, 255}


def test_a_negative_is_learned_from_and_an_unlabelled_image_is_refused(drawn):
    """FAULTS A28."""
    negative = drawn.with_annotations({drawn.ids[0]: Annotation({})})
    data = SegmentationData(negative, size=SIZE)
    assert len(data) == 4
    assert not data.raw(0)["target"].any()
    images = drawn[drawn.ids[1]].image.parents[2]
    next((images / "outputs_json" / "ID001").iterdir()).unlink()
    unlabelled = Samples.from_folder(images.parent, classes=CLASSES)
    with pytest.raises(ValueError, match=r"1 of 4 images have no annotation \(image1\.png ...\): pass samples\.subset"):
        SegmentationData(unlabelled, size=SIZE)
    assert len(SegmentationData(unlabelled.subset(unlabelled.labelled), size=SIZE)) == 3
    with pytest.raises(ValueError, match="at least one annotated image"):
        SegmentationData(drawn.subset([]), size=SIZE)


def test_a_sample_is_its_raw_self_in_floats(drawn):
    data = SegmentationData(drawn, size=SIZE, in_channels=3)
    sample, raw = data[1], data.raw(1)
    assert sample.keys() == {"image", "target", "index"}
    assert sample["image"].shape == (3, *SIZE)
    assert sample["image"].dtype == sample["target"].dtype == torch.float32
    assert raw["image"].dtype == raw["target"].dtype == torch.uint8
    assert (raw["image_max"], raw["target_max"]) == (255, 255)
    assert torch.equal(sample["target"], raw["target"].float() / 255)
    assert torch.equal(sample["image"], normalise(raw["image"][None], in_channels=3)[0])
    assert sample["index"] == 1


# -- what is not known -------------------------------------------------------------------------------------------------
def test_ignored_pixels_weigh_nothing_and_a_target_is_a_share_of_what_is_known(drawn):
    ignored = box(8, 0, 40, 96)  # rows 8 to 39 of 96: low-resolution row 2 by a third, 3 to 12 wholly, 13 by a third
    data = SegmentationData(with_ignore(drawn, "image1.png", ignored), size=SIZE)
    assert data.drawing.weighted
    np.testing.assert_array_equal(data[0]["weight"], np.ones((1, *SIZE)))
    sample = data[1]
    rows = sample["weight"][0].mean(1)
    np.testing.assert_allclose(rows[[1, 2, 3, 12, 13, 14]], [1, 2 / 3, 0, 0, 2 / 3, 1], atol=3e-3)
    known = ~ignored.mask()
    for channel, name in zip(sample["target"], CLASSES):
        mask = drawn.truth["image1.png"][name].mask() & known
        count = known.reshape(32, 3, 32, 3).sum(axis=(1, 3))
        share = mask.reshape(32, 3, 32, 3).sum(axis=(1, 3)) / np.maximum(count, 1)
        np.testing.assert_allclose(channel, share, atol=5e-3)
    assert not sample["target"][:, 3:13].any()


def test_of_exclusive_classes_a_pixel_without_one_is_not_known(tmp_path):
    maps = np.zeros((2, 12, 12), np.uint8)
    maps[:, :, 6:] = 1
    maps[:, :3] = 255
    maps[1, 3:5] = 7
    given = label_maps(tmp_path, maps, ignore=255)
    data = SegmentationData(given, size=(6, 6))
    for index in range(2):
        sample = data[index]
        known = sample["weight"][0]
        np.testing.assert_allclose(known[1], 0.5, atol=3e-3)
        assert not known[0].any()
        assert (known[3:] == 1).all()
        total = sample["target"].sum(0)
        np.testing.assert_allclose(total[known > 0], 1.0, atol=5e-3)
    shifted = SegmentationData(given, size=(6, 6), transform=Augment(shift=0.9))
    outside = 0
    for epoch in range(20):
        shifted.set_epoch(epoch)
        sample = shifted[0]
        outside += int((sample["weight"] == 0).sum())
        np.testing.assert_allclose(sample["target"].sum(0)[sample["weight"][0] > 0], 1.0, atol=9e-3)
    assert outside > 20 * 6


def label_maps(folder, maps, **options):
    for number, one in enumerate(maps):
        for kind, pixels in (("images", np.full_like(one, 9)), ("maps", one)):
            (folder / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / kind / f"{number}.png"), pixels)
    return Samples.from_label_maps(folder / "images", folder / "maps", {"a": 0, "b": 1, "c": 7}, **options)


# -- padding -----------------------------------------------------------------------------------------------------------
def test_padding_keeps_the_image_mirrors_the_rest_and_gives_it_no_weight(tmp_path):
    given = samples(tmp_path / "data", step=24)  # 96 x 96, 96 x 120, 96 x 144, 96 x 168
    data = SegmentationData(given, size=(48, 48), fit="pad")
    for index, image in enumerate(given.ids):
        where = place(given.sizes[image], (48, 48), "pad")
        top, left, bottom, right = where.box
        raw = data.raw(index)
        small = resize_image(given.read_image(image), where.inner)
        np.testing.assert_array_equal(raw["image"][0, top:bottom, left:right], small[..., 0])
        expected = np.zeros((48, 48), np.float32)
        expected[top:bottom, left:right] = 1
        np.testing.assert_array_equal(raw["weight"][0], expected)
        plain = SegmentationData(given.subset([image]), size=where.inner).raw(0)["target"]
        np.testing.assert_array_equal(raw["target"][:, top:bottom, left:right], plain)
        assert raw["target"].sum() == plain.sum()


@pytest.mark.parametrize("kind", [lambda given: given, as_runs])
def test_image_target_and_weight_move_as_one_in_padding_too(tmp_path, kind):
    given = kind(samples(tmp_path / "data", step=24))
    data = SegmentationData(
        given, size=(48, 48), fit="pad", transform=Augment(hflip=0.5, rotate=30, shift=0.1, bend=0.1)
    )
    for epoch in range(8):
        data.set_epoch(epoch)
        raw = data.raw(3)
        where = place(given.sizes["image3.png"], (48, 48), "pad")
        generator = np.random.default_rng([0, epoch, 3])
        warp = data.transform.geometry((48, 48), generator)
        planes = np.zeros((2, 48, 48), np.uint8)
        top, left, bottom, right = where.box
        planes[0, top:bottom, left:right] = 255
        planes[1] = data.target(3)[0]
        moved = planes if warp is None else warp.masks(planes)
        if generator.random() < 0.5:
            moved = moved[..., ::-1]
        assert np.abs(raw["weight"][0].numpy() - moved[0] / 255).mean() < 0.01
        assert np.abs(raw["target"][0].numpy() - np.where(moved[0] > 0, moved[1].astype(float), 0)).mean() < 3


# -- images ------------------------------------------------------------------------------------------------------------
def colourful(folder, *, depth=8, channels=3):
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(3):
        pixels = rng.integers(0, 2**depth, (20, 30, channels)).astype(np.uint8 if depth == 8 else np.uint16)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    masks = folder.parent / "masks"
    masks.mkdir(exist_ok=True)
    for number in range(3):
        cv2.imwrite(str(masks / f"{number}.png"), np.eye(20, 30, dtype=np.uint8) * 255)
    return masks


@pytest.mark.parametrize(
    "spec", [ImageSpec("rgb"), ImageSpec("rgb", "imagenet"), ImageSpec("rgb", "dataset"), ImageSpec(3, dtype="float32")]
)
def test_colours_reach_the_network(tmp_path, spec):
    masks = colourful(tmp_path / "images", depth=16 if spec.dtype == "float32" else 8)
    given = Samples.from_masks(tmp_path / "images", masks, image=spec)
    data = SegmentationData(given, size=(10, 15), cache=tmp_path / "cache", transform=Augment(hflip=0.5, rotate=20))
    raw, sample = data.raw(1), data[1]
    assert data.in_channels == 3
    assert raw["image"].dtype == (torch.uint8 if spec.dtype == "uint8" else torch.float32)
    assert raw["image"].shape == sample["image"].shape == (3, 10, 15)
    assert not torch.equal(sample["image"][0], sample["image"][2])
    again = SegmentationData(given, size=(10, 15), transform=Augment(hflip=0.5, rotate=20))
    assert torch.equal(again[1]["image"], sample["image"])  # with and without the cache
    assert torch.equal(normalise(raw["image"][None], data.image_spec)[0], sample["image"])
    if spec.normalize == "dataset":
        pixels = np.concatenate([data.images.image(i).reshape(-1, 3) for i in range(3)]) / 255
        np.testing.assert_allclose(data.image_spec.normalize, [pixels.mean(0), pixels.std(0)])
    with pytest.raises(ValueError, match=r"the network takes 1 channels, the images have 3"):
        SegmentationData(given, size=(10, 15), in_channels=1)


def test_each_image_is_decoded_once_and_again_when_it_changes(drawn, tmp_path, monkeypatch):
    decoded = []
    read = Samples.read_image
    monkeypatch.setattr(Samples, "read_image", lambda self, image: decoded.append(image) or read(self, image))
    images = ImageData(drawn, size=SIZE, cache=tmp_path / "cache")
    first = images.image(0)
    np.testing.assert_array_equal(images.image(0), first)
    np.testing.assert_array_equal(ImageData(drawn, size=SIZE, cache=tmp_path / "cache").image(0), first)
    assert len(decoded) == 1
    ImageData(drawn, size=(16, 16), cache=tmp_path / "cache").image(0)  # another size is another file
    ImageData(drawn, size=(16, 32), fit="pad", cache=tmp_path / "cache").image(0)  # the same image in another place
    assert len(decoded) == 2
    cv2.imwrite(str(drawn["image0.png"].image), np.full((96, 96), 9, np.uint8))
    assert (images.image(0) == 9).all()


def test_images_are_scaled_each_by_itself(tmp_path):
    given = samples(tmp_path / "data", step=24)
    images = ImageData(given, scale=0.25)
    assert [images[i]["image"].shape[1:] for i in range(4)] == [(24, 24), (24, 30), (24, 36), (24, 42)]
    for options, says in (
        ({}, "expected one of the two"),
        ({"size": SIZE, "scale": 1.0}, "expected one of the two"),
        ({"scale": 0.0}, "scale=0.0"),
        ({"size": (0, 3)}, "at least 1"),
        ({"size": 3}, r"size=3: expected \(height, width\)"),
        ({"size": SIZE, "fit": "crop"}, "stretch or pad"),
    ):
        with pytest.raises(ValueError, match=says):
            ImageData(given, **options)


def test_a_bad_file_is_named(drawn, tmp_path):
    paths = [drawn[image].image for image in drawn.ids]
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    images = ImageData(drawn, size=SIZE, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match=r"image2\.png"):
        images[2]
    paths[3].unlink()
    with pytest.raises(ValueError, match=r"image3\.png"):
        images[3]
    next((tmp_path / "data/train/outputs_json/ID001").iterdir()).write_text("{")
    with pytest.raises(ValueError, match=r"image1\.json"):
        SegmentationData(Samples.from_folder(tmp_path / "data", classes=CLASSES), size=SIZE)


# -- transforms --------------------------------------------------------------------------------------------------------
def test_a_sample_hangs_on_seed_epoch_and_index_alone(drawn):
    def sample(transform, seed=0, epoch=0, before=()):
        data = SegmentationData(drawn, size=SIZE, transform=transform, seed=seed, class_swaps=SWAPS)
        for index in before:
            data[index]
        data.set_epoch(epoch)
        return data[1]

    for transform in (strong(), A.Compose([A.Affine(rotate=(-40, 40), p=1), A.HorizontalFlip(), A.GaussNoise(p=1)])):
        first = sample(transform)
        assert all(torch.equal(first[name], sample(transform, before=(3, 2))[name]) for name in ("image", "target"))
        assert not torch.equal(first["image"], sample(transform, epoch=1)["image"])
        assert not torch.equal(first["image"], sample(transform, seed=1)["image"])


def test_targets_are_drawn_from_moved_outlines_not_resampled(drawn):
    """At full resolution a moved outline is drawn hard; a resampled mask would have soft edges."""
    data = SegmentationData(drawn, size=(96, 96), transform=Augment(rotate=45))
    for epoch in range(5):
        data.set_epoch(epoch)
        assert set(data.raw(0)["target"].unique().tolist()) == {0, 255}
    resampled = SegmentationData(drawn, size=(96, 96), transform=A.Affine(rotate=(30, 30), p=1))
    assert len(resampled.raw(0)["target"].unique()) > 10


def test_flips_exchange_classes_whoever_does_them(drawn):
    plain = SegmentationData(drawn, size=SIZE)
    for transform in (Augment(hflip=1), A.HorizontalFlip(p=1), A.Compose([A.HorizontalFlip(p=1)])):
        flipped = SegmentationData(drawn, size=SIZE, transform=transform, class_swaps=SWAPS)
        assert torch.equal(flipped.raw(1)["target"], plain.raw(1)["target"].flip(-1)[[1, 0, 2]])
        assert torch.equal(flipped.raw(1)["image"], plain.raw(1)["image"].flip(-1))


def test_the_target_moves_with_the_image_under_albumentations(drawn):
    ignored = with_ignore(drawn, "image1.png", box(0, 0, 48, 96))
    transform = A.Compose([A.Affine(translate_px={"x": 6, "y": 0}, p=1)])
    raw = SegmentationData(ignored, size=SIZE, transform=transform).raw(1)
    plain = SegmentationData(ignored, size=SIZE).raw(1)
    for name in ("image", "target", "weight"):
        assert torch.equal(raw[name][..., 6:], plain[name][..., :-6]), name
    assert (raw["weight"][..., :6] == 1).all()


def test_other_transforms_are_refused(drawn):
    for transform in (lambda image, target: (image, target), "medium", [A.HorizontalFlip()]):
        with pytest.raises(ValueError, match=r"expected an Augment.*albumentations\.Lambda"):
            SegmentationData(drawn, size=SIZE, transform=transform)
    with pytest.raises(ValueError, match="hue"):
        SegmentationData(drawn, size=SIZE, transform=Augment(hue=10))


def test_two_spawned_workers_make_the_batches_of_none(drawn, tmp_path):
    """Of mixed crops of augmented images: everything that draws."""

    def batches(workers):
        moved = Augment(hflip=0.5, rotate=30, bend=0.1)  # without albumentations, which takes long to import
        data = SegmentationData(drawn, size=SIZE, transform=moved, cache=tmp_path / "cache", class_swaps=SWAPS)
        mixed = Mixed(Crops(data, (24, 24)), "copypaste", seed=3)
        sampler = EpochBatchSampler(len(mixed), batch_size=2, epochs=range(2), seed=5)
        return list(make_loader(mixed, sampler, workers=workers, pin_memory=False))

    alone, spawned = batches(0), batches(2)
    assert len(alone) == len(spawned) == 4
    assert alone[0]["image"].shape == (2, 1, 24, 24)
    assert alone[0]["target"].dtype == torch.uint8
    for a, b in zip(alone, spawned):
        assert a.keys() == b.keys() == {"image", "target", "index", "target_max"}
        assert all(torch.equal(a[name], b[name]) for name in a)
    epochs = [
        {int(i): image for batch in alone[e : e + 2] for i, image in zip(batch["index"], batch["image"])}
        for e in (0, 2)
    ]
    assert all(not torch.equal(epochs[0][i], epochs[1][i]) for i in range(4))


# -- settings ----------------------------------------------------------------------------------------------------------
def test_the_fingerprint_changes_with_everything_that_decides(drawn):
    def of(given=drawn, **options):
        return SegmentationData(given, **({"size": SIZE} | options)).fingerprint()

    first = of()
    assert of() == first
    moved = drawn.regions("image0.png")
    moved["left"] = Polygons([moved["left"].outlines[0] + 1])
    others = [
        of(drawn.subset(drawn.ids[:3])),
        of(drawn.with_annotations({"image0.png": Annotation(moved)})),
        of(size=(32, 40)), of(fit="pad"), of(targets="nearest"), of(transform=strong()), of(seed=1),
        of(class_swaps=SWAPS), of(in_channels=3), of(image_spec=ImageSpec(normalize=(0.5, 0.5))),
    ]  # fmt: skip
    assert all(other != first for other in others)
    assert of(transform=strong()) == of(transform=replace(strong()))


def test_wrong_settings_say_so(drawn):
    with pytest.raises(ValueError, match="nearest-exact"):
        SegmentationData(drawn, size=SIZE, targets="area")
    with pytest.raises(ValueError, match="height, width"):
        SegmentationData(drawn, size=(0, 32))
    assert mirrored_channels(CLASSES, SWAPS) == mirrored_channels(CLASSES, [(0, 1)]) == [1, 0, 2]
    for swaps in ([("left", "up")], [(0, 3)], [("left", "left")], [("left", "right"), ("right", "rare")]):
        with pytest.raises(ValueError, match="swap"):
            mirrored_channels(CLASSES, swaps)
