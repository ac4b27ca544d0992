"""Metrics, and how sure one can be of a score.

A metric is a value such as `Dice()` or `FBeta(beta=0.5, average="pooled")`: `metric(pred, truth)` is the score,
`metric.table` the scores of single images, `metric.scores` what `bootstrap` and `compare` take.
"""

from segkit.metrics.base import Average, CountMetric, Empty, Metric
from segkit.metrics.combined import Combined
from segkit.metrics.counts import Counts, count
from segkit.metrics.groups import MIN_GROUPS, Comparison, Interval, bootstrap, compare, score
from segkit.metrics.overlap import Dice, FBeta, IoU, MeanIoU
from segkit.metrics.pairs import MasksLike
from segkit.metrics.scores import Scores
from segkit.metrics.spec import METRICS, parse

__all__ = [
    "METRICS", "MIN_GROUPS", "Average", "Combined", "Comparison", "CountMetric", "Counts", "Dice", "Empty", "FBeta",
    "Interval", "IoU", "MasksLike", "MeanIoU", "Metric", "Scores", "bootstrap", "compare", "count", "parse", "score",
]  # fmt: skip
