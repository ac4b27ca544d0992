"""What a run achieved, as the page tells it: every number with its interval and with who stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from segkit.audit import Problem
from segkit.metrics import Comparison, Dice, Metric, bootstrap, compare, score
from segkit.postprocess import Flag
from segkit.report.explore import EDA, Strata
from segkit.report.overlays import Overlay
from segkit.thresholds import ScoreCurves


@dataclass(frozen=True)
class ReportData:
    """All that report.html shows.

    Args:
        title: Of the page.
        classes: In channel order.
        summary: What summary.json holds: score, score_low, score_high (held-out), score_tuned, score_untuned,
            score_test, score_empty, score_full, score_at_test_mix {"pose": {score, score_low, score_high, mix {stratum:
            share}, groups {stratum: number}, images}}, per_class {class: score}, seconds and peak_rss_mb {stage or
            "total": number}, tuning, config, notes; what is missing or None is left out of the page, score itself is
            then the mean of `oof`.
        oof: Held-out scores, image x class; NaN is "not counted".
        groups: {id: group} of held-out and test images.
        metric: What everything is scored by.
        test: The same on test truth, where there is one.
        strata: {"pose": {id: "tilted"}}, scored apart.
        curves: Of the held-out images.
        thresholds: {class: threshold} in use.
        history: {fold: records of metrics.jsonl}.
        overlays: Images with truth and prediction.
        eda: The data section.
        problems: Findings of the audit.
        present: Image x class, whether truth has the class: the score over those images is then shown beside.
        flags: What of the submission is of unexpected area or place.
        tables: (title, a line of words, DataFrame) of what else a run did.
        confusion: Of exclusive classes: held-out pixels, true class x predicted class, as metrics.confusion gives them.

    Raises:
        ValueError: Where a table lacks a class or an image has no group.
    """

    title: str
    classes: tuple[str, ...]
    summary: Mapping[str, Any]
    oof: pd.DataFrame
    groups: Mapping[str, str]
    metric: Metric = field(default_factory=Dice)
    test: pd.DataFrame | None = None
    strata: Strata = field(default_factory=dict)
    curves: ScoreCurves | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    overlays: Sequence[Overlay] = ()
    eda: EDA | None = None
    problems: Sequence[Problem] = ()
    present: pd.DataFrame | None = None
    flags: Sequence[Flag] = ()
    tables: Sequence[tuple[str, str, pd.DataFrame]] = ()
    confusion: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        for name, table in (("oof", self.oof), ("test", self.test)):
            if table is None:
                continue
            if lacking := [cls for cls in self.classes if cls not in table.columns]:
                raise ValueError(f"the table {name} lacks the classes {lacking}; it has {list(table.columns)}")
            if strangers := [str(i) for i in table.index if i not in self.groups]:
                raise ValueError(f"the table {name}: no group is known of {', '.join(strangers[:3])}")


FEWEST = 5
"""Groups below which no interval is given: resampling a handful says less than it seems to."""


class Score(NamedTuple):
    """One line of the page: a score, its 95 % interval (NaN where there is none) and how many stand behind."""

    name: str
    mean: float
    low: float
    high: float
    images: int
    groups: int
    kind: str = "part"
    note: str = ""


def interval(name: str, table: pd.DataFrame, groups: Mapping[str, str], **more: str) -> Score:
    """The score of a table with its bootstrap interval over groups; none for fewer than FEWEST groups."""
    count = len({groups[i] for i in table.index})
    if not table.notna().to_numpy().any():
        return Score(name, np.nan, np.nan, np.nan, len(table), count, **more)
    if count < FEWEST:
        return Score(name, score(table), np.nan, np.nan, len(table), count, **more)
    known = table.dropna(axis=1, how="all").dropna(axis=0, how="all")
    found = bootstrap(known, groups)
    return Score(name, found.mean, found.low, found.high, len(table), count, **more)


def score_lines(data: ReportData) -> list[Score]:
    """Held-out, tuned, untuned and test, each stratum below the score that it is a part of."""
    summary = data.summary
    classes = list(data.classes)
    held = interval("Held-out", data.oof[classes], data.groups, kind="main", note="settings chosen on others")
    held = held._replace(
        mean=_number(summary.get("score"), held.mean),
        low=_number(summary.get("score_low"), held.low),
        high=_number(summary.get("score_high"), held.high),
    )
    lines = [held, *_parts(data.oof[classes], data), *_at_test_mix(data)]
    for key, name, note in (
        ("score_tuned", "Tuned", "settings chosen on these"),
        ("score_untuned", "Untuned", "threshold 0.5, nothing else"),
        ("score_empty", "Nothing predicted", "an empty submission of the same images"),
        ("score_full", "Everything predicted", "full masks for the same images"),
    ):
        value = _number(summary.get(key), np.nan)
        if np.isfinite(value):
            lines.append(
                Score(
                    name,
                    value,
                    np.nan,
                    np.nan,
                    held.images,
                    held.groups,
                    "floor" if name.endswith("predicted") else "other",
                    note,
                )
            )
    if data.test is not None and len(data.test):
        test = interval("Test", data.test[classes], data.groups, kind="main", note="never trained or tuned on")
        test = test._replace(mean=_number(summary.get("score_test"), test.mean))
        lines += [test, *_parts(data.test[classes], data)]
    elif np.isfinite(value := _number(summary.get("score_test"), np.nan)):
        lines.append(Score("Test", value, np.nan, np.nan, 0, 0, "main", "never trained or tuned on"))
    return lines


def _parts(table: pd.DataFrame, data: ReportData) -> list[Score]:
    out = []
    for name, values in data.strata.items():
        known = pd.Series({i: values[i] for i in table.index if i in values}, dtype=object)
        for value in sorted(known.unique()):
            part = table.loc[known.index[known == value]]
            out.append(interval(f"{name}: {value}", part, data.groups))
    return out


def _at_test_mix(data: ReportData) -> list[Score]:
    """The held-out score at the test images' mix of each group, and how many groups stand for each stratum."""
    out = []
    for name, found in (data.summary.get("score_at_test_mix") or {}).items():
        if found["score"] is not None:
            of = ", ".join(f"{stratum} {share:.0%}" for stratum, share in found["mix"].items())
            stand = ", ".join(f"{stratum} {count}" for stratum, count in found["groups"].items())
            low, high = _number(found["score_low"], np.nan), _number(found["score_high"], np.nan)
            groups = len({data.groups[i] for i in data.oof.index if i in data.strata.get(name, {})})
            title, note = f"At the test's {name}", f"held-out images weighed as {of}; groups: {stand}"
            out.append(Score(title, found["score"], low, high, found["images"], groups, "other", note))
    return out


