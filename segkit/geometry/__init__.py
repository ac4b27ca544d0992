"""Geometry at full resolution: the one pixel convention, polygons and warps."""

from segkit.geometry.polygons import rasterize
from segkit.geometry.resize import coverage, logit, resize_image, runs_above, sigmoid, upsample
from segkit.geometry.warp import Warp, warp

__all__ = ["Warp", "coverage", "logit", "rasterize", "resize_image", "runs_above", "sigmoid", "upsample", "warp"]
