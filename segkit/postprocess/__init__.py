"""Post-processing of one class at full resolution: steps, and the Pipeline that is tuned, saved and submitted."""

from segkit.postprocess.cuts import CUTS, hysteresis, triplet
from segkit.postprocess.findings import Flag, flags
from segkit.postprocess.gate import Gated, gate
from segkit.postprocess.overlap import limit_overlap
from segkit.postprocess.pipeline import Pipeline
from segkit.postprocess.rows import rows
from segkit.postprocess.steps import STEPS, closing, fill_holes, keep_largest, opening, remove_small, smooth

__all__ = [
    "CUTS", "STEPS", "Flag", "Gated", "Pipeline", "closing", "fill_holes", "flags", "gate", "hysteresis",
    "keep_largest", "limit_overlap", "opening", "remove_small", "rows", "smooth", "triplet",
]  # fmt: skip