def flag_rows(data: ReportData) -> list[dict[str, Any]]:
    """The images with unusual masks of `classes`, those with most first: one with many may be mirrored or empty."""
    found: dict[str, list[Flag]] = {}
    for flag in data.flags:
        if flag.cls in data.classes:
            found.setdefault(flag.image, []).append(flag)
    ordered = sorted(found.items(), key=lambda pair: -len(pair[1]))
    return [{"id": image, "group": data.groups.get(image, ""), "flags": flags} for image, flags in ordered]


def tuning_gain(data: ReportData) -> Comparison | None:
    """Held-out minus untuned score on the same images, paired; None where that cannot be asked."""
    curves = data.curves
    if curves is None or set(curves.ids) != set(data.oof.index) or set(curves.classes) != set(data.classes):
        return None
    if len({data.groups[i] for i in curves.ids}) < FEWEST or data.oof[list(data.classes)].isna().any().any():
        return None
    return compare(curves.table(0.5), data.oof[list(data.classes)], data.groups)


def class_rows(data: ReportData) -> list[dict[str, Any]]:
    """One row a class: held-out interval and spread over images, worst image, test, threshold, where present."""
    per_class = data.summary.get("per_class") or {}
    rows = []
    for cls in data.classes:
        found = interval(cls, data.oof[[cls]], data.groups)
        values = data.oof[cls].dropna()
        row: dict[str, Any] = {
            "cls": cls,
            "score": found._replace(mean=_number(per_class.get(cls), found.mean)),
            "spread": tuple(values.quantile([0.1, 0.9])) if len(values) else (np.nan, np.nan),
            "counted": len(values),
            "worst": (str(values.idxmin()), float(values.min())) if len(values) else None,
            "threshold": _number(data.thresholds.get(cls, data.thresholds.get("*")), np.nan),
            "test": float(data.test[cls].mean()) if data.test is not None else np.nan,
        }
        for name, table in (("held", data.oof), ("tested", data.test)):
            row[f"{name}_present"], row[f"{name}_count"] = _where_present(table, data.present, cls)
        rows.append(row)
    return rows


