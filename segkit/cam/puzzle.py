"""A classifier whose last layer is its activation maps, and Puzzle-CAM's regularisation of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Classifier(nn.Module):
    """Features, a 1x1 convolution without bias, the mean over space: maps that can be trained, and their logits.

    `model(image)` gives logits (N, C), each class for itself: train with binary cross-entropy against which classes an
    image has. `model.maps(image)` gives the `cam` of this network, with gradients.

    Args:
        features: A module, image (N, in, H, W) -> (N, channels, h, w), or a list of such, of which the last is taken
            (timm's `features_only=True`, smp's encoders); take one of stride 16 at most.
        channels: Channels of the features.
        classes: Number of classes.
        dropout: Share of whole feature channels that are dropped in training.

    Raises:
        ValueError: For channels or classes below 1.

    Example:
        >>> model = Classifier(nn.Conv2d(1, 8, 3, stride=4), channels=8, classes=3)
        >>> model(torch.zeros(2, 1, 32, 32)).shape, model.maps(torch.zeros(2, 1, 32, 32)).shape
        (torch.Size([2, 3]), torch.Size([2, 3, 8, 8]))
    """

    def __init__(self, features: nn.Module, *, channels: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if channels < 1 or classes < 1:
            raise ValueError(f"expected at least 1 channel and 1 class, got channels={channels}, classes={classes}")
        self.features = features
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(channels, classes, 1, bias=False)

    def maps(self, image: Tensor) -> Tensor:
        """Compute the activation maps.

        Args:
            image: Float, shape (N, in, H, W).

        Returns:
            Shape (N, C, h, w), signed, with gradients.
        """
        features = self.features(image)
        return self.head(self.dropout(features if isinstance(features, Tensor) else features[-1]))

    def forward(self, image: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            image: Float, shape (N, in, H, W).

        Returns:
            Shape (N, C): the means of the maps.
        """
        return self.maps(image).mean((2, 3))


def tiles(image: Tensor, *, side: int = 2) -> Tensor:
    """Split images into side x side tiles; `merged` is the inverse, bit for bit.

    Args:
        image: Shape (N, C, H, W).
        side: Tiles along each side.

    Returns:
        Shape (side^2 N, C, H / side, W / side), all images' first tiles first.

    Raises:
        ValueError: If H or W does not divide.

    Example:
        >>> tiles(torch.arange(4.0).view(1, 1, 2, 2)).flatten()
        tensor([0., 1., 2., 3.])
    """
    if side < 1 or image.shape[2] % side or image.shape[3] % side:
        raise ValueError(f"images of {tuple(image.shape[2:])} do not divide into {side} x {side} tiles; pad or resize")
    return torch.cat([tile for row in image.chunk(side, 2) for tile in row.chunk(side, 3)])


def merged(parts: Tensor, *, side: int = 2) -> Tensor:
    """Put tiles together again.

    Args:
        parts: Shape (side^2 N, C, h, w).
        side: Tiles along each side.

    Returns:
        Shape (N, C, side h, side w).

    Raises:
        ValueError: For another number of tiles.
    """
    if side < 1 or len(parts) % side**2:
        raise ValueError(f"expected a multiple of {side} x {side} tiles, got {len(parts)}")
    chunks = parts.chunk(side**2)
    return torch.cat([torch.cat(chunks[row * side : (row + 1) * side], 3) for row in range(side)], 2)


def puzzle(maps: Callable[[Tensor], Tensor], image: Tensor, labels: Tensor, *, alpha: float, side: int = 2) -> Tensor:
    """Compute Puzzle-CAM's loss: the maps of an image and of its tiles, put together, are to agree.

    Cross-entropy of the whole image, that of the merged tiles, and alpha times the mean absolute difference of the two
    maps, 0 in classes that the image does not have. Tiles show only parts of an object, so the classifier must name it
    by more than its most distinctive part.

    Args:
        maps: With gradients, image (N, in, H, W) -> (N, C, h, w), whose means over space are the logits: the `.maps` of
            a `Classifier`.
        image: Float, shape (N, in, H, W).
        labels: Shape (N, C), 1 where an image has the class.
        alpha: Weight of the difference; the authors let it grow, linearly, to 4 over the first half of training.
        side: Tiles along each side.

    Returns:
        A scalar.

    Raises:
        ValueError: For labels of another shape, and for images whose sides do not divide by side times the network's
            stride.

    References:
        Jo and Yu, Puzzle-CAM, ICIP 2021.
    """
    whole = maps(image)
    if labels.shape != whole.shape[:2]:
        raise ValueError(f"expected labels (N, C) {tuple(whole.shape[:2])}, got {tuple(labels.shape)}")
    parts = merged(maps(tiles(image, side=side)), side=side)
    if parts.shape != whole.shape:
        raise ValueError(
            f"maps of the image are {tuple(whole.shape[2:])}, those of its tiles together {tuple(parts.shape[2:])}; "
            f"take images whose sides divide by {side} times the network's stride"
        )
    labels = labels.to(whole)
    named = sum(F.binary_cross_entropy_with_logits(both.mean((2, 3)), labels) for both in (whole, parts))
    return named + alpha * ((whole - parts).abs() * labels[..., None, None]).mean()
