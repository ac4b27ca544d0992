"""Prediction against its plain, slow self."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CLASSES, SWAPS, network, samples
from torch import nn

from segkit.data import ImageData, SegmentationData, normalise
from segkit.geometry import place, resize, upsample
from segkit.images import ImageSpec
from segkit.inference import Sliding, predict
from segkit.predictions import PredictionStore
from segkit.samples import Samples
from segkit.tta import TTA

SIZE = (32, 32)
QUIET = {"progress": False, "device": "cpu"}


@pytest.fixture
def given(tmp_path: Path) -> Samples:
    return samples(tmp_path / "data", 4, step=7)  # every image of its own width


def new_store(given, path, grid=SIZE):
    return PredictionStore.create(path, ids=given.ids, classes=CLASSES, sizes=given.sizes, grid=grid)


@pytest.fixture
def store(given, tmp_path):
    return new_store(given, tmp_path / "oof.zarr")


def again(given, spec):
    """The same samples, read otherwise."""
    return Samples.from_folder(given[given.ids[0]].image.parents[3], classes=CLASSES, image=spec)


def as_input(image):
    return normalise(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None])


def small(given, image):
    return resize.resize_image(given.read_image(image), SIZE)


def by_hand(model, given, image):
    with torch.no_grad():
        return model.eval()(as_input(small(given, image)))[0].numpy()


def close(stored, logits):
    """Equal up to a step of the store."""
    np.testing.assert_allclose(stored, np.clip(logits, -127 / 32, 127 / 32), atol=0.5 / 32 + 1e-5)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_store_holds_the_mean_logits_of_the_models(given, store, batch_size):
    models = [network(seed=1), network(seed=2)]
    assert predict(models, given, store, batch_size=batch_size, **QUIET) == 4
    for image in given.ids:
        close(store[image], (by_hand(models[0], given, image) + by_hand(models[1], given, image)) / 2)


def test_any_callable_predicts(given, store):
    model = network().eval()
    assert predict(lambda image: model(image), given.subset(given.ids[:2]), store, **QUIET) == 2
    assert predict([model.forward, lambda image: model(image)], given, store, **QUIET) == 2
    for image in given.ids:
        close(store[image], by_hand(model, given, image))


def test_views_are_merged_with_their_classes_swapped_back(given, store):
    model, first = network(), given.ids[0]
    predict(model, given.subset([first]), store, views="hflip", class_swaps=SWAPS, **QUIET)
    with torch.no_grad():
        mirrored = model(as_input(small(given, first)[:, ::-1]))[0].numpy()
    close(store[first], (by_hand(model, given, first) + mirrored[[1, 0, 2], :, ::-1]) / 2)


@pytest.mark.parametrize(("merge", "power"), [("mean", None), ("gmean", 0), (1.0, 1), (3.0, 3), ("max", np.inf)])
def test_views_are_merged_as_asked(given, store, merge, power):
    """Two views, the second counting three times: power means of probabilities, the mean of logits."""
    model, first, weights = network(), given.ids[0], None if merge == "max" else {"hflip": 3.0}
    predict(model, given.subset([first]), store, views="hflip", merge=merge, weights=weights, **QUIET)
    image = as_input(small(given, first))
    with torch.no_grad():
        logits = torch.stack([model.eval()(image)[0], model(image.flip(-1))[0].flip(-1)]).double()
    share = torch.tensor([0.25, 0.75], dtype=torch.float64).view(2, 1, 1, 1)
    probs = logits.sigmoid()
    if power is None:
        expected = (logits * share).sum(0)
    elif power == 0:
        expected = (probs.log() * share).sum(0).exp().logit()
    else:
        expected = logits.amax(0) if power == np.inf else (probs**power * share).sum(0).pow(1 / power).logit()
    close(store[first], expected.numpy())


def test_only_what_is_missing_is_predicted(given, store):
    model, ids = network(), given.ids
    assert predict(model, given.subset(ids[1:3]), store, **QUIET) == 2
    before = store[ids[1]]
    assert predict(network(seed=9), given, store, **QUIET) == 2
    np.testing.assert_array_equal(store[ids[1]], before)
    assert store.done == set(ids)
    assert predict(model, given, store, **QUIET) == 0


def test_a_window_slides_over_the_image_and_each_view_is_of_a_window(given, store):
    model, ids = network().eval(), given.ids[:2]
    predict(model, given.subset(ids), store, views="hflip", window=(16, 24), overlap=0.25, batch_size=3, **QUIET)
    for image in ids:
        seen = as_input(small(given, image))
        close(store[image], Sliding(TTA(model, "hflip"), (16, 24), overlap=0.25)(seen)[0].numpy())


def test_bf16_predicts_nearly_the_same(given, store):
    predict(network(), given.subset(given.ids[:1]), store, precision="bf16-mixed", **QUIET)
    np.testing.assert_allclose(store[given.ids[0]], by_hand(network(), given, given.ids[0]), atol=0.1)


@pytest.mark.parametrize(
    "wrap",
    [lambda out: {"out": out, "aux": 0 * out}, lambda out: (out, out.mean((2, 3))), lambda out: {"logits": out}],
)
def test_outputs_of_other_libraries_are_understood(given, store, wrap):
    model, first = network().eval(), given.ids[0]
    predict(lambda image: wrap(model(image)), given.subset([first]), store, views="hflip", window=(24, 24), **QUIET)
    expected = Sliding(TTA(model, "hflip"), (24, 24))(as_input(small(given, first)))[0].numpy()
    close(store[first], expected)


def test_smaller_logits_are_upsampled_by_the_half_pixel_convention(given, store):
    pool, first = nn.AvgPool2d(4), given.ids[0]
    predict(lambda image: pool(image).expand(-1, 3, -1, -1), given.subset([first]), store, **QUIET)
    coarse = pool(as_input(small(given, first)))[0, 0].numpy()
    close(store[first], np.stack([upsample(coarse, SIZE)] * 3))


class Says(nn.Module):
    """Logits that are the image's own content."""

    def forward(self, image):
        return torch.cat([image, -image, 0 * image], 1)


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_an_image_that_is_its_own_logits_comes_back_at_its_pixels(tmp_path, fit):
    """Whatever the network sees beside the image, what is stored lies over the image."""
    given = samples(tmp_path / "data", 4, step=48)  # up to 96 x 240
    store = new_store(given, tmp_path / "s.zarr", (48, 48))
    predict(Says(), given, store, fit=fit, **QUIET)
    for image in given.ids:
        where = place(given.sizes[image], (48, 48), fit)
        seen = as_input(where.image(given.read_image(image)))[0, 0].numpy()
        top, left, bottom, right = where.box
        full = upsample(seen[top:bottom, left:right], where.shape)
        stored = upsample(store[image][0], where.shape)
        assert np.corrcoef(full.ravel(), stored.ravel())[0, 1] > 0.99
        for shift in (-4, 4):  # it fits there, and nowhere beside
            moved = np.corrcoef(np.roll(full, shift, 1).ravel(), stored.ravel())[0, 1]
            assert moved < np.corrcoef(full.ravel(), stored.ravel())[0, 1] - 0.02


