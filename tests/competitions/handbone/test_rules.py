"""What the hand recipe knows: two hands, right before left, two poses, five fixes; all on phantom rings."""

from pathlib import Path

import numpy as np
import pytest

from competitions.handbone import anatomy, rules
from competitions.handbone.facts import CLASSES, SIDE
from competitions.handbone.run import RECIPE
from segkit.audit import Case, apply_fixes
from segkit.geometry import Polygons
from segkit.masks import MaskSet
from segkit.recipe import Config, replace
from segkit.rle import Runs
from segkit.samples import Sample, Samples


def case(name, side, pose="upright", person="ID001", split="train"):
    hand = anatomy.pose_hand(anatomy.invent_person(3), side=side, pose=pose)
    sample = Sample(name, person, Path(split) / person / name)
    regions = {cls: Polygons(outlines) for cls, outlines in anatomy.rings(hand).items()}
    return Case(sample, split, (SIDE, SIDE), regions)


def test_a_person_with_two_hands_right_first_is_fine():
    assert list(rules.hands([case("image100.png", "right"), case("image200.png", "left")])) == []


def test_left_before_right_is_told_for_both():
    found = list(rules.hands([case("image100.png", "left"), case("image200.png", "right")]))
    assert [(p.image, p.kind) for p in found] == [("image100.png", "side"), ("image200.png", "side")]


@pytest.mark.parametrize("count", [1, 3])
def test_one_or_three_hands_are_told(count):
    found = list(rules.hands([case(f"image{n}.png", "right") for n in range(count)]))
    assert [p.kind for p in found] == ["hands"]
    assert f"{count} images" in found[0].message


def test_the_share_of_tilted_hands_is_a_note():
    cases = [case("1.png", "right"), case("2.png", "left"), case("3.png", "right", "tilted"), case("4.png", "left")]
    found = list(rules.poses(cases))
    assert [(p.kind, p.severity) for p in found] == [("note", "note")]
    assert "25% of 4" in found[0].message


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("pose", ["upright", "tilted"])
def test_pose_and_hand_are_read_off_the_masks(side, pose):
    regions = case("1.png", side, pose).regions
    drawn = {cls: regions[cls].runs((SIDE, SIDE)) for cls in {*rules.AXIS, *rules.SIDES}}
    empty = Runs(np.zeros((0, 2), np.int64), (SIDE, SIDE))
    truth = MaskSet(["1.png"], CLASSES, lambda image, cls: drawn.get(cls, empty))
    assert rules.strata(truth) == {"pose": {"1.png": pose}, "hand": {"1.png": side}}
    assert rules.strata(MaskSet(["1.png"], CLASSES, lambda image, cls: empty)) == {"pose": {}, "hand": {}}


def test_the_centre_of_a_mask_is_that_of_its_pixels():
    mask = np.random.default_rng(0).random((40, 50)) < 0.2
    y, x = np.nonzero(mask)
    assert rules.centre(Runs.from_mask(mask), 50) == pytest.approx((x.mean(), y.mean()))


def triangles(row):
    return {cls: Polygons([np.array([[k, 0], [k, 9], [k + 9, 9]])]) for k, cls in enumerate(CLASSES)}


def fixed(image, fixes):
    samples = Samples.from_table([{"id": image, "image": "x.png"}], read_masks=triangles, classes=CLASSES)
    return apply_fixes(samples, fixes).annotation(image).regions


def test_the_mirrored_hand_is_repaired_by_two_swaps_and_a_cycle():
    before = triangles(None)
    after = fixed("image1661392103627.png", rules.FIXES[:1])
    assert len({cls for cls in CLASSES if after[cls] != before[cls]}) == 12
    assert after["finger-3"] == before["finger-1"]
    assert after["Scaphoid"] == before["Pisiform"]  # what was called Pisiform is the Scaphoid


def test_a_fix_that_matches_nothing_is_an_error():
    with pytest.raises(ValueError, match="image1661392103627"):
        fixed("other.png", rules.FIXES)


@pytest.mark.parametrize("preset", ["demo", "baseline", "strong"])
def test_presets_name_settings_that_exist(preset):
    config = replace(Config(), RECIPE.presets[preset], preset)
    assert min(config.model.resolution) >= 224
