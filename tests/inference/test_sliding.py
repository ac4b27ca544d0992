"""Windows that leave no trace: constants, pixelwise models, a slow twin, every size and overlap."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segkit.inference.sliding import Sliding, places

sides = st.integers(1, 23)


def ramp(tile):
    """A model whose answer depends on the place in the window: seams show."""
    rows, columns = torch.arange(tile.shape[2])[:, None], torch.arange(tile.shape[3])
    return torch.cat([tile + rows * 0.3, tile * columns], 1)


@settings(max_examples=80, deadline=None)
@given(full=st.integers(1, 60), side=st.integers(1, 70), overlap=st.floats(0, 0.9))
def test_windows_cover_an_axis_evenly_and_overlap_as_asked(full, side, overlap):
    begins, side = places(full, side, overlap), min(side, full)
    assert begins[0] == 0
    assert begins[-1] == full - side
    steps = np.diff(begins)
    assert all(0 < step <= max(1, side * (1 - overlap)) + 1 for step in steps)
    assert all(step <= side for step in steps)  # nothing is left out
    assert max(steps, default=0) - min(steps, default=0) <= 1


@settings(max_examples=40, deadline=None)
@given(size=st.tuples(sides, sides), window=st.tuples(sides, sides), overlap=st.floats(0, 0.8), value=st.floats(-9, 9))
def test_a_constant_stays_that_constant_bit_for_bit(size, window, overlap, value):
    constant = torch.tensor(value, dtype=torch.float32)
    out = Sliding(lambda tile: torch.full((len(tile), 2, *tile.shape[2:]), value), window, overlap=overlap)(
        torch.zeros(2, 1, *size)
    )
    assert out.shape == (2, 2, *size)
    assert (out == constant).all()


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(sides, sides),
    window=st.tuples(sides, sides),
    overlap=st.floats(0, 0.8),
    sigma=st.sampled_from([None, 0.125, 0.4]),
    batch_size=st.integers(1, 7),
)
def test_slow_twin(size, window, overlap, sigma, batch_size):
    """Sum weighted windows and weights in float64, and divide; the strips are the rows of the whole."""
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 1, *size)))
    model = Sliding(ramp, window, overlap=overlap, sigma=sigma, batch_size=batch_size)
    total, weights = np.zeros((2, 2, *size)), np.zeros(size)
    h, w = (min(a, b) for a, b in zip(window, size))
    y, x = ((np.arange(n) - (n - 1) / 2) / n for n in (h, w))
    weight = np.ones((h, w)) if sigma is None else np.exp(-(y[:, None] ** 2 + x**2) / (2 * sigma**2))
    for top in places(size[0], h, overlap):
        for left in places(size[1], w, overlap):
            at = (slice(top, top + h), slice(left, left + w))
            total[:, :, *at] += weight * ramp(image[:, :, *at]).numpy()
            weights[at] += weight
    np.testing.assert_allclose(model(image).numpy(), total / weights, rtol=1e-9, atol=1e-9)
    strips = [(first, strip.clone()) for first, strip in model.strips(image)]
    assert [first for first, _ in strips] == [0, *np.cumsum([strip.shape[2] for _, strip in strips])[:-1]]
    assert torch.equal(torch.cat([strip for _, strip in strips], 2), model(image))


def test_a_pixelwise_network_answers_as_on_the_whole_image():
    model, image = nn.Conv2d(1, 3, 1), torch.randn(2, 1, 37, 53)
    torch.testing.assert_close(Sliding(model, (16, 16))(image), model(image).detach())


def test_an_image_smaller_than_the_window_is_seen_whole():
    shown = []
    Sliding(lambda tile: shown.append(tuple(tile.shape)) or tile, (64, 8))(torch.zeros(1, 1, 5, 16))
    assert shown == [(1, 1, 5, 8)] * 3


def test_windows_of_several_images_share_a_batch():
    shown = []
    Sliding(lambda tile: shown.append(len(tile)) or tile, (8, 8), overlap=0, batch_size=4)(torch.zeros(2, 1, 8, 40))
    assert shown == [4, 4, 2]


@pytest.mark.parametrize(
    ("images", "batch_size", "passes"), [(5, 2, [2] * 22 + [1]), (1, 8, [8, 1]), (1, 4, [4, 4, 1])]
)
def test_a_pass_never_holds_more_than_a_batch_and_spans_images_and_rows(images, batch_size, passes):
    shown = []
    slides = Sliding(lambda tile: shown.append(len(tile)) or ramp(tile), (4, 4), batch_size=batch_size)
    image = torch.randn(images, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    out = slides(image)
    assert shown == passes  # of 3 x 3 windows an image
    alone = Sliding(ramp, (4, 4))
    assert torch.equal(out, torch.cat([alone(one[None]) for one in image]))
    assert torch.equal(out, torch.cat([strip.clone() for _, strip in slides.strips(image)], 2))


def test_one_batch_of_windows_is_held_at_a_time():
    outputs = []

    def model(tile):
        assert all(output() is None for output in outputs)
        out = tile.expand(-1, 3, -1, -1).clone()
        outputs.append(weakref.ref(out))
        return out

    slides = Sliding(model, (8, 8), batch_size=2)
    slides(torch.zeros(1, 1, 20, 30))
    for _ in slides.strips(torch.zeros(1, 1, 20, 30)):
        pass
    assert len(outputs) == 2 * (4 * 7 // 2)


def test_a_narrow_gaussian_loses_no_pixel():
    image = torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(Sliding(nn.Identity(), (10, 10), overlap=0, sigma=0.001)(image), image)


def test_it_is_a_module_and_half_precision_is_merged_in_float32():
    model = nn.Conv2d(1, 2, 3, padding=1)
    slides = Sliding(model, (8, 8))
    assert list(slides.parameters()) == list(model.parameters())
    assert not slides(torch.zeros(1, 1, 12, 12)).requires_grad
    out = Sliding(lambda tile: torch.full_like(tile, 60000.0).half(), (8, 8))(torch.zeros(1, 1, 12, 12))
    assert out.dtype == torch.float32
    assert (out == 60000).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"window": (0, 8)}, "window"),
        ({"window": (8,)}, "window"),
        ({"window": 8}, r"window=8: expected \(height, width\)"),
        ({"overlap": 1.0}, "overlap"),
        ({"overlap": -0.1}, "overlap"),
        ({"sigma": 0.0}, "sigma"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_a_mistake_is_named(arguments, says):
    with pytest.raises(ValueError, match=says):
        Sliding(nn.Identity(), **{"window": (8, 8), **arguments})


def test_a_model_that_does_not_fit_is_named():
    image = torch.zeros(1, 1, 16, 16)
    with pytest.raises(ValueError, match="upsample inside the model"):
        Sliding(nn.MaxPool2d(2), (8, 8))(image)
    with pytest.raises(ValueError, match="the model returned a dict with 'mask'"):
        Sliding(lambda tile: {"mask": tile}, (8, 8))(image)
    assert torch.equal(Sliding(lambda tile: {"out": tile}, (8, 8))(image), image)
    with pytest.raises(ValueError, match=r"\(N, channels, H, W\)"):
        Sliding(nn.Identity(), (8, 8))(image[0])
    with pytest.raises(ValueError, match=r"nothing of it 0, got \(0, 1, 16, 16\)"):
        Sliding(nn.Identity(), (8, 8))(image[:0])
