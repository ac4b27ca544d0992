"""Sliding windows: a network that sees parts of an image, merged without seams and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segkit.models.outputs import main_logits

MIN_WEIGHT = 1e-6
"""Smallest weight of a window's pixel along an axis, so that an edge that no other window covers is not lost."""

ROWS = 64
"""Rows of a window that are merged at a time."""


class Share(NamedTuple):
    """Weight of a window among those that are merged before it, from sums along the two axes.

    Attributes:
        rows: Weights along its rows.
        columns: Weights along its columns.
        above: Sum of the weights of the windows of the rows above, along its rows.
        every: Sum of the weights of all windows of a row, along its columns.
        before: Sum of the weights of itself and the windows left of it, along its columns.
    """

    rows: np.ndarray
    columns: np.ndarray
    above: np.ndarray
    every: np.ndarray
    before: np.ndarray

    def of(self, part: slice) -> Tensor:
        """Shares of some of its rows.

        Args:
            part: Which rows.

        Returns:
            float64 (rows of the part, w) in (0, 1].
        """
        rows, above = self.rows[part, None], self.above[part, None]
        return torch.from_numpy(rows * self.columns / (above * self.every + rows * self.before))


class Window(NamedTuple):
    """One window of one image."""

    top: int
    left: int
    share: Share
    image: int


class Output(NamedTuple):
    """One window of neighbouring images, and the model's logits of it."""

    left: int
    share: Share
    images: slice
    out: Tensor


