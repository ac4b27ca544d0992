"""Which step stays for which class: only where persons it was not chosen on gain. The default is off."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from segkit.masks import MaskSet, as_masks, true_runs
from segkit.metrics import MIN_GROUPS, Comparison, compare
from segkit.postprocess.cache import MaskCache
from segkit.postprocess.pipeline import Pipeline
from segkit.postprocess.rendering import render
from segkit.predictions import PredictionStore
from segkit.thresholds import person_folds

Dice = Callable[[Pipeline, Sequence[str]], np.ndarray]

Steps = frozenset[int]
"""Places in the candidate's steps."""


class StepResult(NamedTuple):
    """What a step did to one class, on top of what was kept before it."""

    step: int
    """Its place in the candidate's steps."""
    name: str
    cls: str
    gain: Comparison
    kept: bool


class GateResult(NamedTuple):
    """A Pipeline whose kept steps leave all other classes alone (`only`), with the numbers."""

    pipeline: Pipeline
    weighed: list[StepResult]
    """Every tried step and class, the candidate's order."""
    held_out: Comparison | None
    """What such a choice gains over `base` on persons unseen: each is scored under what the others alone would have
    kept. None where too few persons are left to ask."""
    before: pd.DataFrame
    """Dice of `base`, image x class."""
    after: pd.DataFrame
    """Dice of `pipeline`, image x class."""

    @property
    def table(self) -> pd.DataFrame:
        """`weighed` as a table: step, class, gain, low, high, kept."""
        rows = [(w.name, w.cls, w.gain.gain, w.gain.low, w.gain.high, w.kept) for w in self.weighed]
        return pd.DataFrame(rows, columns=["step", "class", "gain", "low", "high", "kept"])


def gate(
    candidate: Pipeline,
    base: Pipeline,
    *,
    store: PredictionStore,
    truth: MaskSet,
    groups: Mapping[str, str],
    chosen_on: Collection[str] = (),
    level: float = 0.95,
    k: int = 5,
    ids: Collection[str] | None = None,
    dice: Dice | None = None,
) -> GateResult:
    """Keep each of the candidate's steps for the classes that gain from it, and for no other.

    candidate: base's steps, in base's order, with those to be tried among them; the thresholds are base's.
    store, truth: images scored at full resolution by the very Pipeline that submission runs. groups: {id: person}.
    chosen_on: ids that the candidate's settings were chosen on: no image of their persons counts here.
    level: of the intervals. k: folds of persons of the held-out check. ids: images that count, default all of the
    store that truth has. dice: (pipeline, ids) -> (images, classes) Dice, where masks are drawn already
    (postprocess_objective.table); default: of `store` against `truth`.

    A step is kept for a class where the paired interval of its gain, clustered by person, is above 0, on top of the
    steps kept before it. That choice is then made again without each fold of persons and scored on them: a class
    whose held-out Dice falls keeps no step. With fewer than 6 persons nothing can be told, and nothing is kept.
    With many classes some gain by chance alone: `held_out` is the gain to believe.
    ValueError where the candidate's thresholds or steps do not contain base's, or an image has no person.
    """
    truth = as_masks(truth)
    ids = _held_out_ids(store, truth, groups, chosen_on, ids)
    candidate, base = (pipeline.with_classes(store.classes) for pipeline in (candidate, base))
    scores = _Scores(candidate, _tried(candidate, base), dice or _dice_of(store, truth), store.classes, ids)
    nothing = dict.fromkeys(store.classes, frozenset[int]())
    before = scores.table(nothing)
    everyone = range(len(ids))
    if len({groups[i] for i in ids}) < MIN_GROUPS:
        return GateResult(base, scores.weigh(everyone, groups, level, keep=False), None, before, before)
    unseen = before.copy()
    for held, others in person_folds(ids, groups, k):
        chosen = _kept(scores.weigh(others, groups, level), nothing)
        unseen.iloc[held] = scores.table(chosen).iloc[held]
    falls = {cls for cls in store.classes if unseen[cls].mean() < before[cls].mean()}
    weighed = [w._replace(kept=w.kept and w.cls not in falls) for w in scores.weigh(everyone, groups, level)]
    kept = _kept(weighed, nothing)
    steps = list(_steps(candidate, scores.tried, kept))
    pipeline = Pipeline(steps, thresholds=base.thresholds, classes=store.classes)
    held_out = compare(before, unseen, groups, level=level)
    return GateResult(pipeline, weighed, held_out, before, scores.table(kept))


