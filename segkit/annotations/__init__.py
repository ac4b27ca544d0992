"""The competition's layout on disk: images, polygon JSON, audit, label fixes, truth."""

from segkit.annotations.audit import Case, Problem, audit
from segkit.annotations.fixes import Fix, apply_fixes
from segkit.annotations.images import image_size, read_image
from segkit.annotations.layout import Item, index, read
from segkit.annotations.truth import Truth, load

__all__ = [
    "Case", "Fix", "Item", "Problem", "Truth", "apply_fixes", "audit", "image_size", "index", "load", "read",
    "read_image",
]  # fmt: skip
