"""One style for every chart: matplotlib draws, the page colours.

A chart is an inline SVG whose text stays text and whose colours are the page's CSS variables: it turns dark
with the page, prints well and uses the reader's fonts.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Colours that stand for a CSS variable until the SVG is written; no chart uses them otherwise.
INK, MUTED, LINE, SURFACE = "#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04"
ACCENT, WARM = "#0a0b05", "#0a0b06"
SERIES = ("#0a0b11", "#0a0b12", "#0a0b13", "#0a0b14", "#0a0b15", "#0a0b16")
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", LINE: "--line", SURFACE: "--surface", ACCENT: "--accent", WARM: "--warm",
    **{colour: f"--series-{i}" for i, colour in enumerate(SERIES)},
}  # fmt: skip

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "segkit",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.linewidth": 1,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.04,
}

P = ParamSpec("P")


def chart(draw: Callable[P, tuple[Figure, str]]) -> Callable[P, Markup]:
    """Make a function that draws -> (figure, what it shows, in words) one that gives the inline SVG."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Markup:
        with matplotlib.rc_context(_STYLE):
            figure, words = draw(*args, **kwargs)
            buffer = StringIO()
            figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        return _inline(buffer.getvalue(), words)

    return styled


def canvas(width: float, height: float) -> tuple[Figure, Any]:
    """A figure of one axes, `width` x `height` CSS px at its natural size; fonts are in px too."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    return figure, figure.add_subplot()


def _inline(svg: str, words: str) -> Markup:
    """The <svg> element alone: scalable, named for screen readers, coloured by CSS variables, ids its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)[ >].*?</\1>", "", svg, flags=re.DOTALL)
    used = sorted(set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)))
    mark = hashlib.sha256(svg.encode()).hexdigest()[:6]
    svg = re.sub(r' id="k(\d+)"', r' class="k k\1"', svg)  # an artist with gid "k3" belongs to class 3
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    for number, name in enumerate(used):
        svg = re.sub(rf'(id="|#){re.escape(name)}(?=["\)])', rf"\g<1>c{mark}-{number}", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    svg = re.sub(r"; font-family: [^;\"]+", "", svg)
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda m: re.sub(r"(\.\d)\d+", r"\1", re.sub(r"\s+", " ", m[0])), svg)
    svg = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", svg)
    svg = re.sub(r">\s+<", "><", svg).replace("<g/>", "").replace("<defs></defs>", "")
    svg = re.sub(r'<path d="[^"]*" style="fill: none"/>', "", svg)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    opening = (
        f'<svg class="chart" role="img" aria-label="{escape(words)}" viewBox="0 0 {width} {height}" '
        f'style="max-width:{float(width):.0f}px">'
    )
    return Markup(opening + svg[svg.index(">") + 1 :].strip())


@chart
def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    xlabel: str,
    words: str,
    log: bool = False,
    mark_best: bool = False,
) -> tuple[Figure, str]:
    """Curves {name: (x, y)} over one axis, NaN points left out; mark_best: a dot on each highest point."""
    figure, axes = canvas(400, 230)
    for i, (name, (x, y)) in enumerate(series.items()):
        colour = SERIES[i % len(SERIES)]
        xs, ys = np.asarray(x, float), np.asarray(y, float)
        known = np.isfinite(xs) & np.isfinite(ys)
        xs, ys = xs[known], ys[known]
        axes.plot(xs, ys, color=colour, marker="o" if len(xs) < 3 else None, ms=4, label=name)
        if mark_best and len(ys):
            best = int(ys.argmax())
            axes.plot(xs[best], ys[best], "o", color=colour, ms=6, mec=SURFACE, mew=1.5)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(_short))
    axes.set_xlabel(xlabel)
    axes.grid(axis="x", visible=False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.margins(x=0.02)
    if len(series) > 1:
        names = {"fontsize": 10.5, "labelcolor": MUTED, "handlelength": 1.2, "frameon": False}
        figure.legend(loc="outside upper left", ncols=5, **names)
    return figure, words


def _short(value: float, _: object) -> str:
    """0.00025 -> "2.5e-4"."""
    small = 0 < abs(value) < 1e-3
    return f"{value:.2g}".replace("e-0", "e-") if not small else f"{value:.1e}".replace("e-0", "e-")


@chart
def threshold_curve(
    thresholds: np.ndarray, scores: np.ndarray, chosen: float, *, colour: str, span: float, words: str
) -> tuple[Figure, str]:
    """Mean score of one class against its threshold: the top `span` of it, and a dot for the choice."""
    figure = Figure(figsize=(170 / 72, 104 / 72))
    axes = figure.add_axes((0.19, 0.17, 0.78, 0.79))  # fixed: panels line up, and 29 layouts are saved
    axes.axvline(0.5, color=LINE, lw=1, dashes=(2, 2))
    top = float(np.nanmax(scores)) if np.isfinite(scores).any() else 1.0
    axes.plot(thresholds, scores, color=colour, lw=2)
    at = float(np.interp(chosen, thresholds, scores))
    axes.plot([chosen], [max(at, top - span)], "o", color=INK, ms=5.5, mec=SURFACE, mew=1.2, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(top - span, top + 0.08 * span), xticks=[0, 0.5, 1], xticklabels=["0", ".5", "1"])
    axes.set_yticks([top - span, top], [f"{top - span:.3f}", f"{top:.3f}"])
    axes.tick_params(labelsize=9)
    axes.grid(axis="x", visible=False)
    return figure, words


@chart
def loss_map(scores: np.ndarray, rows: Sequence[str], *, worst: float, words: str) -> tuple[Figure, str]:
    """What each image (columns) loses in each class (rows): the stronger, the lower; NaN is grey.

    scores: (rows, columns); the full colour stands for `worst` and below.
    """
    count, images = scores.shape
    figure, axes = canvas(max(320, min(860, 130 + 14 * images)), 46 + 15 * count)
    loss = np.clip((1.0 - scores) / max(1.0 - worst, 1e-6), 0.0, 1.0)
    pixels = np.zeros((*scores.shape, 4))
    pixels[..., :3] = np.array([217, 72, 15]) / 255
    pixels[..., 3] = loss
    pixels[np.isnan(scores)] = (0.5, 0.5, 0.5, 0.25)
    axes.imshow(pixels, aspect="auto", interpolation="none", extent=(0, images, count, 0))
    axes.set_yticks(np.arange(count) + 0.5, rows)
    axes.set_xticks([])
    axes.set_xlabel(f"{images} image{'s' * (images > 1)}, worst mean first")
    axes.tick_params(axis="y", labelsize=9.5)
    axes.set_xticks(np.arange(images + 1), minor=True)
    axes.set_yticks(np.arange(count + 1), minor=True)
    axes.grid(visible=False)
    if images <= 80:
        axes.grid(which="minor", color=SURFACE, lw=0.8)
    axes.spines["bottom"].set_visible(False)
    return figure, words
