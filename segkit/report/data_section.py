"""The data section of the page: what eda() found, in charts and sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy.stats import spearmanr

from segkit.report import charts_data, text
from segkit.report.explore import AREA, EDA, by_group
from segkit.report.overlays import cases

FIELDS = {"age": "age, years", "sex": "sex", "weight_kg": "weight, kg", "height_cm": "height, cm"}
MOST_PLACES = 6
"""Panels of places: one for each common combination of strata."""
FEWEST = 5
"""Groups below which no relation is drawn."""


def data_section(eda: EDA, colours: Mapping[str, str]) -> dict[str, Any]:
    """Everything that data.html.j2 shows."""
    labelled = eda.images[eda.images["labelled"]]
    several_sizes = eda.images[["height", "width"]].drop_duplicates().shape[0] > 1
    present = (eda.areas > 0).sum()
    n, areas = len(eda.classes), _areas(eda)
    shared = float((labelled["shared"] * labelled["share"]).sum() / max(labelled["share"].sum(), 1e-12))
    return {
        "facts": _facts(eda),
        "strata": _strata(eda),
        "samples": cases(eda.samples, colours),
        "places": _places(eda, colours),
        "sizes": charts_data.sizes(eda.images) if several_sizes else None,
        "areas": areas,
        "area_scale": text.LogScale([v for row in areas for v in row["spread"]]),
        "absent": int((present < len(eda.areas)).sum()),
        "overlaps": eda.overlaps.to_dict("records"),
        "overlap_chart": charts_data.overlaps(eda.overlaps, eda.classes) if len(eda.overlaps) else None,
        "possible": n * (n - 1) // 2,
        "shared": shared,
        "people": _people(eda),
        "known": _known(eda),
        "problems": list(eda.problems),
    }


def _facts(eda: EDA) -> list[tuple[str, str]]:
    images = eda.images
    sizes = Counter(zip(images["height"], images["width"]))
    (height, width), _ = sizes.most_common(1)[0]
    if len(sizes) == 1:
        size = f"{width} × {height} px"
    else:
        size = f"{images['width'].min()}–{images['width'].max()} × {images['height'].min()}–{images['height'].max()} px"
    per_group = images.groupby("group").size()
    spread = f"{per_group.min()}" if per_group.nunique() == 1 else f"{per_group.min()}–{per_group.max()}"
    labelled = int(images["labelled"].sum())
    return [
        ("Images", f"{len(images):,}" if labelled == len(images) else f"{len(images):,}, {labelled:,} with truth"),
        ("Groups", f"{images['group'].nunique():,}"),
        ("Images a group", spread),
        ("Width × height", size),
        ("Classes", str(len(eda.classes))),
        ("Labelled, of an image", text.percent(float(images["share"].mean()))),
    ]


def _areas(eda: EDA) -> list[dict[str, Any]]:
    """For each class, over the images that have it: quantiles of the area (px), median share of the image."""
    pixels = (eda.images["height"] * eda.images["width"]).reindex(eda.areas.index)
    rows = []
    for cls in eda.classes:
        found = eda.areas[cls][eda.areas[cls] > 0]
        share = (found / pixels[found.index]).median()
        spread = found.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
        rows.append({"cls": cls, "spread": spread, "share": share, "images": len(found)})
    return rows


def _strata(eda: EDA) -> list[str]:
    """Lines such as "pose: 18 tilted, 6 upright"."""
    lines = []
    for name, values in eda.strata.items():
        counts = Counter(values[i] for i in eda.images.index if i in values)
        if counts:
            parts = ", ".join(
                f"{number} {value} ({text.percent(number / counts.total())})" for value, number in counts.most_common()
            )
            lines.append(f"{name}: {parts}")
    return lines


def _places(eda: EDA, colours: Mapping[str, str]) -> list[tuple[str, Markup]]:
    """One panel for each combination of strata, the most common first; one for all where there are none."""
    aspect = float((eda.images["height"] / eda.images["width"]).median())
    names = {
        i: ", ".join(values[i] for values in eda.strata.values() if i in values) or "the others"
        for i in eda.areas.index
    }
    counts = Counter(names.values())
    panels = []
    for name, number in counts.most_common(MOST_PLACES):
        title = text.count(number, "image") if len(counts) == 1 else f"{name}: {text.count(number, 'image')}"
        rows = eda.places[eda.places["id"].map(names) == name]
        words = f"Mean place and shape of every class, {title}"
        panels.append((title, charts_data.places(rows, colours, aspect=aspect, words=words)))
    return panels


def _known(eda: EDA) -> str:
    """Of how many groups the sheet knows what."""
    frame = by_group(eda)
    if frame.empty:
        return "The sheet knows none of these groups"
    counts = ", ".join(f"{name.split(',')[0]} of {frame[key].notna().sum()}" for key, name in FIELDS.items())
    return f"The sheet knows {len(frame)} of the {eda.images['group'].nunique()} groups: {counts}"


def _people(eda: EDA) -> list[dict[str, Any]]:
    """For each measure (labelled area, scores) a panel against each field of the sheet that enough groups have."""
    frame = by_group(eda)
    measures = [column for column in frame.columns if column not in FIELDS]
    out = []
    for measure in measures:
        panels = []
        for key, name in FIELDS.items():
            both = frame[[key, measure]].dropna()
            if len(both) < FEWEST or both[key].nunique() < 2:
                continue
            chart = charts_data.relation(both[key], both[measure], xlabel=name, percent=measure == AREA)
            panels.append({"chart": chart, "words": _relation(both[key], both[measure])})
        if panels:
            out.append({"name": measure[0].upper() + measure[1:], "panels": panels})
    return out


def _relation(x: pd.Series, y: pd.Series) -> str:
    """In words: a rank correlation with its interval, or the medians of two groups."""
    if x.dtype != float:
        medians = y.groupby(x).median()
        write = text.percent if y.name == AREA else text.score
        return f"medians {', '.join(f'{k} {write(v)}' for k, v in medians.items())}; {text.count(len(x), 'group')}"
    if y.nunique() < 2:
        return f"{text.count(len(x), 'group')}, all alike"
    rho = float(spearmanr(x, y).statistic)
    # Fieller, Hartley and Pearson 1957: the variance of arctanh(rho) is about 1.06 / (n - 3)
    reach = 1.96 * np.sqrt(1.06 / (len(x) - 3))
    centre = np.arctanh(np.clip(rho, -0.999999, 0.999999))
    low, high = np.tanh([centre - reach, centre + reach])
    rho_text, low_text, high_text = (text.signed(v, places=2) for v in (rho, low, high))
    return f"ρ = {rho_text} ({low_text} to {high_text}), {text.count(len(x), 'group')}"
