"""Puzzle-CAM: cutting and merging are each other's inverse, and the loss is what the paper says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from segkit import cam


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_merging_is_the_inverse_of_cutting(side: int, n: int, rows: int, columns: int, c: int) -> None:
    x = torch.randn(n, c, side * rows, side * columns)
    parts = cam.tiles(x, side=side)
    assert parts.shape == (side * side * n, c, rows, columns)
    assert torch.equal(cam.merged(parts, side=side), x)


def test_the_order_of_tiles() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    both = cam.tiles(torch.cat([x, -x]))
    assert both[:, 0, 0, 0].tolist() == [0, -0, 2, -2, 8, -8, 10, -10]


def test_the_loss_by_hand() -> None:
    """A map that is the image less its mean: of tiles it is another."""
    x = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
    labels = torch.ones(1, 1)
    value = cam.puzzle(lambda s: s - s.mean((2, 3), keepdim=True) / 2, x, labels, alpha=0.5)
    whole, parts = x - 2, x / 2
    expected = F.softplus(-whole.mean()) + F.softplus(-parts.mean()) + 0.5 * (whole - parts).abs().mean()
    torch.testing.assert_close(value, expected)


def test_absent_classes_are_not_compared() -> None:
    def maps(shown: torch.Tensor) -> torch.Tensor:
        return torch.cat([shown, shown - shown.amax((2, 3), keepdim=True)], 1)

    x, labels = torch.randn(2, 1, 4, 4), torch.tensor([[1, 0], [1, 0]])
    torch.testing.assert_close(cam.puzzle(maps, x, labels, alpha=0), cam.puzzle(maps, x, labels, alpha=9))
    assert cam.puzzle(maps, x, 1 - labels, alpha=9) > cam.puzzle(maps, x, 1 - labels, alpha=0) + 0.1


def test_a_pointwise_network_pays_for_its_labels_alone() -> None:
    model = cam.Classifier(nn.Conv2d(1, 4, 1), channels=4, classes=2)
    x, labels = torch.randn(3, 1, 8, 8), torch.tensor([[1, 0], [0, 0], [1, 1]])
    plain = F.binary_cross_entropy_with_logits(model(x), labels.float())
    torch.testing.assert_close(cam.puzzle(model.maps, x, labels, alpha=4.0, side=4), 2 * plain)


def test_every_parameter_learns_from_it() -> None:
    model = cam.Classifier(nn.Conv2d(1, 4, 3, padding=1, stride=2), channels=4, classes=2, dropout=0.1)
    cam.puzzle(model.maps, torch.randn(2, 1, 8, 8), torch.tensor([[1, 0], [0, 1]]), alpha=1.0).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_lists_of_features_are_read_from_their_end() -> None:
    class Pyramid(nn.Module):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [x, x[..., ::2, ::2].repeat(1, 3, 1, 1)]

    assert cam.Classifier(Pyramid(), channels=3, classes=2).maps(torch.zeros(1, 1, 8, 8)).shape == (1, 2, 4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cam.tiles(torch.zeros(1, 1, 5, 4)), "do not divide into 2 x 2"),
        (lambda: cam.tiles(torch.zeros(1, 1, 4, 4), side=0), "do not divide"),
        (lambda: cam.merged(torch.zeros(6, 1, 4, 4)), "tiles, got 6"),
        (lambda: cam.Classifier(nn.Identity(), channels=0, classes=1), "channels=0"),
        (lambda: cam.puzzle(nn.Identity(), torch.zeros(2, 1, 4, 4), torch.zeros(2), alpha=1), "expected labels"),
        (
            lambda: cam.puzzle(nn.AvgPool2d(4, ceil_mode=True), torch.zeros(1, 1, 12, 12), torch.ones(1, 1), alpha=1),
            "divide by 2 times the network's stride",
        ),
    ],
)
def test_bad_input_is_named(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]
