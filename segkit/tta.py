"""Test-time augmentation: one prediction out of several mirrored and turned looks at an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from ttach.aliases import d4_transform

from segkit.files import nearest

# The eight symmetries of the square, in the order in which ttach combines a mirror with four turns.
VIEWS = dict(
    zip(
        ("identity", "rot90", "rot180", "rot270", "hflip", "transpose", "vflip", "antitranspose"),
        d4_transform(),
        strict=True,
    )
)
MIRRORS = ("hflip", "transpose", "vflip", "antitranspose")
PRESETS = {"none": ("identity",), "hflip": ("hflip",), "vflip": ("vflip",), "d4": tuple(VIEWS)}
MERGES = ("mean", "gmean", "max")


class TTA(nn.Module):
    """A model that looks several times: `TTA(model)(image)` has the shape and meaning of `model(image)`.

    model: a module or function, (N, in, H, W) -> (N, C, h, w). views: "none", "hflip", "vflip", "d4" or a
    list of these and of names in `VIEWS`; the image as it is always belongs to them, and every view is taken
    once.

    domain: what the model returns, what is merged and what comes out, "logits" or "probs"; nothing is
    activated here. merge: "mean", "max", or "gmean", the geometric mean of probabilities (of logits there is
    none: the normalised geometric mean of probabilities is the plain mean of logits).

    class_swaps: pairs of classes that a mirror turns into each other (left lung, right lung), as channel
    indices, or as names with classes= (names in channel order). Views with an odd number of mirrors swap them
    back.

    Planes are merged one by one as views come in: beside the result one view is held, never a stack. The
    result is float32 (float64 where the model says so), without gradients. Raises ValueError for unknown
    names, naming their neighbours, and for swaps that do not fit the model's channels.

    >>> right_half = lambda image: (torch.arange(4) >= 2).float().expand(1, 1, 2, 4)  # whatever it is shown
    >>> TTA(right_half, "hflip")(torch.zeros(1, 1, 2, 4))[0, 0, 0]
    tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        views: str | Iterable[str] = "hflip",
        merge: str = "mean",
        domain: str = "logits",
        class_swaps: Sequence[tuple[int, int]] | Sequence[tuple[str, str]] = (),
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if domain not in ("logits", "probs"):
            raise ValueError(f"no domain {domain!r}; it is what the model returns, 'logits' or 'probs'")
        if merge not in MERGES:
            raise ValueError(f"no merge {merge!r}; {nearest(merge, MERGES)}")
        if merge == "gmean" and domain == "logits":
            raise ValueError("gmean is of probabilities; for logits take merge='mean', their normalised geometric mean")
        self.model = model
        self.views = _views(views)
        self.merge = merge
        self.domain = domain
        self.classes = None if classes is None else tuple(classes)
        self.swaps = _swaps(class_swaps, self.classes)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        merged = self._merge(None, self.views[0], image)
        for name in self.views[1:]:
            self._merge(merged, name, image)
        if self.merge != "max":
            merged /= len(self.views)
        return merged.exp_() if self.merge == "gmean" else merged

    def _merge(self, merged: Tensor | None, name: str, image: Tensor) -> Tensor:
        """Take one view of `image` into `merged`; the view's output is gone when the next one is computed."""
        view = VIEWS[name]
        out = self.model(view.augment_image(image))
        sources = self._sources(out, swap=name in MIRRORS)
        if merged is None:  # the first view is the image as it is, so shapes are the result's
            start = -torch.inf if self.merge == "max" else 0
            merged = torch.full_like(out, start, dtype=torch.promote_types(out.dtype, torch.float32))
        for channel, source in enumerate(sources):
            plane = view.deaugment_mask(out[:, source : source + 1])[:, 0].to(merged.dtype)
            if self.merge == "max":
                torch.maximum(merged[:, channel], plane, out=merged[:, channel])
            else:
                merged[:, channel] += plane.log() if self.merge == "gmean" else plane
        return merged

    def _sources(self, out: Tensor, *, swap: bool) -> list[int]:
        """The channel of a view's output that each channel of the result takes its plane from."""
        if not isinstance(out, Tensor) or out.ndim != 4:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"the model returned {got}; TTA merges tensors (N, C, H, W), so put it in eval mode")
        count = out.shape[1]
        if self.classes is not None and len(self.classes) != count:
            raise ValueError(f"the model returned {count} channels but {len(self.classes)} classes are named")
        if self.swaps and max(self.swaps) >= count:
            raise ValueError(f"class_swaps name channel {max(self.swaps)} but the model returned {count} channels")
        return [self.swaps.get(channel, channel) if swap else channel for channel in range(count)]

    def extra_repr(self) -> str:
        return f"views={self.views}, merge={self.merge!r}, domain={self.domain!r}, swaps={self.swaps}"


def _views(views: str | Iterable[str]) -> tuple[str, ...]:
    """Names of `VIEWS`, each once, the untouched image first."""
    chosen = ["identity"]
    for name in [views] if isinstance(views, str) else views:
        if name not in VIEWS and name not in PRESETS:
            raise ValueError(f"no view {name!r}; {nearest(name, {*VIEWS, *PRESETS})}")
        chosen += PRESETS.get(name, (name,))
    return tuple(dict.fromkeys(chosen))


def _swaps(pairs: Iterable[Sequence[int | str]], classes: tuple[str, ...] | None) -> dict[int, int]:
    """{channel: the channel a mirror turns it into}, in both directions."""
    swaps: dict[int, int] = {}
    for pair in pairs:
        channels = []
        for one in pair:
            if isinstance(one, str):
                if classes is None:
                    raise ValueError(f"class_swaps name {one!r}; pass classes= in channel order, or channel indices")
                if one not in classes:
                    raise ValueError(f"class_swaps name {one!r}; {nearest(one, classes)}")
                one = classes.index(one)
            channels.append(int(one))
        if len(set(channels)) != 2 or min(channels) < 0 or any(channel in swaps for channel in channels):
            raise ValueError(f"class_swaps are pairs of two different classes, each class in one pair, got {pair}")
        first, second = channels
        swaps |= {first: second, second: first}
    return swaps
