"""Colours for classes: hue follows the channel order, lightness tells neighbours apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LIGHTNESS = (0.80, 0.64, 0.72)
_CHROMA = 0.15
_FIRST_HUE, _SPAN = 25.0, 320.0  # degrees: red to magenta, so that the first and the last class stay apart


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Choose a "#rrggbb" for every class, in perceptual steps.

    Classes that follow each other, such as the bones of one finger, have related hues and different lightness; all are
    bright enough for a radiograph and dark enough for paper.

    Args:
        classes: In channel order.

    Returns:
        {class: colour}.

    Example:
        >>> class_colours(["heart"])
        {'heart': '#fda19a'}

    References:
        Ottosson, "A perceptual color space for image processing" (OKLCH), 2020.
    """
    n = max(len(classes), 2)
    step = min(_SPAN, 360.0 * (n - 1) / n) / (n - 1)
    return {cls: _oklch(_LIGHTNESS[i % 3], _CHROMA, _FIRST_HUE + i * step) for i, cls in enumerate(classes)}


def _oklch(lightness: float, chroma: float, hue: float) -> str:
    """Text in sRGB of an OKLCH colour; what the screen cannot show loses chroma, never lightness or hue."""
    for share in np.linspace(1.0, 0.0, 31):
        rgb = _linear_srgb(lightness, share * chroma, hue)
        if rgb.min() >= -1e-4 and rgb.max() <= 1.0 + 1e-4:
            break
    rgb = np.clip(rgb, 0.0, 1.0)
    encoded = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * float(v)):02x}" for v in encoded)


def _linear_srgb(lightness: float, chroma: float, hue: float) -> np.ndarray:
    a, b = chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))
    lms = np.array(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ]
    )
    matrix = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return matrix @ lms**3