class Sliding(nn.Module):
    """A model that sees images through a window: `Sliding(model, (512, 512))(image)` is shaped as `model(image)`.

    What is merged is what the model returns (logits, or probabilities). Each window is taken into the result at once,
    as a running weighted mean: beside the result one batch of windows is held, and where all windows agree the result
    is what they say, bit for bit. The result is float32 (float64 where the model's output is), without gradients.

    Args:
        model: (n, in, h, w) -> (n, C, h, w), as big as its input, or a dictionary or sequence with such logits; it
            should have been trained on crops of the window's size (`data.Crops`, `data.Tiles`).
        window: (h, w), cut to the image where that is smaller.
        overlap: Of neighbours, a share of the window in [0, 1). Windows lie evenly, the first and the last flush with
            the border.
        sigma: Of the Gaussian by which a window's middle counts more than its edges, in windows; None counts all alike.
        batch_size: Windows of one forward pass at most, whichever images and rows of windows they are of.

    Raises:
        ValueError: For settings out of range. Called: for a model that returns another size than its input.

    References:
        nnU-Net takes a sigma of 1/8: Isensee and others, 2021.

    Example:
        >>> Sliding(lambda tile: tile + 1, (4, 4), overlap=0.5)(torch.full((1, 1, 7, 9), 0.3)).unique()
        tensor([1.3000])
    """

    def __init__(
        self,
        model: Callable[[Tensor], Any],
        window: tuple[int, int],
        *,
        overlap: float = 0.5,
        sigma: float | None = 0.125,
        batch_size: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(window, Sequence) or len(window) != 2 or min(window) < 1:
            raise ValueError(f"window={window}: expected (height, width) of at least 1")
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap={overlap}: expected a share of the window in [0, 1)")
        if sigma is not None and not sigma > 0:
            raise ValueError(f"sigma={sigma}: expected a share of the window above 0, or None")
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected at least one window")
        self.model = model
        self.window, self.overlap, self.sigma = (int(window[0]), int(window[1])), float(overlap), sigma
        self.batch_size = batch_size

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Run the model over all windows and merge them.

        Args:
            image: Shape (N, in, H, W).

        Returns:
            Shape (N, C, H, W).
        """
        out: Tensor | None = None
        for top, outputs in self._outputs(image):
            out = _zeros(outputs, image, image.shape[2]) if out is None else out
            _merge(out, outputs, top)
            del outputs  # before the model is called again
        assert out is not None  # an image has a pixel
        return out

    @torch.no_grad()
    def strips(self, image: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Give the rows of forward(image) from top to bottom, as they are done; a strip as high as the window is held.

        Args:
            image: Shape (N, in, H, W).

        Yields:
            (first row, (N, C, rows, W)); a strip belongs to the caller until the next one is asked for.
        """
        strip: Tensor | None = None
        height = min(self.window[0], image.shape[2])
        begin = 0
        for top, outputs in self._outputs(image):
            strip = _zeros(outputs, image, height) if strip is None else strip
            if top > begin:
                yield begin, strip[:, :, : top - begin]
                done, begin = top - begin, top
                for row in range(0, height - done, done):  # steps that do not overlap: no copy is needed
                    rows = min(done, height - done - row)
                    strip[:, :, row : row + rows] = strip[:, :, row + done : row + done + rows]
                strip[:, :, max(0, height - done) :] = 0
            _merge(strip, outputs, 0)
            del outputs
        assert strip is not None
        yield begin, strip

    def _outputs(self, image: Tensor) -> Iterator[tuple[int, list[Output]]]:
        """Batch by batch, and row by row of a batch: the top of the windows, and each window."""
        if image.ndim != 4 or 0 in image.shape:
            raise ValueError(f"expected an image (N, channels, H, W), nothing of it 0, got {tuple(image.shape)}")
        high, wide = (min(side, full) for side, full in zip(self.window, image.shape[2:]))
        every = self._windows(image)
        while batch := list(islice(every, self.batch_size)):
            windows = [list(same) for _, same in groupby(batch, key=lambda one: one[:2])]
            images = [slice(same[0].image, same[-1].image + 1) for same in windows]
            places = [(slice(w[0].top, w[0].top + high), slice(w[0].left, w[0].left + wide)) for w in windows]
            shown = [image[i, :, rows, columns] for i, (rows, columns) in zip(images, places)]
            outs = _logits(self.model(torch.cat(shown)), shown)
            found = [(w[0].top, Output(w[0].left, w[0].share, i, out)) for w, i, out in zip(windows, images, outs)]
            del outs
            for top, row in groupby(found, key=lambda one: one[0]):
                yield top, [output for _, output in row]
            del found  # before the model is called again

    def _windows(self, image: Tensor) -> Iterator[Window]:
        """Every window from top to bottom and left to right, of one image after the other."""
        (tops, high, rows), (lefts, wide, columns) = (
            _axis(full, side, self.overlap, self.sigma) for full, side in zip(image.shape[2:], self.window)
        )
        above, every = np.zeros(image.shape[2]), _sum(lefts, columns, image.shape[3])
        for top in tops:
            before, old = np.zeros(image.shape[3]), above[top : top + high].copy()
            for left in lefts:
                at = slice(left, left + wide)
                before[at] += columns
                share = Share(rows, columns, old, every[at], before[at].copy())
                yield from (Window(top, left, share, number) for number in range(len(image)))
            above[top : top + high] += rows

    def extra_repr(self) -> str:
        """Settings, for repr()."""
        return f"window={self.window}, overlap={self.overlap}, sigma={self.sigma}, batch_size={self.batch_size}"


def places(full: int, side: int, overlap: float) -> list[int]:
    """Where windows begin on an axis: evenly, the first at 0 and the last ending with the axis.

    Args:
        full: Length of the axis.
        side: Of a window.
        overlap: Neighbours share at least so much of a window, but for rounding by one pixel.

    Returns:
        Begins, ascending.

    Example:
        >>> places(10, 4, 0.5)
        [0, 2, 4, 6]
        >>> places(9, 4, 0.0)
        [0, 2, 5]
    """
    side = min(side, full)
    step = max(1.0, side * (1 - overlap))
    steps = -int(-(full - side) // step)
    return [round(i * (full - side) / steps) for i in range(steps + 1)] if steps else [0]


def _axis(full: int, side: int, overlap: float, sigma: float | None) -> tuple[list[int], int, np.ndarray]:
    """Where windows begin on an axis, how long they are, and the weights of their pixels, float64."""
    side = min(side, full)
    away = (np.arange(side) + 0.5) / side - 0.5
    weight = np.ones(side) if sigma is None else np.maximum(np.exp(-0.5 * (away / sigma) ** 2), MIN_WEIGHT)
    return places(full, side, overlap), side, weight


def _sum(begins: list[int], weight: np.ndarray, full: int) -> np.ndarray:
    """The sum of the weights of all windows of an axis."""
    total = np.zeros(full)
    for begin in begins:
        total[begin : begin + len(weight)] += weight
    return total


def _zeros(outputs: list[Output], image: Tensor, height: int) -> Tensor:
    """Zeros for the result, or for a strip of it."""
    out = outputs[0].out
    kind = torch.promote_types(out.dtype, torch.float32)
    return torch.zeros(len(image), out.shape[1], height, image.shape[3], dtype=kind, device=out.device)


def _merge(result: Tensor, outputs: list[Output], top: int) -> None:
    """Take windows into a running mean: lerp leaves what is equal as it is, and a share of 1 replaces what was."""
    for left, share, images, out in outputs:
        into = result[images, :, top : top + out.shape[2], left : left + out.shape[3]]
        for first in range(0, out.shape[2], ROWS):  # shares and conversions are small then
            part = slice(first, first + ROWS)
            into[:, :, part].lerp_(out[:, :, part].to(result.dtype), share.of(part).to(result))


def _logits(output: object, shown: list[Tensor]) -> list[Tensor]:
    """What the model returned for each of the windows, of one image or several."""
    found: Any = output
    out = main_logits(found, source="the model")
    counts = [len(window) for window in shown]
    _, channels, *size = shown[0].shape
    if [len(out), *out.shape[2:]] != [sum(counts), *size]:
        raise ValueError(
            f"the model returned {tuple(out.shape)} for windows {(sum(counts), channels, *size)}; its output must be "
            "as big as the window: upsample inside the model"
        )
    return list(out.split(counts))
