"""Test-time augmentation: one prediction out of several mirrored, turned, scaled and toned looks at an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from segkit.files import nearest
from segkit.tta import merges
from segkit.tta.steps import SYMMETRIES
from segkit.tta.views import View, as_views

__all__ = ["SYMMETRIES", "TTA", "OneView", "View", "as_views"]

Swaps = Sequence[tuple[int, int]] | Sequence[tuple[str, str]]


class TTA(nn.Module):
    """A model that looks several times: `TTA(model)(image)` has the shape and meaning of `model(image)`.

    model: a module or function, (N, in, H, W) -> (N, C, h, w). views: text as "hflip", "d4, scale(1.25)" or a
    list of such (see `as_views`); the image as it is always belongs to them, and each different view is taken
    once. Where a turned or shifted view did not see a pixel it does not count for that pixel.

    domain: what the model returns, what is merged and what comes out, "logits" or "probs"; nothing is
    activated here. merge: "mean", "max", "gmean", the geometric mean of probabilities (of logits there is
    none: the normalised geometric mean of probabilities is the plain mean of logits), or a number, the
    exponent of a power mean of probabilities. weights: {view: what it counts}, "*" for the others; 1 where
    nothing is said.

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
        views: str | View | Iterable[str | View] = "hflip",
        merge: str | float = "mean",
        domain: str = "logits",
        class_swaps: Swaps = (),
        classes: Sequence[str] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        if domain not in ("logits", "probs"):
            raise ValueError(f"no domain {domain!r}; it is what the model returns, 'logits' or 'probs'")
        self.model = model
        self.views = _with_identity(views)
        self.weights = _weights(weights or {}, self.views)
        self.merge, self.domain = merge, domain
        self._exponent = merges.exponent(merge, domain, bool(weights))
        self.channels = _Channels(class_swaps, classes)

    def forward(self, image: Tensor) -> Tensor:
        """(N, in, H, W) -> the merged (N, C, h, w)."""
        return self._look(image, [partial(merges.PowerMean, exponent=self._exponent)])[0]

    def uncertainty(self, image: Tensor, kind: str = "std") -> tuple[Tensor, Tensor]:
        """What forward returns, and how unsure of it the views are, both (N, C, h, w), from one look at each view.

        kind: of the views' probabilities, "std", the standard deviation among them, or "entropy", of their
        mean, in bits. Two results more are held for "std", one for "entropy". ValueError for another kind, and
        for "std" of one view.
        """
        if kind not in merges.UNCERTAINTIES:
            raise ValueError(f"no uncertainty {kind!r}; {nearest(kind, merges.UNCERTAINTIES)}")
        if kind == "std" and len(self.views) < 2:
            raise ValueError("one view does not differ from itself; name more views, or take kind='entropy'")
        measure = merges.UNCERTAINTIES[kind]
        of_probs = measure if self.domain == "probs" else lambda like: merges.OfProbs(measure(like))
        merged, unsure = self._look(image, [partial(merges.PowerMean, exponent=self._exponent), of_probs])
        return merged, unsure

    @torch.no_grad()
    def _look(self, image: Tensor, kinds: Sequence[Callable[[Tensor], merges.Running]]) -> list[Tensor]:
        running: list[merges.Running] = []
        shown = (image.shape[-2], image.shape[-1])
        for view in self.views:
            out = self.model(view.apply(image))
            sources = self.channels.sources(out, mirrored=view.mirrored)
            kind = torch.promote_types(out.dtype, torch.float32)
            if not running:  # the first view is the image as it is, so its shape is the result's
                size = (out.shape[2], out.shape[3])
                like = out.new_empty((), dtype=kind).expand(out.shape)
                running = [make(like) for make in kinds]
            weight = torch.tensor(self.weights[view], dtype=kind, device=out.device)
            if (seen := view.seen(size, shown, out.device)) is not None:
                weight = weight * seen
            for one in running:
                one.begin(weight)
            for channel, source in enumerate(sources):
                plane = view.undo(out[:, source : source + 1].to(kind), size, shown)[:, 0]
                for one in running:
                    one.take(channel, plane)
            del out, plane  # before the model is called again
        return [one.done() for one in running]

    def extra_repr(self) -> str:
        names = ", ".join(view.name for view in self.views)
        return f"views={names!r}, merge={self.merge!r}, domain={self.domain!r}, swaps={self.channels.swaps}"


