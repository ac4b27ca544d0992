"""Images as radiographs come: .png or .jpg, grey, 3 equal channels, alpha, 8 or 16 bits."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def read_image(path: str | Path) -> np.ndarray:
    """A radiograph as uint8 (H, W) grey.

    Equal channels are taken as one, colours are converted, alpha is dropped; 16 bits are stretched from the image's
    own darkest to its brightest pixel (12-bit values in a 16-bit file would be black otherwise). EXIF rotation is
    ignored, as annotations are. ValueError names a file that cannot be read.
    """
    path = Path(path)
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every path on Windows
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise ValueError(f"{path} cannot be decoded as an image ({data.size} bytes)")
    if image.ndim == 3:
        image = _grey(image)
    if image.dtype == np.uint8:
        return image
    low, high = float(image.min()), float(image.max())
    stretched = (image.astype(np.float32) - low) * (255.0 / max(high - low, 1e-12))
    return np.rint(stretched).astype(np.uint8)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) from the file's header, without decoding. ValueError names a file that has none."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error


def _grey(image: np.ndarray) -> np.ndarray:
    channels = image.shape[2]
    if channels in (2, 4):  # grey or colour, with alpha
        image = image[:, :, : channels - 1]
    if image.shape[2] == 1 or (
        np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2])
    ):
        return np.ascontiguousarray(image[..., 0])
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
