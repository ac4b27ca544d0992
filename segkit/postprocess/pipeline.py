"""The Pipeline: thresholds and steps for every class, tuned, saved as JSON and run by the submission."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segkit import grid
from segkit.files import nearest, plain, read_json, write_json
from segkit.postprocess.cuts import CUTS
from segkit.postprocess.steps import STEPS
from segkit.rle import Runs
from segkit.thresholds import PerClass, per_class


class Pipeline:
    """Thresholds and steps, for every class its own: the very object that tuning scores and submission runs.

    steps: (name, settings) in order; a setting is a value or {"Pisiform": 40, "*": 0}; the setting `skip` names
    classes that the step leaves alone, `only` the classes that it is for. thresholds: a probability, or one for each
    class. classes: all there are, which the JSON then keeps: a name that is none of them is an error here, with its
    neighbours; without, a misspelt name beside "*" cannot be told from a class that is not asked for yet.
    Two Pipelines are equal where steps and thresholds are.

    The steps hysteresis and triplet make the mask of the logits themselves, instead of the threshold: they
    come before the others, at most one for a class.

    >>> Pipeline([("remove_small", {"min_area": 2})])(Runs([[0, 1], [2, 4]], (1, 4)), "Ulna").text()
    '3 2'
    """

    def __init__(
        self,
        steps: Sequence[tuple[str, Mapping[str, Any]]] = (),
        *,
        thresholds: PerClass = 0.5,
        classes: Sequence[str] | None = None,
    ) -> None:
        self.steps = [(name, plain(settings)) for name, settings in steps]  # as JSON gives them back
        self.thresholds = plain(thresholds) if isinstance(thresholds, Mapping) else float(thresholds)
        before = ""
        for name, settings in self.steps:
            _check(name, settings)
            if name in CUTS and before and before not in CUTS:
                raise ValueError(f"step {name} works on logits: name it before {before}, which works on masks")
            before = name
        if isinstance(classes, str):
            raise ValueError(f"classes is a list of names, got {classes!r}")
        self.classes = None if classes is None else tuple(classes)
        if self.classes is not None:
            self._check_names(self.classes)

    def with_classes(self, classes: Sequence[str]) -> Pipeline:
        """The same Pipeline that knows its classes. ValueError for a name that is none of them."""
        return Pipeline(self.steps, thresholds=self.thresholds, classes=classes)

    def __call__(self, runs: Runs, cls: str) -> Runs:
        """The steps on one class's mask. ValueError where a step needs the class's logits: then use mask()."""
        self._known(cls)
        if cut := self.cut(cls):
            raise ValueError(f"class {cls}: step {cut[0]} works on logits, not on a mask; use mask(plane, size, cls)")
        return self._steps(runs, cls)

    def active(self, step: int, cls: str) -> bool:
        """Whether self.steps[step] is for this class."""
        settings = self.steps[step][1]
        return cls not in settings.get("skip", ()) and cls in settings.get("only", (cls,))

    def threshold(self, cls: str) -> float:
        """The probability that this class's pixels must exceed (where no hysteresis or triplet decides)."""
        return float(per_class(_for_one(self.thresholds, cls), (cls,))[cls])

    def cut(self, cls: str) -> tuple[str, dict[str, Any]] | None:
        """The step that makes this class's mask of its logits, in place of the threshold; None where none does."""
        found = [step for place, step in enumerate(self.steps) if step[0] in CUTS and self.active(place, cls)]
        if len(found) > 1:
            names = " and ".join(name for name, _ in found)
            raise ValueError(f"class {cls}: {names} would both make its mask; let one skip it")
        return found[0] if found else None

    def mask(self, plane: np.ndarray, size: tuple[int, int], cls: str) -> Runs:
        """Low-resolution logits (h, w) of one class -> its final full-resolution mask."""
        self._known(cls)
        cut = self.cut(cls)
        if cut is None:
            return self._steps(grid.runs_above(plane, size, self.threshold(cls)), cls)
        name, settings = cut
        return self._steps(
            _run(CUTS[name][1], lambda threshold: grid.runs_above(plane, size, threshold), name, settings, cls), cls
        )

    def save(self, path: str | Path) -> None:
        """Write {"classes": [...], "thresholds": ..., "steps": [[name, settings], ...]} as JSON."""
        known = {} if self.classes is None else {"classes": self.classes}
        write_json(path, {**known, "thresholds": self.thresholds, "steps": self.steps})

    @classmethod
    def load(cls, path: str | Path) -> Pipeline:
        """Read what save() wrote. ValueError names the file."""
        content = read_json(path)
        try:
            steps = [(name, settings) for name, settings in content["steps"]]
            return cls(steps, thresholds=content["thresholds"], classes=content.get("classes"))
        except (KeyError, TypeError, ValueError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path} is not a saved Pipeline: {what}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and (self.steps, self.thresholds) == (
            other.steps,
            other.thresholds,
        )

    def __hash__(self) -> int:
        return hash(repr((self.steps, self.thresholds)))

    def __repr__(self) -> str:
        return f"Pipeline({self.steps!r}, thresholds={self.thresholds!r})"

    def _check_names(self, classes: tuple[str, ...]) -> None:
        """ValueError for a name that is no class, and for a class that a setting or threshold leaves out."""
        cut = [cls for cls in classes if self.cut(cls) is None]
        asked: list[tuple[str, Any, list[str]]] = [("thresholds", self.thresholds, cut)]
        for place, (name, settings) in enumerate(self.steps):
            active = [cls for cls in classes if self.active(place, cls)]
            asked += [(f"step {name}, {key}", value, active) for key, value in settings.items()]
        for where, setting, needed in asked:
            if isinstance(setting, list):  # skip, only
                setting, needed = dict.fromkeys(setting), []
            if isinstance(setting, Mapping):
                for cls in setting:
                    if cls not in classes and (cls != "*" or not needed):
                        raise ValueError(f"{where}: no class {cls!r}; {nearest(cls, classes)}")
                if missing := [cls for cls in needed if cls not in setting and "*" not in setting]:
                    raise ValueError(f"{where}: no setting for {', '.join(missing)}; name them, or '*' for all others")

    def _known(self, cls: str) -> None:
        if self.classes is not None and cls not in self.classes:
            raise ValueError(f"the Pipeline has no class {cls!r}; {nearest(cls, self.classes)}")

    def _steps(self, runs: Runs, cls: str) -> Runs:
        for place, (name, settings) in enumerate(self.steps):
            if name in STEPS and self.active(place, cls):
                runs = _run(STEPS[name], runs, name, settings, cls)
        return runs


