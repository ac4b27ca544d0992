"""albumentations transforms: seeded by the sample alone, classes exchanged on every mirror, nothing lost on the way."""

import albumentations as A
import numpy as np
import pytest

from segkit.data.augment import Augment
from segkit.data.transforms import AlbumentationsTransform, is_albumentations

ORDER = (1, 0, 2)
SQUARES = {
    "identity": (lambda x: x, False),
    "hflip": (lambda x: x[..., ::-1], True),
    "vflip": (lambda x: x[..., ::-1, :], True),
    "transpose": (lambda x: np.swapaxes(x, -1, -2), True),
    "rot90": (lambda x: np.rot90(x, 1, (-2, -1)), False),
    "rot180": (lambda x: np.rot90(x, 2, (-2, -1)), False),
}


def rng(seed=0):
    return np.random.default_rng(seed)


def scene(size=40, channels=1, dtype=np.uint8):
    """A square on the left, one on the right, an empty channel; the image is the first channel."""
    target = np.zeros((3, size, size), np.uint8)
    target[0, 5:15, 3:12] = 255
    target[1, 20:30, 25:38] = 200
    image = np.repeat(target.max(0)[..., None], channels, axis=2)
    return image.astype(dtype), target


@pytest.mark.parametrize(
    ("transform", "name"),
    [
        (A.HorizontalFlip(p=1), "hflip"),
        (A.VerticalFlip(p=1), "vflip"),
        (A.Transpose(p=1), "transpose"),
        (A.Compose([A.HorizontalFlip(p=1)]), "hflip"),
        (A.Compose([A.HorizontalFlip(p=1), A.VerticalFlip(p=1)]), "rot180"),
        (A.Compose([A.OneOf([A.HorizontalFlip(p=1)], p=1)]), "hflip"),
        (A.Compose([A.HorizontalFlip(p=1)], p=0), "identity"),
        (A.Compose([A.Compose([A.HorizontalFlip(p=1)], p=0)]), "identity"),
    ],
)
def test_a_mirror_exchanges_classes_and_a_turn_does_not(transform, name):
    image, target = scene()
    moved, found = AlbumentationsTransform(transform)(image, target, rng(), ORDER)
    move, mirrors = SQUARES[name]
    np.testing.assert_array_equal(moved[..., 0], move(image[..., 0]))
    np.testing.assert_array_equal(found, move(target)[list(ORDER) if mirrors else [0, 1, 2]])


@pytest.mark.parametrize("transform", [A.D4(p=1), A.RandomRotate90(p=1), A.SquareSymmetry(p=1)])
def test_all_symmetries_are_told_apart(transform):
    image, target = scene()
    seen = set()
    for seed in range(40):
        moved, found = AlbumentationsTransform(transform)(image, target, rng(seed), ORDER)
        fits = []
        for mirrors in (False, True):
            for turns in range(4):
                side = image[:, ::-1, 0] if mirrors else image[..., 0]
                if np.array_equal(moved[..., 0], np.rot90(side, turns)):
                    fits.append((mirrors, turns))
        assert len(fits) == 1
        mirrors, turns = fits[0]
        plain = np.rot90(target[..., ::-1] if mirrors else target, turns, (1, 2))
        np.testing.assert_array_equal(found, plain[list(ORDER)] if mirrors else plain)
        seen.add((mirrors, turns))
    assert len(seen) == (4 if isinstance(transform, A.RandomRotate90) else 8)


@pytest.mark.parametrize(
    "transform",
    [
        A.Affine(rotate=(-170, 170), scale=(0.5, 1.5), shear=(-20, 20), p=1),
        A.ElasticTransform(alpha=30, sigma=5, p=1),
        A.Perspective(p=1),
        A.RandomResizedCrop((40, 40), scale=(0.3, 1), p=1),
        A.CoarseDropout(fill_mask=0, p=1),
    ],
)
def test_other_geometry_is_no_mirror(transform):
    image, target = scene()
    for seed in range(10):
        plain = AlbumentationsTransform(transform)(image, target, rng(seed), (0, 1, 2))[1]
        np.testing.assert_array_equal(AlbumentationsTransform(transform)(image, target, rng(seed), ORDER)[1], plain)


@pytest.mark.parametrize(
    "extra", [(A.HorizontalFlip(p=1),), A.Compose([A.HorizontalFlip(p=1)]), (A.Compose([A.HorizontalFlip(p=1)]),)]
)
def test_a_flip_among_the_extras_of_an_augment_exchanges_classes_too(extra):
    """FAULTS A18."""
    image, target = scene()
    moved, found = Augment(extra=extra)(image, target, rng(), ORDER)
    np.testing.assert_array_equal(moved, image[:, ::-1])
    np.testing.assert_array_equal(found, target[list(ORDER), :, ::-1])


def test_a_compose_among_the_extras_keeps_its_p():
    image, target = scene()
    moved, found = Augment(extra=A.Compose([A.HorizontalFlip(p=1)], p=0))(image, target, rng(), ORDER)
    np.testing.assert_array_equal(moved, image)
    np.testing.assert_array_equal(found, target)


def test_samples_follow_their_generator_and_steps_happen_independently():
    image, target = scene()
    twice = A.Compose([A.InvertImg(p=0.5), A.InvertImg(p=0.5)])
    outs = [AlbumentationsTransform(twice)(image, target, rng(seed), ORDER)[0] for seed in range(60)]
    assert 15 < sum(not np.array_equal(out, image) for out in outs) < 45
    again = AlbumentationsTransform(twice)
    for seed in (7, 3, 7):
        np.testing.assert_array_equal(again(image, target, rng(seed), ORDER)[0], outs[seed])
    assert twice.transforms[0].random_generator is not again._compose.transforms[0].random_generator  # a copy


def test_soft_targets_move_bilinearly_and_hard_ones_stay_hard():
    image, target = scene()
    turn = A.Affine(rotate=(30, 30), p=1)
    soft = AlbumentationsTransform(turn)(image, target, rng(), ORDER)[1]
    assert len(np.unique(soft)) > 10
    assert set(np.unique(AlbumentationsTransform(turn, hard=True)(image, target, rng(), ORDER)[1])) <= {0, 200, 255}
    own = A.Compose([turn], mask_interpolation=0)
    assert set(np.unique(AlbumentationsTransform(own)(image, target, rng(), ORDER)[1])) <= {0, 200, 255}
    assert not soft[2].any()


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_kind_of_image_comes_back_as_it_was(channels, dtype):
    image, target = scene(channels=channels, dtype=dtype)
    kept = image.copy()
    transform = A.Compose([A.RandomBrightnessContrast(0.2, 0.2, p=1), A.HorizontalFlip(p=0.5), A.GaussNoise(p=1)])
    moved, _ = AlbumentationsTransform(transform)(image, target, rng(), ORDER)
    assert (moved.shape, moved.dtype) == (image.shape, image.dtype)
    assert 20 < moved.max() <= 255
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize(
    "transform", [A.Normalize(), A.ToFloat(), A.RandomCrop(20, 20), A.Compose([A.Normalize(), A.ToTensorV2()])]
)
def test_another_shape_or_type_is_refused(transform):
    with pytest.raises(ValueError, match=r"leave Normalize and ToTensorV2 out.*Crops"):
        AlbumentationsTransform(transform)(*scene(channels=3), rng(), ORDER)


def test_what_is_of_albumentations():
    class Mine(A.ImageOnlyTransform):
        pass

    assert is_albumentations(A.Compose([]))
    assert is_albumentations(Mine())
    assert not is_albumentations(Augment())
    assert not is_albumentations(lambda image: image)
