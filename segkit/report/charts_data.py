"""Charts of the data section: places, overlaps, groups, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from matplotlib.ticker import FuncFormatter

from segkit.report.charts import ACCENT, INK, LINE, MUTED, SURFACE, canvas, chart


@chart
def places(table: pd.DataFrame, colours: Mapping[str, str], *, aspect: float, words: str) -> tuple[Figure, str]:
    """Where classes lie in the image: a dot for each image's centroid, an ellipse of the mean place and shape.

    table: rows of EDA.places; aspect: height / width of the usual image. The ellipse is that of a uniform
    region with the class's mean covariance (semi-axes of two standard deviations).
    """
    figure, axes = canvas(330, 330 * aspect)
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, ec=LINE, lw=1))
    scale = np.array([1.0, aspect])
    for i, (cls, colour) in enumerate(colours.items()):
        rows = table[table["cls"] == cls]
        if rows.empty:
            continue
        mean = rows[["x", "y", "xx", "xy", "yy"]].mean()
        covariance = np.array([[mean["xx"], mean["xy"]], [mean["xy"], mean["yy"]]]) * np.outer(scale, scale)
        variances, axes_of = np.linalg.eigh(covariance)
        minor, major = 4 * np.sqrt(np.maximum(variances, 0.0))
        angle = np.degrees(np.arctan2(axes_of[1, 1], axes_of[0, 1]))
        centre = (mean["x"], mean["y"] * aspect)
        shape = {"xy": centre, "width": major, "height": minor, "angle": angle}
        axes.add_patch(Ellipse(**shape, fc=colour, ec="none", alpha=0.16, gid=f"k{i}"))
        axes.add_patch(Ellipse(**shape, fc="none", ec=colour, lw=1.5, gid=f"k{i}"))
        shown = rows.iloc[:: max(1, len(rows) // 60)]
        y = shown["y"] * aspect
        axes.plot(shown["x"], y, "o", color=colour, ms=2.2, alpha=0.6, mew=0, gid=f"k{i}")
    axes.set(xlim=(0, 1), ylim=(aspect, 0), xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.spines["bottom"].set_visible(False)
    return figure, words


@chart
def overlaps(table: pd.DataFrame, classes: Sequence[str]) -> tuple[Figure, str]:
    """The share of each row's pixels that the column's class also covers, over images where they overlap."""
    n = len(classes)
    side = 20 if n <= 16 else 15
    figure, axes = canvas(130 + side * n, 120 + side * n)
    at = {cls: i for i, cls in enumerate(classes)}
    for a, b, share in [
        *zip(table["first"], table["second"], table["first_share"]),
        *zip(table["second"], table["first"], table["second_share"]),
    ]:
        alpha = 0.12 + 0.88 * share**0.5
        axes.add_patch(Rectangle((at[b], at[a]), 1, 1, fc=ACCENT, ec=SURFACE, lw=1, alpha=alpha))
    for i in range(n):
        axes.add_patch(Rectangle((i, i), 1, 1, fc=LINE, ec=SURFACE, lw=1))
    axes.set_xticks(np.arange(n) + 0.5, classes, rotation=90)
    axes.set_yticks(np.arange(n) + 0.5, classes)
    axes.set(xlim=(0, n), ylim=(n, 0))
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.tick_params(length=0, labelsize=9.5)
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.tick_top()
    return figure, "Share of each row's pixels that the column's class also covers"


@chart
def relation(x: pd.Series, y: pd.Series, *, xlabel: str, percent: bool) -> tuple[Figure, str]:
    """One dot a group: a number, or a category on x, against a measure on y."""
    figure, axes = canvas(206, 148)
    if x.dtype == float:
        axes.plot(x, y, "o", color=ACCENT, ms=5.5, alpha=0.6, mew=0)
    else:
        for i, value in enumerate(sorted(x.unique())):
            these = y[x == value].to_numpy(float)
            spread = (np.arange(len(these)) % 7 - 3) * 0.05  # dots side by side, the same on every run
            axes.plot(i + spread, these, "o", color=ACCENT, ms=5.5, alpha=0.6, mew=0)
            axes.plot([i - 0.28, i + 0.28], [np.median(these)] * 2, color=INK, lw=1.6)
        axes.set_xticks(range(x.nunique()), sorted(x.unique()))
        axes.set_xlim(-0.6, x.nunique() - 0.4)
    axes.set_xlabel(xlabel)
    axes.grid(axis="x", visible=False)
    axes.locator_params(axis="y", nbins=4)
    if percent:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.3g} %"))
    return figure, f"{y.name} against {xlabel}, one dot a group"


@chart
def sizes(images: pd.DataFrame) -> tuple[Figure, str]:
    """Width against height of every image, px."""
    figure, axes = canvas(300, 230)
    axes.plot(images["width"], images["height"], "o", color=ACCENT, ms=5, alpha=0.5, mew=0)
    axes.set(xlabel="width, px", ylabel="height, px")
    axes.yaxis.label.set_color(MUTED)
    axes.margins(0.08)
    return figure, "Width and height of every image"
