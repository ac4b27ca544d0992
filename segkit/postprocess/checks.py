"""Settings of a Pipeline that must fit together, and the names of classes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segkit.ensemble.weights import Blend
from segkit.files import nearest
from segkit.postprocess.binarizers import BINARIZERS
from segkit.postprocess.settings import active
from segkit.thresholds import PerClass


def check_setting(where: str, setting: object, classes: Sequence[str], needed: Sequence[str]) -> None:
    """Check the names of a per-class setting.

    Args:
        where: What it is called in errors.
        setting: A value, {class: value} with "*", or a list of classes.
        classes: All classes.
        needed: Those that must have a value.

    Raises:
        ValueError: For a name that is no class, and for a class without a value.
    """
    if isinstance(setting, list):  # skip, only
        setting, needed = dict.fromkeys(setting), []
    if not isinstance(setting, Mapping):
        return
    for cls in setting:
        if cls not in classes and (cls != "*" or not needed):
            raise ValueError(f"{where}: no class {cls!r}; {nearest(cls, classes)}")
    if missing := [cls for cls in needed if cls not in setting and "*" not in setting]:
        raise ValueError(f"{where}: no setting for {', '.join(missing)}; name them, or '*' for all others")


def check_steps(steps: Sequence[tuple[str, Mapping[str, Any]]], classes: Sequence[str]) -> None:
    """Check the names in the settings of steps.

    Args:
        steps: (name, settings) of each.
        classes: All classes.

    Raises:
        ValueError: As check_setting().
    """
    for name, settings in steps:
        needed = [cls for cls in classes if active(settings, cls)]
        for key, value in settings.items():
            check_setting(f"step {name}, {key}", value, classes, needed)


def check_overlaps(overlaps: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> None:
    """Check the names in pairs that may not overlap.

    Args:
        overlaps: The pairs.
        classes: All classes.

    Raises:
        ValueError: For a name that is no class.
    """
    for pair in overlaps:
        both = pair["winner"], pair["loser"]
        for cls in both:
            if cls not in classes:
                raise ValueError(f"the overlap of {' and '.join(both)}: no class {cls!r}; {nearest(cls, classes)}")


def check_exclusive(
    steps: Sequence[tuple[str, Mapping[str, Any]]],
    thresholds: PerClass,
    overlaps: Sequence[Mapping[str, Any]],
    blend: Blend | None,
) -> None:
    """Check that no setting does nothing where the highest logit decides.

    Args:
        steps: (name, settings) of each.
        thresholds: Of the Pipeline.
        overlaps: Pairs that may not overlap.
        blend: How several stores are averaged.

    Raises:
        ValueError: For a setting that would do nothing.
    """
    if thresholds != 0.5:
        raise ValueError("thresholds do nothing where classes are exclusive: use offsets")
    if overlaps:
        raise ValueError("overlaps do nothing where classes are exclusive: no two share pixels")
    if found := [name for name, _ in steps if name in BINARIZERS]:
        raise ValueError(f"step {found[0]} does nothing where classes are exclusive: the highest logit decides")
    if blend is not None and blend.domain != "logits":
        raise ValueError("exclusive classes are blended in logits: domain='logits'")
