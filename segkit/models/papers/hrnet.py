"""HRNetV2: high resolution kept from first to last (Wang et al., TPAMI 2020), and OCR (Yuan, Chen, Wang, ECCV 2020).

Four parallel branches at strides 4, 8, 16, 32 exchange their maps again and again; the head resizes all to stride 4.
OCR asks further which object region a pixel belongs to: the first scores pool one vector a class out of the
image, each pixel attends to those vectors, and what it gathers is put beside its own features. The trunk is timm's,
without the widened maps ("incre") that its classifier needs and that HRNetV2 does not have; timm resizes nearest where
branches meet.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.layers import conv_block, full_precision
from segkit.models.network import Network, Paper
from segkit.models.weights import check_set, from_hugging_face

KEYS = 256  # channels in which pixels and regions are compared
PIXELS = 512  # channels of a pixel before and after


class Trunk(nn.Module):
    """HRNet of timm: (N, in_channels, H, W), multiples of 32 -> (N, 15 w, H / 4, W / 4), the four branches in one.

    Args:
        variant: Name in timm.
        in_channels: Channels of the images.
        weights: None, or "imagenet".
    """

    def __init__(self, variant: str, in_channels: int, weights: str | None) -> None:
        super().__init__()
        import timm  # takes seconds

        def create() -> nn.Module:
            network: nn.Module = timm.create_model(
                variant, features_only=True, feature_location="", out_indices=(1, 2, 3, 4), in_chans=in_channels,
                pretrained=weights is not None,
            )  # fmt: skip
            return network

        if weights is None:
            self.encoder = create()
        else:
            check_set(variant, weights, ("imagenet",))
            self.encoder = from_hugging_face(create, what=f"weights={weights!r} for {variant}")
        info: Any = self.encoder.feature_info
        self.channels = sum(info.channels())

    @override
    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder(image)
        size = maps[0].shape[-2:]
        return torch.cat(
            [maps[0], *(F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps[1:])], 1
        )


def scores(channels: int, classes: int) -> nn.Sequential:
    """HRNetV2's head: a 1x1 convolution that mixes the resolutions, and one to the classes.

    Args:
        channels: That come in.
        classes: Number of classes.

    Returns:
        The head.
    """
    return nn.Sequential(*conv_block(channels, channels, 1, bias=True), nn.Conv2d(channels, classes, 1))


def region_vectors(pixels: Tensor, logits: Tensor) -> Tensor:
    """One vector per class: the mean of pixels, weighted with the softmax over places of the class's logits.

    Each class by itself, so it means the same for classes that overlap. In float32 under AMP too: one in a quarter of a
    million pixels is nothing in float16.

    Args:
        pixels: Features, shape (N, D, h, w).
        logits: Shape (N, C, h, w).

    Returns:
        Shape (N, D, C, 1).
    """
    with full_precision(pixels):
        weights = logits.float().flatten(2).softmax(2)
        vectors = torch.einsum("ncp,ndp->ndc", weights, pixels.float().flatten(2))
    return vectors[..., None].to(pixels.dtype)


class RegionAttention(nn.Module):
    """Pixels (N, 512, h, w), regions (N, 512, C, 1) -> what each pixel gathers from the regions, (N, 512, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Sequential(*conv_block(PIXELS, KEYS, 1), *conv_block(KEYS, KEYS, 1))
        self.key = nn.Sequential(*conv_block(PIXELS, KEYS, 1), *conv_block(KEYS, KEYS, 1))
        self.value = nn.Sequential(*conv_block(PIXELS, KEYS, 1))
        self.out = nn.Sequential(*conv_block(KEYS, PIXELS, 1))

    def weights(self, pixels: Tensor, regions: Tensor) -> Tensor:
        """How much each pixel takes of each region.

        Args:
            pixels: Features, shape (N, 512, h, w).
            regions: Vectors of the classes, shape (N, 512, C, 1).

        Returns:
            Shape (N, h w, C); a row sums to 1.
        """
        query, key = self.query(pixels).flatten(2), self.key(regions).flatten(2)
        return (query.transpose(1, 2) @ key * KEYS**-0.5).softmax(2)

    @override
    def forward(self, pixels: Tensor, regions: Tensor) -> Tensor:
        gathered = self.weights(pixels, regions) @ self.value(regions).flatten(2).transpose(1, 2)
        return self.out(gathered.transpose(1, 2).unflatten(2, pixels.shape[-2:]))


class HRNetV2(nn.Module):
    """Trunk and head. -> logits (N, classes, H / 4, W / 4).

    Args:
        trunk: Of any width.
        classes: Number of classes.
    """

    def __init__(self, trunk: Trunk, classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = scores(trunk.channels, classes)

    @property
    def encoder(self) -> nn.Module:
        """HRNet of timm."""
        return self.trunk.encoder

    @override
    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.trunk(image))


class HRNetV2OCR(nn.Module):
    """Trunk, first scores, OCR. -> logits (N, classes, H / 4, W / 4); with aux, in training, the first scores too.

    The regions need good first scores: train with `aux` (the authors weigh its loss 0.4).

    Args:
        trunk: Of any width.
        classes: Number of classes.
        aux: With the extra output "aux" in training.
    """

    def __init__(self, trunk: Trunk, classes: int, *, aux: bool) -> None:
        super().__init__()
        self.aux = aux
        self.trunk = trunk
        self.first = scores(trunk.channels, classes)
        self.pixels = nn.Sequential(*conv_block(trunk.channels, PIXELS, 3, bias=True))
        self.attention = RegionAttention()
        self.mix = nn.Sequential(*conv_block(2 * PIXELS, PIXELS, 1), nn.Dropout2d(0.05))
        self.head = nn.Conv2d(PIXELS, classes, 1)

    @property
    def encoder(self) -> nn.Module:
        """HRNet of timm."""
        return self.trunk.encoder

    @override
    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        maps = self.trunk(image)
        first = self.first(maps)
        pixels = self.pixels(maps)
        gathered = self.attention(pixels, region_vectors(pixels, first))
        out = self.head(self.mix(torch.cat([gathered, pixels], 1)))
        return {"out": out, "aux": first} if self.aux and self.training else out


def _hrnet(width: int, good_for: str) -> Network:
    """HRNetV2 of `width` channels at stride 4."""

    def build(*, classes: int, in_channels: int, weights: str | None) -> nn.Module:
        return HRNetV2(Trunk(f"hrnet_w{width}", in_channels, weights), classes)

    paper = Paper("HRNetV2", "Wang et al.", "TPAMI", 2020)
    return Network(f"hrnetv2_w{width}", build, paper, 4, good_for, weights=("imagenet",), size_multiple=32)


def _ocr(width: int, good_for: str) -> Network:
    """HRNetV2 of `width` channels at stride 4 with OCR."""

    def build(*, classes: int, in_channels: int, weights: str | None, aux: bool = False) -> nn.Module:
        return HRNetV2OCR(Trunk(f"hrnet_w{width}", in_channels, weights), classes, aux=aux)

    return replace(
        _hrnet(width, good_for), name=f"hrnetv2_ocr_w{width}", build=build,
        paper=Paper("HRNetV2 with OCR", "Yuan, Chen, Wang", "ECCV", 2020), heads=lambda body: (body.head, body.first),
    )  # fmt: skip


NETWORKS = (
    _hrnet(18, "thin and small structures at little cost: a strong baseline"),
    _hrnet(32, "like w18, larger"),
    _hrnet(48, "like w18, and the paper's own: strong at 1024 px"),
    _ocr(18, "look-alike classes told apart by their region; train with aux=True"),
    _ocr(32, "like w18, larger"),
    _ocr(48, "a strong single model at 1024 px; AMP, much memory"),
)
