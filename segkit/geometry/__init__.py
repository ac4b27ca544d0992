"""Geometry at full resolution: the one pixel convention, polygons, soft targets and warps."""

from segkit.geometry.polygons import Polygons, rasterize, trace
from segkit.geometry.resize import coverage, logit, resize_image, runs_above, sigmoid, upsample
from segkit.geometry.targets import draw_soft
from segkit.geometry.warp import Warp, warp

__all__ = [
    "Polygons", "Warp", "coverage", "draw_soft", "logit", "rasterize", "resize_image", "runs_above", "sigmoid", "trace",
    "upsample", "warp",
]  # fmt: skip
