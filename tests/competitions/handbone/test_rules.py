"""What the hand recipe knows: two hands, right before left, two poses, five fixes; all on phantom rings."""

from pathlib import Path

import numpy as np
import pytest

from competitions.handbone import anatomy, rules
from competitions.handbone.facts import CLASSES, SIDE
from competitions.handbone.run import RECIPE
from segkit.audit import Case
from segkit.geometry import polygons
from segkit.masks import MaskSet
from segkit.recipe import Config, replace
from segkit.rle import Runs
from segkit.samples import Item, apply_fixes


def case(name, side, pose="upright", person="ID001", split="train"):
    hand = anatomy.pose_hand(anatomy.invent_person(3), side=side, pose=pose)
    item = Item(name, person, Path(split) / person / name, None)
    return Case(item, split, (SIDE, SIDE), anatomy.rings(hand))


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
    rings = case("1.png", side, pose).rings
    wanted = {*rules.AXIS, *rules.SIDES}
    drawn = {c: Runs.from_mask(polygons.rasterize(rings[c], (SIDE, SIDE))) for c in wanted}
    empty = Runs(np.zeros((0, 2), np.int64), (SIDE, SIDE))
    truth = MaskSet(["1.png"], CLASSES, lambda image, cls: drawn.get(cls, empty))
    assert rules.strata(truth) == {"pose": {"1.png": pose}, "hand": {"1.png": side}}
    assert rules.strata(MaskSet(["1.png"], CLASSES, lambda image, cls: empty)) == {"pose": {}, "hand": {}}


def test_the_centre_of_a_mask_is_that_of_its_pixels():
    mask = np.random.default_rng(0).random((40, 50)) < 0.2
    y, x = np.nonzero(mask)
    assert rules.centre(Runs.from_mask(mask), 50) == pytest.approx((x.mean(), y.mean()))


def test_the_mirrored_hand_is_mended_by_two_swaps_and_a_cycle():
    rings = {cls: [np.array([[k, 0], [k, 9], [k + 9, 9]])] for k, cls in enumerate(CLASSES)}
    mended = apply_fixes({"image1661392103627.png": rings}, rules.FIXES[:1])["image1661392103627.png"]
    moved = {cls for cls in CLASSES if mended[cls][0] is not rings[cls][0]}
    assert len(moved) == 12
    assert mended["finger-3"][0] is rings["finger-1"][0]
    assert mended["Scaphoid"][0] is rings["Pisiform"][0]  # what was called Pisiform is the Scaphoid


def test_a_fix_that_matches_nothing_is_an_error():
    with pytest.raises(ValueError, match="image1661392103627"):
        apply_fixes({"other.png": {cls: [] for cls in CLASSES}}, rules.FIXES)


@pytest.mark.parametrize("preset", ["demo", "baseline", "strong"])
def test_presets_name_settings_that_exist(preset):
    config = replace(Config(), RECIPE.presets[preset], preset)
    assert config.size >= 224
