"""Models that predict several views of an image and merge them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from segkit.files import nearest
from segkit.tta import _merges as merges
from segkit.tta.swaps import ClassSwaps, Swaps
from segkit.tta.views import View, as_views

ROUNDING = 1e-3
"""How far probabilities may lie outside [0, 1]: what half precision rounds."""


class TTA(nn.Module):
    """Test-time augmentation: `TTA(model)(image)` has the shape and meaning of `model(image)`.

    Views are merged channel by channel as they come in: beside the result one view is held, never a stack. Where a
    rotated or shifted view did not see a pixel it does not count for that pixel. The result is float32 (float64 where
    the model's output is), without gradients.

    Args:
        model: A module or function, (N, in, H, W) -> (N, C, h, w).
        views: Text as "hflip" or "d4, scale(1.25)", a `ttach.Compose`, ttach's transforms, or a list of such (see
            `as_views`). The image as it is always belongs to them, and each different view is taken once.
        merge: "mean"; "max"; "gmean", the geometric mean of probabilities; or a number, the exponent of a power mean of
            probabilities. Of logits only "mean" and "max" have a meaning: their mean is the normalised geometric mean
            of the probabilities.
        domain: What the model returns, what is merged and what comes out, "logits" or "probs"; nothing is activated.
        class_swaps: Pairs of classes that a mirror turns into each other (left lung, right lung), as channel indices,
            or as names with `classes`. Views with an odd number of mirrors swap them back.
        classes: Names in channel order.
        weights: {view: its weight in the mean}, "*" for the others; 1 by default.

    Raises:
        ValueError: For unknown names, naming their neighbours, and for swaps that do not fit the model's channels.
            Called: for outputs that are not finite, with the view, and with domain="probs" for values outside [0, 1].

    Example:
        >>> right_half = lambda image: (torch.arange(4) >= 2).float().expand(1, 1, 2, 4)  # whatever the image
        >>> TTA(right_half, "hflip")(torch.zeros(1, 1, 2, 4))[0, 0, 0]
        tensor([0.5000, 0.5000, 0.5000, 0.5000])
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        views: object = "hflip",
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
        self.views = as_views([*as_views("identity"), *as_views(views)])
        self.weights = _weights(weights or {}, self.views)
        self.merge, self.domain = merge, domain
        self._exponent = merges.exponent(merge, domain, bool(weights))
        self.class_swaps = ClassSwaps(class_swaps, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Predict all views and merge them.

        Args:
            image: Shape (N, in, H, W).

        Returns:
            Shape (N, C, h, w), in `domain`.
        """
        return self._merged(image, [partial(merges.PowerMean, exponent=self._exponent)])[0]

    def uncertainty(self, image: Tensor, kind: str = "std") -> tuple[Tensor, Tensor]:
        """Predict, and measure how much the views disagree, with one prediction of each view.

        Args:
            image: Shape (N, in, H, W).
            kind: "std", the standard deviation of the views' probabilities, or "entropy", of their mean, in bits. Two
                results more are held for "std", one for "entropy".

        Returns:
            What forward returns, and the uncertainty, both (N, C, h, w).

        Raises:
            ValueError: For another kind, and for "std" of one view.
        """
        if kind not in merges.UNCERTAINTIES:
            raise ValueError(f"no uncertainty {kind!r}; {nearest(kind, merges.UNCERTAINTIES)}")
        if kind == "std" and len(self.views) < 2:
            raise ValueError("one view does not differ from itself; name more views, or take kind='entropy'")
        measure = merges.UNCERTAINTIES[kind]
        of_probs = measure if self.domain == "probs" else lambda like: merges.OfProbs(measure(like))
        merged, disagreement = self._merged(image, [partial(merges.PowerMean, exponent=self._exponent), of_probs])
        return merged, disagreement

    @torch.no_grad()
    def _merged(self, image: Tensor, makers: Sequence[Callable[[Tensor], merges.Running]]) -> list[Tensor]:
        """One pass over all views, into several running merges."""
        running: list[merges.Running] = []
        image_size = (image.shape[-2], image.shape[-1])
        for view in self.views:
            out = self.model(view.apply(image))
            sources = self.class_swaps.sources(out, mirrored=view.mirrored)
            dtype = torch.promote_types(out.dtype, torch.float32)
            out = _checked(out, view, self.domain)
            if not running:  # the first view is the image as it is, so its shape is the result's
                size = (out.shape[2], out.shape[3])
                like = out.new_empty((), dtype=dtype).expand(out.shape)
                running = [make(like) for make in makers]
            weight = torch.tensor(self.weights[view], dtype=dtype, device=out.device)
            if (seen := view.seen(size, image_size, out.device)) is not None:
                weight = weight * seen
            for merge in running:
                merge.add_view(weight)
            for channel, source in enumerate(sources):
                values = view.undo(out[:, source : source + 1].to(dtype), size, image_size)[:, 0]
                for merge in running:
                    merge.add_channel(channel, values)
            del out, values  # before the model is called again
        return [merge.result() for merge in running]

    def extra_repr(self) -> str:
        """Return the settings, for repr()."""
        names = ", ".join(view.name for view in self.views)
        return f"views={names!r}, merge={self.merge!r}, domain={self.domain!r}, swaps={self.class_swaps.swaps}"


class OneView(nn.Module):
    """A model that sees one view alone, undone: to store what each view predicts and choose among them.

    Where a rotated or shifted view did not see a pixel, the nearest that it saw stands for it. The result is float32
    (N, C, h, w), without gradients.

    Args:
        model: As for `TTA`.
        view: One view, as `as_views` reads it.
        class_swaps: As for `TTA`.
        classes: As for `TTA`.

    Raises:
        ValueError: For several views at once. Called: for outputs that are not finite.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        view: object,
        class_swaps: Swaps = (),
        classes: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        views = as_views(view)
        if len(views) != 1:
            raise ValueError(f"view={view!r} is {len(views)} views; name one: OneView(model, 'hflip')")
        self.model, self.view = model, views[0]
        self.class_swaps = ClassSwaps(class_swaps, classes)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Predict the view.

        Args:
            image: Shape (N, in, H, W).

        Returns:
            float32, shape (N, C, h, w).
        """
        image_size = (image.shape[-2], image.shape[-1])
        out = self.model(self.view.apply(image))
        sources = self.class_swaps.sources(out, mirrored=self.view.mirrored)
        out = _checked(out, self.view, "logits")
        view_size = image_size
        for step in self.view.steps:
            view_size = step.size(view_size)
        # The network's output may be coarser than its input; so is the result than the image.
        size = (
            round(image_size[0] * out.shape[2] / view_size[0]),
            round(image_size[1] * out.shape[3] / view_size[1]),
        )
        out = out.to(torch.promote_types(out.dtype, torch.float32))
        return torch.cat([self.view.undo(out[:, s : s + 1], size, image_size) for s in sources], 1)


def _checked(out: Tensor, view: View, domain: str) -> Tensor:
    """The model's output, finite, and with domain="probs" within [0, 1]."""
    low, high = (float(value) for value in out.aminmax()) if out.numel() else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        what = "NaN" if math.isnan(low) or math.isnan(high) else "infinite values"
        raise ValueError(f"the model returned {what} for the view {view.name!r}; expected finite {domain}")
    if domain == "logits" or (low >= 0 and high <= 1):
        return out
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise ValueError(
            f"the model returned values from {low:.4g} to {high:.4g} for the view {view.name!r}, which are no "
            "probabilities; take domain='logits', or apply the sigmoid in the model"
        )
    return out.clamp(0, 1)


def _weights(given: Mapping[str, float], chosen: Sequence[View]) -> dict[View, float]:
    """{view: its weight}."""
    weights = dict.fromkeys(chosen, float(given.get("*", 1.0)))
    for name, weight in given.items():
        if name == "*":
            continue
        named = [view for view in chosen if view.name == name]
        for view in named or as_views(name):
            if view not in weights:
                raise ValueError(f"weights name {name!r}; {nearest(view.name, [v.name for v in chosen])}")
            weights[view] = float(weight)
    if not all(0 < weight < math.inf for weight in weights.values()):
        raise ValueError(f"weights must be numbers above 0, got {dict(given)}; leave out views that are not to count")
    return weights
