"""Mixing: what a pixel shows and what it is called come from the same places, in the same shares."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from tiny import SWAPS, network, samples

from segkit.data import SegmentationData, strong
from segkit.data.crops import Crops
from segkit.data.mixed import Mixed
from segkit.data.mixing import MIXES, copy_paste, cutmix, mixup
from segkit.models.checkpoints import load_weights
from segkit.training import TrainConfig, fit
from segkit.training.batches import EpochBatchSampler, make_loader

SIZE = (24, 33)


def rng(seed=0):
    return np.random.default_rng(seed)


def traced(count=4, classes=3, *, dtype=torch.float32, weight=False):
    """Image n is grey n everywhere; its classes are soft discs, the last of odd images empty."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    target = torch.zeros(count, classes, *SIZE)
    for n in range(count):
        for c in range(classes - n % 2):
            distance = np.hypot(y - 6 - 4 * c, x - 8 - 5 * n)
            target[n, c] = torch.from_numpy(np.clip(5.4 - distance, 0, 1))
    image = torch.arange(float(count)).view(-1, 1, 1, 1).expand(-1, 2, *SIZE).clone()
    batch = {"image": image, "target": target, "index": torch.arange(count)}
    if dtype == torch.uint8:
        batch |= {"target": (target * 255).round().to(dtype), "target_max": torch.full((count,), 255)}
    if weight:
        batch["weight"] = torch.ones(count, 1, *SIZE)
    return batch


def shares(mixed, batch):
    """(N, 1, h, w): the neighbour's share of each pixel, read off the image."""
    before = batch["image"].roll(1, 0)
    return ((mixed["image"] - batch["image"]) / (before - batch["image"]))[:, :1]


@pytest.mark.parametrize("mix", MIXES.values())
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_inputs_stay_and_the_rest_passes(mix, dtype):
    batch = traced(dtype=dtype)
    before = {name: value.clone() for name, value in batch.items()}
    mixed = mix(batch, generator=rng())
    assert all(torch.equal(batch[name], before[name]) for name in before)
    assert mixed.keys() == batch.keys()
    assert mixed["index"] is batch["index"]
    assert all(mixed[name].dtype == batch[name].dtype and mixed[name].shape == batch[name].shape for name in batch)
    assert not torch.equal(mixed["image"], batch["image"])
    again = mix(batch, generator=rng())
    assert all(torch.equal(mixed[name], again[name]) for name in ("image", "target"))


@pytest.mark.parametrize("mix", MIXES.values())
def test_an_8_bit_target_is_the_float_one_rounded(mix):
    exact, coarse = traced(dtype=torch.uint8), traced(dtype=torch.uint8)
    exact["target"] = exact["target"] / 255
    del exact["target_max"]
    a, b = mix(exact, generator=rng(3)), mix(coarse, generator=rng(3))
    torch.testing.assert_close(a["image"], b["image"])
    assert (a["target"] * 255 - b["target"]).abs().max() <= 0.5 + 1e-4


@pytest.mark.parametrize("mix", MIXES.values())
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_masks_of_0_and_1_of_any_type_are_mixed_as_floats(mix, dtype):
    """FAULTS A6: pixels and labels fade alike."""
    plain = traced()
    plain["target"] = (plain["target"] > 0.5).float()
    given = {**plain, "target": plain["target"].to(dtype)}
    expected, found = mix(plain, generator=rng(2)), mix(given, generator=rng(2))
    assert found["target"].dtype == torch.float32
    for name in ("image", "target"):
        assert torch.equal(found[name], expected[name])


@pytest.mark.parametrize("mix", MIXES.values())
def test_class_numbers_and_masks_of_255_are_refused(mix):
    batch = traced()
    for target, says in (
        ((batch["target"] * 255).to(torch.uint8), r"the target holds torch.uint8 up to 255: expected .*\(mask > 0\)"),
        (batch["target"][:, :1].long() * 7, "up to 7.*one channel per class"),
        (batch["target"][:, 0].long(), r"expected image \(N, channels, h, w\) and target \(N, C, h, w\)"),
    ):
        with pytest.raises(ValueError, match=says):
            mix({**batch, "target": target}, generator=rng())


def test_mixup_fades_image_and_target_in_the_same_share():
    batch = traced()
    mixed = mixup(batch, generator=rng())
    share = shares(mixed, batch)
    assert torch.equal(share.amin((2, 3)), share.amax((2, 3)))
    assert (share[:, 0, 0, 0] > 0).all()
    assert (share[:, 0, 0, 0] <= 0.5).all()
    assert len(share[:, 0, 0, 0].unique()) == 4
    torch.testing.assert_close(mixed["target"], batch["target"] * (1 - share) + batch["target"].roll(1, 0) * share)


