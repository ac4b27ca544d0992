"""What every network owes its user: any image size in, raw logits of that size out."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override


class SingleValueBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that can train on a single value per channel.

    Image-pooling branches (DeepLab, PAN, UPerNet, split attention) shrink an image to 1 x 1, so a batch of one has no
    spread to normalise by and torch raises. There, and only there, the running statistics are used, as in evaluation.
    Parameters, buffers and every other case are those of `nn.BatchNorm2d`.
    """

    @override
    def forward(self, input: Tensor) -> Tensor:
        if self.training and self.track_running_stats and input.numel() == input.shape[1]:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class Segmenter(nn.Module):
    """A network for images of any size: pad, run, resize the logits, crop.

    The border is replicated, half of it on either side. Logits at a lower resolution are resized bilinearly with the
    half-pixel convention.

    Args:
        body: Module that takes (N, in_channels, H, W), H and W multiples of `size_multiple`, and returns logits (N, C,
            h, w), or a dictionary with them under "out" and extra outputs under other keys.
        classes: Names in channel order, or their number.
        in_channels: Channels of the image.
        size_multiple: In px.
        min_size: Smallest height and width that the body sees, in px.
        config: Arguments with which `create` builds the same network again.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        classes: tuple[str, ...] | int,
        in_channels: int,
        size_multiple: int,
        min_size: int = 64,
        config: dict[str, Any],
    ) -> None:
        super().__init__()
        self.body = body
        self.classes = classes
        self.in_channels = in_channels
        self.size_multiple = size_multiple
        self.min_size = min_size
        self.config = config

    @property
    def encoder(self) -> nn.Module | None:
        """The part that pretrained weights fill; None where the network has no such part."""
        return next((getattr(self.body, key) for key in ("encoder", "backbone") if hasattr(self.body, key)), None)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Size that the body sees.

        Args:
            height: Of the image, in px.
            width: Of the image, in px.

        Returns:
            (height, width): multiples of `size_multiple`, `min_size` or more.
        """
        up = (math.ceil(max(self.min_size, side) / self.size_multiple) * self.size_multiple for side in (height, width))
        return next(up), next(up)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor | list[Tensor]]:
        """Compute raw logits.

        Args:
            image: Floating point, shape (N, in_channels, H, W), any size.

        Returns:
            Raw logits, shape (N, C, H, W). In training, where the body has extra outputs, a dictionary: "out" and "aux"
            such logits, "deep" a list of them, "cls" logits of the whole image, shape (N, C).

        Raises:
            ValueError: For another shape.
        """
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise ValueError(
                f"image is {tuple(image.shape)} but this network takes (N, {self.in_channels}, H, W); "
                f"reshape it, or create the network with the in_channels that the images have"
            )
        height, width = image.shape[-2:]
        full = self.padded_size(height, width)
        top, left = (full[0] - height) // 2, (full[1] - width) // 2
        if full != (height, width):
            border = (left, full[1] - width - left, top, full[0] - height - top)
            image = F.pad(image, border, mode="replicate")

        def restore(logits: Tensor) -> Tensor:
            if logits.ndim != 4:  # of the whole image
                return logits
            if logits.shape[-2:] != full:
                logits = F.interpolate(logits, size=full, mode="bilinear", align_corners=False)
            return logits[..., top : top + height, left : left + width]

        out = self.body(image)
        if isinstance(out, Tensor):
            return restore(out)
        if not self.training or len(out) == 1:
            return restore(out["out"])
        return {
            key: restore(value) if isinstance(value, Tensor) else [restore(logits) for logits in value]
            for key, value in out.items()
        }


def allow_single_image_batches(body: nn.Module) -> None:
    """Turn plain batch norms into `SingleValueBatchNorm2d`, in place; weights and their names stay.

    Args:
        body: Module with batch norms.
    """
    for module in body.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SingleValueBatchNorm2d


def freeze_unused_parameters(model: Segmenter) -> None:
    """Set `requires_grad` to False for parameters that no output depends on, in place.

    Libraries carry such parameters (a classifier's last convolution, stages below `encoder_depth`); optimisers would
    decay them and distributed training would wait for their gradients for ever. One forward pass in evaluation mode
    shows which they are.

    Args:
        model: The network.
    """
    was_training = model.training
    size = model.padded_size(1, 1)
    device = next(model.parameters()).device
    with torch.enable_grad():
        out = model.eval().body(torch.zeros(1, model.in_channels, *size, device=device))
    model.train(was_training)
    stack = [cast(Tensor, x).grad_fn for x in ([out] if isinstance(out, Tensor) else out.values())]
    seen, reached = set(stack), set[int]()
    while stack:
        node = stack.pop()
        reached.add(id(getattr(node, "variable", None)))  # a leaf of the graph
        for follower, _ in node.next_functions if node else ():
            if follower is not None and follower not in seen:
                seen.add(follower)
                stack.append(follower)
    for parameter in model.parameters():
        if id(parameter) not in reached:
            parameter.requires_grad_(False)
