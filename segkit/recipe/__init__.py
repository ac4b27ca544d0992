"""Recipes: what one competition knows, the settings of a run, and its stages through files.

audit -> folds -> train -> predict -> tune -> submit -> report; beside them, where they are named: views, ensemble,
pseudo, tune-loss and ablate.
"""

from segkit.recipe.config import Config, replace
from segkit.recipe.main import main
from segkit.recipe.options import PIPELINE, SIDE_STAGES, parse
from segkit.recipe.recipe import Recipe
from segkit.recipe.run import Run
from segkit.recipe.stage import Stage

__all__ = ["PIPELINE", "SIDE_STAGES", "Config", "Recipe", "Run", "Stage", "main", "parse", "replace"]
