"""HRNetV2: high resolution kept from first to last (Wang et al., TPAMI 2020), and OCR (Yuan, Chen, Wang, ECCV 2020).

Four parallel branches at strides 4, 8, 16, 32 exchange their maps again and again; the head resizes all to stride 4.
OCR asks further which object region a pixel belongs to: the first scores pool one vector a class out of the
image, each pixel attends to those vectors, and what it gathers is put beside its own features. The trunk is timm's,
without the widened maps ("incre") that its classifier wants and that HRNetV2 does not have; timm resizes nearest where
branches meet.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.models import weights as pretrained
from segkit.models.layers import full_precision
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior

KEYS = 256  # channels in which pixels and regions are compared
PIXELS = 512  # channels of a pixel before and after


def unit(inside: int, outside: int, kernel: int = 1, *, bias: bool = False) -> list[nn.Module]:
    """Convolution, batch norm, ReLU."""
    layer = nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=bias)
    return [layer, nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]


class Trunk(nn.Module):
    """timm's HRNet: (N, in_channels, H, W), multiples of 32 -> (N, 15 w, H / 4, W / 4), the four branches in one."""

    def __init__(self, variant: str, in_channels: int, **settings: Any) -> None:
        super().__init__()
        import timm  # takes seconds

        self.encoder = timm.create_model(
            variant, features_only=True, feature_location="", out_indices=(1, 2, 3, 4), in_chans=in_channels, **settings
        )
        self.channels = sum(self.encoder.feature_info.channels())

    def forward(self, image: Tensor) -> Tensor:
        maps = self.encoder(image)
        size = maps[0].shape[-2:]
        return torch.cat(
            [maps[0], *(F.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps[1:])], 1
        )


def scores(channels: int, classes: int) -> nn.Sequential:
    """HRNetV2's head: a 1x1 convolution that mixes the resolutions, and one to the classes."""
    return nn.Sequential(*unit(channels, channels, bias=True), nn.Conv2d(channels, classes, 1))


def region_vectors(pixels: Tensor, logits: Tensor) -> Tensor:
    """One vector a class: pixels (N, D, h, w) averaged with the softmax over places of logits (N, C, h, w).

    -> (N, D, C, 1). Each class by itself, so it means the same for classes that overlap. In float32 under AMP too: a
    share of one in a quarter of a million pixels is nothing in float16.
    """
    with full_precision(pixels):
        weights = logits.float().flatten(2).softmax(2)
        vectors = torch.einsum("ncp,ndp->ndc", weights, pixels.float().flatten(2))
    return vectors[..., None].to(pixels.dtype)


class RegionAttention(nn.Module):
    """pixels (N, 512, h, w), regions (N, 512, C, 1) -> what each pixel gathers from the regions, (N, 512, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Sequential(*unit(PIXELS, KEYS), *unit(KEYS, KEYS))
        self.key = nn.Sequential(*unit(PIXELS, KEYS), *unit(KEYS, KEYS))
        self.value = nn.Sequential(*unit(PIXELS, KEYS))
        self.out = nn.Sequential(*unit(KEYS, PIXELS))

    def weights(self, pixels: Tensor, regions: Tensor) -> Tensor:
        """How much each pixel takes of each region: (N, h w, C), a row sums to 1."""
        query, key = self.query(pixels).flatten(2), self.key(regions).flatten(2)
        return (query.transpose(1, 2) @ key * KEYS**-0.5).softmax(2)

    def forward(self, pixels: Tensor, regions: Tensor) -> Tensor:
        gathered = self.weights(pixels, regions) @ self.value(regions).flatten(2).transpose(1, 2)
        return self.out(gathered.transpose(1, 2).unflatten(2, pixels.shape[-2:]))


class HRNetV2(nn.Module):
    """Trunk and head. -> logits (N, classes, H / 4, W / 4)."""

    def __init__(self, trunk: Trunk, classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = scores(trunk.channels, classes)

    @property
    def encoder(self) -> nn.Module:
        """timm's network."""
        return self.trunk.encoder

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.trunk(image))


class HRNetV2OCR(nn.Module):
    """Trunk, first scores, OCR. -> logits (N, classes, H / 4, W / 4); with aux, in training, the first scores too.

    The regions need good first scores: train with `aux` (the authors weigh its loss 0.4).
    """

    def __init__(self, trunk: Trunk, classes: int, *, aux: bool) -> None:
        super().__init__()
        self.aux = aux
        self.trunk = trunk
        self.first = scores(trunk.channels, classes)
        self.pixels = nn.Sequential(*unit(trunk.channels, PIXELS, 3, bias=True))
        self.attention = RegionAttention()
        self.mix = nn.Sequential(*unit(2 * PIXELS, PIXELS), nn.Dropout2d(0.05))
        self.head = nn.Conv2d(PIXELS, classes, 1)

    @property
    def encoder(self) -> nn.Module:
        """timm's network."""
        return self.trunk.encoder

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor]:
        maps = self.trunk(image)
        first = self.first(maps)
        pixels = self.pixels(maps)
        gathered = self.attention(pixels, region_vectors(pixels, first))
        out = self.head(self.mix(torch.cat([gathered, pixels], 1)))
        return {"out": out, "aux": first} if self.aux and self.training else out


def _row(width: int, *, ocr: bool, good_for: str) -> Network:
    """The row of HRNetV2 of `width` channels at stride 4, with OCR or without."""

    def trunk(in_channels: int, weights: str | None) -> Trunk:
        variant = f"hrnet_w{width}"
        if weights is None:
            return Trunk(variant, in_channels)
        pretrained.check_set(variant, weights, ("imagenet",))
        return pretrained.from_hub(
            lambda: Trunk(variant, in_channels, pretrained=True),
            what=f"weights={weights!r} for {variant}",
            url="https://huggingface.co",
            cache="its cache folder (HF_HOME, by default ~/.cache/huggingface)",
        )

    def build(*, classes: int, in_channels: int, prior: float, weights: str | None) -> nn.Module:
        body = HRNetV2(trunk(in_channels, weights), classes)
        set_prior(body.head, prior)
        return body

    def build_ocr(*, classes: int, in_channels: int, prior: float, weights: str | None, aux: bool = False) -> nn.Module:
        body = HRNetV2OCR(trunk(in_channels, weights), classes, aux=aux)
        for head in (body.head, body.first):
            set_prior(head, prior)
        return body

    return Network(
        f"hrnetv2_ocr_w{width}" if ocr else f"hrnetv2_w{width}",
        build_ocr if ocr else build,
        title="HRNetV2 with OCR" if ocr else "HRNetV2",
        authors="Yuan, Chen, Wang" if ocr else "Wang et al.",
        venue="ECCV" if ocr else "TPAMI",
        year=2020,
        stride=4,
        good_for=good_for,
        weights=("imagenet",),
        multiple=32,
    )


NETWORKS = (
    _row(18, ocr=False, good_for="thin and small structures at little cost: a strong baseline"),
    _row(32, ocr=False, good_for="like w18, larger"),
    _row(48, ocr=False, good_for="like w18, and the paper's own: strong at 1024 px"),
    _row(18, ocr=True, good_for="look-alike classes told apart by their region; train with aux=True"),
    _row(32, ocr=True, good_for="like w18, larger"),
    _row(48, ocr=True, good_for="a strong single model at 1024 px; AMP, much memory"),
)
