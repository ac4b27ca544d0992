"""The line that every competition shares: audit -> train -> predict -> tune -> submit -> report."""

from segkit.recipe.config import STAGES, Config, parse, replace
from segkit.recipe.line import Line, Recipe, main

__all__ = ["STAGES", "Config", "Line", "Recipe", "main", "parse", "replace"]
