"""What a Pipeline is made of, checked when it is made: steps, thresholds, offsets, pairs that may not overlap."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from segkit.files import nearest, plain
from segkit.geometry import resize
from segkit.postprocess.binarizers import BINARIZERS
from segkit.postprocess.steps import STEPS
from segkit.rle import Runs
from segkit.thresholds import PerClass, per_class

Step = tuple[str, Mapping[str, Any]]
EMPTY = Runs([], (1, 1))
"""An empty mask, on which settings are tried."""
OVERLAP = {"winner", "loser", "allowed", "by_logits"}
"""The settings of an overlap."""


def as_steps(steps: object) -> list[Step]:
    """Check steps.

    Args:
        steps: A list of (name, settings).

    Returns:
        (name, settings) of each, as JSON gives them back.

    Raises:
        ValueError: For an unknown step, a setting that it does not take, or a value that it refuses.
    """
    out: list[Step] = []
    before = ""
    for step in _listed(steps, "steps"):
        if not isinstance(step, (list, tuple)) or len(step) != 2 or not isinstance(step[0], str):
            raise ValueError(f"a step is (name, settings), got {step!r}")
        name, settings = step
        if not isinstance(settings, Mapping):
            raise ValueError(f"step {name}: expected settings by name, {{}} for none, got {settings!r}")
        _check_settings(name, settings)
        for key, value in settings.items():
            _check_finite(f"step {name}, {key}", value)
        if name in BINARIZERS and before and before not in BINARIZERS:
            raise ValueError(f"step {name} works on logits: name it before {before}, which works on masks")
        before = name
        out.append((name, plain(settings)))
        _try(*out[-1])
    return out


def as_thresholds(thresholds: object) -> PerClass:
    """Check thresholds.

    Args:
        thresholds: A probability in (0, 1), or {class: one} with "*" for the others.

    Returns:
        The same as JSON gives it back.

    Raises:
        ValueError: For anything else, with the class.
    """
    for where, threshold in _by_class(thresholds):
        if not _is_number(threshold) or not 0 < threshold < 1:
            raise ValueError(f"{where}a threshold is a probability between 0 and 1, got {threshold!r}")
    return _plain_numbers(thresholds)


def as_offsets(offsets: object) -> PerClass:
    """Check offsets of exclusive classes.

    Args:
        offsets: What is added to a class's logits, or {class: one} with "*" for the others.

    Returns:
        The same as JSON gives it back.

    Raises:
        ValueError: For what is no finite number, with the class.
    """
    for where, offset in _by_class(offsets):
        if not _is_number(offset) or not math.isfinite(offset):
            raise ValueError(f"{where}an offset is a finite number of logits, got {offset!r}")
    return _plain_numbers(offsets)


def as_flag(value: object, name: str) -> bool:
    """Check a setting that is true or false.

    Args:
        value: The setting.
        name: What it is called in errors.

    Returns:
        The same.

    Raises:
        ValueError: For anything else.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: expected true or false")
    return value


def as_overlaps(overlaps: object) -> list[dict[str, Any]]:
    """Check pairs of classes that may not overlap.

    Args:
        overlaps: A list of {"winner", "loser", "allowed", "by_logits"}; the latter two may be left out.

    Returns:
        The same with all four settings.

    Raises:
        ValueError: For what is no such pair.
    """
    out = []
    for pair in _listed(overlaps, "overlaps"):
        if not isinstance(pair, Mapping) or not {"winner", "loser"} <= set(pair) <= OVERLAP:
            raise ValueError(f'an overlap is {{"winner": class, "loser": class, "allowed": 0, ...}}, got {pair!r}')
        full = {"allowed": 0, "by_logits": False, **pair}
        where = f"the overlap of {full['winner']} and {full['loser']}"
        if not all(isinstance(full[key], str) for key in ("winner", "loser")) or full["winner"] == full["loser"]:
            raise ValueError(f"{where}: expected two names of classes")
        allowed = full["allowed"]
        if not _is_number(allowed) or not 0 <= allowed < math.inf:
            raise ValueError(f"{where}: allowed={allowed!r}: expected a number of pixels, 0 or more")
        as_flag(full["by_logits"], f"{where}: by_logits")
        out.append({key: plain(full[key]) for key in ("winner", "loser", "allowed", "by_logits")})
    return out


