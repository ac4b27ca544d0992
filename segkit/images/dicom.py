"""DICOM files through pydicom, of the extra `formats`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np


def read(path: Path) -> np.ndarray:
    """The values of a file: rescaled by slope and intercept, and bright where it is dense (MONOCHROME1).

    Args:
        path: A DICOM file of one frame.

    Returns:
        Array (H, W) or (H, W, 3).

    Raises:
        ValueError: If it cannot be read, or pydicom is not installed; names the file.
    """
    pydicom = _pydicom(path)
    try:
        data = pydicom.dcmread(path)
        pixels = data.pixel_array
        if data.get("NumberOfFrames", 1) not in (None, 1):
            raise ValueError(f"expected one frame, got {data.NumberOfFrames}")
        kind = data.get("PhotometricInterpretation", "MONOCHROME2")
        if kind == "PALETTE COLOR":
            return pydicom.pixels.apply_color_lut(pixels, data)
        if kind == "MONOCHROME1":
            top = 2 ** int(data.BitsStored) - 1 if data.PixelRepresentation == 0 else -1
            pixels = (top - pixels.astype(np.int64)).astype(np.int32)
        slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        return pixels if (slope, intercept) == (1, 0) else (pixels * slope + intercept).astype(np.float32)
    except Exception as error:  # pydicom and its decoders raise nearly every kind
        raise ValueError(f"{path} cannot be read as a DICOM image: {error}") from error


def size(path: Path) -> tuple[int, int]:
    """The size of an image, from the header.

    Args:
        path: A DICOM file.

    Returns:
        (height, width).

    Raises:
        ValueError: If it cannot be read, or pydicom is not installed; names the file.
    """
    pydicom = _pydicom(path)
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(data.Rows), int(data.Columns)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as a DICOM image: {error}") from error


def _pydicom(path: Path) -> ModuleType:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError as error:
        raise ValueError(f'{path}: DICOM needs pydicom: pip install "segkit[formats]"') from error
    return pydicom
