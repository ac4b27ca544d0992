"""Class activation maps: where a classifier looks when it names a class."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segkit.cam.watch import as_logits, channels, evaluating, found, observed
from segkit.models.layers import full_precision
from segkit.tta import TTA, Swaps, View


@torch.no_grad()
def cam(
    model: nn.Module,
    image: Tensor,
    *,
    layer: str | nn.Module,
    head: str | nn.Module,
    classes: Sequence[int] | None = None,
) -> Tensor:
    """Class activation maps of a network that ends in a mean over space and a linear layer (Zhou et al., CVPR 2016).

    model: (N, in, H, W) -> logits (N, C). layer: what gives the last features (N, K, h, w); head: the `nn.Linear` or
    1x1 convolution after or before their mean; each a module or its name in `model.named_modules()`. classes: channels
    of the logits, default all. -> (N, classes, h, w), signed, without gradients: the sum over k of w_ck F_k. Its mean
    over space, plus the head's bias, is the logit: that is checked, and a network of another kind is a ValueError.

    The model looks in evaluation mode and is left as it was, here and in `grad_cam` and `score_cam`.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    >>> cam(net, torch.zeros(1, 1, 8, 8), layer="1", head="4").shape
    torch.Size([1, 2, 6, 6])
    """
    last = found(model, head)
    weight, bias = getattr(last, "weight", None), getattr(last, "bias", None)
    if not isinstance(last, (nn.Linear, nn.Conv2d)) or weight is None or weight[0, 0].numel() != 1:
        raise ValueError(f"the head is {last}; nn.Linear or a 1x1 nn.Conv2d is wanted, else take grad_cam")
    with evaluating(model):
        logits, features = observed(model, image, layer)
    weight = weight.flatten(1).to(logits.dtype)
    if weight.shape != (logits.shape[1], features.shape[1]):
        raise ValueError(
            f"the head weighs {weight.shape[1]} channels for {weight.shape[0]} classes, but the layer gives "
            f"{features.shape[1]} and the model {logits.shape[1]}; name the layer right before the mean"
        )
    maps = _weighed("ck,nkhw->nchw", weight, features.to(logits.dtype))
    means = maps.mean((2, 3)) + (0 if bias is None else bias)
    if not torch.allclose(means, logits, rtol=0.02, atol=0.02 * float(logits.abs().max())):
        raise ValueError(
            f"the maps' means are not the logits (up to {(means - logits).abs().max():.3g} apart): this is not a mean "
            "over space and one linear layer; take grad_cam"
        )
    return maps[:, channels(classes, maps.shape[1])]


def grad_cam(
    model: nn.Module, image: Tensor, *, layer: str | nn.Module, classes: Sequence[int] | None = None
) -> Tensor:
    """Grad-CAM of any classifier (Selvaraju et al., ICCV 2017): features weighed by the mean of their gradients.

    model: (N, in, H, W) -> logits (N, C); layer: what gives features (N, K, h, w), by name or itself; classes: channels
    of the logits, default all. -> (N, classes, h, w), not negative: ReLU of the sum over k of F_k times the mean over
    space of d logit_c / d F_k. One backward pass a class, from the logits to the layer only. Gradients of parameters
    stay as they are. For a network that ends in a mean and a linear layer, h w times this is the ReLU of `cam`.

    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    >>> grad_cam(net, torch.zeros(1, 1, 8, 8), layer="1", classes=[1]).shape
    torch.Size([1, 1, 6, 6])
    """
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        logits, features = observed(model, image.detach().clone(), layer)
        maps = []
        for c in channels(classes, logits.shape[1]):
            slope = None
            if logits.requires_grad:
                slope = torch.autograd.grad(logits[:, c].sum(), features, retain_graph=True, allow_unused=True)[0]
            if slope is None:
                raise ValueError("the logits do not depend on the layer; name one that lies on their way")
            weighed = slope.mean((2, 3), dtype=logits.dtype)[..., None, None] * features
            maps.append(weighed.sum(1).relu().detach())
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
    """Score-CAM of any classifier (Wang et al., CVPR Workshops 2020): features weighed by what they let be seen.

    Arguments and result as for `grad_cam`; no gradient is needed. Each channel of the features, brought to the image's
    size and to [0, 1], is laid over the image; the softmax over channels of a class's logits are their weights. fill:
    what is seen where the mask is 0, in the image's values: 0 is the mean of a normalised image. (What the network says
    of an image of that alone, the paper's baseline, is the same for all channels and cancels in the softmax.) A channel
    that is the same everywhere masks nothing and gets no weight. Costs K more forward passes an image, batch_size of
    them at once. ValueError for batch_size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: at least 1 is wanted")
    with evaluating(model):
        logits, features = observed(model, image, layer)
        chosen = channels(classes, logits.shape[1])
        features = features.to(logits.dtype)
        maps = [
            _scored(model, one, planes, chosen, fill, batch_size)
            for one, planes in zip(image.split(1), features, strict=True)
        ]
    return torch.stack(maps)


def _scored(model: nn.Module, image: Tensor, planes: Tensor, chosen: list[int], fill: float, batch_size: int) -> Tensor:
    """(1, in, H, W), (K, h, w) -> (classes, h, w)."""
    low, high = planes.amin((1, 2)), planes.amax((1, 2))
    planes, low, high = (x[high > low] for x in (planes, low, high))
    if not len(planes):
        return planes.new_zeros(len(chosen), *planes.shape[1:])
    masks = (planes - low[:, None, None]) / (high - low)[:, None, None]
    scores = []
    for part in masks[:, None].split(batch_size):
        part = _resized(part, image.shape[2:]).to(image.dtype)
        scores.append(as_logits(model(image * part + fill * (1 - part)), len(part))[:, chosen])
    weights = torch.cat(scores).softmax(0)
    return _weighed("kc,khw->chw", weights, planes).relu()


def _weighed(sums: str, weights: Tensor, features: Tensor) -> Tensor:
    """In full precision, autocast or not."""
    with full_precision(features):
        return torch.einsum(sums, weights, features)


def over_views(
    maps: Callable[[Tensor], Tensor],
    image: Tensor,
    *,
    views: str | View | Iterable[str | View] = "hflip, scale(0.5), scale(1.5)",
    class_swaps: Swaps = (),
) -> Tensor:
    """Maps at the image's size, the mean over views of it: scales and mirrors find more of an object than one look.

    maps: any function, image (N, in, H, W) -> (N, C, h, w): `partial(grad_cam, model, layer=...)`, a `Classifier`'s
    `.maps`. views, class_swaps: as `segkit.tta.TTA` takes them; the image as it is always belongs to them. -> (N, C, H,
    W), each view's maps brought to its own image's size (bilinear, half pixels) before they are merged; no gradients.
    ValueError where `maps` gives something else, and for views that cannot be read.

    >>> over_views(lambda image: image[..., ::2, ::2], torch.ones(1, 1, 6, 6), views="hflip, scale(2)").shape
    torch.Size([1, 1, 6, 6])
    """

    def full(shown: Tensor) -> Tensor:
        found = maps(shown)
        if not isinstance(found, Tensor) or found.ndim != 4:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"maps gave {got}; (N, C, h, w) is wanted: pass partial(grad_cam, model, layer=...), say")
        return _resized(found, shown.shape[2:])

    return TTA(full, views, class_swaps=class_swaps)(image)


def _resized(planes: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(planes, size=tuple(size), mode="bilinear", align_corners=False)
