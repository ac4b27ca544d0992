"""The Pipeline: from logits to masks for every class, tuned, saved as JSON and run by the submission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from segkit.ensemble.weights import Blend
from segkit.files import nearest, read_json, write_json
from segkit.postprocess.binarizers import BINARIZERS
from segkit.postprocess.checks import check_exclusive, check_overlaps, check_setting, check_steps
from segkit.postprocess.logits import ImageLogits
from segkit.postprocess.overlap import keep_apart, limit_overlap
from segkit.postprocess.settings import (
    active,
    as_flag,
    as_offsets,
    as_overlaps,
    as_steps,
    as_thresholds,
    for_one,
    frozen,
    run,
)
from segkit.postprocess.steps import STEPS
from segkit.rle import Runs
from segkit.thresholds import PerClass, per_class


@dataclass(frozen=True, repr=False)
class Pipeline:
    """Everything between stored logits and masks: the very object that tuning scores and submission runs.

    Two Pipelines are equal where they make the same masks of classes that both know. `dataclasses.replace` changes one.

    Args:
        steps: (name, settings) in order. A setting is a value or {"Pisiform": 40, "*": 0}; `skip` names classes that
            the step leaves alone, `only` the classes that it is for. hysteresis and triplet make the mask of the
            logits, instead of the threshold: they come before the others, at most one for a class.
        thresholds: Probability that a class's pixels must exceed, or one for each class.
        classes: All there are, which the file then keeps: a name that is none of them is an error here; without, a
            misspelt name beside "*" cannot be told from a class that is not asked for yet.
        overlaps: Pairs of classes that may not share pixels, worked off in order on the masks that the steps made:
            {"winner": "Radius", "loser": "Ulna"}, and of that pair "allowed", the pixels up to which it is left alone
            (0), and "by_logits", whether each shared pixel goes to the class that is more probable there (False: to
            the winner).
        exclusive: Each pixel is of the class whose logit is the highest, at full resolution; steps then neither take
            pixels from another class nor share them.
        offsets: Of exclusive classes: what is added to a class's logits, or one for each class.
        blend: How several stores are averaged; None for one store, and for equal weights of several.

    Raises:
        ValueError: For a setting that its step does not take, NaN, infinity, a threshold that is no probability
            between 0 and 1, and a setting that would do nothing, such as thresholds of exclusive classes.

    Example:
        >>> Pipeline([("remove_small", {"min_area": 2})])(Runs([[0, 1], [2, 4]], (1, 4)), "Ulna").text()
        '3 2'
    """

    steps: Sequence[tuple[str, Mapping[str, Any]]] = ()
    _: KW_ONLY
    thresholds: PerClass = 0.5
    classes: Sequence[str] | None = field(default=None, compare=False)
    overlaps: Sequence[Mapping[str, Any]] = ()
    exclusive: bool = False
    offsets: PerClass = 0.0
    blend: Blend | None = None

    def __post_init__(self) -> None:
        if isinstance(self.classes, str):
            raise ValueError(f"classes is a list of names, got {self.classes!r}")
        checked = {
            "steps": as_steps(self.steps),
            "thresholds": as_thresholds(self.thresholds),
            "overlaps": as_overlaps(self.overlaps),
            "offsets": as_offsets(self.offsets),
            "classes": None if self.classes is None else tuple(self.classes),
            "exclusive": as_flag(self.exclusive, "exclusive"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.exclusive:
            check_exclusive(self.steps, self.thresholds, self.overlaps, self.blend)
        elif as_offsets(self.offsets) != 0.0:
            raise ValueError("offsets are of exclusive classes: set exclusive, or use thresholds")
        if self.classes is not None:
            self._check_classes(self.classes)

    def with_classes(self, classes: Sequence[str]) -> Pipeline:
        """The same Pipeline that knows its classes.

        Args:
            classes: All classes, in channel order.

        Returns:
            A new Pipeline.

        Raises:
            ValueError: For a name in a setting that is none of them, and a class without a setting.
        """
        return replace(self, classes=classes)

    def __call__(self, runs: Runs, cls: str) -> Runs:
        """The steps on one class's mask.

        Args:
            runs: The mask, with a shape.
            cls: Its class.

        Returns:
            The final mask.

        Raises:
            ValueError: If the class's mask needs its logits, or another class's mask.
        """
        self._check_alone(cls)
        if step := self.binarizer(cls):
            raise ValueError(f"class {cls}: step {step[0]} works on logits, not on a mask; use mask(logits, size, cls)")
        return self._apply_steps(runs, cls)

    def active(self, step: int, cls: str) -> bool:
        """Whether a step is for a class.

        Args:
            step: Its place in self.steps.
            cls: The class.

        Returns:
            False where the step skips it.
        """
        return active(self.steps[step][1], cls)

    def threshold(self, cls: str) -> float:
        """The probability that a class's pixels must exceed (where no hysteresis or triplet decides)."""
        return float(per_class(for_one(self.thresholds, cls), (cls,))[cls])

    def binarizer(self, cls: str) -> tuple[str, Mapping[str, Any]] | None:
        """The step that makes a class's mask of its logits, in place of the threshold; None where none does."""
        found = [step for place, step in enumerate(self.steps) if step[0] in BINARIZERS and self.active(place, cls)]
        if len(found) > 1:
            names = " and ".join(name for name, _ in found)
            raise ValueError(f"class {cls}: {names} would both make its mask; let one skip it")
        return found[0] if found else None

    def mask(self, logits: np.ndarray, size: tuple[int, int], cls: str) -> Runs:
        """The final mask of one class.

        Args:
            logits: Low-resolution logits of the class, shape (h, w).
            size: (H, W) of the image.
            cls: The class.

        Returns:
            Runs with the image's shape.

        Raises:
            ValueError: If the class's mask depends on another's (an overlap, exclusive classes): then use masks().
        """
        self._check_alone(cls)
        return self._apply_steps(self._binarized(ImageLogits({cls: logits}, size), cls), cls)

    def masks(self, logits: Mapping[str, np.ndarray], size: tuple[int, int]) -> dict[str, Runs]:
        """The final masks of one image.

        Args:
            logits: Low-resolution logits {class: (h, w)}.
            size: (H, W) of the image.

        Returns:
            {class: Runs with the image's shape}, in the order of `logits`.
        """
        return self.run(ImageLogits(logits, size))

    def run(self, image: ImageLogits) -> dict[str, Runs]:
        """The final masks of one image.

        Args:
            image: Its logits, of one store or of a blend.

        Returns:
            {class: Runs with the image's shape}, in the order of image.classes.

        Raises:
            ValueError: If a class has no setting, or a class of an overlap is missing.
        """
        for cls in image.classes:
            self._check_known(cls)
        if self.exclusive:
            own = image.argmax({cls: per_class(for_one(self.offsets, cls), (cls,))[cls] for cls in image.classes})
            return keep_apart(own, {cls: self._apply_steps(runs, cls) for cls, runs in own.items()})
        out = {cls: self._apply_steps(self._binarized(image, cls), cls) for cls in image.classes}
        for pair in self.overlaps:
            names = pair["winner"], pair["loser"]
            decided = {cls: image.class_map(cls) for cls in names if cls in out} if pair["by_logits"] else None
            out = limit_overlap(out, pairs=[names], logits=decided, allowed=pair["allowed"])
        return out

    def save(self, path: str | Path) -> None:
        """Write the Pipeline as JSON: "steps", "thresholds", and of the other settings those that are not the default.

        Args:
            path: Usually post.json.
        """
        write_json(path, self._content())

    @classmethod
    def load(cls, path: str | Path) -> Pipeline:
        """Read what save() wrote.

        Args:
            path: The JSON file.

        Returns:
            The Pipeline.

        Raises:
            ValueError: If the file is no Pipeline, or holds a value that a Pipeline refuses; it names the file.
        """
        content = read_json(path)
        known = ("classes", "steps", "thresholds", "overlaps", "exclusive", "offsets", "blend")
        for key in content if isinstance(content, dict) else ():
            if key not in known:
                raise ValueError(f"{path} is not a saved Pipeline: {key!r} is none of its keys; {nearest(key, known)}")
        try:
            if not isinstance(content, dict) or "steps" not in content:
                raise ValueError("it has no 'steps'")
            if content.get("exclusive", False) is False and "thresholds" not in content:
                raise ValueError("it has no 'thresholds'")
            if "blend" in content:
                content["blend"] = Blend.from_dict(content["blend"])
            return cls(**content)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a saved Pipeline: {error}") from error

    def __hash__(self) -> int:
        return hash(frozen({key: value for key, value in self._content().items() if key != "classes"}))

    def __repr__(self) -> str:
        content = {key: value for key, value in self._content().items() if key not in ("steps", "classes")}
        return f"Pipeline({self.steps!r}, {', '.join(f'{key}={value!r}' for key, value in content.items())})"

    def _content(self) -> dict[str, Any]:
        """What save() writes."""
        content: dict[str, Any] = {} if self.classes is None else {"classes": self.classes}
        content["steps"] = self.steps
        if self.exclusive:
            content |= {"exclusive": True, "offsets": self.offsets}
        else:
            content["thresholds"] = self.thresholds
        if self.overlaps:
            content["overlaps"] = self.overlaps
        if self.blend is not None:
            content["blend"] = self.blend.to_dict()
        return content

    def _check_classes(self, classes: Sequence[str]) -> None:
        """ValueError for a name that is no class, and for a class that a setting leaves out."""
        thresholded = [cls for cls in classes if self.binarizer(cls) is None]
        check_setting("thresholds", self.thresholds, classes, thresholded)
        check_setting("offsets", self.offsets, classes, classes)
        if self.blend is not None and isinstance(self.blend.weights, Mapping):
            check_setting("blend, weights", self.blend.weights, classes, classes)
        check_steps(self.steps, classes)
        check_overlaps(self.overlaps, classes)

    def _check_known(self, cls: str) -> None:
        if self.classes is not None and cls not in self.classes:
            raise ValueError(f"the Pipeline has no class {cls!r}; {nearest(cls, self.classes)}")

    def _check_alone(self, cls: str) -> None:
        """ValueError where the class's mask depends on another's."""
        self._check_known(cls)
        if self.exclusive:
            raise ValueError(f"class {cls}: classes are exclusive, so its mask depends on all others; use masks()")
        for pair in self.overlaps:
            if cls in (pair["winner"], pair["loser"]):
                both = f"{pair['winner']} and {pair['loser']}"
                raise ValueError(f"class {cls}: {both} may not overlap, so its mask depends on both; use masks()")

    def _binarized(self, image: ImageLogits, cls: str) -> Runs:
        """A class's mask before the steps on masks."""
        step = self.binarizer(cls)
        if step is None:
            return image.above(cls, self.threshold(cls))
        name, settings = step
        return run(BINARIZERS[name][1], lambda threshold: image.above(cls, threshold), name, settings, cls)

    def _apply_steps(self, runs: Runs, cls: str) -> Runs:
        for place, (name, settings) in enumerate(self.steps):
            if name in STEPS and self.active(place, cls):
                runs = run(STEPS[name], runs, name, settings, cls)
        return runs
