"""U-Net 3+: every decoder stage sees all scales (Huang et al., ICASSP 2020, arXiv 2004.08790).

Decoder stage d takes five maps, each through 3x3 -> 64: shallower encoder stages pooled down, its own encoder
stage, deeper decoder stages and the bottom resized up; their concatenation (320) is fused by one more 3x3. All
heads are 3x3. The classification-guided module (`cgm`) says which classes an image holds at all and lets the
others' logits go. The paper's gate is one label behind an argmax, which no gradient passes; here it is one sigmoid
a class, multiplied in softly while training and as a switch at 1/2 in evaluation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from segkit.models.layers import conv_block, double_conv, encode, he_normal, scaled_channels
from segkit.models.network import Network, Paper

ABSENT = -12.0  # the highest logit of a class that the gate rules out: a probability of 6e-6
PRESENT = 2.0  # the gate's bias at the start, so that it closes only where it has learnt to


def gated(logits: Tensor, cls: Tensor, *, hard: bool) -> Tensor:
    """Combine logits of pixels with logits of the classes being present.

    Args:
        logits: Shape (N, C, H, W).
        cls: Shape (N, C).
        hard: A class below one half is ruled out; otherwise the two probabilities are multiplied.

    Returns:
        Logits, shape (N, C, H, W).

    Example:
        >>> gated(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1), hard=False).sigmoid().item()
        0.25
    """
    cls = cls[..., None, None]
    if hard:
        return torch.where(cls > 0, logits, logits.clamp(max=ABSENT))
    cls = cls.expand_as(logits)
    return -torch.logsumexp(torch.stack([-logits, -cls, -logits - cls]), 0)  # 1/(pq) - 1, in logarithms


class UNet3Plus(nn.Module):
    """64 to 1024 channels, 64 for each of the five maps a stage takes.

    (N, in_channels, H, W), multiples of 16 -> logits (N, classes, H, W). In training, with deep_supervision, a
    dictionary with "deep": logits at 1/2, 1/4, 1/8, 1/16; with cgm, "cls": logits (N, classes) of a class being present
    at all, for a loss of its own (the target is `target.amax((2, 3))`).

    Args:
        in_channels: Channels of the images.
        classes: Number of classes.
        width: Factor of all channels.
        deep_supervision: With extra outputs "deep" in training.
        cgm: With the classification-guided module, and the extra output "cls" in training.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        *,
        width: float = 1.0,
        deep_supervision: bool = False,
        cgm: bool = False,
    ) -> None:
        super().__init__()
        *channels, each = scaled_channels((64, 128, 256, 512, 1024, 64), width)
        fused = 5 * each
        ins = [in_channels, *channels]
        self.encoder = nn.ModuleList(double_conv(ins[i], channels[i], norm=True, bias=True) for i in range(5))
        self.take = nn.ModuleDict()
        self.fuse = nn.ModuleList()
        for d in range(4):
            for source in range(5):
                inside = channels[source] if source <= d or source == 4 else fused
                self.take[f"{d}_{source}"] = nn.Sequential(*conv_block(inside, each, bias=True))
            self.fuse.append(nn.Sequential(*conv_block(fused, fused, bias=True)))
        he_normal(self)
        self.head = nn.Conv2d(fused, classes, 3, padding=1)
        scales = [*[fused] * 3, channels[4]] if deep_supervision else []
        self.deep_heads = nn.ModuleList(nn.Conv2d(inside, classes, 3, padding=1) for inside in scales)
        self.cgm = None
        if cgm:
            present = nn.Conv2d(channels[4], classes, 1)
            present.bias = nn.Parameter(torch.full((classes,), PRESENT))
            self.cgm = nn.Sequential(nn.Dropout(0.5), present)

    @override
    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor | list[Tensor]]:
        skips = encode(self.encoder, image, ceil=True)
        maps = {4: skips[4]}
        for d in (3, 2, 1, 0):
            taken = []
            for source in range(5):
                x = maps[source] if source > d else skips[source]
                if source < d:
                    x = F.max_pool2d(x, 2 ** (d - source), ceil_mode=True)
                elif source > d:
                    x = F.interpolate(x, size=skips[d].shape[-2:], mode="bilinear", align_corners=False)
                taken.append(self.take[f"{d}_{source}"](x))
            maps[d] = self.fuse[d](torch.cat(taken, 1))
        out = self.head(maps[0])
        if not self.training:
            return out if self.cgm is None else gated(out, self.cgm(skips[4]).amax((2, 3)), hard=True)
        extra: dict[str, Tensor | list[Tensor]] = {}
        deep = [head(maps[i + 1]) for i, head in enumerate(self.deep_heads)]
        if self.cgm is not None:
            extra["cls"] = cls = self.cgm(skips[4]).amax((2, 3))
            out, *deep = (gated(x, cls, hard=False) for x in (out, *deep))
        if deep:
            extra["deep"] = deep
        return {"out": out, **extra} if extra else out


NETWORKS = (
    Network(
        "unet3plus",
        UNet3Plus,
        Paper("U-Net 3+", "Huang et al.", "ICASSP", 2020),
        stride=1,
        good_for="small structures whose place depends on the whole; the costliest here: tiles or width=0.5",
        heads=lambda body: (body.head, *body.deep_heads),
        size_multiple=16,
    ),
)
