"""Objects: matched one to one, touching ones kept apart where they are known."""

import numpy as np
import pytest

from segkit.masks import MaskSet
from segkit.metrics import AveragePrecision, ObjectMasks
from segkit.metrics.instances import matched_ious
from segkit.rle import Runs

HALF = AveragePrecision(iou_thresholds=(0.5,))


def runs(*spans):
    return [Runs([span], (1, 100)) for span in spans]


def test_touching_objects_are_one_component_and_two_objects():
    apart = ObjectMasks({"a": {"x": runs([0, 10], [10, 20])}})
    union = MaskSet.from_dict({"a": {"x": Runs([[0, 20]], (1, 100))}})
    assert HALF(apart, apart) == 1
    assert HALF(union, apart) == 0  # one object hits neither: both IoUs are .5, which is not above .5
    assert HALF(union, union) == 1
    assert apart["a"]["x"] == union["a"]["x"]


def test_a_hit_is_above_the_threshold_not_at_it():
    truth, guess = ObjectMasks({"a": {"x": runs([0, 20])}}), ObjectMasks({"a": {"x": runs([0, 10])}})
    assert HALF(guess, truth) == 0
    assert AveragePrecision(iou_thresholds=(0.4999,))(guess, truth) == 1


def test_each_object_is_matched_once_the_best_pair_first():
    truth = runs([0, 10], [20, 30])
    guess = runs([0, 9], [1, 10], [24, 30])
    assert matched_ious(guess, truth).tolist() == [0.9, 0.6]
    assert matched_ious([], truth).tolist() == []
    found = AveragePrecision(iou_thresholds=(0.5, 0.8))
    objects = (ObjectMasks({"a": {"x": given}}) for given in (guess, truth))
    assert found(*objects) == pytest.approx((2 / 3 + 1 / 4) / 2)  # two hits, one false; then one, one missed, two false


def test_objects_may_overlap_and_be_far_apart():
    truth = [Runs([[0, 4], [50, 54]]), Runs([[10, 14]])]
    guess = [Runs([[2, 4], [50, 54]]), Runs([[10, 14], [60, 64]])]
    assert matched_ious(guess, truth).tolist() == [0.75, 0.5]


def test_an_image_without_objects():
    none = ObjectMasks({"a": {"x": []}})
    some = ObjectMasks({"a": {"x": [np.ones((1, 4), bool)]}})
    assert [HALF(*pair) for pair in ((none, none), (some, none), (none, some))] == [1, 0, 0]
    skip = AveragePrecision(empty="skip", iou_thresholds=(0.5,))
    assert np.isnan(skip(some, none))


def test_salt_is_scored_as_one_object():
    """TGS: the mean over thresholds .5 to .95 of IoU > threshold; of IoU .72 five of ten."""
    metric = AveragePrecision(objects="mask")
    guess, truth = {"a": {"x": Runs([[0, 72]])}}, {"a": {"x": Runs([[0, 30], [40, 110]])}}
    iou = (30 + 32) / (72 + 100 - 62)
    assert metric(guess, truth) == pytest.approx(sum(iou > t for t in np.arange(10, 20) / 20) / 10)