def test_cutmix_takes_a_box_and_every_pixel_brings_its_own():
    batch = traced()
    other = batch["target"].roll(1, 0)
    areas = []
    for seed in range(200):
        mixed = cutmix(batch, generator=rng(seed))
        inside = shares(mixed, batch)
        assert set(inside.unique().tolist()) <= {0.0, 1.0}
        assert torch.equal(mixed["target"], torch.where(inside > 0, other, batch["target"]))
        for plane in inside[:, 0]:
            rows, columns = plane.any(1), plane.any(0)
            assert plane.sum() == rows.sum() * columns.sum()  # a box
        areas += inside.mean((1, 2, 3)).tolist()
    # Half the area on average, less what leaves the image.
    assert 0.25 < np.mean(areas) < 0.4


def test_copy_paste_takes_whole_objects_with_all_labels_of_their_pixels():
    batch = traced()
    other = batch["target"].roll(1, 0)
    for seed in range(20):
        mixed = copy_paste(batch, objects=2, generator=rng(seed))
        share = shares(mixed, batch)
        torch.testing.assert_close(mixed["target"], batch["target"] * (1 - share) + torch.minimum(other, share))
        inside, outside = share == 1, share == 0
        assert torch.equal(mixed["target"][inside.expand_as(other)], other[inside.expand_as(other)])
        assert torch.equal(mixed["target"][outside.expand_as(other)], batch["target"][outside.expand_as(other)])
        for n in range(len(other)):
            pasted = [c for c in range(3) if other[n, c].any() and (share[n, 0] >= other[n, c] - 1e-6).all()]
            assert 1 <= len(pasted) <= 2
            torch.testing.assert_close(share[n, 0], other[n, pasted].amax(0))  # those objects and nothing else


def test_copy_paste_of_chosen_classes_alone():
    batch = traced()
    mixed = copy_paste(batch, classes=[2], generator=rng())
    for n in range(4):  # the neighbours 3 and 1 lack class 2
        assert torch.equal(mixed["image"][n], batch["image"][n]) == (n in (0, 2))
    torch.testing.assert_close(shares(mixed, batch)[1, 0], batch["target"][0, 2])
    with pytest.raises(ValueError, match="channels from 0 to 2"):
        copy_paste(batch, classes=[3], generator=rng())
    with pytest.raises(ValueError, match="objects=0"):
        copy_paste(batch, objects=0, generator=rng())


@pytest.mark.parametrize("mix", MIXES.values())
def test_a_pixel_nobody_knows_stays_unknown(mix):
    batch = traced(weight=True)
    batch["weight"][0, 0, :, :16] = 0
    batch["weight"][1:, 0, :8] = 0.5
    own, before = batch["weight"], batch["weight"].roll(1, 0)
    mixed = mix(batch, generator=rng(1))
    share = shares(mixed, batch)
    wanted = own * (1 - share) + before * share
    wanted[((own == 0) & (share < 1)) | ((before == 0) & (share > 0))] = 0
    torch.testing.assert_close(mixed["weight"], wanted)
    each = {**batch, "weight": batch["weight"].expand(-1, 3, -1, -1).clone()}
    torch.testing.assert_close(mix(each, generator=rng(1))["weight"], wanted.expand(-1, 3, -1, -1))


@pytest.mark.parametrize("mix", MIXES.values())
def test_one_pixel_and_empty_targets(mix):
    batch = {"image": torch.rand(2, 1, 1, 1), "target": torch.zeros(2, 3, 1, 1)}
    assert not mix(batch, generator=rng())["target"].any()


@pytest.mark.parametrize("mix", MIXES.values())
def test_what_is_no_generator_or_no_batch_is_named(mix):
    for wrong in (None, 0, torch.Generator()):
        with pytest.raises(ValueError, match="expected NumPy's"):
            mix(traced(), generator=wrong)
    for pair in (([1, 2],), (traced(), [1, 2]), (torch.zeros(2),)):
        with pytest.raises(ValueError, match='a batch is a dictionary with "image" and "target", got a'):
            mix(*pair, generator=rng())


@pytest.mark.parametrize("mix", MIXES.values())
def test_batches_that_do_not_fit_say_so(mix):
    batch = traced()
    one = {name: value[:1] for name, value in batch.items()}
    with pytest.raises(ValueError, match="has image, index; expected target"):
        mix({"image": batch["image"], "index": 0}, generator=rng())
    with pytest.raises(ValueError, match="batch of one"):
        mix(one, generator=rng())
    assert mix(one, one, generator=rng())["target"].equal(one["target"]) or mix is copy_paste
    with pytest.raises(ValueError, match=r"image of the two batches: \(1, 2, 24, 33\) and \(4, 2, 24, 33\)"):
        mix(one, batch, generator=rng())
    with pytest.raises(ValueError, match="weight of the two batches"):
        mix(batch, traced(weight=True), generator=rng())
    with pytest.raises(ValueError, match=r"expected image .* got \(4, 2, 24, 33\) and \(3,"):
        mix({**batch, "target": batch["target"][:3]}, generator=rng())
    with pytest.raises(ValueError, match="alpha=0"):
        mixup(batch, alpha=0, generator=rng())


@pytest.fixture
def data(tmp_path):
    return SegmentationData(
        samples(tmp_path / "data"), size=(32, 32), transform=strong(), class_swaps=SWAPS, in_channels=3
    )  # fmt: skip