class OneView(nn.Module):
    """A model that sees one view alone, undone: for storing what each view says, to choose among them.

    model, class_swaps, classes as for TTA; view: one, as `as_views` reads it. Where a turned or shifted view did
    not see a pixel it says what it says of the nearest that it saw. -> float32 (N, C, h, w), without gradients.
    ValueError for several views at once.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        view: str | View,
        class_swaps: Swaps = (),
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        found = as_views(view)
        if len(found) != 1:
            raise ValueError(f"view={view!r} is {len(found)} views; name one: OneView(model, 'hflip')")
        self.model, self.view = model, found[0]
        self.channels = _Channels(class_swaps, classes)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, C, h, w)."""
        shown = (image.shape[-2], image.shape[-1])
        out = self.model(self.view.apply(image))
        sources = self.channels.sources(out, mirrored=self.view.mirrored)
        sides = [shown]
        for step in self.view.steps:
            sides.append(step.size(sides[-1]))
        # The network's output may be coarser than what it is shown; so is the result than the image.
        size = (round(shown[0] * out.shape[2] / sides[-1][0]), round(shown[1] * out.shape[3] / sides[-1][1]))
        out = out.to(torch.promote_types(out.dtype, torch.float32))
        return torch.cat([self.view.undo(out[:, s : s + 1], size, shown) for s in sources], 1)


class _Channels:
    """Which channel of a view's output each channel of the result takes its plane from."""

    def __init__(self, pairs: Swaps, classes: Sequence[str] | None) -> None:
        self.classes = None if classes is None else tuple(classes)
        self.swaps = _swaps(pairs, self.classes)

    def sources(self, out: Tensor, *, mirrored: bool) -> list[int]:
        if not isinstance(out, Tensor) or out.ndim != 4:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"the model returned {got}; TTA merges tensors (N, C, H, W), so put it in eval mode")
        count = out.shape[1]
        if self.classes is not None and len(self.classes) != count:
            raise ValueError(f"the model returned {count} channels but {len(self.classes)} classes are named")
        if self.swaps and max(self.swaps) >= count:
            raise ValueError(f"class_swaps name channel {max(self.swaps)} but the model returned {count} channels")
        return [self.swaps.get(channel, channel) if mirrored else channel for channel in range(count)]


def _with_identity(spec: str | View | Iterable[str | View]) -> tuple[View, ...]:
    """The views, the untouched image first."""
    return as_views([*as_views("identity"), *as_views(spec)])


def _weights(given: Mapping[str, float], chosen: Sequence[View]) -> dict[View, float]:
    """{view: what it counts}."""
    weights = dict.fromkeys(chosen, float(given.get("*", 1.0)))
    for name, weight in given.items():
        if name == "*":
            continue
        for view in as_views(name):
            if view not in weights:
                raise ValueError(f"weights name {name!r}; {nearest(view.name, [v.name for v in chosen])}")
            weights[view] = float(weight)
    if not all(0 < weight < math.inf for weight in weights.values()):
        raise ValueError(f"weights must be numbers above 0, got {dict(given)}; leave out views that are not to count")
    return weights


def _swaps(pairs: Iterable[Sequence[int | str]], classes: tuple[str, ...] | None) -> dict[int, int]:
    """{channel: the channel a mirror turns it into}, in both directions."""
    swaps: dict[int, int] = {}
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Sequence):
            raise ValueError(f"class_swaps are pairs such as [(0, 1)], got {pair!r} among {pairs!r}")
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
