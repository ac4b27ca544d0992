"""Validator against full-size masks and the metric itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny import CLASSES, network, samples
from torch import nn

from segkit.data import Augment, ImageData, SegmentationData, normalise
from segkit.geometry import place, resize, upsample
from segkit.inference import Sliding, Validator
from segkit.masks import MaskSet
from segkit.metrics import Counts, Dice, FBeta, IoU, MeanIoU
from segkit.rle import Runs
from segkit.samples import Annotation, Samples

SIZE = (32, 32)


@pytest.fixture
def given(tmp_path: Path) -> Samples:
    return samples(tmp_path / "data", 4, step=7)


def loud(seed=3):
    """Some of each class on either side of the threshold."""
    model = network(seed=seed).eval()
    with torch.no_grad():
        model.head.weight *= 4
    return model


def logits_of(model, given, image, where):
    seen = torch.from_numpy(np.ascontiguousarray(where.image(given.read_image(image)).transpose(2, 0, 1)))
    with torch.no_grad():
        return where.unpad(model(normalise(seen[None]))[0].numpy())


def masks(model, given, threshold, fit="stretch"):
    out = {}
    for image in given.ids:
        where = place(given.sizes[image], SIZE, fit)
        maps = logits_of(model, given, image, where)
        if fit == "pad":  # as a store has them
            maps = np.stack([upsample(one, SIZE) for one in maps])
        cuts = [threshold if isinstance(threshold, float) else threshold.get(c, threshold["*"]) for c in CLASSES]
        full = [upsample(one, where.shape) > np.float32(resize.logit(cut)) for one, cut in zip(maps, cuts)]
        out[image] = dict(zip(CLASSES, full))
    return out


@pytest.mark.parametrize("threshold", [0.5, {"left": 0.45, "*": 0.55}])
@pytest.mark.parametrize("metric", [Dice(), Dice(empty="skip"), IoU(average="pooled"), FBeta(beta=2.0)])
def test_it_is_the_metric_of_full_size_masks(given, threshold, metric):
    model = loud()
    slow = masks(model, given, threshold)
    validate = Validator(given, metric=metric, size=SIZE, threshold=threshold, batch_size=3)
    got = validate(model)
    assert tuple(got) == validate.names == (metric.name, *(f"{metric.name}/{c}" for c in CLASSES))
    assert got[metric.name] == pytest.approx(metric(slow, given.truth), abs=1e-9)
    assert 0 < got[metric.name] < 1
    for name, score in zip(CLASSES, metric.scores(slow, given.truth).per_class()):
        assert got[f"{metric.name}/{name}"] == pytest.approx(score, abs=1e-9)


def test_what_it_is_given_does_not_matter(given, tmp_path):
    model = loud()
    data = SegmentationData(given, size=SIZE, cache=tmp_path / "cache", transform=Augment(hflip=1.0))
    plain = Validator(given, given.truth, size=SIZE)(model)
    assert Validator(data)(model) == plain  # the transform is of the training
    assert Validator(ImageData(given, size=SIZE))(model) == plain
    full = {image: {cls: given.truth[image][cls].mask() for cls in CLASSES[::-1]} for image in given.ids[::-1]}
    assert Validator(given, full, size=SIZE)(model) == plain  # in any order


def test_padding_is_cut_off_before_scoring(tmp_path):
    given, model = samples(tmp_path / "data", 3, step=40), loud()
    slow = masks(model, given, 0.5, fit="pad")
    found = Validator(given, size=SIZE, fit="pad")(model)
    assert found["dice"] == pytest.approx(Dice()(slow, given.truth), abs=1e-9)


def test_ignored_pixels_do_not_count(given):
    model, image = loud(), given.ids[1]
    height, width = given.sizes[image]
    ignored = Runs.from_region(np.ones((60, width), bool), 0, 0, (height, width))
    partly = given.with_annotations({image: Annotation(given.regions(image), ignore=ignored)})
    slow = masks(model, given, 0.5)
    found = Validator(partly, size=SIZE)(model)
    assert found["dice"] == pytest.approx(Dice()(slow, partly.truth), abs=1e-9)
    assert found["dice"] != Validator(given, size=SIZE)(model)["dice"]


def test_of_exclusive_classes_the_highest_wins(tmp_path):
    maps = np.random.default_rng(0).integers(0, 3, (2, 5, 7)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    for number, one in enumerate(maps):
        for kind in ("images", "maps"):
            (tmp_path / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / kind / f"{number}.png"), one * (40 if kind == "images" else 1))
    given = Samples.from_label_maps(tmp_path / "images", tmp_path / "maps", {"a": 0, "b": 1, "c": 2})
    assert given.exclusive
    model = loud()
    found = Validator(given, metric=MeanIoU(), size=(20, 28))(model)
    slow = {}
    for image in given.ids:
        where = place(given.sizes[image], (20, 28))
        full = np.stack([upsample(one, where.shape) for one in logits_of(model, given, image, where)]).argmax(0)
        slow[image] = {cls: full == number for number, cls in enumerate("abc")}
    assert found["mean_iou"] == pytest.approx(MeanIoU()(slow, given.truth), abs=1e-9)
    with pytest.raises(ValueError, match=r"threshold=0.4: exclusive classes have none"):
        Validator(given, size=(20, 28), threshold=0.4)


def test_it_sees_through_the_window_of_the_training(given):
    model = network().eval()
    validate = Validator(given, size=SIZE, window=(16, 16), batch_size=2, threshold=0.4)
    plain = Validator(given, size=SIZE, threshold=0.4)
    assert validate(model) == plain(Sliding(model, (16, 16)))
    assert validate(model) != plain(model)


def test_rightly_empty_counts_one_and_wrongly_full_nothing(tmp_path):
    validate = Validator(samples(tmp_path, 2, rare=False), size=SIZE)
    silent, full = np.full((3, *SIZE), -9.0), np.full((3, *SIZE), 9.0)
    assert validate.scores(0, silent).cells[0, 2] == 1.0
    assert validate.scores(0, silent).cells[0, 0] < 1e-6
    assert validate.scores(0, full).cells[0, 2] < 1e-6


def test_a_limit_is_spread_over_the_images(given):
    assert Validator(given, size=SIZE, limit=2).ids == ("image0.png", "image2.png")
    assert len(Validator(given, size=SIZE, limit=99).ids) == 4


def test_the_fingerprint_changes_with_everything_that_decides(given):
    truth = {i: {c: given.truth[i][c] for c in CLASSES} for i in given.ids}
    truth["image0.png"] = {**truth["image0.png"], "left": truth["image0.png"]["right"]}

    def of(*args, **options):
        return Validator(*args, **({"size": SIZE} | options)).fingerprint()

    first = of(given)
    assert of(given, given.truth) == first
    others = [
        of(given, truth), of(given, metric=IoU()), of(given, metric=Dice(empty="skip")), of(given, size=(32, 33)),
        of(given, fit="pad"), of(given, threshold=0.4), of(given, window=(8, 8)), of(given, limit=3),
    ]  # fmt: skip
    assert all(other != first for other in others)


def test_wrong_calls_say_so(given):
    with pytest.raises(ValueError, match=r"no image image2\.png"):
        Validator(given, given.truth.subset(given.ids[:2]), size=SIZE)
    one = MaskSet.from_dict({i: {"left": given.truth[i]["left"]} for i in given.ids})
    with pytest.raises(ValueError, match="no class rare, right"):
        Validator(given, one, size=SIZE)
    with pytest.raises(ValueError, match="at least one"):
        Validator(given.subset([]), size=SIZE)
    with pytest.raises(ValueError, match="size: SegmentationData has its own"):
        Validator(SegmentationData(given, size=SIZE), size=SIZE)
    with pytest.raises(ValueError, match="expected SegmentationData, ImageData or Samples, got a list"):
        Validator([1], size=SIZE)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected one of the two"):
        Validator(given)
    with pytest.raises(ValueError, match=r"expected a torch module, got a function; predict\(\) takes"):
        Validator(given, size=SIZE)(lambda image: image)
    with pytest.raises(ValueError, match="gives 4 channels, expected 3, one per class"):
        Validator(given, size=SIZE)(nn.Conv2d(1, 4, 1))


def test_a_pooled_score_is_of_all_pixels_together(given):
    model = loud()
    slow = masks(model, given, 0.5)
    rows = [
        [(slow[i][c] & given.truth[i][c].mask()).sum(), slow[i][c].sum(), given.truth[i][c].area]
        for i in given.ids
        for c in CLASSES
    ]
    tp, predicted, target = np.array(rows).reshape(4, 3, 3).transpose(2, 0, 1)
    expected = Dice(average="pooled").from_counts(Counts(tp, predicted, target))
    assert Validator(given, metric=Dice(average="pooled"), size=SIZE)(model)["dice"] == pytest.approx(expected)
