"""The line that every competition shares: audit -> train -> predict -> tune -> submit -> report.

Beside it, where they are named: tune-loss and ablate.
"""

from segkit.recipe.config import STAGES, Config, parse, replace
from segkit.recipe.line import Line, Recipe, main

__all__ = ["STAGES", "Config", "Line", "Recipe", "main", "parse", "replace"]
