"""Pixels as an ImageSpec says: channels, depth, one type; nothing is guessed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from segkit.images.pixels import read_pixels
from segkit.images.spec import ImageSpec


def read_image(path: str | Path | Sequence[str | Path], spec: ImageSpec | None = None) -> np.ndarray:
    """One image as `spec` says.

    Args:
        path: A file, or several, whose channels are stacked in this order.
        spec: Channels and depth; default: ImageSpec(), grey in 8 bits.

    Returns:
        Array (H, W, C) of spec.dtype, values 0 to 255, always with three axes.

    Raises:
        ValueError: If a file cannot be read, files of one image differ in size, or the channels are not those of
            `spec`; names the file.
    """
    spec = ImageSpec() if spec is None else spec
    paths = (path,) if isinstance(path, (str, Path)) else tuple(path)
    return combine([read_pixels(part) for part in paths], spec, [str(part) for part in paths])


def combine(parts: Sequence[np.ndarray], spec: ImageSpec, names: Sequence[str]) -> np.ndarray:
    """The pixels of the files of one image as `spec` says: what read_image does with what read_pixels gives.

    Args:
        parts: Arrays (H, W) or (H, W, C), one a file; several are stacked as channels.
        spec: Channels and depth.
        names: What errors call them.

    Returns:
        Array (H, W, C) of spec.dtype.

    Raises:
        ValueError: As read_image.
    """
    if len(parts) == 1:
        return convert(parts[0], spec, names[0])
    if len({part.shape[:2] for part in parts}) != 1:
        sizes = {name: part.shape[:2] for name, part in zip(names, parts)}
        raise ValueError(f"expected files of one size for one image, got {sizes}")
    total = sum(part.shape[2] for part in parts)
    if total != spec.num_channels:
        raise ValueError(
            f"{', '.join(names)}: expected {spec.num_channels} channels, got {total}; see ImageSpec.channels"
        )  # fmt: skip
    ranges = spec.ranges() if len(spec.ranges()) == total else spec.ranges() * total
    ends = np.cumsum([part.shape[2] for part in parts])
    scaled = [_to_255(part, ranges[end - part.shape[2] : end], apart=True) for part, end in zip(parts, ends.tolist())]
    return _typed(np.concatenate(scaled, axis=2), spec)


def convert(pixels: np.ndarray, spec: ImageSpec, where: str = "image") -> np.ndarray:
    """Pixels of one image as `spec` says.

    Args:
        pixels: Array (H, W) or (H, W, C), bool, integer or float; 3 channels are red, green, blue, and 4 have alpha.
        spec: Channels and depth.
        where: What errors call the image, such as its path.

    Returns:
        Array (H, W, C) of spec.dtype, values 0 to 255.

    Raises:
        ValueError: If the channels are not those of `spec`, or the array is no image; names `where`.

    Example:
        >>> convert(np.array([[0, 4095]], np.uint16), ImageSpec())[0, :, 0].tolist()
        [0, 255]
    """
    pixels = np.asarray(pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or 0 in pixels.shape or pixels.dtype.kind not in "buif":
        raise ValueError(f"{where}: expected numbers of shape (H, W) or (H, W, C), got {pixels.dtype} {pixels.shape}")
    given = pixels
    pixels = _channels(pixels, spec, where)
    out = _typed(_to_255(pixels, spec.ranges(), apart=isinstance(spec.channels, int)), spec)
    return out.copy() if np.may_share_memory(out, given) else out


def _channels(pixels: np.ndarray, spec: ImageSpec, where: str) -> np.ndarray:
    """The channels of `spec`, out of those that there are."""
    count = pixels.shape[2]
    if isinstance(spec.channels, int):
        if count != spec.channels:
            raise ValueError(f"{where}: expected {spec.channels} channels, got {count}; see ImageSpec.channels")
        return pixels
    if count > 4:
        raise ValueError(f"{where}: has {count} channels, which are neither grey nor RGB; pass ImageSpec({count})")
    if count in (2, 4):  # alpha
        pixels = np.ascontiguousarray(pixels[..., : count - 1])
    if spec.channels == "rgb":
        return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 1:
        return pixels
    if is_grey(pixels):
        return np.ascontiguousarray(pixels[..., :1])
    if pixels.dtype == bool:
        pixels = _to_255(pixels)
    elif pixels.dtype not in (np.uint8, np.uint16, np.float32):  # those that OpenCV converts
        pixels = pixels.astype(np.float32)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None]


def is_grey(pixels: np.ndarray) -> bool:
    """Whether red, green and blue are equal everywhere; NaN equals NaN.

    Args:
        pixels: Array (H, W, C) of 3 channels or more.

    Returns:
        True for a grey picture.
    """
    same = pixels.dtype.kind == "f"
    return all(np.array_equal(pixels[..., 0], pixels[..., k], equal_nan=same) for k in (1, 2))


def _to_255(pixels: np.ndarray, ranges: Sequence[tuple[float, float]] = (), *, apart: bool = False) -> np.ndarray:
    """8 bits as they are; else float32 of 0 to 255: by the ranges, or from the smallest to the largest finite value.

    apart: each channel has a smallest and a largest value of its own.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.view(np.uint8) * np.uint8(255)
    pixels = pixels.astype(np.float32)
    if ranges:
        low, high = np.array(ranges, np.float32).T
    else:
        axis, finite = (0, 1) if apart else None, np.isfinite(pixels)
        low, high = pixels.min(axis, initial=np.inf, where=finite), pixels.max(axis, initial=-np.inf, where=finite)
        low, high = (np.where(np.isfinite(side), side, np.float32(0)) for side in (low, high))
    pixels -= low
    pixels *= (255.0 / np.maximum(high.astype(np.float64) - low, 1e-12)).astype(np.float32)
    return np.clip(np.nan_to_num(pixels, copy=False, nan=0.0, posinf=255.0, neginf=0.0), 0, 255, out=pixels)


def _typed(pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    if pixels.dtype != np.uint8 and spec.dtype == "uint8":
        return np.rint(pixels).astype(np.uint8)
    return pixels.astype(spec.dtype, copy=False)
