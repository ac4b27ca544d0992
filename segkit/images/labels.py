"""Label maps and masks as they are stored: numbers, not pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segkit.images.pixels import read_pixels


def read_labels(path: str | Path, *, colours: bool = False) -> np.ndarray:
    """The values of a label map or mask.

    Args:
        path: An image file; of a palette the numbers are the values, not its colours.
        colours: Whether the values are colours; a palette is then resolved, and grey is repeated.

    Returns:
        Integers or bool (H, W); with `colours` uint8 (H, W, 3), red, green, blue. Alpha is dropped.

    Raises:
        ValueError: If the file cannot be read, has colours where numbers are expected, or floats; names the file.
    """
    path = Path(path)
    values = None if colours else _palette_numbers(path)
    if values is not None:
        return values
    pixels = read_pixels(path)
    if pixels.dtype.kind not in "bui":
        raise ValueError(f"{path}: expected labels as integers, got {pixels.dtype}")
    if pixels.shape[2] in (2, 4):
        pixels = pixels[..., : pixels.shape[2] - 1]
    if pixels.shape[2] not in (1, 3):
        raise ValueError(f"{path}: expected 1 or 3 channels of labels, got {pixels.shape[2]}")
    if colours:
        if pixels.dtype != np.uint8:
            raise ValueError(f"{path}: expected colours of 8 bits, got {pixels.dtype}")
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    if any(not np.array_equal(pixels[..., 0], pixels[..., k]) for k in range(1, pixels.shape[2])):
        raise ValueError(f"{path}: expected numbers, got colours; Samples.from_label_maps takes colours as classes")
    return np.ascontiguousarray(pixels[..., 0])


def _palette_numbers(path: Path) -> np.ndarray | None:
    """The numbers of a palette image; None for a file of another kind."""
    if path.suffix.lower() not in (".png", ".gif", ".bmp", ".tif", ".tiff"):
        return None
    try:
        if path.suffix.lower() == ".png":  # most masks: byte 25 is the kind of colours, 3 a palette
            with path.open("rb") as handle:
                if handle.read(26)[25:] != b"\x03":
                    return None
        with Image.open(path) as image:
            return np.asarray(image) if image.mode == "P" and image.getexif().get(0x112, 1) == 1 else None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # whoever decodes it says what is wrong
