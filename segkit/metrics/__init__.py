"""Metrics, and how sure one can be of a score.

A metric is a value such as `Dice()` or `FBeta(beta=0.5, average="pooled")`: `metric(pred, truth)` is the score,
`metric.table` the scores of single images, `metric.scores` what `bootstrap` and `compare` take.
"""

from segkit.metrics.base import Average, Empty, Metric
from segkit.metrics.baselines import empty_score, full_score
from segkit.metrics.combined import Combined
from segkit.metrics.confusion import NO_CLASS, confusion
from segkit.metrics.counts import Counts, count
from segkit.metrics.groups import bootstrap, compare, score
from segkit.metrics.instances import AveragePrecision, ObjectMasks
from segkit.metrics.kinds import CountMetric, MaskMetric
from segkit.metrics.overlap import Dice, FBeta, IoU, MeanIoU
from segkit.metrics.pairs import MasksLike, Pair
from segkit.metrics.results import MIN_GROUPS, Comparison, Interval
from segkit.metrics.scores import Scores
from segkit.metrics.spec import METRICS, parse
from segkit.metrics.surface import Hausdorff, SurfaceDice

__all__ = [
    "METRICS", "MIN_GROUPS", "NO_CLASS", "Average", "AveragePrecision", "Combined", "Comparison", "CountMetric",
    "Counts", "Dice", "Empty", "FBeta", "Hausdorff", "Interval", "IoU", "MaskMetric", "MasksLike", "MeanIoU", "Metric",
    "ObjectMasks", "Pair", "Scores", "SurfaceDice", "bootstrap", "compare", "confusion", "count", "empty_score",
    "full_score", "parse", "score",
]  # fmt: skip
