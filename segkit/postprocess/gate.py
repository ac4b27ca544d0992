"""Which step stays for which class: only where it gains on groups that had no part in the choice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from segkit.folds import check_groups
from segkit.masks import MaskSet
from segkit.metrics import Comparison, Dice, Metric, Scores, compare
from segkit.metrics.joining import join_classes
from segkit.postprocess.cache import MaskCache
from segkit.postprocess.pipeline import Pipeline
from segkit.postprocess.rendering import render
from segkit.postprocess.truth import truth_of
from segkit.predictions import PredictionStore
from segkit.selection import Candidate, Selection, is_promising, select

if TYPE_CHECKING:
    import pandas as pd

ScorePipeline = Callable[[Pipeline, Sequence[str]], Scores]
"""score(pipeline, ids) -> the scores of these images."""
Chosen = Mapping[str, frozenset[int]]
"""{class: places in the candidate's steps}."""


class StepResult(NamedTuple):
    """What a step did to one class, on top of what was kept before it.

    Attributes:
        step: Its place in the candidate's steps.
        name: Of the step.
        cls: The class.
        gain: On all groups.
        kept: Whether the class keeps the step.
    """

    step: int
    name: str
    cls: str
    gain: Comparison
    kept: bool


@dataclass(frozen=True, eq=False)
class GateResult:
    """A Pipeline whose kept steps leave all other classes alone (`only`), with the numbers.

    Attributes:
        pipeline: What to use.
        steps: Every step and class that was tried, in the candidate's order.
        selection: How the choice as a whole was judged on groups that had no part in it.
        after: Scores of `pipeline` on the very images it was chosen on.
    """

    pipeline: Pipeline
    steps: list[StepResult]
    selection: Selection[Chosen]
    after: Scores

    @property
    def before(self) -> Scores:
        """Scores of the base."""
        return self.selection.start

    @property
    def held_out(self) -> Comparison | None:
        """What such a choice gains over the base on groups unseen; None where there are too few to ask."""
        return self.selection.rows[0].gain if self.selection.rows else None

    @property
    def table(self) -> pd.DataFrame:
        """`steps` as a table: step, class, gain, low, high, kept."""
        import pandas as pd

        rows = [(s.name, s.cls, s.gain.gain, s.gain.low, s.gain.high, s.kept) for s in self.steps]
        return pd.DataFrame(rows, columns=["step", "class", "gain", "low", "high", "kept"])


def gate(
    candidate: Pipeline,
    base: Pipeline,
    *,
    store: PredictionStore,
    truth: MaskSet,
    groups: Mapping[str, str],
    metric: Metric | None = None,
    chosen_on: Collection[str] = (),
    level: float = 0.95,
    k: int = 5,
    ids: Collection[str] | None = None,
    score: ScorePipeline | None = None,
) -> GateResult:
    """Keep each of the candidate's steps for the classes that gain from it, and for no other.

    A class takes a step where the interval of its gain on top of the steps taken before lies above 0. That choice is
    made again without each fold of groups and scored on them: where the gain on the groups held out is not significant
    nothing is kept, and a class whose held-out score falls keeps no step. With many classes some gain by chance alone:
    `held_out` is the gain to believe.

    Args:
        candidate: The base's steps, in its order, with those to be tried among them; the rest is the base's.
        base: What there is without them.
        store: Logits, scored at full resolution by the very Pipeline that submission runs.
        truth: True masks.
        groups: {image id: group}.
        metric: A metric that is a mean over classes; default: Dice().
        chosen_on: Ids that the candidate's settings were chosen on: no image of their groups counts here.
        level: Of interval and test.
        k: Most folds of groups.
        ids: Images that count; default: all of the store that the truth has.
        score: Scores a Pipeline, where masks are known already (PostprocessObjective.scores).

    Returns:
        The Pipeline, with the numbers.

    Raises:
        ValueError: If the candidate differs from the base in more than steps, an image has no group, or the metric does
            not separate by class.
    """
    metric = Dice() if metric is None else metric
    if not metric.separable:
        raise ValueError(f"{metric} is no mean over classes: a gate weighs each class by itself")
    known = truth_of(store, truth, None if ids is None else [image for image in store.ids if image in set(ids)])
    images = _unseen(store, known.ids, groups, chosen_on)
    candidate, base = (pipeline.with_classes(store.classes) for pipeline in (candidate, base))
    chooser = StepChooser(candidate, base, score or _scores_of(store, known, metric), store.classes, images)
    fit = Candidate("steps", lambda part, _: chooser.choose(part, groups, level)[0], _without)
    found: Selection[Chosen] = select(chooser.nothing, [fit], chooser.scores, images, groups, k=k, level=level)
    kept = found.setting
    results = [s._replace(kept=s.step in kept[s.cls]) for s in chooser.choose(images, groups, level)[1]]
    return GateResult(chooser.pipeline(kept), results, found, chooser.scores(kept, images))


class StepChooser:
    """Chooses among added steps for each class, and scores any such choice; what was scored once is remembered.

    Args:
        candidate: The base's steps, in its order, with those to be tried among them.
        base: What there is without them.
        score: Scores a Pipeline.
        classes: All classes, in channel order.
        ids: All images.

    Raises:
        ValueError: If the candidate differs from the base in more than steps, or a class's mask depends on another's.
    """

    def __init__(
        self, candidate: Pipeline, base: Pipeline, score: ScorePipeline, classes: Sequence[str], ids: Sequence[str]
    ) -> None:
        self.candidate, self.base, self.added = candidate, base, _added(candidate, base)
        self.score, self.classes, self.ids = score, classes, ids
        self.nothing: Chosen = dict.fromkeys(classes, frozenset[int]())
        self._columns: dict[tuple[str, frozenset[int]], Scores] = {}

    def scores(self, chosen: Chosen, ids: Sequence[str]) -> Scores:
        """Score a choice.

        Args:
            chosen: The steps of each class.
            ids: Images.

        Returns:
            Their scores.
        """
        self._make(list(chosen.items()))
        return join_classes({cls: self._columns[cls, steps] for cls, steps in chosen.items()}).subset(ids)

    def choose(self, ids: Sequence[str], groups: Mapping[str, str], level: float) -> tuple[Chosen, list[StepResult]]:
        """Choose the steps that each class gains from on some images alone.

        Args:
            ids: The images.
            groups: {image id: group}.
            level: Of interval and test.

        Returns:
            (the steps of each class, what each step did to each class).
        """
        chosen = dict(self.nothing)
        results = []
        for place in self.added:
            classes = [cls for cls in self.classes if self.candidate.active(place, cls)]
            self._make([(cls, chosen[cls] | more) for cls in classes for more in (frozenset[int](), {place})])
            for cls in classes:
                more = chosen[cls] | {place}
                before, after = (self._columns[cls, steps].subset(ids) for steps in (chosen[cls], more))
                same = all(np.array_equal(a, b) for a, b in zip(before.parts, after.parts))
                gain = compare(before, after, groups, level=level, draws=1 if same else 2000)
                results.append(StepResult(place, self.candidate.steps[place][0], cls, gain, is_promising(gain)))
                if is_promising(gain):
                    chosen[cls] = more
        return chosen, results

    def pipeline(self, chosen: Chosen) -> Pipeline:
        """The base with the steps of a choice, each for its classes alone.

        Args:
            chosen: The steps of each class.

        Returns:
            A Pipeline.
        """
        steps: list[tuple[str, Mapping[str, object]]] = []
        for place, (name, settings) in enumerate(self.candidate.steps):
            if place not in self.added:
                steps.append((name, settings))
            elif classes := [cls for cls, own in chosen.items() if place in own]:
                kept = {key: value for key, value in settings.items() if key not in ("skip", "only")}
                steps.append((name, {**kept, "only": classes}))
        return replace(self.base, steps=steps)

    def _make(self, wanted: Sequence[tuple[str, frozenset[int]]]) -> None:
        """Score what is not known yet."""
        for chosen in dict.fromkeys(steps for cls, steps in wanted if (cls, steps) not in self._columns):
            steps = [step for n, step in enumerate(self.candidate.steps) if n not in self.added or n in chosen]
            scores = self.score(replace(self.candidate, steps=steps), self.ids)
            self._columns |= {(cls, chosen): scores.select([cls]) for cls in self.classes}


def _scores_of(store: PredictionStore, truth: MaskSet, metric: Metric) -> ScorePipeline:
    """Scores of Pipelines on a store, whose masks at a threshold are made once."""
    cache = MaskCache(store)
    return lambda pipeline, ids: metric.scores(render(cache, pipeline, ids=ids, workers=1), truth.subset(ids))


def _without(chosen: Chosen, classes: Sequence[str]) -> Chosen:
    return {cls: frozenset() if cls in classes else steps for cls, steps in chosen.items()}


def _added(candidate: Pipeline, base: Pipeline) -> list[int]:
    """The places of the candidate's steps that the base does not have."""
    if candidate.overlaps or base.overlaps:
        raise ValueError(
            "a gate weighs each class by itself, and overlaps bind two: gate the steps without them, then weigh the "
            "overlaps with metrics.compare"
        )
    if candidate.exclusive or base.exclusive:
        raise ValueError("a gate weighs each class by itself, and the steps of exclusive classes bind all of them")
    if replace(candidate, steps=()) != replace(base, steps=()):
        raise ValueError(
            "the candidate's thresholds are not the base's: a gate weighs steps alone; make it with "
            "dataclasses.replace(base, steps=...), and weigh thresholds with segkit.thresholds.nested"
        )
    left, added = list(base.steps), []
    for place, step in enumerate(candidate.steps):
        if left and step == left[0]:
            del left[0]
        else:
            added.append(place)
    if left:
        raise ValueError(
            f"the candidate lacks the base's step {left[0]}, or has it earlier: name the base's steps in order"
        )
    return added


def _unseen(
    store: PredictionStore, ids: Sequence[str], groups: Mapping[str, str], chosen_on: Collection[str]
) -> list[str]:
    """The images of groups that the settings were not chosen on."""
    check_groups((*ids, *chosen_on), groups)
    seen = {groups[image] for image in chosen_on}
    kept = [image for image in ids if groups[image] not in seen]
    if not kept:
        raise ValueError(
            f"{store.path}: of its {len(store)} images {len(ids)} are in the truth, and none is of a group that the "
            "settings were not chosen on; choose them on fewer groups"
        )
    return kept
