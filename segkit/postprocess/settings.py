"""What a Pipeline is made of, checked when it is made: steps, thresholds, pairs of classes that may not overlap."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from segkit.files import nearest, plain
from segkit.geometry import resize
from segkit.postprocess.cuts import CUTS
from segkit.postprocess.steps import STEPS
from segkit.rle import Runs
from segkit.thresholds import per_class

Step = tuple[str, dict[str, Any]]
NOTHING = Runs([], (1, 1))
"""An empty mask, on which settings are tried."""
OVERLAP = {"winner", "loser", "allowed", "by_logits"}


def as_steps(steps: Any) -> list[Step]:
    """(name, settings) of each, as JSON gives them back. ValueError for what no step takes."""
    out: list[Step] = []
    before = ""
    for step in _listed(steps, "steps"):
        if not isinstance(step, (list, tuple)) or len(step) != 2 or not isinstance(step[0], str):
            raise ValueError(f"a step is (name, settings), got {step!r}")
        name, settings = step
        if not isinstance(settings, Mapping):
            raise ValueError(f"step {name}: settings by name are wanted, {{}} for none, got {settings!r}")
        _check_names(name, settings)
        for key, value in settings.items():
            _check_finite(f"step {name}, {key}", value)
        if name in CUTS and before and before not in CUTS:
            raise ValueError(f"step {name} works on logits: name it before {before}, which works on masks")
        before = name
        out.append((name, plain(settings)))
        _try(*out[-1])
    return out


def as_thresholds(thresholds: Any) -> Any:
    """A probability in (0, 1), or {class: one}, as JSON gives it back. ValueError names the class."""
    named = thresholds if isinstance(thresholds, Mapping) else {"": thresholds}
    for cls, threshold in named.items():
        number = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
        if not number or not 0 < threshold < 1:
            where = f"class {cls}: " if cls else ""
            raise ValueError(f"{where}a threshold is a probability between 0 and 1, got {threshold!r}")
    return plain(thresholds) if isinstance(thresholds, Mapping) else float(thresholds)


def as_overlaps(overlaps: Any) -> list[dict[str, Any]]:
    """{"winner", "loser", "allowed", "by_logits"} of each pair, with defaults. ValueError for what is none."""
    out = []
    for pair in _listed(overlaps, "overlaps"):
        if not isinstance(pair, Mapping) or not {"winner", "loser"} <= set(pair) <= OVERLAP:
            raise ValueError(f'an overlap is {{"winner": class, "loser": class, "allowed": 0, ...}}, got {pair!r}')
        whole = {"allowed": 0, "by_logits": False, **pair}
        where = f"the overlap of {whole['winner']} and {whole['loser']}"
        if not all(isinstance(whole[key], str) for key in ("winner", "loser")) or whole["winner"] == whole["loser"]:
            raise ValueError(f"{where}: two names of classes are wanted")
        allowed = whole["allowed"]
        number = isinstance(allowed, (int, float, np.number)) and not isinstance(allowed, bool)
        if not number or not 0 <= allowed < math.inf:
            raise ValueError(f"{where}: allowed={allowed!r}: pixels, 0 or more, are wanted")
        if not isinstance(whole["by_logits"], bool):
            raise ValueError(f"{where}: by_logits={whole['by_logits']!r}: true or false is wanted")
        out.append({key: plain(whole[key]) for key in ("winner", "loser", "allowed", "by_logits")})
    return out


def run(step: Callable[..., Runs], given: Any, name: str, settings: Mapping[str, Any], cls: str) -> Runs:
    """A step with its settings for one class."""
    try:
        chosen = {
            key: per_class(for_one(value, cls), (cls,))[cls]
            for key, value in settings.items()
            if key not in ("skip", "only")
        }
        return step(given, **chosen)
    except (TypeError, ValueError) as error:
        raise ValueError(f"class {cls}, step {name}: {error}") from error


def for_one(setting: Any, cls: str) -> Any:
    """Of a per-class setting, what concerns one class."""
    return {k: v for k, v in setting.items() if k in (cls, "*")} if isinstance(setting, Mapping) else setting


def active(settings: Mapping[str, Any], cls: str) -> bool:
    """Whether a step with these settings is for this class."""
    return cls not in settings.get("skip", ()) and cls in settings.get("only", (cls,))


def _try(name: str, settings: Mapping[str, Any]) -> None:
    """Run a step on nothing, for each class that its settings name and for all others ("*")."""
    by_class = [value for key, value in settings.items() if isinstance(value, Mapping)]
    named = {cls for value in by_class for cls in value} | set(settings.get("only", ()))
    for cls in sorted(named | {"*"}):
        if active(settings, cls) and all(cls in value or "*" in value for value in by_class):
            step, given = (STEPS[name], NOTHING) if name in STEPS else (CUTS[name][1], _above_nothing)
            run(step, given, name, settings, cls)


def _above_nothing(threshold: float) -> Runs:
    resize.logit(threshold)
    return NOTHING


def _listed(given: Any, what: str) -> Sequence[Any]:
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"{what} are a list, got {given!r}")
    return given


def _check_names(name: str, settings: Mapping[str, Any]) -> None:
    """ValueError for an unknown step or setting."""
    if name not in STEPS and name not in CUTS:
        raise ValueError(f"no post-processing step {name!r}; {nearest(name, [*STEPS, *CUTS])}")
    step = STEPS[name] if name in STEPS else CUTS[name][0]
    known = set(inspect.signature(step).parameters) - {"mask", "prob"} | {"skip", "only"}
    for key in settings:
        if key not in known:
            raise ValueError(f"step {name} has no setting {key!r}; {nearest(str(key), known)}")
    for key in ("skip", "only"):
        if not isinstance(settings.get(key, []), (list, tuple, set, frozenset)):
            raise ValueError(f"step {name}: {key} is a list of class names, got {settings[key]!r}")
    if "skip" in settings and "only" in settings:
        raise ValueError(f"step {name} has both skip and only: `only` alone says which classes it is for")


def _check_finite(where: str, value: Any) -> None:
    """ValueError for NaN and infinity, which JSON does not have."""
    for cls, number in value.items() if isinstance(value, Mapping) else [("", value)]:
        if isinstance(number, (float, np.floating)) and not math.isfinite(number):
            of = f" of class {cls}" if cls else ""
            raise ValueError(f"{where}{of}: a finite number is wanted, got {number}")
