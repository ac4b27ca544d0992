"""Where the predictions of a run come from: its own networks, or a blend of other runs."""

from __future__ import annotations

from segkit.recipe.run import Run
from segkit.recipe.stage import Stage
from segkit.recipe.stages import ensemble, predict


def held_out(run: Run) -> Stage:
    """Return the stage that makes oof.zarr."""
    return ensemble.OOF if run.config.run.members else predict.OOF


def test(run: Run) -> Stage:
    """Return the stage that makes test.zarr."""
    return ensemble.TEST if run.config.run.members else predict.TEST