def _check(name: str, settings: Mapping[str, Any]) -> None:
    """ValueError for an unknown step or setting."""
    if name not in STEPS and name not in CUTS:
        raise ValueError(f"no post-processing step {name!r}; {nearest(name, [*STEPS, *CUTS])}")
    step = STEPS[name] if name in STEPS else CUTS[name][0]
    known = set(inspect.signature(step).parameters) - {"mask", "prob"} | {"skip", "only"}
    for key in settings:
        if key not in known:
            raise ValueError(f"step {name} has no setting {key!r}; {nearest(key, known)}")
    for key in ("skip", "only"):
        if not isinstance(settings.get(key, []), list):
            raise ValueError(f"step {name}: {key} is a list of class names, got {settings[key]!r}")
    if "skip" in settings and "only" in settings:
        raise ValueError(f"step {name} has both skip and only: `only` alone says which classes it is for")


def _run(step: Callable[..., Runs], given: Any, name: str, settings: Mapping[str, Any], cls: str) -> Runs:
    """A step with its settings for one class."""
    try:
        chosen = {
            key: per_class(_for_one(value, cls), (cls,))[cls]
            for key, value in settings.items()
            if key not in ("skip", "only")
        }
        return step(given, **chosen)
    except ValueError as error:
        raise ValueError(f"class {cls}, step {name}: {error}") from error


def _for_one(setting: Any, cls: str) -> Any:
    """Of a per-class setting, what concerns one class."""
    return {k: v for k, v in setting.items() if k in (cls, "*")} if isinstance(setting, Mapping) else setting
