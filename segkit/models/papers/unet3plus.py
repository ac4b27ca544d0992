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

from segkit.models.layers import he_normal, widths
from segkit.models.papers.unet import conv, double
from segkit.models.registry import Network
from segkit.models.wrapper import set_prior

ABSENT = -12.0  # the highest logit of a class that the gate rules out: a probability of 6e-6
PRESENT = 2.0  # the gate's bias at the start, so that it closes only where it has learnt to


def gated(logits: Tensor, cls: Tensor, *, hard: bool) -> Tensor:
    """Pixel logits (N, C, H, W) of classes whose presence has the logits (N, C), as logits again.

    Soft: the product of the two probabilities. Hard: a class below one half is ruled out.

    >>> gated(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1), hard=False).sigmoid().item()
    0.25
    """
    cls = cls[..., None, None]
    if hard:
        return torch.where(cls > 0, logits, logits.clamp(max=ABSENT))
    cls = cls.expand_as(logits)
    return -torch.logsumexp(torch.stack([-logits, -cls, -logits - cls]), 0)  # 1/(pq) - 1, in logarithms


class UNet3Plus(nn.Module):
    """64 ... 1024 channels times `width`, 64 for each of the five maps a stage takes.

    (N, in_channels, H, W), multiples of 16 -> logits (N, classes, H, W). In training, with deep_supervision, a dict
    with "deep": logits at 1/2, 1/4, 1/8, 1/16; with cgm, "cls": logits (N, classes) of a class being there at all,
    for a loss of its own (the target is `target.amax((2, 3))`).
    """

    def __init__(self, in_channels: int, classes: int, *, width: float, deep_supervision: bool, cgm: bool) -> None:
        super().__init__()
        plan = widths((64, 128, 256, 512, 1024), width)
        (each,) = widths((64,), width)
        fused = 5 * each
        ins = [in_channels, *plan]
        self.encoder = nn.ModuleList(double(ins[i], plan[i], norm=True, bias=True) for i in range(5))
        self.take = nn.ModuleDict()
        self.fuse = nn.ModuleList()
        for d in range(4):
            for source in range(5):
                inside = plan[source] if source <= d or source == 4 else fused
                self.take[f"{d}_{source}"] = nn.Sequential(*conv(inside, each, norm=True, bias=True))
            self.fuse.append(nn.Sequential(*conv(fused, fused, norm=True, bias=True)))
        he_normal(self)
        self.head = nn.Conv2d(fused, classes, 3, padding=1)
        scales = [*[fused] * 3, plan[4]] if deep_supervision else []
        self.deep_heads = nn.ModuleList(nn.Conv2d(inside, classes, 3, padding=1) for inside in scales)
        self.cgm = None
        if cgm:
            present = nn.Conv2d(plan[4], classes, 1)
            present.bias = nn.Parameter(torch.full((classes,), PRESENT))
            self.cgm = nn.Sequential(nn.Dropout(0.5), present)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor | list[Tensor]]:
        skips = [self.encoder[0](image)]
        for block in self.encoder[1:]:
            skips.append(block(F.max_pool2d(skips[-1], 2, ceil_mode=True)))
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


def build(
    *,
    classes: int,
    in_channels: int,
    prior: float,
    width: float = 1.0,
    deep_supervision: bool = False,
    cgm: bool = False,
) -> nn.Module:
    """U-Net 3+. width: times all channels; deep_supervision, cgm: extra outputs "deep" and "cls" in training."""
    body = UNet3Plus(in_channels, classes, width=width, deep_supervision=deep_supervision, cgm=cgm)
    for head in (body.head, *body.deep_heads):
        set_prior(head, prior)
    return body


NETWORKS = (
    Network(
        "unet3plus",
        build,
        title="U-Net 3+",
        authors="Huang et al.",
        venue="ICASSP",
        year=2020,
        stride=1,
        good_for="small structures whose place depends on the whole; the costliest here: tiles or width=0.5",
        multiple=16,
    ),
)
