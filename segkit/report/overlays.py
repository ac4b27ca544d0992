"""Images with masks on them: one embedded picture, outlines as paths, errors as a transparent layer."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import contourpy
import cv2
import numpy as np
from PIL import Image

from segkit.geometry import resize
from segkit.rle import Runs, at_least

SIDE = 720  # px, the longer side of an embedded picture
ERRORS = {"missed": (56, 189, 248), "extra": (255, 122, 69), "wrong class": (250, 214, 60)}
"""Colours of the pixels that truth has and the prediction lacks, the other way round, and both (RGB)."""


@dataclass(frozen=True)
class Overlay:
    """One image to look at.

    Args:
        id: The image's id.
        caption: What stands beside it.
        image: uint8 (H, W, 1) grey or (H, W, 3) RGB, of the masks' size or smaller.
        truth: {class: Runs}; a class that is not named is empty, runs without a shape are of the image's size.
        pred: The same of a prediction.
        score: The image's mean score; may be NaN.

    Raises:
        ValueError: For another image.
    """

    id: str
    caption: str
    image: np.ndarray
    truth: Mapping[str, Runs]
    pred: Mapping[str, Runs]
    score: float

    def __post_init__(self) -> None:
        shape, kind = self.image.shape, self.image.dtype
        if len(shape) != 3 or kind != np.uint8 or not self.image.size or shape[2] not in (1, 3):
            got = f"{self.image.dtype} {self.image.shape}"
            raise ValueError(f"{self.id}: expected a uint8 image (height, width, 1 or 3), got {got}")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the masks."""
        named = [runs.shape for runs in [*self.truth.values(), *self.pred.values()] if runs.shape is not None]
        return named[0] if named else (self.image.shape[0], self.image.shape[1])


def drawn(overlay: Overlay, colours: Mapping[str, str]) -> dict[str, Any]:
    """Draw what the page needs of an overlay.

    Args:
        overlay: The image with its masks.
        colours: {class: CSS colour}.

    Returns:
        Sizes, pictures as data URIs, paths of both sides, class scores, shares of errors.
    """
    height, width = overlay.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    empty = Runs(np.zeros((0, 2), np.int64), overlay.shape)
    truth = {cls: overlay.truth.get(cls, empty).with_shape(overlay.shape) for cls in colours}
    pred = {cls: overlay.pred.get(cls, empty).with_shape(overlay.shape) for cls in colours}
    dice = {cls: truth[cls].dice(pred[cls]) for cls in colours}
    sides = {
        name: [
            {
                "index": i,
                "cls": cls,
                "colour": colours[cls],
                "dice": dice[cls],
                "path": outline(side[cls], size),
            }
            for i, cls in enumerate(colours)
            if side[cls]
        ]
        for name, side in (("truth", truth), ("pred", pred))
    }
    errors = _errors(truth, pred)
    labelled = max(1, at_least(list(truth.values()), 1).area)
    return {
        "id": overlay.id,
        "caption": overlay.caption,
        "score": overlay.score,
        "height": size[0],
        "width": size[1],
        "whole": f"0 0 {size[1]} {size[0]}",
        "view": _view([*truth.values(), *pred.values()], overlay.shape, size),
        "image": _data_uri(_small(overlay.image, size), "WEBP", quality=82),
        **sides,
        "errors": _data_uri(_error_layer(errors, size), "WEBP", lossless=True) if overlay.pred else None,
        "error_share": {name: runs.area / labelled for name, runs in errors.items()},
        "weakest": sorted(dice.items(), key=lambda item: item[1])[:3] if overlay.pred else [],
    }


def outline(runs: Runs, size: tuple[int, int]) -> str:
    """Outline a mask as an SVG path; one too small to cover half a drawn pixel is shown as its box.

    Args:
        runs: The mask, with a shape.
        size: (height, width) that it is drawn at, px.

    Returns:
        The path; "" of an empty mask.

    Example:
        >>> outline(Runs([[0, 4]], shape=(2, 2)), (2, 2)).startswith("M")
        True
    """
    if not runs:
        return ""
    share, top, left = _coverage(runs, size)
    padded = np.pad(share, 1)
    corner = np.array([left, top])
    lines: Any = contourpy.contour_generator(z=padded, line_type=contourpy.LineType.Separate).lines(0.5)
    polygons = [cv2.approxPolyDP(line.astype(np.float32), 0.3, True)[:, 0] - 0.5 + corner for line in lines]
    polygons = [polygon for polygon in polygons if len(polygon) >= 3]
    if not polygons:
        rows, columns = np.nonzero(share)
        (a, b), (c, d) = (rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1)
        polygons = [np.array([[c, a], [d, a], [d, b], [c, b]]) + corner]
    return "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in polygon) + "Z" for polygon in polygons)


