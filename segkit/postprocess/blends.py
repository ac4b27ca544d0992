"""Scores of blends that are rendered: for exclusive classes, and for metrics that need the masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segkit.ensemble import Blend, BlendSpace
from segkit.ensemble.blending import store_names
from segkit.ensemble.greedy import Scorer, WeightScorer
from segkit.ensemble.weights import Weights, shares
from segkit.metrics import Dice, MasksLike, Metric, Scores
from segkit.postprocess.pipeline import Pipeline
from segkit.postprocess.rendering import render
from segkit.postprocess.truth import truth_of
from segkit.predictions import PredictionStore


class RenderedBlends:
    """Scores of any weights of several stores by any metric: ensemble.members and ensemble.nested take it.

    Every new weighting renders all images; a BlendSpace is faster where thresholds and pixel counts decide.

    Args:
        stores: Stores that agree, exclusive or not.
        truth: True masks.
        metric: Any; default: Dice().
        pipeline: What is rendered, without a blend; default: a threshold of .5, or the highest class.
        ids: Images; default: all of the first store that the truth has.

    Attributes:
        ids: Images.
        classes: Classes, in channel order.
        names: What the stores are called.
    """

    def __init__(
        self,
        stores: Sequence[PredictionStore],
        truth: MasksLike,
        *,
        metric: Metric | None = None,
        pipeline: Pipeline | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        self.stores, self.truth = list(stores), truth_of(stores[0], truth, ids)
        self.metric: Metric = Dice() if metric is None else metric
        self.pipeline = Pipeline(exclusive=stores[0].exclusive) if pipeline is None else pipeline
        self.ids, self.classes, self.names = self.truth.ids, stores[0].classes, store_names(stores)
        self._known: dict[bytes, Scores] = {}

    def __call__(self, weights: Weights, ids: Sequence[str] | None = None) -> Scores:
        """Score weights.

        Args:
            weights: K numbers, {class: K numbers}, or None for equal ones.
            ids: Images; default: all.

        Returns:
            The scores of the metric.
        """
        key = shares(weights, self.classes, len(self.stores)).tobytes()
        if key not in self._known:
            pipeline = replace(self.pipeline, blend=Blend(weights))
            self._known[key] = self.metric.scores(render(self.stores, pipeline, ids=self.ids), self.truth)
        scores = self._known[key]
        return scores if ids is None else scores.subset(ids)


def blend_scorer(
    stores: Sequence[PredictionStore],
    truth: MasksLike,
    *,
    metric: Metric | None = None,
    ids: Sequence[str] | None = None,
    cache: str | Path | None = None,
) -> WeightScorer:
    """The fastest scorer of weights, at a threshold of .5 or by the highest class.

    Args:
        stores: Stores that agree.
        truth: True masks.
        metric: Any; default: Dice().
        ids: Images; default: all of the first store that the truth has.
        cache: Folder for the bands of a BlendSpace.

    Returns:
        A scorer for ensemble.members and ensemble.nested.
    """
    metric = Dice() if metric is None else metric
    if stores[0].exclusive or not metric.has_counts:
        return RenderedBlends(stores, truth, metric=metric, ids=ids)
    known = truth_of(stores[0], truth, ids)
    return Scorer(BlendSpace(stores, known, metric=metric, low=0.5, high=0.5, ids=known.ids, cache=cache), 0.5)
