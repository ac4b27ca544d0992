"""Annotated images: where they lie, what their annotation says, and the truth that follows."""

from segkit.samples.fixes import Fix, apply_fixes
from segkit.samples.layout import Item, index, read
from segkit.samples.truth import Truth, load

__all__ = ["Fix", "Item", "Truth", "apply_fixes", "index", "load", "read"]
