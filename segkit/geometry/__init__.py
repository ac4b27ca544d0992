"""Geometry at full resolution: the one pixel convention, the highest class, polygons, soft targets and warps."""

from segkit.geometry.argmax import argmax_runs, label_map
from segkit.geometry.placement import Fit, Placement, place
from segkit.geometry.polygons import Polygons, rasterize, trace
from segkit.geometry.resize import coverage, logit, resize_image, runs_above, sigmoid, upsample
from segkit.geometry.targets import draw_soft
from segkit.geometry.warp import Warp, warp

__all__ = [
    "Fit", "Placement", "Polygons", "Warp", "argmax_runs", "coverage", "draw_soft", "label_map", "logit",
    "place", "rasterize", "resize_image",
    "runs_above", "sigmoid", "trace", "upsample", "warp",
]  # fmt: skip
