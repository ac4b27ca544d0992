"""Batches made of two: mixup, CutMix and copy-paste.

A batch is a dictionary as DataLoaders give it: "image" (N, channels, h, w), "target" (N, C, h, w), "weight" (N, 1 or C,
h, w) where pixels weigh differently. Targets are shares in float, or 0 and 1 in bool or integers, which become float
where they are faded; integers of 0 to 255 are those of segkit's own raw samples alone, which carry "target_max". What
else is in a batch ("index") passes. Batches come back new and on their device; every draw comes from the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segkit.data.normalise import TARGET_MAX

Batch = Mapping[str, Any]
TENSORS = ("image", "target", "weight")


def mixup(
    batch: Batch, other: Batch | None = None, *, alpha: float = 0.4, generator: np.random.Generator
) -> dict[str, Any]:
    """Fade every image and its target into those of another one.

    For losses that are minimal at soft targets. A pixel with weight 0 in either has 0.

    Args:
        batch: Images and targets.
        other: A batch alike; None takes each image's neighbour in the batch.
        alpha: The other's share is drawn for each image from Beta(alpha, alpha), and is the smaller one.
        generator: What is drawn from.

    Returns:
        A new batch.

    Raises:
        ValueError: For an alpha that is not above 0, a batch of one without other, class numbers as targets, and
            batches that do not fit.

    References:
        Zhang et al. 2018 (arXiv:1710.09412).
    """
    batch, other = _checked(batch, other, generator)
    drawn = _beta(alpha, len(batch["image"]), generator)
    share = torch.from_numpy(np.minimum(drawn, 1 - drawn).astype(np.float32)).view(-1, 1, 1, 1)
    return _mixed(batch, other, share.to(batch["image"].device))


def cutmix(
    batch: Batch, other: Batch | None = None, *, alpha: float = 1.0, generator: np.random.Generator
) -> dict[str, Any]:
    """Replace a box of every image, and of its target, by the same box of another one.

    Targets need no shares here, each pixel brings its own.

    Args:
        batch: Images and targets.
        other: A batch alike; None takes each image's neighbour in the batch.
        alpha: The box has the image's proportions, its area is a share drawn from Beta(alpha, alpha), its centre lies
            anywhere, and what leaves the image is lost.
        generator: What is drawn from.

    Returns:
        A new batch.

    Raises:
        ValueError: As for `mixup`.

    References:
        Yun et al. 2019 (arXiv:1905.04899).
    """
    batch, other = _checked(batch, other, generator)
    count, (height, width) = len(batch["image"]), batch["image"].shape[-2:]
    share = torch.zeros(count, 1, height, width)
    for channel, side in zip(share[:, 0], np.sqrt(_beta(alpha, count, generator))):
        tall, wide = side * height / 2, side * width / 2
        y, x = generator.uniform(0, height), generator.uniform(0, width)
        rows, columns = (np.rint([max(at - half, 0), at + half]).astype(int) for at, half in ((y, tall), (x, wide)))
        channel[slice(*rows), slice(*columns)] = 1
    return _mixed(batch, other, share.to(batch["image"].device))


def copy_paste(
    batch: Batch,
    other: Batch | None = None,
    *,
    objects: int = 3,
    classes: Sequence[int] | None = None,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Paste objects of another image where they lie, with soft edges.

    A pixel takes all its labels from where it came: what overlaps a pasted object in its own image comes with it, what
    lay below is gone. In a low-resolution pixel that an object covers in part, its share is exact, and a class that
    overlaps it has as much as fits. An image whose partner shows none of the classes stays as it is.

    Args:
        batch: Images and targets.
        other: A batch alike; None takes each image's neighbour in the batch.
        objects: 1 to so many of the classes that the other image shows are pasted, each as likely.
        classes: The channels that may be pasted (rare ones, say); None for all.
        generator: What is drawn from.

    Returns:
        A new batch.

    Raises:
        ValueError: For objects below 1, channels that are not there, and as for `mixup`.

    References:
        Ghiasi et al. 2021 (arXiv:2012.07177).

    Example:
        >>> here = {"image": torch.zeros(1, 1, 1, 3), "target": torch.tensor([[[[1.0, 1.0, 0.0]]]])}
        >>> there = {"image": torch.ones(1, 1, 1, 3), "target": torch.tensor([[[[0.0, 0.5, 1.0]]]])}
        >>> mixed = copy_paste(here, there, generator=np.random.default_rng(0))
        >>> mixed["image"].flatten(), mixed["target"].flatten()
        (tensor([0.0000, 0.5000, 1.0000]), tensor([1., 1., 1.]))
    """
    batch, other = _checked(batch, other, generator)
    target = other["target"]
    if objects < 1:
        raise ValueError(f"objects={objects}: expected at least 1")
    allowed = list(range(target.shape[1]) if classes is None else classes)
    if not allowed or not all(0 <= channel < target.shape[1] for channel in allowed):
        raise ValueError(f"classes={classes}: expected channels from 0 to {target.shape[1] - 1} of the target")
    share = torch.zeros(len(target), 1, *target.shape[-2:], device=target.device)
    shown = target[:, allowed].flatten(2).amax(2).cpu().numpy() > 0
    for channel, channels, present in zip(share[:, 0], target, shown):
        here = np.array(allowed)[present]
        if here.size:
            chosen = generator.permutation(here)[: generator.integers(1, objects + 1)]
            channel[:] = channels[chosen.tolist()].amax(0)
    if TARGET_MAX in batch:
        share /= 255
    return _mixed(batch, other, share, within=True)


