"""The drawings of the lecture's pages: `python docs/drawings.py` writes docs/images/lecture-NAME-plan.svg.

Left to right is the order of computation, top to bottom the stride, so that a network shows where it looks coarsely.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

IMAGES = Path(__file__).parent / "images"
FILL = {"conv": "#d5e8e4", "far": "#d9d2ec", "up": "#fbe3c6", "score": "#f6cfd0", "plain": "#ececec"}


class Box(NamedTuple):
    """Where it stands, and what arrows end at."""

    x: float
    y: float
    shape: FancyBboxPatch


def box(ax: Axes, x: float, y: float, text: str, kind: str = "conv", *, width: float = 0.76) -> Box:
    """A step of the network, at column x and, downwards, row y."""
    shape = FancyBboxPatch(
        (x - width / 2, y - 0.27),
        width,
        0.54,
        boxstyle="round,pad=0,rounding_size=0.08",
        fc=FILL[kind],
        ec="#444",
        lw=0.8,
    )
    ax.add_patch(shape)
    ax.text(x, y, text, ha="center", va="center", fontsize=7.5)
    return Box(x, y, shape)


def arrow(ax: Axes, start: Box, end: Box, *, style: str = "-", bend: float = 0.0, colour: str = "#444") -> None:
    """From one step to another; dashed for what skips, dotted for places without values."""
    lines = {"-": "solid", "--": (0, (4, 2)), ":": (0, (1, 1.5))}
    ax.add_patch(
        FancyArrowPatch(
            start[:2], end[:2], patchA=start.shape, patchB=end.shape, shrinkA=1, shrinkB=1, arrowstyle="-|>",
            mutation_scale=8, lw=1, color=colour, linestyle=lines[style], connectionstyle=f"arc3,rad={bend}",
        )
    )  # fmt: skip


def chain(ax: Axes, steps: Sequence[Box]) -> None:
    for start, end in itertools.pairwise(steps):
        arrow(ax, start, end)


def frame(ax: Axes, columns: float, rows: int, title: str, strides: list[int] | None = None) -> None:
    """Axes that only show the strides."""
    ax.set_xlim(-0.6, columns - 0.4)
    ax.set_ylim(rows - 0.5, -0.6)
    ax.set_aspect("equal")
    ax.set_title(title, fontsize=9, loc="left")
    ax.set_xticks([])
    ax.set_yticks(range(len(strides or [])), [f"1/{s}" if s > 1 else "full" for s in strides or []], fontsize=7)
    ax.tick_params(length=0)
    for side in ax.spines.values():
        side.set_visible(False)


def fcn(figure: Figure) -> None:
    ax = figure.subplots()
    frame(ax, 10, 6, "FCN: a classifier's trunk, scores at three depths, added on the way up", [1, 2, 4, 8, 16, 32])
    words = ["64", "128", "256", "256\npool3", "512\npool4", "fc6, fc7\nas convs"]
    trunk = [box(ax, k, k, word) for k, word in enumerate(words)]
    chain(ax, trunk)
    at32 = box(ax, 6, 5, "score", "score")
    at16, at8 = box(ax, 7, 4, "sum", "score"), box(ax, 8, 3, "sum", "score")
    out = [box(ax, x, 0, name, "up") for x, name in ((6, "32s"), (7, "16s"), (9, "8s"))]
    chain(ax, [trunk[5], at32, at16, at8, out[2]])
    arrow(ax, at32, out[0])
    arrow(ax, at16, out[1])
    arrow(ax, trunk[4], at16, style="--")
    arrow(ax, trunk[3], at8, style="--")


def decoders(figure: Figure) -> None:
    left, right = figure.subplots(1, 2, width_ratios=[2.2, 1])
    frame(left, 11, 6, "SegNet, DeconvNet: unpool to where the maximum was", [1, 2, 4, 8, 16, 32])
    widths = ["64", "128", "256", "512", "512"]
    down = [box(left, k, k, word) for k, word in enumerate(widths)]
    middle = box(left, 5, 5, "fc6, fc7\nor none", "far")
    up = [box(left, 10 - k, k, word, "up") for k, word in enumerate(widths)]
    chain(left, [*down, middle, *reversed(up)])
    for start, end in zip(down, up):
        arrow(left, start, end, style=":", colour="#b3541e")
    left.text(5, 0.82, "places of the maxima", ha="center", fontsize=7, color="#b3541e")
    frame(right, 4.6, 6, "FC-DenseNet: a dense block")
    layers = [box(right, 0.1 + 1.1 * k, 2, word) for k, word in enumerate(["in", "+ k", "+ k", "+ k"])]
    chain(right, layers)
    for i in range(4):
        for j in range(i + 2, 4):
            arrow(right, layers[i], layers[j], style="--", bend=-0.45)
    right.text(1.75, 3.1, "each layer sees all maps before it\nand adds only k = 12 or 16", ha="center", fontsize=7)


def dilation(figure: Figure) -> None:
    (taps, plan), (second, third) = figure.subplots(2, 2, width_ratios=[1, 1.15])
    frame(taps, 5, 5, "taps of a 3-wide kernel")
    for row, rate in enumerate((1, 2, 4)):
        for k in range(-6, 7):
            on = k in (-rate, 0, rate)
            taps.plot(2.2 + k * 0.36, row * 1.2 + 0.6, "o", ms=5 if on else 3, color="#6a51a3" if on else "#cccccc")
        taps.text(2.2, row * 1.2 + 0.15, f"rate {rate}", ha="center", fontsize=7)
    taps.text(2.2, 4.1, "the same 3 weights, on a map\nthat was not made smaller", ha="center", fontsize=7)
    frame(plan, 6, 5, "DilatedNet, DeepLab: stop at 1/8", [1, 2, 4, 8])
    steps = [box(plan, k, k, word) for k, word in enumerate(["64", "128", "256"])]
    steps += [box(plan, 3, 3, "rate 2", "far"), box(plan, 4, 3, "rate 4\nor 12", "far")]
    out = box(plan, 5, 0, "x 8", "up")
    chain(plan, [*steps, out])
    frame(second, 5, 5, "DeepLab v2's ASPP: scores of four rates are added")
    trunk, added = box(second, 0, 1.5, "trunk"), box(second, 2.9, 1.5, "sum", "score")
    for row, rate in enumerate((6, 12, 18, 24)):
        branch = box(second, 1.45, row, f"rate {rate},\nscore", "far", width=0.9)
        arrow(second, trunk, branch)
        arrow(second, branch, added)
    arrow(second, added, box(second, 4.1, 1.5, "x 8", "up"))
    frame(third, 6, 5, "v3's ASPP: maps beside each other, and v3+")
    trunk, fused = box(third, 0, 2, "trunk"), box(third, 2.6, 2, "concat,\n1 x 1")
    for row, rate in enumerate(("1 x 1", "rate 6", "rate 12", "rate 18", "mean")):
        branch = box(third, 1.3, row * 0.95 + 0.05, rate, "far", width=0.74)
        arrow(third, trunk, branch)
        arrow(third, branch, fused)
    up = box(third, 3.8, 2, "x 4,\nconcat", "up")
    low = box(third, 3.8, 0.1, "1/4 maps\n48", "plain", width=0.95)
    arrow(third, fused, up)
    arrow(third, low, up, style="--")
    arrow(third, up, box(third, 5, 2, "score,\nx 4", "score"))


def unets(figure: Figure) -> None:
    (unet, nested), (full, gate) = figure.subplots(2, 2, width_ratios=[1.6, 1])
    strides = [1, 2, 4, 8, 16]
    frame(unet, 9, 5, "U-Net: concat the maps of the same size", strides)
    down = [box(unet, k, k, str(64 * 2**k)) for k in range(5)]
    up = [box(unet, 8 - k, k, str(64 * 2**k), "up") for k in range(4)]
    chain(unet, [*down, *reversed(up)])
    for start, end in zip(down, up):
        arrow(unet, start, end, style="--")

    frame(nested, 5, 5, "U-Net++: fill the gap with U-Nets of all depths", strides)
    nodes = {
        (i, j): box(nested, j, i, f"{i},{j}", "up" if j else "conv", width=0.6) for i in range(5) for j in range(5 - i)
    }
    for (i, j), at in nodes.items():
        if j:
            arrow(nested, nodes[i, j - 1], at, style="--")
            arrow(nested, nodes[i + 1, j - 1], at)
        elif i:
            arrow(nested, nodes[i - 1, 0], at)

    frame(full, 9, 5, "U-Net 3+: each decoder sees all sizes (drawn for one)", strides)
    down = [box(full, k, k, str(64 * 2**k)) for k in range(5)]
    up = [box(full, 8 - k, k, "5 x 64", "up") for k in range(4)]
    chain(full, [*down, *reversed(up)])
    for source in down[:3]:
        arrow(full, source, up[2], style="--")
    arrow(full, down[4], up[2], style="--", bend=0.45)

    frame(gate, 5, 5, "Attention U-Net: a gate on each skip")
    skip, below = box(gate, 0, 1, "skip"), box(gate, 0, 3, "from\nbelow", "up")
    added, gated = box(gate, 1.5, 2, "add,\nReLU", "far"), box(gate, 2.8, 2, "1 x 1,\nsigmoid", "far")
    product = box(gate, 4, 1, "times", "score")
    chain(gate, [below, added, gated, product])
    arrow(gate, skip, added)
    arrow(gate, skip, product, style="--")


def hrnet_segformer(figure: Figure) -> None:
    above, below = figure.subfigures(2, 1, height_ratios=[1.15, 1])
    left, right = above.subplots(1, 2, width_ratios=[1.25, 1])
    frame(left, 7, 4, "HRNetV2: four sizes side by side, exchanged again and again", [4, 8, 16, 32])
    branches = {(r, c): box(left, c * 1.25, r, f"{2**r} w") for c in range(4) for r in range(c + 1)}
    for (r, c), start in branches.items():
        for other in range(c + 2):
            if (other, c + 1) in branches:
                arrow(left, start, branches[other, c + 1], style="-" if other == r else "--")
    head = box(left, 5.2, 0, "concat\n15 w", "up")
    for r in range(4):
        arrow(left, branches[r, 3], head, bend=0.0 if not r else 0.15)
    arrow(left, head, box(left, 6.2, 0, "score", "score"))
    frame(right, 6, 4, "SegFormer: attention at four sizes, a plain head", [4, 8, 16, 32])
    stages = [box(right, k * 1.0, k, f"blocks\n{w}", "far") for k, w in enumerate((32, 64, 160, 256))]
    chain(right, stages)
    fused = box(right, 4.1, 0, "concat,\n1 x 1", "up")
    for stage in stages:
        arrow(right, stage, fused, style="--")
    arrow(right, fused, box(right, 5.2, 0, "score", "score"))
    ocr(below.subplots())


def ocr(ax: Axes) -> None:
    frame(ax, 11, 3, "OCR: first scores say where a class's region is, and each pixel asks all regions")
    maps = box(ax, 0, 1, "concat\n15 w", "up")
    first = box(ax, 1.7, 2, "first\nscores", "score", width=0.9)
    pixels = box(ax, 1.7, 0, "pixels\n512", width=0.9)
    regions = box(ax, 4.2, 2, "regions: C vectors,\nmeans of the pixels", "far", width=1.9)
    attention = box(ax, 6.6, 1, "attention: which\nregions am I like?", "far", width=1.7)
    joined, out = box(ax, 8.6, 0, "concat,\n1 x 1", "up", width=0.9), box(ax, 10, 0, "score", "score")
    chain(ax, [maps, first, regions, attention, joined, out])
    arrow(ax, maps, pixels)
    arrow(ax, pixels, regions)
    arrow(ax, pixels, attention)
    arrow(ax, pixels, joined, style="--")
    ax.text(2.85, 2.32, "softmax over\nplaces", ha="center", va="top", fontsize=7)
    ax.text(8.0, 1.25, "softmax over\nregions", ha="center", va="top", fontsize=7)


def weak_supervision(figure: Figure) -> None:
    ax = figure.subplots()
    frame(ax, 9, 3, "From labels of images to masks")
    words = [("image", "plain"), ("features", "conv"), ("mean", "conv"), ("label", "score")]
    top = [box(ax, k * 1.15, 0.2, word, kind) for k, (word, kind) in enumerate(words)]
    chain(ax, top)
    maps = box(ax, 2.3, 1.6, "maps: weights\nof a class", "far", width=1.1)
    arrow(ax, top[1], maps)
    arrow(ax, top[3], maps, style="--")
    names = [("walk along\nthe greys", "far"), ("seeds,\nor unknown", "up"), ("a network\nof masks", "score")]
    chain(ax, [maps, *(box(ax, 4.1 + k * 1.6, 1.6, word, kind, width=1.1) for k, (word, kind) in enumerate(names))])


DRAWINGS: dict[str, tuple[Callable[[Figure], None], float, float]] = {
    "fcn": (fcn, 7.5, 4.4),
    "decoders": (decoders, 10, 3.6),
    "dilation": (dilation, 9, 6.4),
    "unets": (unets, 9.5, 6),
    "hrnet-segformer": (hrnet_segformer, 10.5, 5.4),
    "weak-supervision": (weak_supervision, 7.5, 2.4),
}


def path(name: str) -> Path:
    """Where the pages look for a drawing."""
    return IMAGES / f"lecture-{name}-plan.svg"


def save(name: str, target: Path) -> None:
    """The same bytes each time, of one release of matplotlib."""
    draw, width, height = DRAWINGS[name]
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    draw(figure)
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(target, metadata={"Date": None})


def main() -> None:
    for name in DRAWINGS:
        save(name, path(name))
        print(path(name))


if __name__ == "__main__":
    main()
