"""The line that every competition shares: audit -> train -> predict -> tune -> submit -> report.

Beside it, where they are named: tune-loss and ablate.
"""

from segkit.recipe.config import STAGES, Config, replace
from segkit.recipe.line import Line, Recipe, main
from segkit.recipe.options import parse

__all__ = ["STAGES", "Config", "Line", "Recipe", "main", "parse", "replace"]
