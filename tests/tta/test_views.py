"""Each view against NumPy, OpenCV and itself: what it shows, where it puts it back, and what it did not see."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segkit.tta import SYMMETRIES, TTA, OneView, View, as_views

CPU = torch.device("cpu")
IMAGE = torch.randn(2, 1, 9, 13, generator=torch.Generator().manual_seed(0))
EVERY = [*SYMMETRIES, "rotate(10)", "rotate(-45)", "scale(0.5)", "scale(1.37)", "shift(0.2, -0.1)", "gamma(0.8)",
         "multiply(1.1)", "add(0.1)", "hflip*scale(1.5)", "rot90*rotate(5)*shift(0.1, 0)",
         "transpose*gamma(2)*scale(0.6)"]  # fmt: skip

# What each symmetry is in NumPy's words, on an (H, W) array.
TWINS = {
    "identity": lambda a: a,
    "rot90": lambda a: np.rot90(a, 1),
    "rot180": lambda a: a[::-1, ::-1],
    "rot270": lambda a: np.rot90(a, 3),
    "hflip": lambda a: a[:, ::-1],
    "vflip": lambda a: a[::-1],
    "transpose": lambda a: a.T,
    "antitranspose": lambda a: a[::-1, ::-1].T,
}


def view(text):
    (found,) = as_views(text)
    return found


def test_symmetries_are_numpys_and_undone_exactly():
    assert SYMMETRIES.keys() == TWINS.keys()
    image = torch.arange(6.0).view(1, 1, 2, 3)
    seen = set()
    for name in SYMMETRIES:
        turned = view(name).apply(image)
        assert np.array_equal(turned[0, 0].numpy(), TWINS[name](image[0, 0].numpy())), name
        assert torch.equal(view(name).undo(turned, (2, 3), (2, 3)), image), name
        seen.add(tuple(map(tuple, turned[0, 0].tolist())))
    assert len(seen) == 8


@given(names=st.lists(st.sampled_from(list(SYMMETRIES)), min_size=1, max_size=6))
def test_symmetries_one_after_another_are_one(names):
    image = IMAGE[0, 0].numpy()
    for name in names:
        image = TWINS[name](image)
    both = view("*".join(names))
    assert np.array_equal(both.apply(IMAGE)[0, 0].numpy(), image)
    assert len(both.steps) <= 1
    assert both.name in SYMMETRIES


@settings(max_examples=100, deadline=None)
@given(
    names=st.lists(
        st.sampled_from(
            [*SYMMETRIES, "scale(1.37)", "scale(0.6)", "gamma(0.8)", "multiply(1.5)", "shift(0.2, -0.1)", "add(0.25)"]
        ),
        max_size=4,
    ),
    turn=st.sampled_from([None, "rotate(7)", "rotate(-30)"]),
    place=st.integers(0, 4),
    size=st.tuples(st.integers(16, 37), st.integers(16, 37)),  # torch is wrong where it shrinks to one column
)
def test_the_normal_form_does_what_was_written(names, turn, place, size):
    """Step by step as written, in both directions, on sizes of all kinds: so that views of one normal form are one."""
    names = names[:place] + [turn] * (turn is not None) + names[place:] or ["identity"]
    written = View("as written", tuple(step for name in names for step in view(name).steps))
    short = view("*".join(names))
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 2, *size)))  # float64: gamma is steep near 0
    shown = written.apply(image)
    torch.testing.assert_close(short.apply(image), shown, atol=1e-6, rtol=1e-6)
    assert short.mirrored == written.mirrored
    for fill in ("border", "zeros"):
        backs = [one.undo(shown, size, size, fill=fill) for one in (short, written)]
        torch.testing.assert_close(*backs, atol=1e-6, rtol=1e-6)
    blind = [
        torch.ones(size).bool() if m is None else m for m in (one.seen(size, size, CPU) for one in (short, written))
    ]
    assert (blind[0] != blind[1]).sum() <= 1  # a pixel may lie at the very edge of what was seen


@pytest.mark.parametrize(
    ("pair", "name"),
    [
        (("hflip*scale(1.25)", "scale(1.25)*hflip"), "hflip*scale(1.25)"),
        (("gamma(0.8)*hflip", "hflip*gamma(0.8)"), "hflip*gamma(0.8)"),
        (("rot180*scale(1.25)", "vflip*scale(1.25)*hflip"), "rot180*scale(1.25)"),
        (("hflip*rotate(5)", "rotate(-5)*hflip"), "hflip*rotate(5)"),
        (("rot90*rotate(5)", "rotate(5)*rot90"), "rot90*rotate(5)"),
        (("rot90*shift(0.1, 0)", "shift(0, -0.1)*rot90"), "rot90*shift(0.1, 0)"),
        (("shift(0.1, 0.2)*hflip", "hflip*shift(0.1, -0.2)"), "hflip*shift(0.1, -0.2)"),
        (("shift(0.1, 0)", "shift(0.1, -0)", "hflip*shift(0.1, 0)*hflip"), "shift(0.1, 0)"),
        (("multiply(0.1)*multiply(3)", "multiply(0.3)"), "multiply(0.3)"),
        (("multiply(2)*rotate(5)*multiply(3)", "rotate(5)*multiply(6)"), "rotate(5)*multiply(6)"),
        (("add(0.1)*multiply(2)", "multiply(2)*add(0.2)", "add(0.2)*multiply(2)*add(-0.2)"), "multiply(2)*add(0.2)"),
        (("rot90*add(0.1)*rot90*add(0.2)", "add(0.3)*rot180"), "rot180*add(0.3)"),
        (
            (
                "none",
                "add(1)*add(-1)",
                "multiply(2)*multiply(0.5)",
                "rotate(5)*rotate(-5)",
                "hflip*rotate(5)*rotate(-5)*hflip",
            ),
            "identity",
        ),
        (("rotate(30)*rotate(-20)", "rotate(10)", "hflip*rotate(-15)*hflip*rotate(-5)"), "rotate(10)"),
    ],
)
def test_what_does_the_same_is_one_view(pair, name):
    assert [one.name for one in as_views(list(pair))] == [name]


def test_turns_that_follow_each_other_are_one_turn_of_at_most_45_degrees():
    assert [one.name for one in as_views("rotate(30)*rotate(30)*rotate(-20), rotate(30)*rotate(30)")] == [
        "rotate(40)",
        "rotate(30)*rotate(30)",
    ]


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(EVERY), height=st.integers(1, 23), width=st.integers(1, 23), value=st.floats(-5, 5))
def test_any_size_comes_back_at_its_size_and_a_constant_as_that_constant(name, height, width, value):
    """Odd sizes break scales elsewhere."""
    image = torch.full((1, 2, height, width), value)
    shown = view(name).apply(image)
    if not name.startswith(("multiply", "add")):
        torch.testing.assert_close(shown, torch.full_like(shown, value), atol=1e-5, rtol=1e-5)
    back = view(name).undo(shown, (height, width), (height, width))
    assert back.shape == image.shape
    torch.testing.assert_close(back, torch.full_like(image, shown.flatten()[0].item()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("degrees", [10, -30, 45])
def test_a_turn_is_opencvs(degrees):
    image = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(31, 44)).astype(np.float32), (0, 0), 2)
    matrix = cv2.getRotationMatrix2D((21.5, 15.0), degrees, 1.0)  # OpenCV turns against the clock, too
    theirs = cv2.warpAffine(image, matrix, (44, 31), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ours = view(f"rotate({degrees})").apply(torch.from_numpy(image)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(ours, theirs, atol=0.01 * np.abs(image).max())


@pytest.mark.parametrize("name", ["rotate(20)", "shift(0.25, -0.1)", "rot90*rotate(-15)*shift(0, 0.2)"])
def test_what_left_the_frame_does_not_count(name):
    """A model that gives back what it is shown: where a view saw a pixel it comes back, elsewhere it is not asked."""
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    image = (rows * 0.3 + columns)[None, None]  # a ramp: bilinear sampling is exact on it
    one = view(name)
    seen = one.seen((40, 60), (40, 60), CPU)
    assert 0.4 < seen.float().mean() < 1
    back = one.undo(one.apply(image), (40, 60), (40, 60), fill="zeros")[0, 0]
    inner = torch.from_numpy(cv2.erode(seen.numpy().astype(np.uint8), np.ones((5, 5)), borderValue=0)).bool()
    torch.testing.assert_close(back[inner], image[0, 0][inner], atol=2e-3, rtol=0)
    # A network that says 1 inside its frame: the merged answer is 1 everywhere, not diluted where a view was blind.
    out = TTA(lambda shown: torch.ones_like(shown), [name], "mean")(image)
    torch.testing.assert_close(out, torch.ones_like(image))


def test_a_shift_moves_whole_pixels_and_comes_back_bit_for_bit():
    one = view("shift(0.3, -0.2)")  # of 9 x 13: 3 down, 3 left
    shown = one.apply(IMAGE)
    assert torch.equal(shown[..., 3:, :10], IMAGE[..., :6, 3:])
    assert torch.equal(shown[..., :3, :10], IMAGE[..., :1, 3:].expand(-1, -1, 3, -1))
    seen = one.seen((9, 13), (9, 13), CPU)
    assert seen.sum() == 6 * 10
    back = one.undo(shown, (9, 13), (9, 13), fill="zeros")
    assert torch.equal(back[..., seen], IMAGE[..., seen])
    assert (back[..., ~seen] == 0).all()


def test_a_shift_comes_back_on_a_coarser_output_too():
    """A network with outputs at half the resolution: 4 pixels down are 2 cells."""
    image = torch.rand(1, 1, 16, 16)
    alone = OneView(nn.AvgPool2d(2), "shift(0.25, 0)")(image)
    torch.testing.assert_close(alone[..., :6, :], nn.AvgPool2d(2)(image)[..., :6, :])
    out = TTA(nn.AvgPool2d(2), "d4, shift(0.25, 0), scale(2)")(image)
    torch.testing.assert_close(out, nn.AvgPool2d(2)(image), atol=0.3, rtol=0)


def test_scales_by_hand():
    image = torch.tensor([[0.0, 4.0]]).expand(1, 1, 2, 2)
    assert view("scale(2)").apply(image)[0, 0, 0].tolist() == [0, 1, 3, 4]
    assert view("scale(0.5)").apply(image)[0, 0].tolist() == [[2]]
    assert view("scale(1.5)").apply(torch.zeros(1, 1, 5, 7)).shape == (1, 1, 8, 10)


def test_tones_by_hand():
    assert torch.equal(view("multiply(1.5)").apply(IMAGE), IMAGE * 1.5)
    assert torch.equal(view("add(-0.25)").apply(IMAGE), IMAGE - 0.25)
    image = torch.tensor([0.0, 0.5, 1.0, 1.0]).view(1, 1, 2, 2)  # squared: 0, .25, 1, 1
    toned = view("gamma(2)").apply(image).flatten()
    expected = torch.tensor([0.0, 0.25, 1.0, 1.0])
    expected = (expected - expected.mean()) / expected.std(correction=0) * image.std(correction=0) + image.mean()
    torch.testing.assert_close(toned, expected)
    both = view("gamma(0.7)").apply(torch.cat([IMAGE, 100 + 9 * IMAGE]))  # each image by itself, whatever its units
    torch.testing.assert_close(both[2:], 100 + 9 * both[:2], atol=1e-3, rtol=1e-4)


def test_inputs_come_back_untouched():
    before = IMAGE.clone()
    for name in EVERY:
        view(name).undo(view(name).apply(IMAGE), (9, 13), (9, 13))
    assert torch.equal(IMAGE, before)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hflp", "did you mean hflip"),
        ("vflip, rot91", "did you mean rot90"),
        ("rotat(5)", "did you mean rotate"),
        ("scale", r"scale needs numbers"),
        ("hflip(1)", "no view"),
        ("hflip*", "no view"),
        ("rotate(60)", "use rot90"),
        ("rotate(0)", "not 0"),
        ("rotate(nan)", "degrees"),
        ("scale(1)", "not 1"),
        ("scale(-2)", "above 0"),
        ("shift(0, 0)", "not both 0"),
        ("shift(0.1)", r"expected shift\(down, right\)"),
        ("scale(1, 2)", r"expected scale\(factor\)"),
        ("", "no view ''"),
        ("shift(2, 0)", "shares"),
        ("gamma(0)", "above 0"),
        ("add(0)", "not 0"),
        ("add(inf)", "finite"),
        ("multiply(x)", r"expected multiply\(factor\), in numbers"),
    ],
)
def test_a_mistake_is_named(text, says):
    with pytest.raises(ValueError, match=says):
        as_views(text)
