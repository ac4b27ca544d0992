"""Samples made of two: mixup, CutMix and copy-paste, on batches or as a dataset.

A batch is a dictionary as DataLoaders give it: "image" (N, channels, h, w), "target" (N, C, h, w), "weight" (N, 1 or C,
h, w) where pixels weigh differently; uint8 or float, and a target in uint8 is 0 .. 255. What else is in it ("index")
passes. Batches come back new, in their dtypes and on their device; every draw comes from the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from segkit.data.dataset import normalise
from segkit.files import nearest

Batch = Mapping[str, Any]


def mixup(
    batch: Batch, other: Batch | None = None, *, alpha: float = 0.4, generator: np.random.Generator
) -> dict[str, Any]:
    """Every image and its target, faded into those of another one.

    other: a batch alike; None takes each image's neighbour in the batch. The other's share is drawn for each image
    from Beta(alpha, alpha), and is the smaller one. A pixel with weight 0 in either has 0. For losses that are minimal
    at soft targets. Zhang et al. 2018 (arXiv:1710.09412). ValueError for an alpha that is not above 0, a batch of one
    without other, and batches that do not fit.
    """
    other = _other(batch, other, generator)
    drawn = _beta(alpha, len(batch["image"]), generator)
    share = torch.from_numpy(np.minimum(drawn, 1 - drawn).astype(np.float32)).view(-1, 1, 1, 1)
    return _mixed(batch, other, share.to(batch["image"].device))


def cutmix(
    batch: Batch, other: Batch | None = None, *, alpha: float = 1.0, generator: np.random.Generator
) -> dict[str, Any]:
    """A box of every image, and of its target, replaced by the same box of another one.

    other: a batch alike; None takes each image's neighbour in the batch. The box has the image's proportions, its area
    is a share drawn from Beta(alpha, alpha), its centre lies anywhere, and what leaves the image is lost. Yun et al.
    2019 (arXiv:1905.04899); targets need no shares here, each pixel brings its own. ValueError as for mixup.
    """
    other = _other(batch, other, generator)
    count, (height, width) = len(batch["image"]), batch["image"].shape[-2:]
    share = torch.zeros(count, 1, height, width)
    for plane, side in zip(share[:, 0], np.sqrt(_beta(alpha, count, generator))):
        tall, wide = side * height / 2, side * width / 2
        y, x = generator.uniform(0, height), generator.uniform(0, width)
        rows, columns = (np.rint([max(at - half, 0), at + half]).astype(int) for at, half in ((y, tall), (x, wide)))
        plane[slice(*rows), slice(*columns)] = 1
    return _mixed(batch, other, share.to(batch["image"].device))


def copy_paste(
    batch: Batch,
    other: Batch | None = None,
    *,
    objects: int = 3,
    classes: Sequence[int] | None = None,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Objects of another image pasted where they lie, with soft edges.

    other: a batch alike; None takes each image's neighbour in the batch. objects: 1 to so many of the classes that the
    other image shows are pasted, each as likely; classes: the channels that may be (rare ones, say), None for all. A
    pixel takes all its labels from where it came: what overlaps a pasted object in its own image comes with it, what
    lay below is gone. In a cell that an object covers in part, its share is exact, and a class that overlaps it has as
    much as fits. An image whose partner shows none of the classes stays as it is. Ghiasi et al. 2021
    (arXiv:2012.07177). ValueError for objects below 1, channels that are not there, and as for mixup.

    >>> here = {"image": torch.zeros(1, 1, 1, 3), "target": torch.tensor([[[[1.0, 1.0, 0.0]]]])}
    >>> there = {"image": torch.ones(1, 1, 1, 3), "target": torch.tensor([[[[0.0, 0.5, 1.0]]]])}
    >>> mixed = copy_paste(here, there, generator=np.random.default_rng(0))
    >>> mixed["image"].flatten(), mixed["target"].flatten()
    (tensor([0.0000, 0.5000, 1.0000]), tensor([1., 1., 1.]))
    """
    other = _other(batch, other, generator)
    target = other["target"]
    if objects < 1:
        raise ValueError(f"objects={objects}: at least 1 is wanted")
    allowed = list(range(target.shape[1]) if classes is None else classes)
    if not allowed or not all(0 <= channel < target.shape[1] for channel in allowed):
        raise ValueError(f"classes={classes}: channels from 0 to {target.shape[1] - 1} of the target are wanted")
    share = torch.zeros(len(target), 1, *target.shape[-2:], device=target.device)
    shown = target[:, allowed].flatten(2).amax(2).cpu().numpy() > 0
    for plane, planes, present in zip(share[:, 0], target, shown):
        here = np.array(allowed)[present]
        if here.size:
            chosen = generator.permutation(here)[: generator.integers(1, objects + 1)]
            plane[:] = planes[chosen.tolist()].amax(0)
    if target.dtype == torch.uint8:
        share /= 255
    return _mixed(batch, other, share, within=True)


MIXES: dict[str, Callable[..., dict[str, Any]]] = {"mixup": mixup, "cutmix": cutmix, "copypaste": copy_paste}


