"""report.html and the data page: one self-contained file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from segkit import __version__
from segkit.audit import Problem
from segkit.files import plain, write_atomic
from segkit.report import charts, text
from segkit.report.confusion_section import confusion_section
from segkit.report.data_section import data_section
from segkit.report.explore import EDA
from segkit.report.overlays import ERRORS, cases
from segkit.report.palette import class_colours
from segkit.report.scores import (
    FEWEST,
    ReportData,
    Score,
    class_rows,
    flag_rows,
    image_rows,
    name_of,
    present_scores,
    score_lines,
    stage_rows,
    tuning_gain,
)

TEMPLATES = Path(__file__).parent / "templates"
SPAN = 0.05  # of the score that a threshold panel shows
FLAGGED = 20  # images with unusual masks that the page lists
FINDINGS = 40  # of one kind that the page lists


def write_report(path: str | Path, data: ReportData) -> None:
    """Write report.html: one file, no request to anywhere, light and dark, for screen, phone and paper.

    Args:
        path: The file.
        data: What it shows; parts for which it holds nothing are left out.
    """
    colours = class_colours(data.classes)
    lines, worst = score_lines(data), _worst_shown(data)
    gain, rows = tuning_gain(data), class_rows(data)
    costs = {"seconds": "seconds", "mb": "peak_rss_mb"}
    total = {name: (data.summary.get(key) or {}).get("total") for name, key in costs.items()}
    flagged, summary = flag_rows(data), data.summary
    tables = [_table(number, *table) for number, table in enumerate(data.tables)]
    page = {
        "title": data.title,
        "colours": colours,
        "subtitle": _subtitle(data),
        "held": lines[0],
        "beside": _beside(lines, present_scores(data)),
        "lines": lines,
        "scale": text.Scale([v for line in lines if line.kind != "floor" for v in line[1:4]]),
        "fewest": FEWEST,
        "gain": gain if gain is not None and gain.min_detectable_effect >= 5e-5 else None,
        "notes": [*(summary.get("tuning") or {}).get("cautions", ()), *(summary.get("notes") or ())],
        "rows": rows,
        "class_scale": text.Scale(
            [v for row in rows for v in (*row["score"][1:4], *row["spread"], row["test"])], top=1.0
        ),
        "test": data.test is not None,
        "present": bool(present_scores(data)),
        "uneven": len({row["counted"] for row in rows}) > 1,
        "tuned": bool(data.thresholds),
        "worst": worst,
        "loss_map": _loss_map(data, worst),
        "image_rows": image_rows(data),
        "has_strata": bool(data.strata),
        "cases": cases(data.overlays, colours),
        "errors": ERRORS,
        "flag_rows": flagged[:FLAGGED],
        "flag_count": sum(len(row["flags"]) for row in flagged),
        "flag_images": len(flagged),
        "multiples": _multiples(data, colours),
        "curve_images": len(data.curves.ids) if data.curves is not None else 0,
        "span": SPAN,
        "metric": name_of(data),
        "training": _training(data),
        "folds": _folds(data),
        "stages": stage_rows(data.summary),
        "total": total if any(total.values()) else None,
        "d": data_section(data.eda, colours) if data.eda is not None else None,
        "tables": tables,
        "confusion": confusion_section(data.confusion),
        "problems": _findings(data.problems),
        "problem_count": len(data.problems),
        "serious": sum(problem.severity == "problem" for problem in data.problems),
        "config": _flat(data.summary.get("config") or {}),
    }
    parts = [
        ("score", "Score", True),
        ("classes", "Classes", True),
        ("images", "Images", True),
        ("overlays", "Truth and prediction", page["cases"]),
        ("confusion", "Confusion", page["confusion"]),
        ("flags", "Unusual masks", page["flag_rows"]),
        ("thresholds", "Thresholds", page["multiples"]),
        ("training", "Training", page["training"]),
        *((table["key"], table["title"], True) for table in tables),
        ("cost", "Time and memory", page["stages"]),
        ("data", "The data", page["d"]),
        ("problems", "Audit", page["problems"]),
        ("config", "Settings", page["config"]),
    ]
    page["contents"] = _contents(parts)
    write_atomic(path, _render("report.html.j2", page))


def write_eda(path: str | Path, eda: EDA, *, title: str = "The data") -> None:
    """Write the data section alone as a page of its own, in the same look.

    Args:
        path: The file.
        eda: What eda() gives.
        title: Of the page.
    """
    colours = class_colours(eda.classes)
    section = data_section(eda, colours)
    parts = [
        ("data", "The data", True),
        ("samples", "Some images", section["samples"]),
        ("places", "Places", True),
        ("areas", "Areas", True),
        ("overlap", "Overlaps", True),
        ("groups", "Groups", section["people"]),
    ]
    page = {"title": title, "colours": colours, "d": section, "contents": _contents(parts)}
    write_atomic(path, _render("eda.html.j2", page))


def _table(number: int, title: str, lede: str, table: pd.DataFrame) -> dict[str, Any]:
    """A table as it stands: text to the left, numbers to the right, fractions with four decimals."""

    def cell(value: object) -> tuple[str, bool]:
        if isinstance(value, float | np.floating):
            return ("–" if np.isnan(value) else f"{value:.4f}"), True
        return str(value), isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)

    rows = [[cell(value) for value in row] for row in table.astype(object).itertuples(index=False)]
    return {"key": f"table-{number}", "title": title, "lede": lede, "head": list(table.columns), "rows": rows}


def _contents(parts: Sequence[tuple[str, str, Any]]) -> list[tuple[str, str]]:
    return [(key, name) for key, name, there in parts if there]


def _render(template: str, page: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(text.FILTERS)
    css, js = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "page.js"))
    return environment.get_template(template).render(css=css, js=js, version=__version__, **page) + "\n"


def _subtitle(data: ReportData) -> str:
    groups = len({data.groups[i] for i in data.oof.index})
    parts = [text.count(len(data.classes), "class", "classes"), f"{text.count(len(data.oof), 'image')} held out"]
    parts.append(f"of {text.count(groups, 'group')}")
    line = f"{parts[0]}; {parts[1]} {parts[2]}"
    if data.test is not None and len(data.test):
        line += f"; {text.count(len(data.test), 'test image')} with truth"
    return line


def _beside(lines: Sequence[Score], present: Mapping[str, float]) -> list[dict[str, Any]]:
    """The scores that stand beside the headline, and what to make of each; `present`: see present_scores()."""
    held, out = lines[0], []
    for line in lines[1:]:
        if line.kind in ("part", "floor"):
            continue
        gap = line.mean - held.mean
        why = line.note
        if line.name == "Tuned":
            why = f"{text.signed(gap)} against held-out: {line.note} very images, so optimistic"
        elif line.name == "Untuned":
            why = f"{text.signed(gap)} against held-out: {line.note}"
        elif np.isfinite(line.low):
            why = f"{text.score(line.low)} to {text.score(line.high)}: {line.note}"
        out.append({"name": line.name, "mean": line.mean, "why": why})
    for name, value in present.items():
        out.append({"name": f"{name}, where present", "mean": value, "why": "over the images that have the class"})
    return out


def _worst_shown(data: ReportData) -> float:
    """The score that the map's full colour stands for: only 2 % of the entries are lower."""
    values = data.oof[list(data.classes)].to_numpy(float)
    known = values[np.isfinite(values)]
    return float(np.floor(100 * min(np.quantile(known, 0.02), 0.95)) / 100) if known.size else 0.95