def run(step: Callable[..., Runs], given: object, name: str, settings: Mapping[str, Any], cls: str) -> Runs:
    """Run a step with its settings for one class.

    Args:
        step: Of STEPS, or the second of a BINARIZERS' pair.
        given: What the step works on.
        name: Of the step, for errors.
        settings: Each a value, or {class: value} with "*" for the others.
        cls: The class.

    Returns:
        What the step makes.

    Raises:
        ValueError: If a setting does not fit, with class and step.
    """
    try:
        chosen = {
            key: per_class(for_one(value, cls), (cls,))[cls]
            for key, value in settings.items()
            if key not in ("skip", "only")
        }
        return step(given, **chosen)
    except (TypeError, ValueError) as error:
        raise ValueError(f"class {cls}, step {name}: {error}") from error


def for_one(setting: object, cls: str) -> object:
    """What of a per-class setting concerns one class.

    Args:
        setting: A value, or {class: value} with "*" for the others.
        cls: The class.

    Returns:
        {class: value} of the class and "*" alone; any other setting as it is.
    """
    return {k: v for k, v in setting.items() if k in (cls, "*")} if isinstance(setting, Mapping) else setting


def active(settings: Mapping[str, Any], cls: str) -> bool:
    """Whether a step is for a class.

    Args:
        settings: Of the step.
        cls: The class.

    Returns:
        False where `skip` names it, or `only` does not.
    """
    return cls not in settings.get("skip", ()) and cls in settings.get("only", (cls,))


def frozen(value: object) -> Hashable:
    """Make plain values hashable.

    Args:
        value: In terms of JSON.

    Returns:
        Equal for equal values, whatever the order of keys.
    """
    if isinstance(value, Mapping):
        return frozenset((key, frozen(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(frozen(inner) for inner in value)
    assert isinstance(value, Hashable)
    return value


def _plain_numbers(setting: object) -> PerClass:
    """Checked numbers as JSON gives them back."""
    found: PerClass = plain(setting)
    return found if isinstance(found, Mapping) else float(found)


def _try(name: str, settings: Mapping[str, Any]) -> None:
    """Run a step on an empty mask, for each class that its settings name and for all others ("*")."""
    by_class = [value for key, value in settings.items() if isinstance(value, Mapping)]
    named = {cls for value in by_class for cls in value} | set(settings.get("only", ()))
    for cls in sorted(named | {"*"}):
        if active(settings, cls) and all(cls in value or "*" in value for value in by_class):
            step, given = (STEPS[name], EMPTY) if name in STEPS else (BINARIZERS[name][1], _above_nothing)
            run(step, given, name, settings, cls)


def _above_nothing(threshold: float) -> Runs:
    resize.logit(threshold)
    return EMPTY


def _listed(given: object, what: str) -> Sequence[Any]:
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"{what} are a list, got {given!r}")
    return given


def _by_class(setting: object) -> list[tuple[str, Any]]:
    """(start of an error, value) of each class of a setting, or of the setting itself."""
    if not isinstance(setting, Mapping):
        return [("", setting)]
    return [(f"class {cls}: ", value) for cls, value in setting.items()]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """ValueError for an unknown step or setting."""
    if name not in STEPS and name not in BINARIZERS:
        raise ValueError(f"no post-processing step {name!r}; {nearest(name, [*STEPS, *BINARIZERS])}")
    step = STEPS[name] if name in STEPS else BINARIZERS[name][0]
    known = set(inspect.signature(step).parameters) - {"mask", "prob"} | {"skip", "only"}
    for key in settings:
        if key not in known:
            raise ValueError(f"step {name} has no setting {key!r}; {nearest(str(key), known)}")
    for key in ("skip", "only"):
        if not isinstance(settings.get(key, []), (list, tuple, set, frozenset)):
            raise ValueError(f"step {name}: {key} is a list of class names, got {settings[key]!r}")
    if "skip" in settings and "only" in settings:
        raise ValueError(f"step {name} has both skip and only: `only` alone says which classes it is for")


def _check_finite(where: str, value: object) -> None:
    """ValueError for NaN and infinity, which JSON does not have."""
    for cls, number in value.items() if isinstance(value, Mapping) else [("", value)]:
        if isinstance(number, (float, np.floating)) and not math.isfinite(number):
            of = f" of class {cls}" if cls else ""
            raise ValueError(f"{where}{of}: expected a finite number, got {number}")