class _Scores:
    """Dice columns of a class under base's steps and some of those tried, each asked for once."""

    def __init__(
        self, candidate: Pipeline, tried: Sequence[int], dice: Dice, classes: Sequence[str], ids: Sequence[str]
    ) -> None:
        self.candidate, self.tried, self.dice, self.classes, self.ids = candidate, tried, dice, classes, ids
        self._columns: dict[tuple[str, Steps], np.ndarray] = {}

    def table(self, chosen: Mapping[str, Steps]) -> pd.DataFrame:
        """Dice image x class with these steps for each class."""
        self._draw(list(chosen.items()))
        return pd.DataFrame({c: self._columns[c, s] for c, s in chosen.items()}, index=pd.Index(self.ids))

    def weigh(
        self, rows: Sequence[int] | np.ndarray, groups: Mapping[str, str], level: float, *, keep: bool = True
    ) -> list[StepResult]:
        """Each tried step for each class it is for, in order, judged on these rows alone."""
        kept = dict.fromkeys(self.classes, frozenset[int]())
        out = []
        for place in self.tried:
            classes = [c for c in self.classes if self.candidate.active(place, c)]
            self._draw([(c, kept[c] | more) for c in classes for more in (frozenset[int](), {place})])
            for cls in classes:
                a, b = (
                    pd.DataFrame({cls: self._columns[cls, chosen]}, index=pd.Index(self.ids)).iloc[list(rows)]
                    for chosen in (kept[cls], kept[cls] | {place})
                )
                gain = compare(a, b, groups, level=level, draws=1 if a.equals(b) else 2000)
                better = keep and gain.low > 0
                out.append(StepResult(place, self.candidate.steps[place][0], cls, gain, better))
                if better:
                    kept[cls] |= {place}
        return out

    def _draw(self, wanted: Sequence[tuple[str, Steps]]) -> None:
        for chosen in dict.fromkeys(chosen for cls, chosen in wanted if (cls, chosen) not in self._columns):
            table = self.dice(self._pipeline(chosen), self.ids)
            self._columns |= {(cls, chosen): column for cls, column in zip(self.classes, table.T)}

    def _pipeline(self, chosen: Steps) -> Pipeline:
        steps = [s for place, s in enumerate(self.candidate.steps) if place not in self.tried or place in chosen]
        return Pipeline(steps, thresholds=self.candidate.thresholds)


def _dice_of(store: PredictionStore, truth: MaskSet) -> Dice:
    """Dice of Pipelines on a store, whose masks at a threshold are drawn once."""
    cache = MaskCache(store)

    def table(pipeline: Pipeline, ids: Sequence[str]) -> np.ndarray:
        out, masks = np.empty((len(ids), len(store.classes))), render(cache, pipeline, ids=ids, workers=1)
        for row, image in enumerate(ids):
            for column, cls in enumerate(store.classes):
                out[row, column] = masks[image][cls].dice(
                    true_runs(truth, image, cls, store.sizes[image], of=store.path)
                )
        return out

    return table


def _tried(candidate: Pipeline, base: Pipeline) -> list[int]:
    """The places of the candidate's steps that base does not have."""
    if candidate.overlaps or base.overlaps:
        raise ValueError(
            "a gate weighs each class by itself, and overlaps bind two: gate the steps without them, then weigh the "
            "overlaps with metrics.compare"
        )
    if candidate.thresholds != base.thresholds:
        raise ValueError(
            "the candidate's thresholds are not base's: a gate weighs steps alone; make it with "
            "Pipeline(steps, thresholds=base.thresholds), and weigh thresholds with segkit.thresholds.nested"
        )
    left, tried = list(base.steps), []
    for place, step in enumerate(candidate.steps):
        if left and step == left[0]:
            del left[0]
        else:
            tried.append(place)
    if left:
        raise ValueError(f"the candidate lacks base's step {left[0]}, or has it earlier: name base's steps in order")
    return tried


def _held_out_ids(
    store: PredictionStore,
    truth: MaskSet,
    groups: Mapping[str, str],
    chosen_on: Collection[str],
    wanted: Collection[str] | None,
) -> list[str]:
    lacking = [c for c in store.classes if c not in truth.classes]
    if lacking:
        raise ValueError(f"the truth has no class {', '.join(lacking)}")
    ids = [i for i in store.ids if i in truth and (wanted is None or i in wanted)]
    if lost := [i for i in wanted or () if i not in ids]:
        raise ValueError(f"{len(lost)} images of ids= are not in both store and truth: {', '.join(lost[:3])} ...")
    missing = [i for i in (*ids, *chosen_on) if i not in groups]
    if missing:
        raise ValueError(f"{len(missing)} images have no group: {', '.join(missing[:3])} ...")
    persons = {groups[i] for i in chosen_on}
    kept = [i for i in ids if groups[i] not in persons]
    if not kept:
        raise ValueError(
            f"{store.path}: of its {len(store)} images {len(ids)} are in the truth, and none is of a person that the "
            "settings were not chosen on; choose them on fewer persons"
        )
    return kept


def _kept(weighed: Sequence[StepResult], nothing: Mapping[str, Steps]) -> dict[str, Steps]:
    return {cls: frozenset(w.step for w in weighed if w.kept and w.cls == cls) for cls in nothing}


def _steps(
    candidate: Pipeline, tried: Sequence[int], kept: Mapping[str, Steps]
) -> Iterator[tuple[str, dict[str, object]]]:
    """The candidate's steps: base's as they are, those kept for their classes only."""
    for place, (name, settings) in enumerate(candidate.steps):
        if place not in tried:
            yield name, settings
        elif classes := [c for c, chosen in kept.items() if place in chosen]:
            yield name, {**{k: v for k, v in settings.items() if k not in ("skip", "only")}, "only": classes}
