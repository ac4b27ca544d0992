"""Class activation maps: which pixels a classifier names a class by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.cam.hooks import check_logits, class_channels, eval_mode, find_module, logits_and_features
from segkit.models.layers import full_precision
from segkit.tta import TTA, Swaps


@torch.no_grad()
def cam(
    model: nn.Module,
    image: Tensor,
    *,
    layer: str | nn.Module,
    head: str | nn.Module,
    classes: Sequence[int] | None = None,
) -> Tensor:
    """Compute the class activation maps of a network that ends in a mean over space and a linear layer.

    The map of class c is the sum over k of w_ck F_k. Its mean over space, plus the head's bias, is the logit: that is
    checked. The model runs in evaluation mode and is left as it was, here and in `grad_cam` and `score_cam`.

    Args:
        model: (N, in, H, W) -> logits (N, C).
        image: Float, shape (N, in, H, W).
        layer: The module that gives the last features (N, K, h, w), or its name in `model.named_modules()`.
        head: The `nn.Linear` or 1x1 convolution after or before their mean, or its name.
        classes: Channels of the logits; default all.

    Returns:
        Shape (N, classes, h, w), signed, without gradients.

    Raises:
        ValueError: For a network of another kind, and for what is no part of the model.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> cam(net, torch.zeros(1, 1, 8, 8), layer="1", head="4").shape
        torch.Size([1, 2, 6, 6])

    References:
        Zhou et al., Learning deep features for discriminative localization, CVPR 2016.
    """
    last = find_module(model, head)
    weight, bias = getattr(last, "weight", None), getattr(last, "bias", None)
    if not isinstance(last, (nn.Linear, nn.Conv2d)) or weight is None or weight[0, 0].numel() != 1:
        raise ValueError(f"expected nn.Linear or a 1x1 nn.Conv2d as head, got {last}; for other networks take grad_cam")
    with eval_mode(model):
        logits, features = logits_and_features(model, image, layer)
    weight = weight.flatten(1).to(logits.dtype)
    if weight.shape != (logits.shape[1], features.shape[1]):
        raise ValueError(
            f"the head takes {weight.shape[1]} channels for {weight.shape[0]} classes, but the layer gives "
            f"{features.shape[1]} and the model {logits.shape[1]}; name the layer right before the mean"
        )
    maps = _weighted_sum("ck,nkhw->nchw", weight, features.to(logits.dtype))
    means = maps.mean((2, 3)) + (0 if bias is None else bias)
    if not torch.allclose(means, logits, rtol=0.02, atol=0.02 * float(logits.abs().max())):
        raise ValueError(
            f"the maps' means are not the logits (up to {(means - logits).abs().max():.3g} apart): this is not a mean "
            "over space and one linear layer; take grad_cam"
        )
    return maps[:, class_channels(classes, maps.shape[1])]


def grad_cam(
    model: nn.Module, image: Tensor, *, layer: str | nn.Module, classes: Sequence[int] | None = None
) -> Tensor:
    """Compute the Grad-CAM of any classifier: features weighted by the mean of their gradients.

    ReLU of the sum over k of F_k times the mean over space of d logit_c / d F_k. One backward pass a class, from the
    logits to the layer only; gradients of parameters stay as they are. For a network that ends in a mean and a linear
    layer, h w times this is the ReLU of `cam`.

    Args:
        model: (N, in, H, W) -> logits (N, C).
        image: Float, shape (N, in, H, W).
        layer: The module that gives features (N, K, h, w), or its name.
        classes: Channels of the logits; default all.

    Returns:
        Shape (N, classes, h, w), not negative.

    Raises:
        ValueError: If the logits do not depend on the layer, or model, image or layer have other shapes.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
        >>> grad_cam(net, torch.zeros(1, 1, 8, 8), layer="1", classes=[1]).shape
        torch.Size([1, 1, 6, 6])

    References:
        Selvaraju et al., Grad-CAM, ICCV 2017.
    """
    with torch.inference_mode(False), torch.enable_grad(), eval_mode(model):
        logits, features = logits_and_features(model, image.detach().clone(), layer)
        maps = []
        for c in class_channels(classes, logits.shape[1]):
            slope = None
            if logits.requires_grad:
                slope = torch.autograd.grad(logits[:, c].sum(), features, retain_graph=True, allow_unused=True)[0]
            if slope is None:
                raise ValueError("the logits do not depend on the layer; name one that they are computed from")
            weighted = slope.mean((2, 3), dtype=logits.dtype)[..., None, None] * features
            maps.append(weighted.sum(1).relu().detach())
    return torch.stack(maps, 1)


@torch.no_grad()
def score_cam(
    model: nn.Module,
    image: Tensor,
    *,
    layer: str | nn.Module,
    classes: Sequence[int] | None = None,
    fill: float = 0.0,
    batch_size: int = 32,
) -> Tensor:
    """Compute the Score-CAM of any classifier: features weighted by the score of the image that they mask.

    Each channel of the features, brought to the image's size and to [0, 1], masks the image; the softmax over channels
    of a class's logits are their weights. (The score of an image of `fill` alone, the paper's baseline, is the same for
    all channels and cancels in the softmax.) A channel that is the same everywhere masks nothing and gets no weight. No
    gradient is needed. Costs K more forward passes an image.

    Args:
        model: (N, in, H, W) -> logits (N, C).
        image: Float, shape (N, in, H, W).
        layer: The module that gives features (N, K, h, w), or its name.
        classes: Channels of the logits; default all.
        fill: Value of the image where the mask is 0: 0 is the mean of a normalised image.
        batch_size: Masked images in one forward pass.

    Returns:
        Shape (N, classes, h, w), not negative.

    Raises:
        ValueError: For batch_size below 1, and as `grad_cam`.

    References:
        Wang et al., Score-CAM, CVPR Workshops 2020.
    """
    if batch_size < 1:
        raise ValueError(f"expected batch_size of at least 1, got {batch_size}")
    with eval_mode(model):
        logits, features = logits_and_features(model, image, layer)
        chosen = class_channels(classes, logits.shape[1])
        features = features.to(logits.dtype)
        maps = [
            _scored(model, one, own, chosen, fill, batch_size)
            for one, own in zip(image.split(1), features, strict=True)
        ]
    return torch.stack(maps)


def _scored(
    model: nn.Module, image: Tensor, features: Tensor, chosen: list[int], fill: float, batch_size: int
) -> Tensor:
    """(1, in, H, W), (K, h, w) -> (classes, h, w)."""
    low, high = features.amin((1, 2)), features.amax((1, 2))
    features, low, high = (x[high > low] for x in (features, low, high))
    if not len(features):
        return features.new_zeros(len(chosen), *features.shape[1:])
    masks = (features - low[:, None, None]) / (high - low)[:, None, None]
    scores = []
    for part in masks[:, None].split(batch_size):
        part = _resized(part, image.shape[2:]).to(image.dtype)
        scores.append(check_logits(model(image * part + fill * (1 - part)), len(part))[:, chosen])
    weights = torch.cat(scores).softmax(0)
    return _weighted_sum("kc,khw->chw", weights, features).relu()


def _weighted_sum(sums: str, weights: Tensor, features: Tensor) -> Tensor:
    """An einsum in full precision, autocast or not."""
    with full_precision(features):
        return torch.einsum(sums, weights, features)


def over_views(
    maps: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    views: object = "hflip, scale(0.5), scale(1.5)",
    class_swaps: Swaps = (),
) -> Tensor:
    """Average maps over views of the image, at its size: scales and mirrors find more of an object than one view.

    Args:
        maps: Any function, image (N, in, H, W) -> (N, C, h, w): `partial(grad_cam, model, layer=...)`, or the `.maps`
            of a `Classifier`.
        image: Float, shape (N, in, H, W).
        views: As `segkit.tta.TTA` takes them; the image as it is always belongs to them.
        class_swaps: As for `segkit.tta.TTA`.

    Returns:
        Shape (N, C, H, W), without gradients; each view's maps are brought to its own image's size (bilinear, half
        pixels) before they are merged.

    Raises:
        ValueError: If `maps` gives something else, and for views that cannot be read.

    Example:
        >>> over_views(lambda image: image[..., ::2, ::2], torch.ones(1, 1, 6, 6), views="hflip, scale(2)").shape
        torch.Size([1, 1, 6, 6])
    """

    def at_image_size(view: Tensor) -> Tensor:
        out = maps(view)
        if not isinstance(out, Tensor) or out.ndim != 4:
            got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise ValueError(f"expected maps (N, C, h, w), got {got}; pass partial(grad_cam, model, layer=...), say")
        return _resized(out, view.shape[2:])

    return TTA(at_image_size, views, class_swaps=class_swaps)(image)


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, with half pixels."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
