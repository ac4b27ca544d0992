"""ttach's transforms as views: what ttach gives where ttach is right, and where it is not."""

from __future__ import annotations

import pytest
import torch
import ttach
from hypothesis import given, settings
from hypothesis import strategies as st

from segkit.tta import SYMMETRIES, TTA, OneView, as_views

SIZE = (12, 20)  # of which ttach's halves and doubles come back
ALIASES = {
    "flip": ttach.aliases.flip_transform,
    "hflip": ttach.aliases.hflip_transform,
    "vflip": ttach.aliases.vlip_transform,
    "d4": ttach.aliases.d4_transform,
    "multiscale": lambda: ttach.aliases.multiscale_transform([0.5, 2]),
}


def model_of(seed, size=None):
    """A network whose answer depends on place, of any input size."""
    kernel = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def model(image):
        ramp = torch.linspace(-1, 1, image.shape[-1], dtype=image.dtype)
        return torch.nn.functional.conv2d(image, kernel, padding=1) + ramp + ramp.square()

    return model


def image_of(seed, size=SIZE):
    return torch.randn(2, 2, *size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def theirs(compose, model, image, merge="mean"):
    return ttach.SegmentationTTAWrapper(model, compose, merge_mode=merge)(image)


@pytest.mark.parametrize("merge", ["mean", "max"])
@pytest.mark.parametrize("name", ALIASES)
def test_aliases_give_what_ttach_gives(name, merge):
    compose = ALIASES[name]()
    image = image_of(0)
    ours = TTA(model_of(1), compose, merge)(image)
    torch.testing.assert_close(ours, theirs(compose, model_of(1), image, merge), atol=1e-10, rtol=1e-10)


TRANSFORMS = {
    "hflip": st.just(ttach.HorizontalFlip),
    "vflip": st.just(ttach.VerticalFlip),
    "rot90": st.sampled_from([[0, 90], [90, 270], [0, 180], [0, 90, 180, 270], [-90]]).map(
        lambda angles: lambda: ttach.Rotate90(angles)
    ),
    "multiply": st.sampled_from([[0.9, 1.1], [1, 2]]).map(lambda factors: lambda: ttach.Multiply(factors)),
    "add": st.sampled_from([[0.1], [-0.5, 0, 0.5]]).map(lambda values: lambda: ttach.Add(values)),
    "scale": st.sampled_from(
        [([0.5, 2],), ([2], "bilinear"), ([0.5], "bilinear", False), ([2], "bilinear", True), ([2], "bicubic"),
         ([1, 2, 4], "nearest")]
    ).map(lambda arguments: lambda: ttach.Scale(*arguments)),
    "resize": st.sampled_from(
        [([(24, 40)], SIZE), ([(7, 9), (15, 25)], SIZE, "bilinear"), ([SIZE, (24, 20)], SIZE)]
    ).map(lambda arguments: lambda: ttach.Resize(*arguments)),
}  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.data(), st.integers(0, 999))
def test_any_composition_gives_what_ttach_gives(data, seed):
    """Each kind of transform once, in any order, where no two of ttach's views are the same."""
    kinds = data.draw(st.lists(st.sampled_from(sorted(TRANSFORMS)), min_size=1, max_size=3, unique=True))
    if "resize" in kinds and {"rot90", "scale"} & set(kinds):
        kinds = ["resize"]  # ttach's sizes do not come back
    transforms = [data.draw(TRANSFORMS[kind])() for kind in kinds]
    compose, image = ttach.Compose(transforms), image_of(seed)
    views = as_views(compose)
    ours = TTA(model_of(seed), transforms)(image)
    assert set(TTA(model_of(seed), compose).views) == set(views)
    if len(views) == len(compose):
        torch.testing.assert_close(ours, theirs(compose, model_of(seed), image), atol=1e-8, rtol=1e-8)
    else:  # each different view counts once
        outputs = [(view.steps, OneView(model_of(seed), view)(image)) for view in views]
        torch.testing.assert_close(ours, torch.stack([out for _, out in outputs]).mean(0), atol=1e-8, rtol=1e-8)


def test_mirrors_times_turns_are_eight_views_and_sixteen_of_ttachs():
    transforms = [ttach.HorizontalFlip(), ttach.VerticalFlip(), ttach.Rotate90([0, 90, 180, 270])]
    assert len(ttach.Compose(transforms)) == 16
    assert {view.name for view in as_views(transforms)} == set(SYMMETRIES)
    image = image_of(3)  # each twice: the mean is ttach's all the same, for half the price
    ours = TTA(model_of(3), transforms)(image)
    torch.testing.assert_close(ours, theirs(ttach.Compose(transforms), model_of(3), image), atol=1e-10, rtol=1e-10)


def test_views_that_come_unequally_often_count_once():
    """ttach weighs three quarter turns times two mirrors 2:1; we take the eight views once each."""
    transforms = [ttach.HorizontalFlip(), ttach.VerticalFlip(), ttach.Rotate90([0, 90, 180])]
    image = image_of(3)
    ours = TTA(model_of(3), transforms)(image)
    torch.testing.assert_close(ours, TTA(model_of(3), "d4")(image))
    assert not torch.allclose(ours, theirs(ttach.Compose(transforms), model_of(3), image))