def test_images_of_a_scale_are_brought_to_the_store(tmp_path):
    given = samples(tmp_path / "data", 2, step=48)
    store = new_store(given, tmp_path / "s.zarr", (24, 24))
    model, images = network().eval(), ImageData(given, scale=0.5)
    predict(model, images, store, window=(32, 32), batch_size=4, **QUIET)
    for index, image in enumerate(given.ids):
        half = tuple(side // 2 for side in given.sizes[image])
        seen = as_input(resize.resize_image(given.read_image(image), half))
        logits = Sliding(model, (32, 32))(seen)[0].numpy()
        expected = np.stack([resize.resize_image(channel, (24, 24)) for channel in logits])
        close(store[image], expected)
        assert images.placement(index).size == half


def test_the_spec_is_that_of_the_training(tmp_path, given):
    unknown = again(given, ImageSpec(normalize="dataset"))
    measured = SegmentationData(unknown, size=SIZE)
    store, other = new_store(given, tmp_path / "a.zarr"), new_store(given, tmp_path / "b.zarr")
    with pytest.raises(ValueError, match="not measured yet"):
        predict(network(), unknown, store, **QUIET)
    predict(network(), unknown, store, image_spec=measured.image_spec, **QUIET)
    predict(network(), measured.images, other, **QUIET)
    for image in given.ids:
        np.testing.assert_array_equal(store[image], other[image])


def test_a_wrong_call_says_so(given, store, tmp_path):
    strangers = samples(tmp_path / "more", 6)
    with pytest.raises(ValueError, match=r"no image image4\.png, image5\.png"):
        predict(network(), strangers, store, progress=False)
    with pytest.raises(ValueError, match="16-mixed"):
        predict(network(), given, store, precision="half", progress=False)
    with pytest.raises(ValueError, match="4 channels"):
        predict(network(classes=4), given, store, **QUIET)
    with pytest.raises(ValueError, match="fit: ImageData has its own"):
        predict(network(), ImageData(given, size=SIZE), store, fit="pad", **QUIET)
    with pytest.raises(ValueError, match="expected Samples or ImageData, got a list"):
        predict(network(), list(given), store, **QUIET)
    for models in ([], "unet", [3]):
        with pytest.raises(ValueError, match="expected a network, or a list"):
            predict(models, given, store, **QUIET)


def test_a_network_of_other_channels_is_one_clear_line(given, store):
    """FAULTS A7."""
    rgb = nn.Sequential(nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match=r"the network does not take images of 1 channels"):
        predict(rgb, given, store, **QUIET)
    rgb.in_channels = 3
    assert predict(rgb, given.subset(given.ids[:1]), store, **QUIET) == 1  # grey, three times over
    colour = again(given, ImageSpec("rgb"))
    single = network()
    single.in_channels = 1
    with pytest.raises(ValueError, match=r"network takes 1 channels, the images have 3 \(rgb\)"):
        predict(single, colour, store, **QUIET)
    with pytest.raises(ValueError, match=r"in_channels=3, the networks take \[1\]"):
        predict(single, given, store, in_channels=3, **QUIET)
