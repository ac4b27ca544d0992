"""The pixels of one file as they are stored, and its size from the header.

One rule for all formats: an orientation tag (EXIF, TIFF) turns nothing; pixels and sizes are those that are stored.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from segkit.images import dicom, tiff

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".dcm")
"""Endings of the files that are taken for images, in lower case."""

ORIENTATION = 0x112
"""The tag of EXIF and of TIFF."""

_limit = threading.Lock()


def without_suffix(image: str) -> str:
    """An id without the ending of an image file; other dots stay.

    Args:
        image: The id.

    Returns:
        Its stem.

    Example:
        >>> without_suffix("a.b.PNG"), without_suffix("a.b")
        ('a.b', 'a.b')
    """
    stem, dot, suffix = image.rpartition(".")
    return stem if dot and stem and f".{suffix.lower()}" in SUFFIXES else image


def read_pixels(path: str | Path) -> np.ndarray:
    """The pixels of one file as they are stored.

    Args:
        path: A file that ends in one of SUFFIXES; of an animation the first frame is taken.

    Returns:
        Array (H, W, C) of the file's own type; colours are in the order red, green, blue; alpha comes last. Palettes
        are resolved. DICOM values are rescaled, and inverted where the file says MONOCHROME1.

    Raises:
        ValueError: If the file cannot be read, or needs a library that is not installed; names the file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".dcm":
        pixels = dicom.read(path)
    elif suffix in (".tif", ".tiff") and not tiff.is_plain(path):
        pixels = tiff.read(path)
    elif suffix == ".gif":
        pixels = _read_gif(path)
    else:
        pixels = _decode(path)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def image_size(path: str | Path) -> tuple[int, int]:
    """The size of an image, from the file's header alone.

    Args:
        path: An image file.

    Returns:
        (height, width) of the stored pixels.

    Raises:
        ValueError: If the file is no image; names the file.
    """
    path = Path(path)
    if path.suffix.lower() == ".dcm":
        return dicom.size(path)
    if path.suffix.lower() in (".tif", ".tiff"):
        return tiff.size(path)
    try:
        with _opened(path) as image:
            return image.height, image.width
    except OSError as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error


def orientation(path: str | Path) -> int:
    """The orientation tag of a file, which turns nothing here.

    Args:
        path: An image file.

    Returns:
        1 to 8 as EXIF numbers them; 1, upright, where there is no tag.
    """
    path = Path(path)
    if path.suffix.lower() == ".dcm":
        return 1
    if path.suffix.lower() in (".tif", ".tiff"):
        return tiff.orientation(path)
    try:
        with _opened(path) as image:
            return int(image.getexif().get(ORIENTATION, 1))
    except (OSError, SyntaxError, TypeError, ValueError):
        return 1


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A file opened by Pillow, whose limit of 179 megapixels is for decoding and not for headers."""
    try:
        image = Image.open(path)
    except Image.DecompressionBombError:
        with _limit:
            before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(path)
            finally:
                Image.MAX_IMAGE_PIXELS = before
    with image:
        yield image


def _decode(path: Path) -> np.ndarray:
    """PNG, JPEG, BMP, WebP and plain TIFF."""
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every path on Windows
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise ValueError(f"{path} cannot be decoded as an image: {error.err}") from error
    if image is None:
        raise ValueError(f"{path} cannot be decoded as an image ({data.size} bytes)")
    if image.ndim == 3 and image.shape[2] in (3, 4):
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return image


def _read_gif(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be decoded as an image: {error}") from error
