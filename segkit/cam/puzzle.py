"""A classifier whose last layer is its activation maps, and Puzzle-CAM's regularisation of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Classifier(nn.Module):
    """Features, a 1x1 convolution without bias, the mean over space: maps that can be trained, and their logits.

    features: a module, image (N, in, H, W) -> (N, channels, h, w), or a list of such, of which the last is taken
    (timm's `features_only=True`, smp's encoders); stride 16 at most keeps maps worth looking at. classes: how many.
    dropout: of whole feature channels.

    model(image) -> logits (N, C), each class for itself: train with binary cross-entropy against which classes an image
    has. model.maps(image) -> (N, C, h, w), with gradients: `cam` of this network (Zhou et al., 2016).

    >>> model = Classifier(nn.Conv2d(1, 8, 3, stride=4), channels=8, classes=3)
    >>> model(torch.zeros(2, 1, 32, 32)).shape, model.maps(torch.zeros(2, 1, 32, 32)).shape
    (torch.Size([2, 3]), torch.Size([2, 3, 8, 8]))
    """

    def __init__(self, features: nn.Module, *, channels: int, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        if channels < 1 or classes < 1:
            raise ValueError(f"channels={channels}, classes={classes}: at least 1 of each is wanted")
        self.features = features
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(channels, classes, 1, bias=False)

    def maps(self, image: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, C, h, w), signed, with gradients."""
        found = self.features(image)
        return self.head(self.dropout(found if isinstance(found, Tensor) else found[-1]))

    def forward(self, image: Tensor) -> Tensor:
        return self.maps(image).mean((2, 3))


def tiles(image: Tensor, *, side: int = 2) -> Tensor:
    """Cut into side x side tiles: (N, C, H, W) -> (side^2 N, C, H/side, W/side), all images' first tiles first.

    ValueError where H or W does not divide. `merged` is its inverse, bit for bit.

    >>> tiles(torch.arange(4.0).view(1, 1, 2, 2)).flatten()
    tensor([0., 1., 2., 3.])
    """
    if side < 1 or image.shape[2] % side or image.shape[3] % side:
        raise ValueError(f"images of {tuple(image.shape[2:])} do not divide into {side} x {side} tiles; pad or resize")
    return torch.cat([tile for row in image.chunk(side, 2) for tile in row.chunk(side, 3)])


def merged(parts: Tensor, *, side: int = 2) -> Tensor:
    """Tiles put together again: (side^2 N, C, h, w) -> (N, C, side h, side w). ValueError for other numbers of them."""
    if side < 1 or len(parts) % side**2:
        raise ValueError(f"{len(parts)} tiles are no whole number of {side} x {side} puzzles")
    cells = parts.chunk(side**2)
    return torch.cat([torch.cat(cells[row * side : (row + 1) * side], 3) for row in range(side)], 2)


def puzzle(maps: Callable[[Tensor], Tensor], image: Tensor, labels: Tensor, *, alpha: float, side: int = 2) -> Tensor:
    """Puzzle-CAM's loss (Jo and Yu, ICIP 2021): the maps of an image and of its tiles, put together, are to agree.

    maps: with gradients, image (N, in, H, W) -> (N, C, h, w), whose means over space are the logits: a `Classifier`'s
    `.maps`. labels: (N, C), 1 where an image has the class. -> a scalar: cross-entropy of the whole image, that of the
    merged tiles, and alpha times the mean absolute difference of the two maps, 0 in classes that are not there. alpha:
    the authors let it grow, linearly, to 4 over the first half of training.

    Tiles see only parts of an object, so the classifier must name it by more than its most telling part. ValueError
    for labels of another shape, and for images whose sides do not divide by side times the network's stride.
    """
    whole = maps(image)
    if labels.shape != whole.shape[:2]:
        raise ValueError(f"labels are {tuple(labels.shape)}; {tuple(whole.shape[:2])}, (N, C), are wanted")
    parts = merged(maps(tiles(image, side=side)), side=side)
    if parts.shape != whole.shape:
        raise ValueError(
            f"maps of the image are {tuple(whole.shape[2:])}, those of its tiles together {tuple(parts.shape[2:])}; "
            f"take images whose sides divide by {side} times the network's stride"
        )
    labels = labels.to(whole)
    named = sum(F.binary_cross_entropy_with_logits(found.mean((2, 3)), labels) for found in (whole, parts))
    return named + alpha * ((whole - parts).abs() * labels[..., None, None]).mean()
