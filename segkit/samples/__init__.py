"""Annotated images: where they lie, what their annotation says, and the truth that follows."""

from segkit.samples.classes import read_classes
from segkit.samples.fixes import Fix, apply_fixes
from segkit.samples.layout import Item, index, read
from segkit.samples.samples import Samples
from segkit.samples.source import Annotation, Problem, Sample, Source
from segkit.samples.truth import Truth, load

__all__ = [
    "Annotation", "Fix", "Item", "Problem", "Sample", "Samples", "Source", "Truth", "apply_fixes", "index", "load",
    "read", "read_classes",
]  # fmt: skip
