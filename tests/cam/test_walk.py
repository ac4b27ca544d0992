"""A random walk is a power of a stochastic matrix, whichever way its steps were found."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segkit import cam


def dense(step: cam.Affinity) -> torch.Tensor:
    """The transition matrices, (N, h w, h w), row: from, column: to."""
    n, _, h, w = step.weights.shape
    out = torch.zeros(n, h * w, h * w, dtype=step.weights.dtype)
    for plane, (down, right) in zip(step.weights.unbind(1), step.offsets):
        for y in range(h):
            for x in range(w):
                if 0 <= y + down < h and 0 <= x + right < w:
                    out[:, y * w + x, (y + down) * w + x + right] += plane[:, y, x]
                else:
                    assert not plane[:, y, x].any()  # nobody leaves the frame
    return out


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


KINDS = {
    "features": lambda x: cam.affinity(x, radius=2, power=3),
    "far": lambda x: cam.affinity(x, radius=9),
    "colours": lambda x: cam.colour_affinity(x, dilations=[1, 3]),
    "far colours": lambda x: cam.colour_affinity(x, dilations=[2, 40]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 6), (4, 1)])
def test_rows_sum_to_one_and_a_walk_is_a_power_of_the_matrix(kind: str, size: tuple[int, int]) -> None:
    image, x = maps(2, 2, *size), maps(2, 3, *size, seed=1)
    before = image.clone(), x.clone()
    step = KINDS[kind](image)
    matrix = dense(step)
    assert (step.weights >= 0).all()
    torch.testing.assert_close(matrix.sum(2), torch.ones_like(matrix[..., 0]))
    for steps in (0, 1, 4):
        slow = torch.einsum("nij,ncj->nci", torch.linalg.matrix_power(matrix, steps), x.flatten(2)).view_as(x)
        torch.testing.assert_close(cam.walk(x, step, steps=steps), slow)
    assert torch.equal(image, before[0])
    assert torch.equal(x, before[1])


@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 6), st.integers(0, 5))
def test_values_stay_within_and_flat_planes_stay(seed: int, height: int, width: int, steps: int) -> None:
    x = maps(1, 2, height, width, seed=seed)
    for step in (cam.affinity(x, radius=2), cam.colour_affinity(x, dilations=[1, 2])):
        walked = cam.walk(x, step, steps=steps)
        assert walked.max() <= x.max() + 1e-9
        assert walked.min() >= x.min() - 1e-9
        torch.testing.assert_close(cam.walk(torch.full_like(x, 0.3), step, steps=steps), torch.full_like(x, 0.3))


def test_weights_by_hand() -> None:
    """Features 0, 1, 3 in a row, two channels alike; radius 1: exp(-power |difference|), normalised."""
    features = torch.tensor([0.0, 1.0, 3.0]).expand(1, 2, 1, 3)
    matrix = dense(cam.affinity(features, radius=1, power=2))[0]
    a, b = math.exp(-2), math.exp(-4)
    expected = torch.tensor([[1, a, 0], [a, 1, b], [0, b, 1]])
    torch.testing.assert_close(matrix, expected / expected.sum(1, keepdim=True))


def test_colour_weights_by_hand() -> None:
    """Greys 0, 2, 1 in a row: around the middle the deviation is sqrt(2/3), so the logits are -2 and -1 over that."""
    matrix = dense(cam.colour_affinity(torch.tensor([[[[0.0, 2.0, 1.0]]]]), dilations=[1], contrast=1.0))[0]
    share = 1 / (1 + math.exp(-1 / math.sqrt(2 / 3)))
    torch.testing.assert_close(matrix, torch.tensor([[0, 1, 0], [1 - share, 0, share], [0, 1, 0]]))


def test_colours_do_not_depend_on_their_scale() -> None:
    image = maps(1, 3, 6, 6)
    one, other = (cam.colour_affinity(x, dilations=[1, 2]) for x in (image, 100 * image + 7))
    torch.testing.assert_close(one.weights, other.weights, rtol=1e-5, atol=1e-6)


def test_a_seed_fills_its_region_and_no_more() -> None:
    image = torch.zeros(1, 1, 9, 12)
    image[..., 6:] = 1
    seed = torch.zeros(1, 1, 9, 12)
    seed[..., 4, 1] = 1
    for step in (cam.colour_affinity(image, dilations=[1, 2]), cam.affinity(image, radius=3, power=40)):
        walked = cam.walk(seed, step, steps=60)
        assert (walked[..., :6] > 1e-3).all()
        assert walked[..., 6:].max() < 1e-3


def test_the_loss_by_hand() -> None:
    """Four pixels in a row: background, background, a class, unknown. Radius 1: a pair alike, one not, one unknown."""
    features = torch.tensor([0.0, 0.5, 2.0, 9.0]).view(1, 1, 1, 4).requires_grad_()
    found = cam.Seeds(torch.tensor([[[[0.0, 0.0, 1.0, 0.0]]]]), torch.tensor([[[[1.0, 1.0, 1.0, 0.0]]]]))
    value = cam.affinity_loss(features, found, radius=1)
    expected = 0.25 * 0.5 - 0.5 * math.log(1 - math.exp(-1.5))
    assert value.item() == pytest.approx(expected, abs=1e-4)
    value.backward()
    assert features.grad is not None
    assert features.grad.flatten()[3] == 0
    assert features.grad.flatten()[2] < 0  # away from the background


def test_pairs_of_a_class_belong_together_and_two_classes_do_not() -> None:
    features = torch.tensor([1.0, 1.5]).view(1, 1, 1, 2)
    known = torch.ones(1, 2, 1, 2)
    same = cam.affinity_loss(features, cam.Seeds(torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]]), known), radius=1)
    other = cam.affinity_loss(features, cam.Seeds(torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]]), known), radius=1)
    assert same.item() == pytest.approx(0.25 * 0.5, abs=1e-4)
    assert other.item() == pytest.approx(-0.5 * math.log(1 - math.exp(-0.5)), abs=1e-4)
    nothing = cam.affinity_loss(features, cam.Seeds(torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)), radius=1)
    assert nothing.item() == 0


def test_equal_features_on_both_sides_have_a_finite_loss_and_slope() -> None:
    features = torch.zeros(1, 4, 3, 3, requires_grad=True)
    target = torch.zeros(1, 1, 3, 3)
    target[..., 1:] = 1
    value = cam.affinity_loss(features, cam.Seeds(target, torch.ones(1, 1, 3, 3)), radius=2)
    value.backward()
    assert value.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_learned_features_keep_the_walk_inside() -> None:
    """A convolution learns, from a few known pixels, which of two textures belong together."""
    torch.manual_seed(0)
    image = torch.zeros(1, 1, 16, 16)
    image[..., ::2, 8:] = 1.0
    image[..., :, :8] = 0.5  # as grey on average
    target, weight = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    target[..., 10:] = 1
    weight[..., :6] = weight[..., 10:] = 1
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5, padding=2), torch.nn.ELU(), torch.nn.Conv2d(8, 8, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        cam.affinity_loss(net(image), cam.Seeds(target, weight), radius=5).backward()
        optimizer.step()
    seed = torch.zeros(1, 1, 16, 16)
    seed[..., 8, 13] = 1
    with torch.no_grad():
        walked = cam.walk(seed, cam.affinity(net(image), radius=5, power=8), steps=40)
    assert walked[..., 10:].sum() > 10 * walked[..., :6].sum()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: cam.affinity(x, radius=0), "radius of at least 1 pixel, got 0"),
        (lambda x: cam.affinity(x, power=0), "power above 0"),
        (lambda x: cam.affinity(x[0]), "features"),
        (lambda x: cam.colour_affinity(x, dilations=[]), "dilations"),
        (lambda x: cam.colour_affinity(x, dilations=[1, 1]), "dilations"),
        (lambda x: cam.colour_affinity(x, contrast=0), "contrast above 0"),
        (lambda x: cam.colour_affinity(x[0]), "an image"),
        (lambda x: cam.walk(x, cam.affinity(x[..., 1:]), steps=1), "resize"),
        (lambda x: cam.walk(x, cam.affinity(x), steps=-1), "steps, got -1"),
        (lambda x: cam.affinity_loss(x, cam.Seeds(x[..., 1:], x[..., 1:])), "seeds from maps of that size"),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(1, 1, 4, 4))  # type: ignore[operator]
