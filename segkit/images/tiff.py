"""TIFF files: OpenCV reads the plain ones, tifffile (extra `formats`) those of many bands, tiles and other types."""

from __future__ import annotations

import struct
from pathlib import Path
from types import ModuleType

import numpy as np

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANAR = 256, 257, 258, 259, 262, 274, 277, 284
TILE_WIDTH, FORMAT, PAGES = 322, 339, 0  # the last is none of TIFF: 2 where more pages follow
WANTED = (WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANAR, TILE_WIDTH, FORMAT)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)
KINDS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Field types whose values are unsigned integers: their struct letters."""


def is_plain(path: Path) -> bool:
    """Whether OpenCV reads a file as it is stored: upright strips of few bands and of the common types.

    Args:
        path: A TIFF file.

    Returns:
        False for those that tifffile must read.
    """
    try:
        tags = header(path)
    except ValueError:
        return True  # whoever decodes it says what is wrong
    samples, colour = tags.get(SAMPLES, (1,))[0], tags.get(PHOTOMETRIC, (1,))[0]
    kind = set(tags.get(BITS, (1,))), set(tags.get(FORMAT, (1,)))
    if (
        TILE_WIDTH in tags
        or tags[PAGES][0] > 1
        or tags.get(ORIENTATION, (1,))[0] != 1
        or (samples > 1 and tags.get(PLANAR, (1,))[0] != 1)
    ):
        return False
    if samples == 1:
        deep = kind in (({16}, {1}), ({32}, {3}))
        return (colour in (WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE) and kind in (({1}, {1}), ({8}, {1}))) or (
            colour == BLACK_IS_ZERO and deep
        )
    return colour == RGB and samples == 3 and kind in (({8}, {1}), ({16}, {1}), ({32}, {3}))


def size(path: Path) -> tuple[int, int]:
    """The size of the first image's stored pixels.

    Args:
        path: A TIFF file.

    Returns:
        (height, width).

    Raises:
        ValueError: If it is no TIFF file; names it.
    """
    tags = header(path)
    return tags[HEIGHT][0], tags[WIDTH][0]


def orientation(path: Path) -> int:
    """The orientation tag.

    Args:
        path: A TIFF file.

    Returns:
        1 to 8; 1 where there is no tag, or no header.
    """
    try:
        return header(path).get(ORIENTATION, (1,))[0]
    except ValueError:
        return 1


def header(path: Path) -> dict[int, tuple[int, ...]]:
    """The integer tags of the first image that say how it is stored.

    Args:
        path: A TIFF or BigTIFF file.

    Returns:
        {tag: values}; PAGES is 2 where more pages follow.

    Raises:
        ValueError: If it is no TIFF file; names it.
    """
    try:
        with path.open("rb") as handle:
            start = handle.read(16)
            order = {b"II": "<", b"MM": ">"}[start[:2]]
            big = struct.unpack(order + "H", start[2:4])[0] == 43
            offset = struct.unpack(order + ("Q" if big else "I"), start[8:16] if big else start[4:8])[0]
            handle.seek(offset)
            count = struct.unpack(order + ("Q" if big else "H"), handle.read(8 if big else 2))[0]
            width, head = (20, 12) if big else (12, 8)
            entries = handle.read(width * min(count, 4096))
            tags: dict[int, tuple[int, ...]] = {PAGES: (1 + any(handle.read(8 if big else 4)),)}
            for at in range(0, len(entries) - width + 1, width):
                tag, kind, number = struct.unpack(order + ("HHQ" if big else "HHI"), entries[at : at + head])
                if tag not in WANTED or kind not in KINDS or number > 4096:
                    continue
                letters = f"{order}{number}{KINDS[kind]}"
                inline, room = entries[at + head : at + width], struct.calcsize(letters)
                if room > len(inline):
                    handle.seek(struct.unpack(order + ("Q" if big else "I"), inline)[0])
                    inline = handle.read(room)
                tags[tag] = struct.unpack(letters, inline[:room])
            if WIDTH not in tags or HEIGHT not in tags:
                raise ValueError("its header has no size")
            return tags
    except (OSError, KeyError, struct.error, ValueError) as error:
        reason = "it does not begin as one" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} cannot be read as a TIFF image: {reason}") from error


def read(path: Path) -> np.ndarray:
    """The first image, at its full resolution.

    Args:
        path: A TIFF file.

    Returns:
        Array (H, W) or (H, W, C).

    Raises:
        ValueError: If it cannot be read, or tifffile is not installed; names the file.
    """
    tifffile = _tifffile(path)
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            pixels = channels_last(series.asarray(), series.axes)
            white_is_zero = series.keyframe.photometric == WHITE_IS_ZERO and pixels.dtype.kind in "bu"
            return ~pixels if white_is_zero else pixels
    except Exception as error:  # tifffile and its codecs raise nearly every kind
        raise ValueError(f"{path} cannot be read as a TIFF image: {error}") from error


def channels_last(pixels: np.ndarray, axes: str) -> np.ndarray:
    """Pixels with their channels last: the one axis that is neither Y nor X, pages too.

    Args:
        pixels: Array of any number of axes; those of length 1 are dropped.
        axes: A letter for each axis, as tifffile has them.

    Returns:
        Array (H, W) or (H, W, C).

    Raises:
        ValueError: If there is more than one other axis.
    """
    kept = [axis for axis, side in zip(axes, pixels.shape) if side > 1 or axis in "YX"]
    pixels = pixels.reshape([side for axis, side in zip(axes, pixels.shape) if side > 1 or axis in "YX"])
    if sorted(axis for axis in kept if axis in "YX") != ["X", "Y"] or len(kept) > 3:
        raise ValueError(f"expected height, width and one axis of channels, got axes {axes} of shape {pixels.shape}")
    order = [kept.index("Y"), kept.index("X"), *(place for place, axis in enumerate(kept) if axis not in "YX")]
    return np.ascontiguousarray(pixels.transpose(order))


def _tifffile(path: Path) -> ModuleType:
    try:
        import tifffile
    except ImportError as error:
        raise ValueError(
            f'{path}: a TIFF of many bands, tiles, another type or turned needs tifffile: pip install "segkit[formats]"'
        ) from error
    return tifffile