def test_a_mixed_sample_is_the_mix_of_two_samples(data):
    half = lambda one, other, generator: {name: (one[name] + other[name]) / 2 for name in one}  # noqa: E731
    mixed = Mixed(data, half, share=1.0, seed=5)
    assert len(mixed) == 4
    partners = set()
    for epoch in range(6):
        mixed.set_epoch(epoch)
        for index in range(4):
            own = data[index]["image"]
            fits = [p for p in range(4) if torch.allclose(mixed[index]["image"], (own + data[p]["image"]) / 2)]
            assert len(fits) == 1
            assert fits[0] != index
            partners.add((index, fits[0]))
    assert len(partners) > 8


def test_the_share_is_the_share_and_the_rest_is_untouched(data):
    mixed, count = Mixed(data, "cutmix", share=0.25), 0
    for epoch in range(30):
        mixed.set_epoch(epoch)
        for index in range(4):
            count += not torch.equal(mixed[index]["image"], data[index]["image"])
    assert 15 < count < 45
    none = Mixed(data, "mixup", share=0.0)
    assert all(torch.equal(none[i][name], data[i][name]) for i in range(4) for name in ("image", "target"))


@pytest.mark.parametrize("mix", MIXES)
def test_mixed_crops_hang_on_seed_epoch_and_index_alone(data, mix):
    mixed = Mixed(Crops(data, (24, 24)), mix, seed=3)
    other = pickle.loads(pickle.dumps(mixed))  # as workers get it
    mixed.set_epoch(2)
    other.set_epoch(1)
    other[0]
    other.set_epoch(2)
    for index in (3, 0):
        a, b = mixed.raw(index), other.raw(index)
        assert a["image"].shape == (3, 24, 24)
        assert a["target"].dtype == torch.uint8
        assert all(torch.equal(a[name], b[name]) for name in ("image", "target"))


def test_the_fingerprint_holds_the_mix(data):
    mix = partial(mixup, alpha=0.2)
    found = Mixed(data, mix, share=0.3, seed=1).fingerprint()
    assert found == {**data.fingerprint(), "mix": mix, "mix_share": 0.3, "mix_seed": 1}


def test_wrong_settings_say_so(data):
    with pytest.raises(ValueError, match="did you mean cutmix"):
        Mixed(data, "cutmx")
    with pytest.raises(ValueError, match="share=2"):
        Mixed(data, "mixup", share=2)
    with pytest.raises(ValueError, match="1 samples"):
        Mixed([data[0]], "mixup")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
def test_other_peoples_data_sets_are_mixed_as_what_they_are(dtype):
    """FAULTS A5 and A6: a mask of 0 and 1 in 8 bits is no 1 of 255."""
    rows = [
        (torch.full((1, 4, 4), float(n)), (torch.arange(16).view(1, 4, 4) % 2 == n % 2).to(dtype)) for n in range(4)
    ]
    mixed = Mixed([{"image": image, "target": target} for image, target in rows], "mixup", share=0.7)
    kinds = set()
    for index in range(4):
        sample = mixed[index]
        assert sample["target"].dtype == torch.float32
        share = (sample["image"][0, 0, 0] - index).abs() / max(
            1, round(float((sample["image"][0, 0, 0] - index).abs() + 0.5))
        )
        kinds.add(bool(share > 0))
        assert 0 <= sample["target"].min() <= sample["target"].max() <= 1
        if share == 0:
            assert torch.equal(sample["target"], rows[index][1].float())
    assert kinds == {True, False}


def test_two_processes_see_between_them_what_one_sees(data):
    def batches(rank, world):
        sampler = EpochBatchSampler(4, batch_size=4, epochs=range(2), seed=1, rank=rank, world=world)
        return list(make_loader(Mixed(data, "mixup", share=1.0), sampler, workers=0, pin_memory=False))

    for whole, first, second in zip(batches(0, 1), batches(0, 2), batches(1, 2)):
        for name in ("image", "target", "index"):
            assert torch.equal(whole[name], torch.cat([first[name], second[name]]))


def test_a_killed_run_on_mixed_samples_ends_at_the_same_weights(data, tmp_path):
    plain = SegmentationData(data.samples, size=(32, 32), transform=strong(), class_swaps=SWAPS)
    bce = torch.nn.functional.binary_cross_entropy_with_logits

    def run(out, *, lives):
        def validate(model):
            if not left:
                raise InterruptedError
            return {"dice": left.pop()}

        left, model = [0.5] * lives, network()
        fit(
            model, Mixed(plain, "copypaste", share=0.7, seed=2), loss=bce, out=tmp_path / out,
            config=TrainConfig(epochs=3, batch_size=2, accelerator="cpu"), validate=validate, progress=False,
            key="test",
        )  # fmt: skip
        return load_weights(tmp_path / out / "last.safetensors")

    whole = run("whole", lives=3)
    with pytest.raises(InterruptedError):
        run("cut", lives=1)
    resumed = run("cut", lives=2)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