@pytest.mark.parametrize("size", [(11, 19), (13, 7), (5, 5)])
@pytest.mark.parametrize("scales", [[1.5], [0.5], [1.3, 0.7]])
def test_odd_sizes_come_back_where_ttach_loses_pixels(size, scales):
    compose, image = ttach.Compose([ttach.Scale(scales, "bilinear", False)]), image_of(0, size)
    out = TTA(model_of(0), compose)(image)
    assert out.shape == (2, 3, *size)
    model = model_of(0)
    expected = [model(image)]
    for scale in scales:
        seen = torch.nn.functional.interpolate(image, size=tuple(int(n * scale) for n in size), mode="bilinear")
        expected.append(torch.nn.functional.interpolate(model(seen), size=size, mode="bilinear"))
    torch.testing.assert_close(out, torch.stack(expected).mean(0))
    with pytest.raises(RuntimeError, match="must match"):
        theirs(ttach.Compose([ttach.Scale([1.5])]), model, image_of(0, (11, 19)))


def test_resize_needs_no_original_size():
    resize = ttach.Resize([(24, 40)], interpolation="bilinear")
    known = ttach.Compose([ttach.Resize([(24, 40)], original_size=SIZE, interpolation="bilinear")])
    image = image_of(0)
    ours = TTA(model_of(0), resize)(image)
    torch.testing.assert_close(ours, theirs(known, model_of(0), image))
    with pytest.raises(ValueError, match="Provide original image size"):
        theirs(ttach.Compose([resize]), model_of(0), image)


def test_classes_swap_under_ttachs_mirrors_too():
    image = image_of(0)
    swapped = TTA(model_of(0), ttach.aliases.d4_transform(), class_swaps=[(0, 1)])(image)
    torch.testing.assert_close(swapped, TTA(model_of(0), "d4", class_swaps=[(0, 1)])(image))
    assert not torch.allclose(swapped, TTA(model_of(0), "d4")(image))


def test_ttach_and_text_in_one_list():
    views = as_views(["scale(1.25)", ttach.aliases.flip_transform(), "hflip"])
    assert [view.name for view in views] == ["scale(1.25)", "identity", "vflip", "hflip", "rot180"]
    assert [view.name for view in as_views(ttach.HorizontalFlip())] == ["identity", "hflip"]
    (scaled,) = as_views(ttach.Scale([2], "bilinear"))[1:]
    assert scaled.name == "ttach.Scale(2, bilinear)"
    assert TTA(model_of(0), scaled, weights={scaled.name: 3.0}).weights[scaled] == 3.0


def test_a_nearest_scale_does_not_change_places_with_a_mirror():
    """It takes the left of two pixels, seen in a mirror the right."""
    before = as_views(ttach.Compose([ttach.HorizontalFlip(), ttach.Scale([0.5])]))
    after = as_views(ttach.Compose([ttach.Scale([0.5]), ttach.HorizontalFlip()]))
    assert len({view.steps for view in (*before, *after)}) == 5
    row = torch.arange(4.0).view(1, 1, 1, 4)
    assert before[-1].apply(row).flatten().tolist() == [3, 1]
    assert after[-1].apply(row).flatten().tolist() == [2, 0]


class Custom(ttach.HorizontalFlip):
    pass


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (ttach.aliases.five_crop_transform(4, 4), "FiveCrops cannot be a view: HorizontalFlip, "),
        (ttach.FiveCrops(4, 4), "FiveCrops cannot"),
        (Custom(), "Custom cannot be a view"),
        ([ttach.HorizontalFlip(), "vflip"], r"HorizontalFlip stands among other views; wrap it: ttach.Compose"),
        (ttach.Rotate90([0, 45]), r"multiples of 90 \(for others: 'rotate\(45\)'\)"),
        (ttach.Scale([-1]), "above 0"),
        (ttach.Multiply([-1]), "above 0"),
    ],
)
def test_what_cannot_be_undone_is_refused(views, message):
    with pytest.raises(ValueError, match=message):
        TTA(model_of(0), views)


def test_ttachs_sharpening_and_geometric_mean_are_why_ours_differ():
    """Facts about ttach that docs/tricks/tta.md states."""
    image, model = image_of(0), model_of(0)
    flips = ttach.aliases.flip_transform()
    assert theirs(flips, model, image, "tsharpen").isnan().any()
    tiny = lambda shown: torch.full_like(shown, 1e-12, dtype=torch.float32)  # noqa: E731
    assert (theirs(ttach.aliases.d4_transform(), tiny, image, "gmean") == 0).all()
    torch.testing.assert_close(
        TTA(tiny, ttach.aliases.d4_transform(), "gmean", "probs")(image), tiny(image), rtol=1e-4, atol=0
    )
