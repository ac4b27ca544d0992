"""What a network takes for an image: one object for training, validation, prediction and the model file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, SupportsFloat

from segkit.files import nearest

Range = tuple[float, float]
Normalize = Literal["image", "imagenet", "dataset"] | tuple[Any, Any]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's channels, of pixels in [0, 1]."""


@dataclass(frozen=True)
class ImageSpec:
    """Channels, depth and normalisation of images.

    Attributes:
        channels: "grey" (colours are converted, alpha is dropped), "rgb" (grey is repeated, alpha is dropped), or the
            number of channels that a file, or the files of one sample together, must have; they are then taken as
            they are.
        normalize: What is subtracted and divided by: "image" (each image's own mean and standard deviation),
            "imagenet" (three channels), "dataset" (mean and standard deviation of the training images), or
            (mean, std) of pixels in [0, 1], numbers or one number per channel.
        value_range: What becomes 0 and 255 of images deeper than 8 bits: (low, high), or one such pair per channel.
            None stretches each image from its own smallest to its largest finite value: grey and RGB images over all
            channels together, other images channel by channel.
        dtype: "uint8", or "float32", which keeps the precision of deeper images, on the scale 0 to 255 as well.

    Raises:
        ValueError: For a value that is none of these.

    Example:
        >>> ImageSpec("rgb", normalize="imagenet").num_channels
        3
    """

    channels: Literal["grey", "rgb"] | int = "grey"
    normalize: Normalize = "image"
    value_range: Range | tuple[Range, ...] | None = None
    dtype: Literal["uint8", "float32"] = "uint8"

    def __post_init__(self) -> None:
        if isinstance(self.channels, bool) or not (
            self.channels in ("grey", "rgb") or (isinstance(self.channels, int) and self.channels >= 1)
        ):
            raise ValueError(f'channels={self.channels!r}: expected "grey", "rgb" or a number of 1 or more')
        if self.dtype not in ("uint8", "float32"):
            raise ValueError(f'dtype={self.dtype!r}: expected "uint8" or "float32"')
        self._check_normalize()
        self._check_range()

    def _check_normalize(self) -> None:
        given = self.normalize
        if isinstance(given, str):
            if given not in ("image", "imagenet", "dataset"):
                raise ValueError(f'normalize={given!r}: expected "image", "imagenet", "dataset" or (mean, std)')
            if given == "imagenet" and self.num_channels != 3:
                raise ValueError(f'normalize="imagenet" is of 3 channels, got channels={self.channels!r}')
            return
        try:
            mean, std = (_numbers(part) for part in given)
        except (TypeError, ValueError) as error:
            raise ValueError(f"normalize={given!r}: expected two numbers, or two tuples, (mean, std)") from error
        wrong = [part for part in (mean, std) if isinstance(part, tuple) and len(part) != self.num_channels]
        if wrong:
            raise ValueError(f"normalize={given!r}: expected {self.num_channels} numbers, one per channel")
        if min(std if isinstance(std, tuple) else (std,)) <= 0:
            raise ValueError(f"normalize={given!r}: expected a standard deviation above 0")
        object.__setattr__(self, "normalize", (mean, std))

    def _check_range(self) -> None:
        if self.value_range is None:
            return
        try:
            pairs = self.ranges()
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"value_range={self.value_range!r}: expected (low, high), or one pair per channel"
            ) from error
        if len(pairs) not in (1, self.num_channels) or any(not low < high for low, high in pairs):
            raise ValueError(
                f"value_range={self.value_range!r}: expected low < high, 1 pair or {self.num_channels}, one per channel"
            )
        object.__setattr__(self, "value_range", pairs[0] if len(pairs) == 1 else pairs)

    @property
    def num_channels(self) -> int:
        """Channels of an image that is read with this spec."""
        return {"grey": 1, "rgb": 3}.get(str(self.channels)) or int(self.channels)

    def ranges(self) -> tuple[Range, ...]:
        """`value_range` as pairs: none, one for all channels, or one per channel."""
        given: Any = self.value_range
        if given is None:
            return ()
        pairs = given if isinstance(given[0], (tuple, list)) else (given,)
        return tuple((_number(low), _number(high)) for low, high in pairs)

    def to_dict(self) -> dict[str, Any]:
        """The spec in plain values, for model files and keys."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageSpec:
        """The spec that `to_dict` was called on; lists, as JSON has them, become tuples.

        Args:
            values: {name: value}; names left out keep their defaults.

        Returns:
            The spec.

        Raises:
            ValueError: For a name that is none of the spec's.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise ValueError(f"image spec: unknown field {name!r}; {nearest(name, known)}")
        given: dict[str, Any] = {name: _tuples(value) for name, value in values.items()}
        return cls(**given)


def _tuples(value: object) -> object:
    """Lists to the depths as tuples."""
    return tuple(_tuples(part) for part in value) if isinstance(value, (list, tuple)) else value


def _number(value: SupportsFloat) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def _numbers(value: float | Sequence[float]) -> float | tuple[float, ...]:
    """A number, or several."""
    if isinstance(value, (int, float)):
        return _number(value)
    return tuple(_number(part) for part in value)
