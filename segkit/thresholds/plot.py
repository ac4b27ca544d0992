"""A picture of how much the choice of each threshold matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from segkit.geometry import resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from segkit.thresholds.score_curves import ScoreCurves

TICKS = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98]


def plot(curves: ScoreCurves, ax: Axes | None = None) -> Axes:
    """Draw the best threshold of each class and its plateaus, see `ScoreCurves.plot`.

    Args:
        curves: The curves.
        ax: matplotlib Axes to draw on; by default new ones.

    Returns:
        The Axes.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(7, 1 + 0.24 * len(curves.classes)), layout="constrained").subplots()
    narrow, wide, best = curves.plateau(0.0005), curves.plateau(0.005), curves.best()
    for row, cls in enumerate(curves.classes):
        for ends, width in ((wide[cls], 1.2), (narrow[cls], 5)):
            ax.plot([resize.logit(p) for p in ends], [row, row], linewidth=width, color="tab:blue")
        ax.plot(resize.logit(best[cls]), row, "o", markersize=4, color="black")
    ax.axvline(0.0, linewidth=0.8, color="grey", zorder=0)
    ax.set_xticks([resize.logit(p) for p in TICKS], [f"{p:g}" for p in TICKS])
    ax.set_yticks(range(len(curves.classes)), [name.replace("$", r"\$") for name in curves.classes])
    ax.invert_yaxis()
    ax.set_xlabel(f"threshold: best (dot), within .0005 (thick) and .005 (thin) of it in {curves.metric}")
    return ax