class Mixed(Dataset[dict[str, object]]):
    """A dataset whose samples are, in part, mixed with other ones of it.

    data: SegmentationData, Crops, or any dataset of {"image", "target"}; the other image comes as the epoch augments
    it, and each is normalised by itself first. mix: a name of MIXES, or a callable of their kind, such as
    functools.partial(mixup, alpha=0.2). share: of the samples are mixed, 0 to 1.

    mixed[index] -> as `data`. Whether, with which and how is drawn from (seed, epoch, index) alone, in the worker and
    not in the batch: any number of workers or processes, and a run that is resumed, see the same samples. ValueError
    for an unknown mix, a share outside [0, 1], fewer than two samples.
    """

    def __init__(self, data: Any, mix: str | Callable[..., Any], *, share: float = 0.5, seed: int = 0) -> None:
        if isinstance(mix, str) and mix not in MIXES:
            raise ValueError(f"mix {mix!r}: {nearest(mix, MIXES)}")
        if not 0 <= share <= 1:
            raise ValueError(f"share={share}: of the samples, in [0, 1], is wanted")
        if len(data) < 2:
            raise ValueError(f"{len(data)} samples: at least two are wanted, to be mixed")
        self.data, self.share, self.seed, self.epoch = data, float(share), seed, 0
        self.mix = MIXES[mix] if isinstance(mix, str) else mix
        self.ids, self.in_channels = getattr(data, "ids", None), getattr(data, "in_channels", 1)

    def __len__(self) -> int:
        return len(self.data)

    def set_epoch(self, epoch: int) -> None:
        """Augment and mix as in this epoch from now on."""
        self.epoch = epoch
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)

    def fingerprint(self) -> dict[str, Any]:
        """What decides the samples.

        Returns:
            {name: value}; a run that is resumed needs them unchanged.
        """
        before = self.data.fingerprint() if hasattr(self.data, "fingerprint") else {"data": self.data}
        return {**before, "mix": self.mix, "mix_share": self.share, "mix_seed": self.seed}

    def raw(self, index: int) -> dict[str, Any]:
        """One sample as fit() takes it: image float32, target as `data` has it."""
        sample = self._sample(index)
        generator = np.random.default_rng([self.seed, self.epoch, index, 2])  # 2: augmentation and crops have their own
        if generator.random() >= self.share:
            return sample
        partner = int(generator.integers(len(self) - 1))
        pair = sample, self._sample(partner + (partner >= index))
        one, other = ({name: part[None] for name, part in p.items() if isinstance(part, Tensor)} for p in pair)
        mixed = self.mix(one, other, generator=generator)
        return sample | {name: mixed[name][0] for name in ("image", "target", "weight") if name in mixed}

    def __getitem__(self, index: int) -> dict[str, Any]:
        raw = self.raw(index)
        return raw | {"target": raw["target"] / 255} if raw["target"].dtype == torch.uint8 else raw

    def _sample(self, index: int) -> dict[str, Any]:
        sample = dict(self.data.raw(index) if hasattr(self.data, "raw") else self.data[index])
        if sample["image"].dtype == torch.uint8:
            sample["image"] = normalise(sample["image"][None], self.in_channels)[0]
        return sample


def _beta(alpha: float, count: int, generator: np.random.Generator) -> np.ndarray:
    if not alpha > 0:
        raise ValueError(f"alpha={alpha}: a number above 0 is wanted")
    return generator.beta(alpha, alpha, count)


def _other(batch: Batch, other: Batch | None, generator: np.random.Generator) -> Batch:
    """The partners of a batch, checked."""
    if not isinstance(generator, np.random.Generator):
        raise ValueError(f"generator={generator!r}: NumPy's is wanted, such as np.random.default_rng(0)")
    for one in (batch, other):
        if one is not None and not isinstance(one, Mapping):
            raise ValueError(f'a batch is a dictionary with "image" and "target", got a {type(one).__name__}')
    if missing := {"image", "target"} - set(batch):
        raise ValueError(
            f"the batch has {', '.join(batch) or 'nothing'}; {' and '.join(sorted(missing))} are wanted too"
        )
    image, target = batch["image"], batch["target"]
    if image.ndim != 4 or target.ndim != 4 or len(image) != len(target) or image.shape[-2:] != target.shape[-2:]:
        got = f"{(*image.shape,)} and {(*target.shape,)}"
        raise ValueError(f"image (N, channels, h, w) and target (N, C, h, w) are wanted, got {got}")
    if other is None:
        if len(image) < 2:
            raise ValueError("a batch of one has nobody to mix with: pass other=, or take a larger batch")
        return {name: batch[name].roll(1, 0) for name in ("image", "target", "weight") if name in batch}
    for name in ("image", "target", "weight"):
        shapes = [(*b[name].shape,) if name in b else "nothing" for b in (batch, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{name} of the two batches: {shapes[0]} and {shapes[1]}; batches alike are wanted")
    return other


def _mixed(batch: Batch, other: Batch, share: Tensor, *, within: bool = False) -> dict[str, Any]:
    """share float (N, 1, h, w) or (N, 1, 1, 1) of the other's; within: as much of its target as fits into the share."""
    out = dict(batch)
    part: Any = (..., *_box(share))
    share = share[part] if share.shape[-1] > 1 or share.shape[-2] > 1 else share
    for name in ("image", "target", "weight"):
        if name not in batch:
            continue
        one, two = batch[name][part], other[name][part]
        if name == "weight":
            known = ((one > 0) | (share == 1)) & ((two > 0) | (share == 0))
            mixed = _blend(one, two, share) * known
        elif name == "target" and within:
            full = 255 if one.dtype == torch.uint8 else 1
            mixed = _as(one * (1 - share) + torch.minimum(two, share * full), one.dtype)
        else:
            mixed = _blend(one, two, share)
        out[name] = batch[name].clone()
        out[name][part] = mixed
    return out


def _blend(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """one + (other - one) * share: bit for bit one where share is 0, other where it is 1."""
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
