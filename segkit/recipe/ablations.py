"""What `run.py ablate` switches on and off: each variant is a change of settings; the first is the trick left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from segkit.files import nearest
from segkit.recipe.config import Config
from segkit.recipe.variant import How

Changes = Mapping[str, Any] | Callable[[Config], Mapping[str, Any]]


class Variant(NamedTuple):
    """One row of a table."""

    name: str
    changes: Mapping[str, Any]
    how: How


def _side(share: float) -> Callable[[Config], Mapping[str, Any]]:
    """That share of --size, in the multiples of 32 that networks take."""
    return lambda config: {"size": tuple(max(32, round(side * share / 32) * 32) for side in config.model.size)}


def _each(field: str, *values: str) -> dict[str, Changes]:
    return {value: {field: value} for value in values}


def _rate(optimizer: str, times: float) -> Callable[[Config], Mapping[str, Any]]:
    """An optimiser at so many times --lr, as one suits AdamW and another SGD."""
    return lambda config: {"optimizer": optimizer, "lr": config.train.lr * times}


def _frozen_at_first(config: Config) -> Mapping[str, Any]:
    """The encoder is frozen in the first tenth of the epochs."""
    if config.train.epochs < 2:
        raise ValueError("ablate encoder: an encoder that is frozen at first needs at least --epochs 2")
    return {"encoder_lr_mult": 1.0, "freeze_epochs": max(1, config.train.epochs // 10)}


def _window(**changes: float) -> Callable[[Config], Mapping[str, Any]]:
    """Windows of half of --size, in multiples of 32."""
    return lambda config: {"crop": max(32, round(min(config.model.size) / 64) * 32), **changes}


def _labels(share: float) -> Callable[[Config], Mapping[str, Any]]:
    """So many of the samples with the labels of --pseudo."""

    def changes(config: Config) -> Mapping[str, Any]:
        if config.labels.pseudo is None:
            raise ValueError("ablate pseudo-labels: name some with --pseudo LABELS, as the stage pseudo writes them")
        return {"pseudo": config.labels.pseudo, "pseudo_share": share}

    return changes


ABLATIONS: dict[str, dict[str, Changes]] = {
    "losses": _each(
        "loss", "bce", "dice", "bce + dice", "bce + dice + focal", "bce + tversky(alpha=0.3, beta=0.7)", "bce + lovasz"
    ),
    "overlap-losses": _each(
        "loss",
        "bce + dice",
        "bce + jaccard",
        "bce + generalised_dice",
        "bce + focal_tversky",
        "bce + dice(per_image=False)",
    ),
    "pixel-losses": _each("loss", "bce + dice", "topk(share=0.2) + dice", "focal + dice"),
    "boundary-losses": _each(
        "loss",
        "bce + dice",
        "bce + dice; 0.5: bce + dice + boundary",
        "bce + dice + 10*hausdorff",
        "bce + dice + 0.5*cldice",
    ),
    "exclusive-losses": _each(
        "loss", "cross_entropy", "cross_entropy + softmax_dice", "cross_entropy + softmax_lovasz"
    ),
    "auxiliary": {"not judged": {"aux_weight": 0.0}, "0.4": {"aux_weight": 0.4}, "1": {"aux_weight": 1.0}},
    "targets": _each("targets", "nearest", "nearest-exact", "soft"),
    "size": {"half": _side(0.5), "three quarters": _side(0.75), "whole": _side(1.0)},
    "augment": _each("augment", "none", "light", "medium", "strong", "colour"),
    "augment-steps": _each(
        "augment",
        "medium",
        "medium(hflip=0)",
        "medium(rotate=0)",
        "medium(scale=0, shift=0)",
        "medium(tone=0)",
        "medium(noise=0, blur=0)",
        "medium(bend=0.15)",
        "medium(clahe=2)",
    ),
    "crop": {
        "whole images": {"crop": None},
        "windows": _window(foreground=0.0),
        "windows of classes": _window(foreground=0.5),
    },
    "sliding": {f"overlap {share}": _window(overlap=share) for share in (0.0, 0.25, 0.5, 0.75)},
    "mix": _each("mix", "none", "mixup", "cutmix", "copypaste"),
    "mix-share": {str(share): {"mix": "copypaste", "mix_share": share} for share in (0.25, 0.5, 1.0)},
    "pseudo-labels": {"none": {"pseudo": None}, **{f"{share:.0%}": _labels(share) for share in (0.15, 0.3, 0.5)}},
    "optimizers": {
        "adamw": {"optimizer": "adamw"},
        "nadamw": {"optimizer": "nadamw"},
        "sgd at ten times the rate": _rate("sgd", 10),
        "lion at a third of the rate": _rate("lion", 1 / 3),
    },
    "encoder": {
        "as the decoder": {"encoder_lr_mult": 1.0, "freeze_epochs": 0},
        "a tenth of the rate": {"encoder_lr_mult": 0.1, "freeze_epochs": 0},
        "frozen at first": _frozen_at_first,
    },
    "schedules": _each("schedule", "constant", "cosine", "poly", "one-cycle"),
    "floor": {"to 0": {"schedule": "cosine", "lr_floor": 0.0}, "to 0.1": {"schedule": "cosine", "lr_floor": 0.1}},
    "averaging": {
        "none": {"averaging": "none"},
        "ema": {"averaging": "ema"},
        "swa, schedule swa": {"averaging": "swa", "schedule": "swa"},
        "soup": {"averaging": "soup"},
    },
    "tta": _each("views", "none", "hflip", "d4"),
    "scales": _each("views", "none", "scale(1.25)", "scale(0.8), scale(1.25)", "hflip, scale(0.8), scale(1.25)"),
    "merge": {
        "one look": {"views": "none", "tta_merge": "mean"},
        **{f"hflip, {merge}": {"views": "hflip", "tta_merge": merge} for merge in ("mean", "1", "gmean", "max")},
    },
    "tuning": {".5, no steps": {}, "thresholds": {}, "thresholds and steps": {}},
}
SCORED: dict[str, list[How]] = {"tuning": ["plain", "thresholds", "tune"]}
"""How variants are scored that differ in nothing else; all others at .5, without steps."""


def variants(name: str, config: Config) -> list[Variant]:
    """List the variants of an ablation.

    Args:
        name: One of ABLATIONS.
        config: What is varied.

    Returns:
        The variants; the first is the base.

    Raises:
        ValueError: For an unknown name, or settings that leave nothing to vary.

    Example:
        >>> from segkit.recipe.config import replace
        >>> [variant.changes for variant in variants("size", replace(Config(), {"size": 224}))]
        [{'size': (128,)}, {'size': (160,)}, {'size': (224,)}]
    """
    if name not in ABLATIONS:
        raise ValueError(f"ablate {name!r}: {nearest(name, ABLATIONS)}")
    found = ABLATIONS[name]
    plain: list[How] = ["plain"] * len(found)
    return [
        Variant(label, changes(config) if callable(changes) else changes, how)
        for (label, changes), how in zip(found.items(), SCORED.get(name, plain), strict=True)
    ]
