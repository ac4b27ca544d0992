"""Prediction and validation against their plain, slow selves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import CLASSES, SWAPS, draw, network

from segkit import metrics
from segkit.data import normalise
from segkit.geometry import resize
from segkit.images import image_size, read_image
from segkit.inference.predict import DiceValidator, predict
from segkit.inference.sliding import Sliding
from segkit.predictions import PredictionStore
from segkit.rle import Runs
from segkit.samples import Truth
from segkit.tta import TTA

SIZE = (32, 32)


@pytest.fixture
def items(tmp_path: Path):
    return draw(tmp_path / "data", 4, step=7)  # every image of its own width


@pytest.fixture
def store(items, tmp_path):
    sizes = {item.id: image_size(item.image) for item in items}
    return PredictionStore.create(
        tmp_path / "oof.zarr", ids=[i.id for i in items], classes=CLASSES, sizes=sizes, grid=SIZE
    )


def by_hand(model, item):
    image = resize.resize_image(read_image(item.image), SIZE)
    with torch.no_grad():
        return model.eval()(normalise(torch.from_numpy(image)[None, None]))[0].numpy()


def close(stored, logits):
    """Equal up to a step of the store."""
    np.testing.assert_allclose(stored, np.clip(logits, -127 / 32, 127 / 32), atol=0.5 / 32 + 1e-5)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_store_holds_the_mean_logits_of_the_models(items, store, batch_size):
    models = [network(seed=1), network(seed=2)]
    assert predict(models, items, store, batch_size=batch_size, progress=False, device="cpu") == 4
    for item in items:
        close(store[item.id], (by_hand(models[0], item) + by_hand(models[1], item)) / 2)


def test_views_are_merged_with_their_classes_swapped_back(items, store):
    model = network()
    predict(model, items[:1], store, views="hflip", class_swaps=SWAPS, progress=False, device="cpu")
    image = resize.resize_image(read_image(items[0].image), SIZE)
    with torch.no_grad():
        mirrored = model(normalise(torch.from_numpy(image[:, ::-1].copy())[None, None]))[0].numpy()
    close(store[items[0].id], (by_hand(model, items[0]) + mirrored[[1, 0, 2], :, ::-1]) / 2)


@pytest.mark.parametrize(("merge", "power"), [("mean", None), ("gmean", 0), (1.0, 1), (3.0, 3), ("max", np.inf)])
def test_views_are_merged_as_asked(items, store, merge, power):
    """Two views, the second counting three times: power means of probabilities, the mean of logits."""
    model, weights = network(), None if merge == "max" else {"hflip": 3.0}
    predict(model, items[:1], store, views="hflip", merge=merge, weights=weights, progress=False, device="cpu")
    image = normalise(torch.from_numpy(resize.resize_image(read_image(items[0].image), SIZE))[None, None])
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
    close(store[items[0].id], expected.numpy())


def test_only_what_is_missing_is_predicted(items, store):
    model = network()
    assert predict(model, items[1:3], store, progress=False, device="cpu") == 2
    before = store[items[1].id]
    assert predict(network(seed=9), items, store, progress=False, device="cpu") == 2
    np.testing.assert_array_equal(store[items[1].id], before)
    assert store.done == {item.id for item in items}
    assert predict(model, items, store, progress=False, device="cpu") == 0


def test_a_wrong_call_says_so(items, store, tmp_path):
    strangers = draw(tmp_path / "more", 6)
    with pytest.raises(ValueError, match=r"no image image4\.png, image5\.png"):
        predict(network(), strangers, store, progress=False)
    with pytest.raises(ValueError, match="16-mixed"):
        predict(network(), items, store, precision="half", progress=False)
    with pytest.raises(ValueError, match="4 channels but 3 classes"):
        predict(network(classes=4), items, store, progress=False, device="cpu")


def test_a_window_slides_over_the_grid_and_each_view_is_of_a_window(items, store):
    model = network().eval()
    predict(
        model,
        items[:2],
        store,
        views="hflip",
        window=(16, 24),
        overlap=0.25,
        batch_size=3,
        progress=False,
        device="cpu",
    )
    for item in items[:2]:
        image = normalise(torch.from_numpy(resize.resize_image(read_image(item.image), SIZE))[None, None])
        close(store[item.id], Sliding(TTA(model, "hflip"), (16, 24), overlap=0.25)(image)[0].numpy())


def test_bf16_predicts_nearly_the_same(items, store):
    predict(network(), items[:1], store, precision="bf16-mixed", progress=False, device="cpu")
    np.testing.assert_allclose(store[items[0].id], by_hand(network(), items[0]), atol=0.1)


# -- validation --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("threshold", [0.5, {"left": 0.45, "*": 0.55}])
def test_the_validator_is_the_dice_of_full_size_masks(items, threshold, tmp_path):
    truth = Truth.from_items(items, CLASSES)
    model = network(seed=3)
    with torch.no_grad():
        model.head.weight *= 4  # some of each class on either side of the threshold
    slow = {}
    for item in items:
        size = image_size(item.image)
        slow[item.id] = {
            name: Runs.from_mask(
                resize.upsample(plane, size)
                > resize.threshold_logit(threshold if isinstance(threshold, float) else threshold.get(name, 0.55))
            )
            for name, plane in zip(CLASSES, by_hand(model, item))
        }
    table = metrics.Dice().table(slow, truth)
    assert 0 < metrics.score(table) < 1
    validate = DiceValidator(
        items, truth, CLASSES, size=SIZE, threshold=threshold, batch_size=3, cache=tmp_path / "cache"
    )
    got = validate(model)
    assert got["dice"] == pytest.approx(metrics.score(table), abs=1e-4)
    for name in CLASSES:
        assert got[f"dice/{name}"] == pytest.approx(table[name].mean(), abs=1e-4)


def test_the_validator_looks_through_the_window_of_the_training(items):
    truth, model = Truth.from_items(items, CLASSES), network().eval()
    validate = DiceValidator(items, truth, CLASSES, size=SIZE, window=(16, 16), batch_size=2, threshold=0.4)
    plain = DiceValidator(items, truth, CLASSES, size=SIZE, threshold=0.4)
    assert validate(model) == plain(Sliding(model, (16, 16)))
    assert validate(model) != plain(model)


def test_rightly_empty_counts_one_and_wrongly_full_nothing(tmp_path):
    items = draw(tmp_path, 2, rare=False)
    validate = DiceValidator(items, Truth.from_items(items, CLASSES), CLASSES, size=SIZE)
    silent, loud = np.full((3, *SIZE), -9.0), np.full((3, *SIZE), 9.0)
    assert validate.dice(0, silent)[2] == 1.0
    assert validate.dice(0, silent)[0] < 1e-6
    assert validate.dice(0, loud)[2] < 1e-6


def test_a_limit_is_spread_over_the_items(items):
    truth = Truth.from_items(items, CLASSES)
    assert [i.id for i in DiceValidator(items, truth, CLASSES, size=SIZE, limit=2).items] == [
        "image0.png",
        "image2.png",
    ]
    assert len(DiceValidator(items, truth, CLASSES, size=SIZE, limit=99).items) == 4


def test_the_truth_must_cover_images_and_classes(items):
    with pytest.raises(ValueError, match=r"no image image2\.png"):
        DiceValidator(items, Truth.from_items(items[:2], CLASSES), CLASSES, size=SIZE)
    with pytest.raises(ValueError, match="no class lung"):
        DiceValidator(items, Truth.from_items(items, CLASSES), (*CLASSES, "lung"), size=SIZE)
    with pytest.raises(ValueError, match="at least one image"):
        DiceValidator([], Truth.from_items(items, CLASSES), CLASSES, size=SIZE)
