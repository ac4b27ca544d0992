"""The Pipeline: thresholds and steps for every class, tuned, saved as JSON and run by the submission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segkit.files import nearest, read_json, write_json
from segkit.geometry import resize
from segkit.postprocess.cuts import CUTS
from segkit.postprocess.overlap import limit_overlap
from segkit.postprocess.settings import active, as_overlaps, as_steps, as_thresholds, for_one, run
from segkit.postprocess.steps import STEPS
from segkit.rle import Runs
from segkit.thresholds import PerClass, per_class


class Pipeline:
    """Thresholds and steps, for every class its own: the very object that tuning scores and submission runs.

    steps: (name, settings) in order; a setting is a value or {"Pisiform": 40, "*": 0}; the setting `skip` names
    classes that the step leaves alone, `only` the classes that it is for. thresholds: a probability, or one for each
    class. classes: all there are, which the JSON then keeps: a name that is none of them is an error here, with its
    neighbours; without, a misspelt name beside "*" cannot be told from a class that is not asked for yet.
    overlaps: pairs of classes that may not share pixels, worked off in order on the masks that the steps made:
    {"winner": "Radius", "loser": "Ulna"}, and of that pair "allowed", pixels up to which it is left alone (0), and
    "by_logits", whether each shared pixel goes to the class that is more probable there (False: to the winner).
    Two Pipelines are equal where steps, thresholds and overlaps are. ValueError for a setting that its step does not
    take, NaN, infinity, and a threshold that is no probability between 0 and 1.

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
        overlaps: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.steps, self.thresholds = as_steps(steps), as_thresholds(thresholds)
        self.overlaps = as_overlaps(overlaps)
        if isinstance(classes, str):
            raise ValueError(f"classes is a list of names, got {classes!r}")
        self.classes = None if classes is None else tuple(classes)
        if self.classes is not None:
            self._check_names(self.classes)

    def with_classes(self, classes: Sequence[str]) -> Pipeline:
        """The same Pipeline that knows its classes. ValueError for a name that is none of them."""
        return Pipeline(self.steps, thresholds=self.thresholds, classes=classes, overlaps=self.overlaps)

    def __call__(self, runs: Runs, cls: str) -> Runs:
        """The steps on one class's mask. ValueError where they need the class's logits, or another class's mask."""
        self._alone(cls)
        if cut := self.cut(cls):
            raise ValueError(f"class {cls}: step {cut[0]} works on logits, not on a mask; use mask(plane, size, cls)")
        return self._steps(runs, cls)

    def active(self, step: int, cls: str) -> bool:
        """Whether self.steps[step] is for this class."""
        return active(self.steps[step][1], cls)

    def threshold(self, cls: str) -> float:
        """The probability that this class's pixels must exceed (where no hysteresis or triplet decides)."""
        return float(per_class(for_one(self.thresholds, cls), (cls,))[cls])

    def cut(self, cls: str) -> tuple[str, dict[str, Any]] | None:
        """The step that makes this class's mask of its logits, in place of the threshold; None where none does."""
        found = [step for place, step in enumerate(self.steps) if step[0] in CUTS and self.active(place, cls)]
        if len(found) > 1:
            names = " and ".join(name for name, _ in found)
            raise ValueError(f"class {cls}: {names} would both make its mask; let one skip it")
        return found[0] if found else None

    def drawn(self, plane: np.ndarray, size: tuple[int, int], cls: str) -> Runs:
        """Low-resolution logits (h, w) of one class -> its full-resolution mask before the steps on masks."""
        self._known(cls)
        cut = self.cut(cls)
        if cut is None:
            return resize.runs_above(plane, size, self.threshold(cls))
        name, settings = cut
        return run(CUTS[name][1], lambda threshold: resize.runs_above(plane, size, threshold), name, settings, cls)

    def mask(self, plane: np.ndarray, size: tuple[int, int], cls: str) -> Runs:
        """Low-resolution logits (h, w) of one class -> its final full-resolution mask.

        ValueError for a class of an overlap, whose mask depends on another's: then use masks().
        """
        self._alone(cls)
        return self._steps(self.drawn(plane, size, cls), cls)

    def masks(self, planes: Mapping[str, np.ndarray], size: tuple[int, int]) -> dict[str, Runs]:
        """Low-resolution logits {class: (h, w)} of one image -> its final full-resolution masks, in their order."""
        return self.finish({cls: self.drawn(plane, size, cls) for cls, plane in planes.items()}, planes)

    def finish(self, masks: Mapping[str, Runs], planes: Mapping[str, np.ndarray] | None = None) -> dict[str, Runs]:
        """What drawn() gave for the classes of one image -> their final masks: steps, then overlaps.

        planes: their logits, which an overlap "by_logits" needs. ValueError where a class of an overlap is missing.
        """
        out = {cls: self._steps(runs, cls) for cls, runs in masks.items()}
        for pair in self.overlaps:
            if pair["by_logits"] and planes is None:
                raise ValueError(
                    f"the overlap of {pair['winner']} and {pair['loser']} is decided by logits: give planes"
                )
            out = limit_overlap(
                out, pairs=[(pair["winner"], pair["loser"])], planes=planes if pair["by_logits"] else None,
                allowed=pair["allowed"],
            )  # fmt: skip
        return out

    def save(self, path: str | Path) -> None:
        """Write {"classes": [...], "thresholds": ..., "steps": [[name, settings], ...], "overlaps": [...]} as JSON."""
        known = {} if self.classes is None else {"classes": self.classes}
        apart = {"overlaps": self.overlaps} if self.overlaps else {}
        write_json(path, {**known, "thresholds": self.thresholds, "steps": self.steps, **apart})

    @classmethod
    def load(cls, path: str | Path) -> Pipeline:
        """Read what save() wrote. ValueError names the file."""
        content = read_json(path)
        known = ("classes", "thresholds", "steps", "overlaps")
        for key in content if isinstance(content, dict) else ():
            if key not in known:
                raise ValueError(f"{path} is not a saved Pipeline: {key!r} is none of its keys; {nearest(key, known)}")
        try:
            return cls(
                content["steps"], thresholds=content["thresholds"], classes=content.get("classes"),
                overlaps=content.get("overlaps", ()),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path} is not a saved Pipeline: {what}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and self._what() == other._what()

    def __hash__(self) -> int:
        return hash(_frozen(self._what()))

    def __repr__(self) -> str:
        apart = f", overlaps={self.overlaps!r}" if self.overlaps else ""
        return f"Pipeline({self.steps!r}, thresholds={self.thresholds!r}{apart})"

    def _what(self) -> tuple[Any, ...]:
        return self.steps, self.thresholds, self.overlaps

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

        for pair in self.overlaps:
            both = pair["winner"], pair["loser"]
            for cls in both:
                if cls not in classes:
                    raise ValueError(f"the overlap of {' and '.join(both)}: no class {cls!r}; {nearest(cls, classes)}")

    def _alone(self, cls: str) -> None:
        """ValueError where the class's mask depends on another's."""
        self._known(cls)
        for pair in self.overlaps:
            if cls in (pair["winner"], pair["loser"]):
                both = f"{pair['winner']} and {pair['loser']}"
                raise ValueError(f"class {cls}: {both} may not overlap, so its mask depends on both; use masks()")

    def _known(self, cls: str) -> None:
        if self.classes is not None and cls not in self.classes:
            raise ValueError(f"the Pipeline has no class {cls!r}; {nearest(cls, self.classes)}")

    def _steps(self, runs: Runs, cls: str) -> Runs:
        for place, (name, settings) in enumerate(self.steps):
            if name in STEPS and self.active(place, cls):
                runs = run(STEPS[name], runs, name, settings, cls)
        return runs


def _frozen(value: Any) -> Any:
    """Plain values as what can be hashed, equal ones alike."""
    if isinstance(value, Mapping):
        return frozenset((key, _frozen(inner)) for key, inner in value.items())
    return tuple(_frozen(inner) for inner in value) if isinstance(value, (list, tuple)) else value
