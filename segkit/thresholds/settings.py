"""Settings of all classes or of each: thresholds, and whatever else a class can have of its own; which metric fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segkit.metrics import Metric

PerClass = float | Mapping[str, float]
"""A number for all classes, or {class: number} with "*" for the others."""


def per_class(setting: object, classes: Sequence[str]) -> dict[str, Any]:
    """Give every class its value of a setting.

    Args:
        setting: One value for all, or {class: value}, with "*" for those that are not named.
        classes: Class names.

    Returns:
        {class: value} of every class, in order.

    Raises:
        ValueError: If an unknown class is named, or a class has no value.

    Example:
        >>> per_class({"b": 1, "*": 0}, ("a", "b"))
        {'a': 0, 'b': 1}
    """
    if not isinstance(setting, Mapping):
        return dict.fromkeys(classes, setting)
    unknown = [name for name in setting if name != "*" and name not in classes]
    if unknown:
        raise ValueError(f"setting for {unknown}: no such class; there are {', '.join(classes)}")
    missing = [name for name in classes if name not in setting and "*" not in setting]
    if missing:
        raise ValueError(f"no setting for {missing}; name them or give a default under '*'")
    return {name: setting.get(name, setting.get("*")) for name in classes}


def probabilities(thresholds: object, classes: Sequence[str]) -> dict[str, float]:
    """Give every class its threshold.

    Args:
        thresholds: One probability for all, or {class: probability}, as for `per_class`.
        classes: Class names.

    Returns:
        {class: threshold} of every class, in order.

    Raises:
        ValueError: If a threshold is no number in [0, 1]; it names the class. Also as `per_class`.
    """
    found = per_class(thresholds, classes)
    for cls, threshold in found.items():
        if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.number) or not 0 <= threshold <= 1:
            raise ValueError(f"class {cls}: expected a threshold that is a probability in [0, 1], got {threshold!r}")
    return found


def check_separable(metric: Metric) -> Metric:
    """Check that the best thresholds of a metric can be read off class by class.

    Args:
        metric: The metric.

    Returns:
        The metric.

    Raises:
        ValueError: If they cannot.
    """
    if metric.has_counts and metric.separable:
        return metric
    why = "does not separate by class" if metric.has_counts else "does not follow from pixel counts"
    raise ValueError(
        f"{metric} {why}, so its best thresholds cannot be read off curves: search them with a study "
        "(segkit.studies), or choose thresholds by a metric that does, such as Dice()"
    )
