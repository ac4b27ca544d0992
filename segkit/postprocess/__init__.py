"""From logits to masks: steps, binarizers, and the Pipeline that is tuned, saved and submitted."""

from segkit.postprocess.binarizers import BINARIZERS, hysteresis, triplet
from segkit.postprocess.blends import RenderedBlends, blend_scorer
from segkit.postprocess.cache import MaskCache
from segkit.postprocess.gate import GateResult, StepResult, gate
from segkit.postprocess.outliers import Flag, flags
from segkit.postprocess.overlap import limit_overlap
from segkit.postprocess.pipeline import Pipeline
from segkit.postprocess.rendering import render
from segkit.postprocess.steps import STEPS, closing, fill_holes, keep_largest, opening, remove_small, smooth

__all__ = [
    "BINARIZERS", "STEPS", "Flag", "GateResult", "MaskCache", "Pipeline", "RenderedBlends", "StepResult",
    "blend_scorer", "closing", "fill_holes", "flags", "gate", "hysteresis", "keep_largest", "limit_overlap", "opening",
    "remove_small", "render", "smooth", "triplet",
]  # fmt: skip
