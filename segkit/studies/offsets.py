"""The Optuna objective of exclusive classes: offsets of their logits, which no metric separates by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna

from segkit.metrics import Counts, MasksLike, MeanIoU, Metric, Scores, count
from segkit.postprocess import Pipeline, render
from segkit.postprocess.truth import truth_of
from segkit.predictions import PredictionStore
from segkit.selection import Candidate, signed

REACH = 2.0
"""Largest offset that is tried, in logits."""
PREFIX = "offset/"


class OffsetsObjective:
    """Score of exclusive classes under offsets of their logits, at full resolution.

    One class is the reference and keeps 0: only differences decide. What a trial counted is remembered, so that a
    choice for some of the images costs nothing.

    Args:
        store: Out-of-fold predictions of exclusive classes.
        truth: True masks.
        metric: A metric that has counts.
        ids: Images; None for all that have truth.

    Raises:
        ValueError: For a store of classes that may overlap, or a metric without counts.
    """

    def __init__(
        self,
        store: PredictionStore,
        truth: MasksLike,
        *,
        metric: Metric | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        if not store.exclusive:
            raise ValueError(f"{store.path} has classes that may overlap: they have thresholds, not offsets")
        self.store, self.truth = store, truth_of(store, truth, ids)
        self.metric: Metric = MeanIoU() if metric is None else metric
        if not self.metric.has_counts:
            raise ValueError(f"offsets are tuned from pixel counts, which {self.metric} has not")
        self.ids, self.classes = self.truth.ids, store.classes
        self._tried: dict[tuple[float, ...], Counts] = {}

    def __call__(self, trial: optuna.Trial) -> float:
        """The score of the trial's offsets, higher is better."""
        offsets = [trial.suggest_float(f"{PREFIX}{cls}", -REACH, REACH) for cls in self.classes[1:]]
        return signed(self.scores(dict(zip(self.classes, [0.0, *offsets])), self.ids))

    def enqueue(self, study: optuna.Study) -> None:
        """Queue no offsets at all, the setting to beat.

        Args:
            study: Where it is queued.
        """
        study.enqueue_trial({f"{PREFIX}{cls}": 0.0 for cls in self.classes[1:]}, skip_if_exists=True)

    def pipeline(self, offsets: Mapping[str, float]) -> Pipeline:
        """Return the Pipeline that adds these offsets.

        Args:
            offsets: {class: logits to add}.
        """
        return Pipeline(classes=self.classes, exclusive=True, offsets=dict(offsets))

    def scores(self, offsets: Mapping[str, float], ids: Sequence[str]) -> Scores:
        """Score some images under offsets; what was counted before is not counted again.

        Args:
            offsets: {class: logits to add}.
            ids: Images.

        Returns:
            Their scores.
        """
        key = tuple(float(offsets[cls]) for cls in self.classes)
        if key not in self._tried:
            self._tried[key] = count(render(self.store, self.pipeline(offsets), ids=self.ids), self.truth)
        place = {image: row for row, image in enumerate(self.ids)}
        counts = self._tried[key].subset([place[image] for image in ids])
        return Scores.from_counts(counts, self.metric, ids, self.classes)

    def candidate(self, params: Sequence[Mapping[str, float]]) -> Candidate[Pipeline]:
        """Return the choice among trials, for `selection.select`: of each part of the groups the best one.

        Args:
            params: Of the trials.
        """
        tried = [{cls: float(one.get(f"{PREFIX}{cls}", 0.0)) for cls in self.classes} for one in params]

        def fit(ids: Sequence[str], now: Pipeline) -> Pipeline:
            return self.pipeline(max(tried, key=lambda offsets: signed(self.scores(offsets, ids))))

        return Candidate("offsets", fit)
