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
    return lambda config: {"size": max(32, round(config.size * share / 32) * 32)}


def _each(field: str, *values: str) -> dict[str, Changes]:
    return {value: {field: value} for value in values}


ABLATIONS: dict[str, dict[str, Changes]] = {
    "losses": _each(
        "loss", "bce", "dice", "bce + dice", "bce + dice + focal", "bce + tversky(alpha=0.3, beta=0.7)", "bce + lovasz"
    ),
    "targets": _each("targets", "nearest", "nearest-exact", "soft"),
    "size": {"half": _side(0.5), "three quarters": _side(0.75), "whole": _side(1.0)},
    "augment": _each("augment", "none", "light", "medium", "strong"),
    "mix": _each("mix", "none", "mixup", "cutmix", "copypaste"),
    "schedules": _each("schedule", "constant", "cosine", "poly", "one-cycle"),
    "averaging": {
        "none": {"averaging": "none"},
        "ema": {"averaging": "ema"},
        "swa, schedule swa": {"averaging": "swa", "schedule": "swa"},
        "soup": {"averaging": "soup"},
    },
    "tta": _each("views", "none", "hflip", "d4"),
    "tuning": {".5, no steps": {}, "thresholds": {}, "thresholds and steps": {}},
}
SCORED: dict[str, list[How]] = {"tuning": ["plain", "thresholds", "tune"]}
"""How variants are scored that differ in nothing else; all others at .5, without steps."""


def variants(name: str, config: Config) -> list[Variant]:
    """The variants of an ablation. ValueError names what there is.

    >>> [variant.changes for variant in variants("size", Config(size=224))]
    [{'size': 128}, {'size': 160}, {'size': 224}]
    """
    if name not in ABLATIONS:
        raise ValueError(f"ablate {name!r}: {nearest(name, ABLATIONS)}")
    found = ABLATIONS[name]
    plain: list[How] = ["plain"] * len(found)
    return [
        Variant(label, changes(config) if callable(changes) else changes, how)
        for (label, changes), how in zip(found.items(), SCORED.get(name, plain), strict=True)
    ]