MIXES: dict[str, Callable[..., dict[str, Any]]] = {"mixup": mixup, "cutmix": cutmix, "copypaste": copy_paste}


def as_shares(target: Tensor) -> Tensor:
    """Bool or integers of 0 and 1 as float.

    Args:
        target: (N, C, h, w).

    Returns:
        float32.

    Raises:
        ValueError: If it holds other values.
    """
    if target.numel() and int(target.max()) > 1:
        raise ValueError(
            f"the target holds {target.dtype} up to {int(target.max())}: expected shares in float, or 0 and 1; pass "
            "(mask > 0), or class numbers as one channel per class"
        )
    return target.float()


def _beta(alpha: float, count: int, generator: np.random.Generator) -> np.ndarray:
    if not alpha > 0:
        raise ValueError(f"alpha={alpha}: expected a number above 0")
    return generator.beta(alpha, alpha, count)


def _checked(batch: Batch, other: Batch | None, generator: np.random.Generator) -> tuple[Batch, Batch]:
    """A batch and its partners, with targets that can be mixed."""
    if not isinstance(generator, np.random.Generator):
        raise ValueError(f"generator={generator!r}: expected NumPy's, such as np.random.default_rng(0)")
    for one in (batch, other):
        if one is not None and not isinstance(one, Mapping):
            raise ValueError(f'a batch is a dictionary with "image" and "target", got a {type(one).__name__}')
    if missing := {"image", "target"} - set(batch):
        raise ValueError(
            f"the batch has {', '.join(batch) or 'nothing'}; expected {' and '.join(sorted(missing))} too"
        )  # fmt: skip
    image, target = batch["image"], batch["target"]
    if image.ndim != 4 or target.ndim != 4 or len(image) != len(target) or image.shape[-2:] != target.shape[-2:]:
        got = f"{(*image.shape,)} and {(*target.shape,)}"
        raise ValueError(f"expected image (N, channels, h, w) and target (N, C, h, w), got {got}")
    if other is not None:
        for name in TENSORS:
            shapes = [(*b[name].shape,) if name in b else "nothing" for b in (batch, other)]
            if shapes[0] != shapes[1]:
                raise ValueError(f"{name} of the two batches: {shapes[0]} and {shapes[1]}; expected batches alike")
    if TARGET_MAX not in batch and not target.is_floating_point():
        batch = {**batch, "target": as_shares(target)}
        other = None if other is None else {**other, "target": as_shares(other["target"])}
    if other is None:
        if len(image) < 2:
            raise ValueError("a batch of one has nobody to mix with: pass other=, or take a larger batch")
        other = {name: batch[name].roll(1, 0) for name in TENSORS if name in batch}
    return batch, other


def _mixed(batch: Batch, other: Batch, share: Tensor, *, within: bool = False) -> dict[str, Any]:
    """Mix in a share (N, 1, h, w) or (N, 1, 1, 1) of the other; within: as much of its target as fits into it."""
    out = dict(batch)
    part: Any = (..., *_box(share))
    share = share[part] if share.shape[-1] > 1 or share.shape[-2] > 1 else share
    for name in TENSORS:
        if name not in batch:
            continue
        one, two = batch[name][part], other[name][part]
        if name == "weight":
            known = ((one > 0) | (share == 1)) & ((two > 0) | (share == 0))
            mixed = _blend(one, two, share) * known
        elif name == "target" and within:
            full = 255 if TARGET_MAX in batch else 1
            mixed = _as(one * (1 - share) + torch.minimum(two, share * full), one.dtype)
        else:
            mixed = _blend(one, two, share)
        out[name] = batch[name].clone()
        out[name][part] = mixed
    return out


def _blend(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Blend: bit for bit `one` where the share is 0, `other` where it is 1."""
    return _as(torch.lerp(one.float(), other.float(), share.expand_as(one)), one.dtype)


def _as(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype) if dtype.is_floating_point else values.round().to(dtype)


def _box(share: Tensor) -> tuple[slice, slice]:
    """The rows and columns that anything of the other reaches."""
    if share.shape[-1] == share.shape[-2] == 1:
        return slice(None), slice(None)
    spans = [share.amax(dims).nonzero().flatten() for dims in ((0, 1, 3), (0, 1, 2))]
    rows, columns = (slice(int(s[0]), int(s[-1]) + 1) if len(s) else slice(0, 0) for s in spans)
    return rows, columns
