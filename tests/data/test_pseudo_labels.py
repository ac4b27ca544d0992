"""Pseudo-labelled samples: weights go where the pixels go, and an epoch has the share that was asked for."""

import collections
import shutil

import numpy as np
import pytest
import tiny
import torch
from torch.utils.data import DataLoader

from segkit import losses
from segkit.data import Augment, Crops, Joined, Mixed, PseudoData, SegmentationData, mirrored_channels
from segkit.predictions import PredictionStore
from segkit.pseudo import Labels, select
from segkit.training import TrainConfig, fit

SIZE = (32, 32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Six annotated images, of three of which a teacher says something: sure of two classes, unsure of "rare"."""
    root = tmp_path_factory.mktemp("pseudo")
    samples = tiny.samples(root / "data", 6)
    ids = list(samples.ids[:3])
    sizes = dict.fromkeys(ids, (96, 96))
    store = PredictionStore.create(root / "s.zarr", ids=ids, classes=tiny.CLASSES, sizes=sizes, grid=SIZE)
    rng = np.random.default_rng(0)
    for image in ids:
        planes = np.where(rng.random((3, *SIZE)) < 0.3, 3.9, -3.97)
        planes[0, :5] = 0.2  # unsure cells
        planes[2] = 0.1
        store[image] = planes.astype(np.float32)
    found = select(store, confidence=0.8)
    return samples, found.write(root / "labels"), root


def plain(made, **options):
    samples, labels, _ = made
    return PseudoData(samples, labels, size=SIZE, **options)


def test_a_sample_is_the_label_that_was_written(made):
    data, labels = plain(made), made[1]
    assert data.ids == labels.ids
    for number, image in enumerate(labels.ids):
        target, weight = labels[image]
        sample, raw = data[number], data.raw(number)
        assert raw["target"].numpy().tolist() == target.tolist()
        assert sample["target"].numpy() == pytest.approx(target / 255)
        assert sample["weight"].numpy().tolist() == weight.tolist()
        assert sample["image"].mean().abs() < 1e-5
        assert not sample["weight"][2].any()
        assert not sample["weight"][0, :5].any()


def test_a_flip_takes_weights_along_and_swaps_what_it_mirrors(made):
    order = mirrored_channels(tiny.CLASSES, tiny.SWAPS)
    still, flipped = plain(made), plain(made, transform=Augment(hflip=1.0), class_swaps=tiny.SWAPS)
    before, after = still[1], flipped[1]
    for name in ("target", "weight"):
        assert torch.equal(after[name], before[name][order].flip(-1)), name
    assert torch.equal(after["image"], before["image"].flip(-1))


def test_what_is_moved_in_from_outside_weighs_nothing(made):
    moved = plain(made, transform=Augment(shift=0.9))
    shifted = 0
    for epoch in range(20):
        moved.set_epoch(epoch)
        sample = moved.raw(0)
        shifted += not sample["weight"][1].all()
        assert not (sample["target"].bool() & (sample["weight"] == 0))[1].any()  # class 1 is sure everywhere
    assert shifted > 10


def test_labels_of_another_grid_are_brought_to_the_size(made):
    samples, labels, _ = made
    half = PseudoData(samples, labels, size=(16, 16)).raw(0)
    target, _ = labels[labels.ids[0]]
    means = target.reshape(3, 16, 2, 16, 2).mean(axis=(2, 4))
    assert np.abs(half["target"].numpy() - means).max() <= 1
    assert half["weight"].shape == (3, 16, 16)


def joined(made, share=0.4, **options):
    return Joined(SegmentationData(made[0], size=SIZE), plain(made, **options), share=share)


def test_an_epoch_has_every_annotated_image_and_the_share(made):
    data = joined(made)
    assert len(data) == 10  # 6 annotated, 4 of 10 are not
    seen = collections.Counter()
    for epoch in range(6):
        data.set_epoch(epoch)
        places = [data.raw(number)["index"] for number in range(len(data))]
        assert places[:6] == list(range(6))
        seen.update(places[6:])
    assert seen == dict.fromkeys(range(6, 9), 8)  # 24 draws of 3 images
    assert [data.ids[place] for place in (6, 7, 8)] == list(made[1].ids)
    assert torch.equal(data[0]["weight"], torch.ones(3, *SIZE))


def test_samples_hang_on_seed_epoch_and_index_alone(made):
    data, other = (
        joined(made, transform=Augment(hflip=0.5, rotate=20)),
        joined(made, transform=Augment(hflip=0.5, rotate=20)),
    )
    data.set_epoch(2)
    other.set_epoch(5)
    other.raw(8)
    other.set_epoch(2)
    for number in (9, 3, 7):
        one, two = data.raw(number), other.raw(number)
        assert all(torch.equal(one[name], two[name]) for name in ("image", "target", "weight"))


def test_crops_and_mixes_of_it_carry_weights(made):
    crops = Crops(joined(made), (16, 16))
    sample = crops[9]
    assert sample["weight"].shape == sample["target"].shape == (3, 16, 16)
    assert sample["index"] >= 6
    mixed = Mixed(joined(made), "cutmix", share=1.0)
    batch = next(iter(DataLoader(mixed, batch_size=10)))
    assert batch["weight"].shape == batch["target"].shape
    assert (batch["weight"] == 0).any()


def test_what_weighs_nothing_teaches_nothing(made, tmp_path):
    """Two trainings whose labels differ only where they are ignored end at the same weights."""

    class Other(PseudoData):
        def raw(self, index):
            sample = super().raw(index)
            sample["target"] = torch.where(sample["weight"] > 0, sample["target"], 255 - sample["target"])
            return sample

    samples, labels, _ = made
    ends = []
    for number, kind in enumerate((PseudoData, Other)):
        data = Joined(SegmentationData(samples, size=SIZE), kind(samples, labels, size=SIZE), share=0.5)
        model = tiny.network()
        fit(
            model, data, loss=losses.build("bce + dice"), out=tmp_path / str(number), 
            config=TrainConfig(epochs=1, batch_size=4, accelerator="cpu"), progress=False,
        )  # fmt: skip
        ends.append(model)
    assert tiny.same_weights(*ends)


def test_bad_input_is_named(made):
    samples, labels, _ = made
    with pytest.raises(ValueError, match=r"1 of its images are not among the samples: image0\.png"):
        PseudoData(samples.subset(samples.ids[1:]), labels, size=SIZE)
    for share in (0, 1, -0.1):
        with pytest.raises(ValueError, match=f"share={share}"):
            joined(made, share=share)
    with pytest.raises(ValueError, match="expected the same size and classes"):
        Joined(SegmentationData(samples, size=(16, 16)), plain(made))


def test_padding_weighs_nothing_and_labels_lie_where_the_image_does(made):
    samples, labels, _ = made
    data = PseudoData(samples, labels, size=(32, 64), fit="pad")
    target, weight = labels[labels.ids[0]]
    raw = data.raw(0)
    assert not raw["weight"][:, :, :16].any()
    assert not raw["weight"][:, :, 48:].any()
    np.testing.assert_array_equal(raw["target"][:, :, 16:48], target)
    np.testing.assert_array_equal(raw["weight"][:, :, 16:48], weight)
    both = Joined(SegmentationData(samples, size=(32, 64), fit="pad"), data, share=0.4)
    assert both.raw(0)["weight"].shape == both.raw(8)["weight"].shape == (3, 32, 64)


def test_a_changed_label_is_another_fingerprint(made, tmp_path):
    samples, labels, root = made
    before = plain(made).fingerprint()
    copy = shutil.copytree(root / "labels", tmp_path / "labels")
    assert PseudoData(samples, Labels(copy), size=SIZE).fingerprint() == before
    target, weight = labels[labels.ids[1]]
    np.savez_compressed(sorted(copy.glob("*.npz"))[1], target=255 - target, weight=weight)
    assert PseudoData(samples, Labels(copy), size=SIZE).fingerprint() != before
