"""What every network owes its user: any image size in, raw logits of that size out."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LoneBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that can train on a single value per channel.

    Image-pooling branches (DeepLab, PAN, UPerNet, split attention) shrink an image to 1 x 1, so a batch of
    one has no spread to normalise by and torch raises. There, and only there, the running statistics are
    used, as in evaluation. Parameters, buffers and every other case are those of `nn.BatchNorm2d`.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and self.track_running_stats and input.numel() == input.shape[1]:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class Segmenter(nn.Module):
    """A network behind one door: pad to a multiple, run, resize the logits, crop.

    body: a module that takes (N, in_channels, H, W) with H and W multiples of `multiple` and returns logits
    (N, C, h, w), or a dict with such under "out" and extra outputs under other keys. Logits at a lower
    resolution are resized bilinearly with the half-pixel convention. The border is replicated, half of it on
    either side, and cropped before anybody sees it.

    classes: names in channel order, or only their number; in_channels: channels of the image; multiple: px;
    smallest: px below which the body sees no image; config: the arguments `create` needs to build the same
    network again.

    `forward(image)`: (N, in_channels, H, W) float -> (N, C, H, W) raw logits; where the body has extra
    outputs and the network is in training, a dict: "out" and "aux" such logits, "deep" a list of them, "cls"
    logits of the whole image, (N, C). ValueError for any other shape.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        classes: tuple[str, ...] | int,
        in_channels: int,
        multiple: int,
        smallest: int = 64,
        config: dict[str, Any],
    ) -> None:
        super().__init__()
        self.body = body
        self.classes = classes
        self.in_channels = in_channels
        self.multiple = multiple
        self.smallest = smallest
        self.config = config

    @property
    def encoder(self) -> nn.Module | None:
        """The part that pretrained weights fill; None where the network has no such part."""
        return next((getattr(self.body, key) for key in ("encoder", "backbone") if hasattr(self.body, key)), None)

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """The size the body sees: multiples of `multiple`, `smallest` or more."""
        up = (math.ceil(max(self.smallest, side) / self.multiple) * self.multiple for side in (height, width))
        return next(up), next(up)

    def forward(self, image: Tensor) -> Tensor | dict[str, Any]:
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise ValueError(
                f"image is {tuple(image.shape)} but this network takes (N, {self.in_channels}, H, W); "
                f"reshape it, or create the network with the in_channels that the images have"
            )
        height, width = image.shape[-2:]
        full = self.padded(height, width)
        top, left = (full[0] - height) // 2, (full[1] - width) // 2
        if full != (height, width):
            border = (left, full[1] - width - left, top, full[0] - height - top)
            image = F.pad(image, border, mode="replicate")

        def restore(output: Any) -> Any:
            if isinstance(output, (list, tuple)):
                return [restore(logits) for logits in output]
            if output.ndim != 4:  # of the whole image
                return output
            if output.shape[-2:] != full:
                output = F.interpolate(output, size=full, mode="bilinear", align_corners=False)
            return output[..., top : top + height, left : left + width]

        out = self.body(image)
        if isinstance(out, Tensor):
            return cast(Tensor, restore(out))
        if self.training and len(out) > 1:
            return {key: restore(value) for key, value in out.items()}
        return cast(Tensor, restore(out["out"]))


def let_one_image_train(body: nn.Module) -> None:
    """Turn the plain batch norms of `body` into `LoneBatchNorm2d`, in place; weights and keys stay."""
    for module in body.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = LoneBatchNorm2d


def half_pixel(body: nn.Module) -> None:
    """Switch resizing modules of `body` from aligned corners to half pixels, as `segkit.geometry.resize` has them."""
    for module in body.modules():
        if getattr(module, "align_corners", None) is True:
            module.align_corners = False  # type: ignore[assignment]


def logit(prob: float) -> float:
    """The number whose sigmoid is `prob`.

    >>> logit(0.5)
    0.0
    """
    return math.log(prob / (1 - prob))


def set_prior(head: nn.Module, prior: float) -> None:
    """Start the last convolution of `head` with the logit of `prior` as bias (Lin et al., 2017, section 3.3).

    Rare foreground otherwise begins at probability one half everywhere, and the first steps only unlearn
    that.
    """
    last = [module for module in head.modules() if isinstance(module, nn.Conv2d)][-1]
    if last.bias is None:
        raise ValueError(f"the last convolution {last} has no bias to set the prior on")
    nn.init.constant_(last.bias, logit(prior))


def freeze_unreached(model: Segmenter) -> None:
    """Take parameters that no output depends on out of training: `requires_grad` becomes False, in place.

    Libraries carry such leftovers (a classifier's last convolution, stages below `encoder_depth`); optimisers
    would decay them and distributed training would wait for their gradients for ever. One forward pass in
    evaluation mode shows which they are.
    """
    was_training = model.training
    size = model.padded(1, 1)
    device = next(model.parameters()).device
    with torch.enable_grad():
        out = model.eval().body(torch.zeros(1, model.in_channels, *size, device=device))
    model.train(was_training)
    stack: list[Any] = [x.grad_fn for x in ([out] if isinstance(out, Tensor) else out.values())]
    seen, reached = set(stack), set()
    while stack:
        node = stack.pop()
        if hasattr(node, "variable"):  # a leaf of the graph
            reached.add(id(node.variable))
        for follower, _ in node.next_functions:
            if follower is not None and follower not in seen:
                seen.add(follower)
                stack.append(follower)
    for parameter in model.parameters():
        if id(parameter) not in reached:
            parameter.requires_grad_(False)