def _loss_map(data: ReportData, worst: float) -> Markup:
    table = data.oof[list(data.classes)]
    order = table.mean(axis=1).sort_values(kind="stable", na_position="last").index
    return charts.loss_map(
        table.loc[order].to_numpy(float).T,
        list(data.classes),
        worst=worst,
        words=f"Held-out {name_of(data)} of every image and class, worst images first",
    )


def _multiples(data: ReportData, colours: Mapping[str, str]) -> list[dict[str, Any]]:
    if data.curves is None:
        return []
    mean = data.curves.means
    panels = []
    for cls, curve in zip(data.curves.classes, mean):
        chosen = float(data.thresholds.get(cls, data.thresholds.get("*", 0.5)))
        words = f"{cls}: mean score against threshold, {chosen:.2f} in use"
        drawn = charts.threshold_curve(
            data.curves.thresholds, curve, chosen, colour=colours.get(cls, charts.ACCENT), span=SPAN, words=words
        )
        panels.append({"cls": cls, "chosen": chosen, "chart": drawn})
    return panels


def _series(history: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> dict[str, tuple[list, list]]:
    """{fold: (epochs, values)} of the records that have the value."""
    out = {}
    for name, records in history.items():
        pairs = [(r["epoch"], r[key]) for r in records if r.get("epoch") is not None and r.get(key) is not None]
        if pairs:
            out[str(name)] = ([float(e) for e, _ in pairs], [float(v) for _, v in pairs])
    return out


def _training(data: ReportData) -> list[tuple[str, Markup]]:
    shown: tuple[tuple[str, str, dict[str, bool]], ...] = (
        ("loss", "Training loss", {"log": True}),
        (f"val_{data.metric.name}", f"Validation {name_of(data)}, the dot marks the best epoch", {"mark_best": True}),
        ("lr", "Learning rate", {}),
        ("seconds", "Seconds an epoch", {}),
    )
    out = []
    for key, name, settings in shown:
        if series := _series(data.history, key):
            log = settings.get("log", False) and all(min(values) > 0 for _, values in series.values())
            best = settings.get("mark_best", False)
            drawn = charts.lines(series, xlabel="epoch", words=f"{name} by epoch", log=log, mark_best=best)
            out.append((name, drawn))
    return out


def _folds(data: ReportData) -> list[dict[str, Any]]:
    history, best_of = data.history, np.argmax if data.metric.higher_is_better else np.argmin
    scores, seconds = _series(history, f"val_{data.metric.name}"), _series(history, "seconds")
    rows = []
    for name, records in history.items():
        epochs, values = scores.get(str(name), ([], []))
        best = int(best_of(values)) if values else None
        rows.append(
            {
                "name": name,
                "epochs": len(records),
                "best": values[best] if best is not None else np.nan,
                "at": f"{epochs[best]:g}" if best is not None else None,
                "seconds": sum(seconds[str(name)][1]) if str(name) in seconds else None,
            }
        )
    return rows


def _findings(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Findings by kind, the serious and rarer kinds first: a rare one is more likely a slip."""
    ordered = sorted(problems, key=lambda p: p.kind)
    kinds = [(kind, list(rows)) for kind, rows in groupby(ordered, key=lambda p: p.kind)]
    kinds.sort(key=lambda pair: (pair[1][0].severity == "note", len(pair[1])))
    return [
        {"name": kind, "count": len(rows), "rows": rows[:FINDINGS], "severity": rows[0].severity}
        for kind, rows in kinds
    ]


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """[("train.lr", "0.0003"), ...] of nested settings."""
    out: list[tuple[str, str]] = []
    for name, value in plain(dict(config)).items():
        if isinstance(value, dict) and value:
            out += _flat(value, f"{prefix}{name}.")
        else:
            out.append((f"{prefix}{name}", "none" if value is None else str(value)))
    return out
