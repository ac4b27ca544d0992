"""Samples: annotated images of any source, and the truth that follows."""

from segkit.samples.classes import read_classes
from segkit.samples.samples import Samples
from segkit.samples.source import Annotation, Problem, Sample, Source

__all__ = ["Annotation", "Problem", "Sample", "Samples", "Source", "read_classes"]