def _view(masks: Sequence[Runs], shape: tuple[int, int], size: tuple[int, int]) -> str:
    """SVG viewBox of the part of a picture of `size` that holds all masks, with a margin; else of the whole."""
    found = at_least(masks, 1) if masks else None
    if not found:
        return f"0 0 {size[1]} {size[0]}"
    rows, columns = np.nonzero(resize.coverage(found.mask(shape), size))
    margin = round(0.05 * max(size))
    top, left = max(0, rows.min() - margin), max(0, columns.min() - margin)
    bottom, right = min(size[0], rows.max() + 1 + margin), min(size[1], columns.max() + 1 + margin)
    return f"{left} {top} {right - left} {bottom - top}"


def _coverage(runs: Runs, size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """resize.coverage on the rows that the mask (not empty) reaches into -> (float32, top, left)."""
    assert runs.shape is not None
    width = runs.shape[1]
    box = int(runs.array[0, 0]) // width, 0, (int(runs.array[-1, 1]) - 1) // width + 1, width
    low = resize.low_region(box, runs.shape, size)
    top, left, bottom, _ = resize.full_region(low, runs.shape, size)
    edges = np.clip(runs.array, top * width, bottom * width) - top * width
    rows = Runs(edges, (bottom - top, width)).mask()
    return resize.coverage_of_box(rows, top, left, runs.shape, size, low), low[0], low[1]


def _errors(truth: Mapping[str, Runs], pred: Mapping[str, Runs]) -> dict[str, Runs]:
    """Pixels that some class misses, has too much, or both: one class's loss is another's gain."""
    missed = at_least([truth[cls] - pred[cls] for cls in truth], 1)
    extra = at_least([pred[cls] - truth[cls] for cls in truth], 1)
    both = missed & extra
    return {"missed": missed - both, "extra": extra - both, "wrong class": both}


def _error_layer(errors: Mapping[str, Runs], size: tuple[int, int]) -> np.ndarray:
    """uint8 (h, w, 4): the errors' colours; a sliver thinner than a drawn pixel stays visible."""
    weights = np.zeros((len(errors), *size), np.float32)
    for weight, runs in zip(weights, errors.values()):
        if runs:
            share, top, left = _coverage(runs, size)
            weight[top : top + share.shape[0], left : left + share.shape[1]] = share
    total = weights.sum(axis=0)
    colours = np.array([ERRORS[name] for name in errors], np.float32)
    rgb = np.tensordot(weights, colours, axes=(0, 0)) / np.maximum(total, 1e-6)[..., None]
    alpha = 255.0 * np.clip(total, 0.0, 1.0) ** 0.4
    return np.dstack([rgb, alpha]).round().astype(np.uint8)


def _small(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at `size`: (h, w) grey or (h, w, 3)."""
    channels = [resize.resize_image(np.ascontiguousarray(image[..., c]), size) for c in range(image.shape[2])]
    return channels[0] if len(channels) == 1 else np.stack(channels, axis=-1)


def viewable(image: np.ndarray) -> np.ndarray:
    """Return an image of any channels and depth as an Overlay takes it: its first three channels, or its first.

    Args:
        image: (H, W, C) as Samples.read_image gives it, uint8 or float32 on the scale 0 to 255.

    Returns:
        uint8, (H, W, 3) or (H, W, 1).
    """
    kept = image[..., :3] if image.shape[2] >= 3 else image[..., :1]
    return np.clip(np.rint(kept), 0, 255).astype(np.uint8)


def _data_uri(pixels: np.ndarray, kind: str, **settings: object) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def cases(overlays: Sequence[Overlay], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """drawn() for every overlay, numbered so that the page's ids stay apart."""
    return [{"number": i, **drawn(overlay, colours)} for i, overlay in enumerate(overlays)]
