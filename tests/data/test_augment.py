"""Augmentation: image and masks move as one, left stays left, and steps happen independently."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from segkit.data.augment import Augment, build, colour, light, medium, strong

PRESETS = [light, medium, strong]
ORDER = (1, 0, 2)


def rng(seed=0):
    return np.random.default_rng(seed)


def scene(size=48):
    """A soft disc on the left, a hard square on the right, an empty plane."""
    y, x = np.mgrid[:size, :size]
    disc = np.clip((9.5 - np.hypot(x - 14, y - 20)) * 255, 0, 255).astype(np.uint8)
    square = np.zeros((size, size), np.uint8)
    square[10:24, 30:40] = 255
    return np.maximum(disc, square)[..., None], np.stack([disc, square, np.zeros_like(disc)])


def test_a_flip_mirrors_the_image_and_swaps_the_classes():
    image, target = scene()
    mirrored, swapped = Augment(hflip=1)(image, target, rng(), ORDER)
    np.testing.assert_array_equal(mirrored, image[:, ::-1])
    np.testing.assert_array_equal(swapped, target[[1, 0, 2], :, ::-1])
    same, still = Augment()(image, target, rng(), ORDER)
    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(still, target)


@pytest.mark.parametrize("preset", PRESETS)
def test_image_and_masks_move_as_one(preset):
    image, target = scene()
    before = image.copy(), target.copy()
    geometry = replace(preset(), tone=0, noise=0, blur=0)
    moved = 0
    for seed in range(10):
        warped, masks = geometry(image, target, rng(seed), (0, 1, 2))
        assert warped.shape == image.shape
        assert masks.shape == target.shape
        assert (
            np.abs(warped[..., 0].astype(int) - masks.max(0)).max() <= 1
        )  # both linear: they differ by rounding alone
        assert not masks[2].any()
        moved += not np.array_equal(warped, image)
    assert moved >= 4
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(target, before[1])


@pytest.mark.parametrize("preset", PRESETS)
def test_what_is_up_stays_up(preset):
    size = 64
    target = np.zeros((1, size, size), np.uint8)
    target[0, 4:20, 24:40] = 255
    for seed in range(25):
        _, masks = preset()(target[0][..., None], target, rng(seed), (0,))
        assert (masks[0].sum(1) * np.arange(size)).sum() / masks[0].sum() < size / 2


def test_presets_change_tone_and_keep_eight_bits():
    image, target = scene()
    outs = [medium()(image, target, rng(seed), (0, 1, 2))[0] for seed in range(6)]
    assert all(out.dtype == np.uint8 for out in outs)
    assert len({out.tobytes() for out in outs}) == 6


def test_flips_and_quarter_turns_are_the_symmetries_of_the_square():
    image, target = scene()
    for knobs, count in (({"vflip": 0.5}, 2), ({"rot90": 0.75}, 4), ({"hflip": 0.5, "rot90": 0.75}, 8)):
        seen = {}
        for seed in range(200):
            moved, masks = Augment(**knobs)(image, target, rng(seed), ORDER)
            fits = [
                (mirrors, turns)
                for mirrors in (False, True)
                for turns in range(4)
                if np.array_equal(moved, np.rot90(image[:, ::-1] if mirrors else image, turns))
            ]
            assert len(fits) == 1
            mirrors, turns = fits[0]
            plain = np.rot90(target[..., ::-1] if mirrors else target, turns, (1, 2))
            np.testing.assert_array_equal(masks, plain[list(ORDER)] if mirrors else plain)
            seen[fits[0]] = seen.get(fits[0], 0) + 1
        assert len(seen) == count
        assert min(seen.values()) > 200 / count / 2  # each as likely


def test_colours_turn_and_masks_stay():
    image, target = scene()
    red = np.concatenate([image, image // 4, image // 4], axis=2)
    outs = [Augment(hue=170, saturation=0.3)(red, target, rng(seed), ORDER) for seed in range(40)]
    changed = [out[0] for out in outs if not np.array_equal(out[0], red)]
    assert 20 < len(changed) < 40  # 3 of 4
    assert any((out[..., 1] > out[..., 0]).any() for out in changed)  # red became green
    assert all(np.array_equal(out[1], target) for out in outs)
    grey = np.repeat(image, 3, axis=2)
    np.testing.assert_array_equal(Augment(hue=60)(grey, target, rng(1), ORDER)[0], grey)  # no colour, no hue


def test_steps_that_images_cannot_have_are_refused():
    for augment, channels, size, says in (
        (colour(), "grey", (8, 8), r'hue=20: expected ImageSpec\("rgb"\)'),
        (Augment(saturation=0.1), 4, (8, 8), "saturation=0.1"),
        (Augment(clahe=2), 4, (8, 8), "grey or RGB"),
        (Augment(rot90=0.5), "rgb", (8, 9), "expected a square size"),
    ):
        with pytest.raises(ValueError, match=says):
            augment.check(channels, size)
    colour().check("rgb", (8, 9))
    medium().check(7, (8, 9))


def test_an_image_without_any_class_passes():
    image, target = scene()
    warped, masks = strong()(image, np.zeros_like(target), rng(3), ORDER)
    assert warped.shape == image.shape
    assert not masks.any()


def test_a_preset_survives_pickling_after_use():
    image, target = scene()
    preset = strong()
    first = preset(image, target, rng(7), ORDER)
    again = pickle.loads(pickle.dumps(preset))(image, target, rng(7), ORDER)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_clahe_comes_in_one_sample_of_four_and_leaves_masks():
    image, target = scene()
    outs = [Augment(clahe=2.0)(image, target, rng(seed), ORDER) for seed in range(60)]
    assert 6 < sum(not np.array_equal(out[0], image) for out in outs) < 26
    assert all(np.array_equal(out[1], target) for out in outs)


def test_numbers_out_of_range_say_so():
    for knob, value in [("hflip", 1.5), ("rotate", -3), ("scale", 1.0), ("bend", 0.9), ("noise", float("nan"))]:
        with pytest.raises(ValueError, match=rf"{knob}={value}"):
            Augment(**{knob: value})
    with pytest.raises(ValueError, match="clip limit"):
        Augment(clahe=0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("none()", None),
        ("light", light()),
        ("medium", medium()),
        ("strong", strong()),
        ("colour", colour()),
        ("medium(clahe=2.0, bend=0.1)", replace(medium(), clahe=2.0, bend=0.1)),
        (" strong( hflip = 0 ) ", strong(hflip=0)),
        ("none(hflip=1)", Augment(hflip=1)),
    ],
)
def test_text_is_a_preset_with_other_numbers(text, expected):
    assert build(text) == expected


def test_flips_are_those_that_a_recipe_declares():
    assert build("light", flips=()) == light(hflip=0)
    assert build("medium", flips=("d4",)) == replace(medium(hflip=0), hflip=0.5, rot90=0.75)
    assert build("medium(vflip=0.1)", flips=("horizontal", "vertical")) == replace(medium(), vflip=0.1)
    assert build("none", flips=("d4",)) is None
    with pytest.raises(ValueError, match="did you mean vertical"):
        build("light", flips=("verticl",))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("medum", "no augmentation 'medum'; did you mean medium"),
        ("medium(clah=2)", "medium has no setting 'clah'; did you mean clahe"),
        ("medium(extra=1)", "no setting 'extra'"),
        ("medium(bend=2)", r"bend=2: expected 0 to 0\.8"),
        ("medium(bend='much')", "bend is a number, got 'much'"),
        ("medium(hflip=True)", "hflip is a number"),
        ("medium(bend=x)", "write it like"),
        ("medium(0.1)", "write it like"),
        ("medium(**{'bend': 0.1})", "write it like|has no setting"),
        ("medium + light", "write it like"),
        ("", "write it like"),
    ],
)
def test_text_that_cannot_be_read_is_named(text, says):
    with pytest.raises(ValueError, match=says):
        build(text)
