"""What networks share: blocks of layers, channels, initialisation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_block(
    inside: int,
    outside: int,
    kernel: int = 3,
    *,
    norm: bool = True,
    bias: bool | None = None,
    padding: int | None = None,
    dilation: int = 1,
) -> list[nn.Module]:
    """Layers of a convolution, batch norm and ReLU.

    Args:
        inside: Channels that come in.
        outside: Channels that go out.
        kernel: Side of the kernel, odd.
        norm: With batch norm.
        bias: Bias of the convolution; None for one where there is no batch norm.
        padding: Zeros on each side, in px; None to keep the size.
        dilation: Of the kernel.

    Returns:
        Two or three modules, for `nn.Sequential`.
    """
    padding = dilation * (kernel // 2) if padding is None else padding
    bias = not norm if bias is None else bias
    conv = nn.Conv2d(inside, outside, kernel, padding=padding, dilation=dilation, bias=bias)
    return [conv, *([nn.BatchNorm2d(outside)] if norm else []), nn.ReLU(inplace=True)]


def double_conv(
    inside: int, outside: int, *, norm: bool, bias: bool | None = None, padding: int | None = None
) -> nn.Sequential:
    """Two 3x3 `conv_block`s, the usual block of U-Nets.

    Args:
        inside: Channels that come in.
        outside: Channels that go out.
        norm: With batch norm.
        bias: Bias of the convolutions; None for one where there is no batch norm.
        padding: Zeros on each side, in px; None to keep the size.

    Returns:
        The block.
    """
    first = conv_block(inside, outside, norm=norm, bias=bias, padding=padding)
    return nn.Sequential(*first, *conv_block(outside, outside, norm=norm, bias=bias, padding=padding))


def encode(stages: Iterable[nn.Module], image: Tensor, *, ceil: bool = False) -> list[Tensor]:
    """Run the stages of an encoder with 2x2 max pooling between them.

    Args:
        stages: Modules that keep the size.
        image: Shape (N, C, H, W).
        ceil: Odd sizes are rounded up by the pooling, not down.

    Returns:
        The map of each stage, the largest first.
    """
    maps: list[Tensor] = []
    for stage in stages:
        maps.append(stage(F.max_pool2d(maps[-1], 2, ceil_mode=ceil) if maps else image))
    return maps


def centre_crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Crop the centre of a map.

    Args:
        x: Shape (N, C, H, W).
        size: (height, width) to keep.

    Returns:
        Shape (N, C, height, width), a view.
    """
    top, left = (x.shape[-2] - size[0]) // 2, (x.shape[-1] - size[1]) // 2
    return x[..., top : top + size[0], left : left + size[1]]


def scaled_channels(channels: Sequence[int], width: float) -> list[int]:
    """Multiply numbers of channels, at least one each.

    Args:
        channels: The paper's numbers.
        width: Factor; 1.0 is the paper's.

    Returns:
        Numbers of channels.

    Raises:
        ValueError: If width is no number above 0.

    Example:
        >>> scaled_channels((64, 128), 0.25)
        [16, 32]
    """
    if not 0 < width < math.inf:
        raise ValueError(f"width multiplies the channels, got {width}; 1.0 is the paper's, 0.5 half of them")
    return [max(1, round(count * width)) for count in channels]


def whole_numbers(name: str, given: Sequence[int], *, usual: Sequence[int]) -> tuple[int, ...]:
    """Check a sequence of whole numbers of at least 1.

    Args:
        name: Name of the option, for the error.
        given: What the user passed.
        usual: The paper's, for the error.

    Returns:
        The numbers.

    Raises:
        ValueError: If it is empty or holds anything else.

    Example:
        >>> whole_numbers("rates", [6, 12], usual=(6, 12, 18, 24))
        (6, 12)
    """
    right = isinstance(given, Sequence) and all(type(number) is int and number > 0 for number in given)
    if not right or not len(given):
        raise ValueError(f"{name}: expected whole numbers of at least 1, as {tuple(usual)}, got {given!r}")
    return tuple(given)


def he_normal(body: nn.Module) -> None:
    """Initialise convolutions from a normal of variance 2 / fan-in and biases with 0, in place.

    Without it a dozen ReLUs in a row and no batch norm do not train.

    Args:
        body: Module whose `nn.Conv2d` are initialised.

    References:
        He et al., ICCV 2015.
    """
    for module in body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def logit(prob: float) -> float:
    """The number whose sigmoid is `prob`.

    Args:
        prob: Probability, strictly between 0 and 1.

    Returns:
        Its logit.

    Example:
        >>> logit(0.5)
        0.0
    """
    return math.log(prob / (1 - prob))


def set_prior(head: nn.Module, prior: float) -> None:
    """Start the last convolution of `head` with the logit of `prior` as bias, in place.

    Rare foreground otherwise begins at probability one half everywhere, and the first steps only unlearn that.

    Args:
        head: Module that ends in a convolution with bias.
        prior: Probability.

    Raises:
        ValueError: If the convolution has no bias.

    References:
        Lin et al., 2017, section 3.3.
    """
    last = [module for module in head.modules() if isinstance(module, nn.Conv2d)][-1]
    if last.bias is None:
        raise ValueError(f"the last convolution {last} has no bias to set the prior on")
    nn.init.constant_(last.bias, logit(prior))


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Switch autocast off; some devices, as the one without memory, have none and raise if asked.

    Args:
        x: Tensor on the device.

    Returns:
        Context manager.
    """
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