def _where_present(table: pd.DataFrame | None, present: pd.DataFrame | None, cls: str) -> tuple[float, int]:
    """Mean score over the images whose truth has the class, and how many these are."""
    if table is None or present is None:
        return np.nan, 0
    has = present[cls].reindex(table.index).fillna(False).astype(bool)
    values = table.loc[has, cls].dropna()
    return (float(values.mean()) if len(values) else np.nan), len(values)


def present_scores(data: ReportData) -> dict[str, float]:
    """Score the images that have the class alone, where that is another number.

    An absent class that is rightly not predicted counts 1 and flatters the mean over all images.

    Args:
        data: What the page shows.

    Returns:
        {"Held-out" or "Test": score}.
    """
    out = {}
    for name, table in (("Held-out", data.oof), ("Test", data.test)):
        if table is None or data.present is None:
            continue
        known = table[list(data.classes)].where(data.present.reindex(table.index).fillna(False).astype(bool))
        if known.notna().to_numpy().any() and abs(score(known) - score(table[list(data.classes)])) > 5e-5:
            out[name] = score(known)
    return out


def image_rows(data: ReportData, count: int = 10) -> list[dict[str, Any]]:
    """The images with the worst mean held-out score: group, strata, weakest class."""
    values = data.oof[list(data.classes)].dropna(how="all")
    names, scores = values.index.tolist(), values.to_numpy(float)
    sign = 1 if data.metric.higher_is_better else -1
    rows = []
    for row in (sign * np.nanmean(scores, axis=1)).argsort(kind="stable")[:count]:
        image, column = str(names[row]), int(np.nanargmin(sign * scores[row]))
        rows.append(
            {
                "id": image,
                "group": data.groups[image],
                "strata": ", ".join(known[image] for known in data.strata.values() if image in known),
                "score": float(np.nanmean(scores[row])),
                "weakest": data.classes[column],
                "weakest_score": float(scores[row, column]),
            }
        )
    return rows


def stage_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Seconds and peak memory of every stage, in order, with their share of the largest."""
    seconds, memory = summary.get("seconds") or {}, summary.get("peak_rss_mb") or {}
    stages = [name for name in dict.fromkeys([*seconds, *memory]) if name != "total"]
    longest = max((float(seconds.get(name) or 0) for name in stages), default=0.0) or 1.0
    largest = max((float(memory.get(name) or 0) for name in stages), default=0.0) or 1.0
    return [
        {
            "name": name,
            "seconds": _number(seconds.get(name), np.nan),
            "mb": _number(memory.get(name), np.nan),
            "time_share": float(seconds.get(name) or 0) / longest,
            "memory_share": float(memory.get(name) or 0) / largest,
        }
        for name in stages
    ]


def name_of(data: ReportData) -> str:
    """Return the metric's name as people write it."""
    known = {"dice": "Dice", "iou": "IoU", "mean_iou": "mean IoU", "fbeta": "F-beta"}
    return known.get(data.metric.name, data.metric.name.replace("_", " "))


def _number(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else float(value)
